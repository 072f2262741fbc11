"""What the watch looks at: the evidence in the ops database, the bucket of the backups, Airflow's health and its DAGs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg

from include.backups import catalogue
from include.backups.catalogue import Backup
from include.errors import ConfigurationError, TransientError
from watch.bucket import open_bucket
from watch.clock import Clock
from watch.decide import Judgement, Span, components_up, count_bad, judge_all, keys_since, newest_good
from watch.expected import ExpectedRun
from watch.gauges import Sample
from watch.settings import WatchSettings
from watch.state import expected_since

EVIDENCE_SPAN = (Path(__file__).resolve().parent / "sql" / "evidence_span.sql").read_text()
CLOCKS_DIFFER = timedelta(minutes=5)
RECENT = timedelta(days=7)
"""Of backups: the only ones that are looked at while one of them is good."""


class Source(Protocol):
    """Something to look at."""

    name: str

    def look(self) -> Sequence[Sample]:
        """Return what is seen now; raise if it cannot be seen."""


@dataclass
class EvidenceSource:
    """Whether each run that is proved by its verdict left one: needs the ops database and a clock, and nothing of Airflow."""

    settings: WatchSettings
    runs: Sequence[ExpectedRun]
    clock: Clock
    name: str = "evidence"

    def __post_init__(self) -> None:
        self._since = _all_expected_since(self.settings, self.runs, self.clock)

    def look(self) -> list[Sample]:
        """Return how late each run is, when it was due and when it was last proved."""
        now = self.clock.now()
        runs = _proved_by("evidence", self.runs)
        spans = self._spans([run.dag_id for run in runs], until=now + CLOCKS_DIFFER)
        return _of_runs(judge_all(runs, spans, expected_since=self._since, now=now))

    def _spans(self, dag_ids: list[str], *, until: object) -> dict[str, Span]:
        wanted = {"dag_ids": dag_ids, "until": until}
        try:
            with self._connect() as connection:
                rows = connection.execute(EVIDENCE_SPAN, wanted).fetchall()
        except psycopg.Error as error:
            raise TransientError(f"the evidence cannot be read from the ops database: {_line(error)}") from error
        return {dag_id: Span(first, newest) for dag_id, first, newest in rows}

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        limit_ms = round(self.settings.timeout_s * 1000)
        return psycopg.connect(
            self.settings.evidence_dsn.get_secret_value(),
            application_name="watch",
            connect_timeout=max(2, math.ceil(self.settings.timeout_s)),
            tcp_user_timeout=limit_ms,
            options=f"-c statement_timeout={limit_ms} -c default_transaction_read_only=on",
        )


@dataclass
class BackupsSource:
    """Whether each run that is proved by a good backup left one: needs the bucket and a clock, and nothing else."""

    settings: WatchSettings
    runs: Sequence[ExpectedRun]
    clock: Clock
    name: str = "backups"

    def __post_init__(self) -> None:
        self._store = open_bucket(self.settings)
        self._since = _all_expected_since(self.settings, self.runs, self.clock)

    def look(self) -> list[Sample]:
        """Return how late each run is, what the newest good backup of each database is, and how many are bad."""
        now = self.clock.now()
        runs = _proved_by("good_backup", self.runs)
        seen = {place: self._see(*place, now) for place in sorted({(run.kind, run.database) for run in runs})}
        spans = {run.dag_id: span for run in runs if (span := seen[run.kind, run.database].span)}
        judged = judge_all(runs, spans, expected_since=self._since, now=now)
        return [*_of_runs(judged), *(sample for each in seen.values() for sample in each.samples())]

    def _see(self, kind: str, database: str, now: datetime) -> SeenBackups:
        # A look costs one list (1000 objects a page, four to a backup) and, of the last seven days alone, one GET of tags a backup;
        # of manifests only those that are new. With one backup a night that is 9 requests every 15 s instead of 81 for 40 backups.
        since = keys_since(database, now - RECENT, kind)
        recent = catalogue.look(self._store, database, since=since, kind=kind).backups
        good = newest_good(recent, until=now + CLOCKS_DIFFER)
        if not good:  # rare, and paged meanwhile: then all of it is read, to say how old the newest good one is
            good = newest_good(catalogue.look(self._store, database, kind=kind).backups, until=now + CLOCKS_DIFFER)
        return SeenBackups(database=database, newest_good=good, bad=count_bad(recent))


@dataclass(frozen=True, kw_only=True)
class SeenBackups:
    """What the bucket holds of one database, or of one configuration.

    :param bad: how many of the recent ones.
    """

    database: str
    newest_good: Backup | None
    bad: int

    @property
    def span(self) -> Span | None:
        """Its proof; the first good one is not sought: the newest is enough to show that the run was expected before."""
        return Span(self.newest_good.at, self.newest_good.at) if self.newest_good else None

    def samples(self) -> Iterator[Sample]:
        """Return them by the database's name; what there is not is absent."""
        yield Sample("watch_backups_bad", float(self.bad), self.database)
        if (good := self.newest_good) and good.manifest and good.mark:
            yield Sample("watch_newest_good_backup_timestamp_seconds", good.at.timestamp(), self.database)
            yield Sample("watch_newest_good_backup_bytes", float(good.manifest.stored_bytes), self.database)
            yield Sample("watch_backup_restore_seconds", good.mark.rto_s, self.database)


def _proved_by(proof: str, runs: Iterable[ExpectedRun]) -> list[ExpectedRun]:
    return [run for run in runs if run.proof == proof]


def _all_expected_since(settings: WatchSettings, runs: Iterable[ExpectedRun], clock: Clock) -> dict[str, datetime]:
    # Of all runs, whatever proves them: the file is one, and what a source leaves out of it is forgotten.
    return expected_since(settings.state, [run.dag_id for run in runs], clock.now())


def _of_runs(judged: Sequence[Judgement]) -> list[Sample]:
    late = [Sample("watch_run_overdue_seconds", each.overdue_s, each.dag_id) for each in judged]
    due = [Sample("watch_last_due_timestamp_seconds", each.due.timestamp(), each.dag_id) for each in judged]
    seen = [
        Sample("watch_last_evidence_timestamp_seconds", each.newest.timestamp(), each.dag_id)
        for each in judged
        if each.newest
    ]
    return [*late, *due, *seen]


@dataclass
class HealthSource:
    """Whether Airflow's processes live, as its API server tells anyone who asks; no answer is an answer too."""

    settings: WatchSettings
    name: str = "airflow_health"

    def look(self) -> list[Sample]:
        """Return up or down for each component."""
        up = components_up(self._health())
        return [Sample("watch_airflow_component_up", float(is_up), component) for component, is_up in up.items()]

    def _health(self) -> Mapping[str, Any] | None:
        try:
            with _client(self.settings) as client:
                answer: Mapping[str, Any] = client.get("/api/v2/monitor/health").raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return None
        return answer


@dataclass
class DagsSource:
    """Whether Airflow knows the expected DAGs and would run them, asked over its REST API as a viewer."""

    settings: WatchSettings
    runs: Sequence[ExpectedRun]
    name: str = "airflow"
    _token: str | None = field(default=None, repr=False)

    def look(self) -> list[Sample]:
        """Return paused and missing for each expected DAG, and the number of import errors."""
        try:
            with _client(self.settings) as client:
                return list(self._samples(lambda path: self._get(client, path)))
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise TransientError(f"Airflow's list of DAGs cannot be read: {_line(error)}") from error

    def _samples(self, get: Callable[[str], httpx.Response]) -> Iterator[Sample]:
        for run in self.runs:
            yield from _of_dag(run.dag_id, get(f"/api/v2/dags/{run.dag_id}"))
        errors = get("/api/v2/importErrors?limit=1").raise_for_status().json()
        yield Sample("watch_import_errors", float(errors["total_entries"]))

    def _get(self, client: httpx.Client, path: str) -> httpx.Response:
        self._token = self._token or self._log_in(client)
        answer = client.get(path, headers={"Authorization": f"Bearer {self._token}"})
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # it expired, or Airflow began anew with another key
            self._token = self._log_in(client)
            answer = client.get(path, headers={"Authorization": f"Bearer {self._token}"})
        return answer

    def _log_in(self, client: httpx.Client) -> str:
        user, password = self.settings.airflow_user, self.settings.airflow_password.get_secret_value()
        answer = client.post("/auth/token", json={"username": user, "password": password})
        if answer.status_code in {401, 403}:
            raise ConfigurationError(
                f"Airflow refused the user {user!r}: set WATCH_AIRFLOW_USER and WATCH_AIRFLOW_PASSWORD"
            )
        token: str = answer.raise_for_status().json()["access_token"]
        return token


def _of_dag(dag_id: str, answer: httpx.Response) -> list[Sample]:
    if answer.status_code == httpx.codes.NOT_FOUND:
        return [Sample("watch_dag_missing", 1.0, dag_id)]
    dag = answer.raise_for_status().json()
    gone = bool(dag.get("is_stale"))  # its file is no longer there; the row in the database is
    paused = [] if gone else [Sample("watch_dag_paused", float(dag["is_paused"]), dag_id)]
    return [Sample("watch_dag_missing", float(gone), dag_id), *paused]


def _client(settings: WatchSettings) -> httpx.Client:
    return httpx.Client(base_url=settings.airflow_url, timeout=settings.timeout_s, trust_env=False)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def all_sources(settings: WatchSettings, runs: Sequence[ExpectedRun], clock: Clock) -> list[Source]:
    """Return what is looked at; each on its own, so that one that hangs delays no other. The bucket only if a run needs it."""
    in_bucket = [BackupsSource(settings, runs, clock)] if _proved_by("good_backup", runs) else []
    return [*in_bucket, EvidenceSource(settings, runs, clock), HealthSource(settings), DagsSource(settings, runs)]
