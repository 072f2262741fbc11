"""A source that is dead, empty, slow or forbidden is UNKNOWN in the report, makes no run green, and delays no other source.

Empty means: everything answers and nothing is there. What that says depends on the source, and the safest reading is proved here:

- Slack without the alerts channel, PagerDuty without a service, Grafana without a rule or the named panels, Kubernetes without
  workloads or nodes, Prometheus without a sample, Redis without a key: each lists as empty for a token with too few rights, a
  misspelt name or the wrong database, so nothing at all is UNKNOWN. A channel without messages, no incident and an empty work
  queue beside other keys are what a quiet night looks like, and healthy.
- PostgreSQL with every table and no row is a server that works (H-08 is OK) on a platform that does nothing: the success of
  workflows (H-11) and the business numbers have no sample, so the source as a whole is UNKNOWN.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest

from include.findings import Report, Severity
from sandbox.airflow_api import Airflow
from sandbox.components.postgres import dsn
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from tests.integration.doors import MODES, Doors, doors
from tests.integration.morning import DAG_ID, checks, connected, reports
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.proof]

NEEDS: Mapping[str, Sequence[str]] = {
    "slack": ["slack"],
    "pagerduty": ["pagerduty_api"],
    "grafana": ["grafana"],
    "kubernetes": ["kubernetes"],
    "postgres": ["postgres"],
    "redis": ["redis"],
    "performance": ["prometheus"],
    "business": ["postgres", "prometheus"],
}
"""Source -> the Connections of the settings that it looks through."""

DEADLINE_S, GRACE_S = 10, 2
UNTRANSLATED = re.compile(r"\b[A-Z]\w+(Error|Exception|Refused): |Traceback|<[\w.]+ object")
SENTENCE_MAX = 300


@pytest.fixture(scope="module")
def sick(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors(site, tmp_path_factory.mktemp("doors")) as opened:
        yield opened


@pytest.fixture(scope="module")
def warm(site: Site) -> None:
    """One healthy look pays for the imports, which a task does before its deadline runs."""
    with connected(site):
        assert {report.source for report in reports()} == set(NEEDS)


def cases(proof: Proof) -> list[tuple[str, str]]:
    """All 32; in small each source once and each mode twice, others with every seed."""
    if proof.full:
        return [(source, mode) for source in NEEDS for mode in MODES]
    shift = proof.random.randrange(len(MODES))
    return [(source, MODES[(number + shift) % len(MODES)]) for number, source in enumerate(NEEDS)]


@pytest.mark.timeout(300)
def test_a_sick_source_is_unknown_within_its_deadline(site: Site, sick: Doors, warm: None, proof: Proof) -> None:
    tried = cases(proof)
    seconds: dict[str, float] = {}
    wrong: list[str] = []
    for source, mode in tried:
        began = time.monotonic()
        report = look(site, sick, source, mode)
        seconds[f"{source} {mode}"] = round(time.monotonic() - began, 2)
        wrong += [f"{source} {mode}: {why}" for why in faults(report, site, seconds[f"{source} {mode}"])]
    assert wrong == []
    proof.held(
        "a source that is dead, slow, forbidden or empty is UNKNOWN within its deadline, in a sentence without a secret",
        n=len(tried),
        held=len(tried),
        seconds=seconds,
        slowest_s=max(seconds.values()),
        limit_s=DEADLINE_S + GRACE_S,
    )


def look(site: Site, sick: Doors, source: str, mode: str) -> Report:
    """Ask one check whose Connections, and only those, lead to a door."""
    instead = {getattr(IDS, name): sick.connection(name, mode) for name in NEEDS[source]}
    # Every other Connection but that of the evidence leads nowhere: whoever touches another source fails in other words.
    nowhere = {conn_id: {"conn_type": "http", "host": "another-source-was-touched.invalid"} for conn_id in all_of(site)}
    with connected(site, nowhere | {IDS.evidence: all_of(site)[IDS.evidence]} | instead):
        return checks()[source].report({})


def faults(report: Report, site: Site, took_s: float) -> Iterator[str]:
    """Yield what is wrong with the report of a sick source."""
    if report.severity is not Severity.UNKNOWN:
        yield f"the verdict is {report.severity.name}"
    if took_s > DEADLINE_S + GRACE_S:
        yield f"it took {took_s} s"
    for finding in report.findings:
        text = f"{finding.summary} {finding.next_step}"
        if finding.severity >= Severity.WARNING and not finding.next_step:
            yield f"no next step: {text}"
        if UNTRANSLATED.search(text) or "\n" in text or len(finding.summary) > SENTENCE_MAX + len("could not look: "):
            yield f"no clear sentence: {text}"
        if "another-source" in text:
            yield f"another source was touched: {text}"
        yield from (f"holds the secret {name}" for name, secret in secrets(site).items() if secret in text)


def secrets(site: Site) -> Mapping[str, str]:
    return {file.name: file.read_text() for file in site.path("secrets").iterdir()}


CONNECTIONS = ("slack", "postgres", "redis", "kubernetes", "grafana", "pagerduty_api", "prometheus")
"""In this order postgres and prometheus, which the business numbers need both, are healthy in the same run."""

STATES = ("healthy", "slow", "dead", "forbidden", "empty")


def latin_square(row: int) -> dict[str, str]:
    """Return how each Connection is in one of five runs; over the five each is in every state once."""
    return {name: STATES[(number + row) % len(STATES)] for number, name in enumerate(CONNECTIONS)}


def test_the_square_has_every_state_of_every_connection() -> None:
    for name in CONNECTIONS:
        assert {latin_square(row)[name] for row in range(len(STATES))} == set(STATES)


@pytest.mark.timeout(1800)
def test_a_run_with_sick_sources_is_red_and_says_which(airflow_site: Site, sick: Doors, proof: Proof) -> None:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    rows = range(proof.n(small=1, full=len(STATES)))  # row 0 has a healthy Slack, so that its message can be read
    ran = [Ran.once(airflow, sick, latin_square(row)) for row in rows]
    wrong = [f"run {number}: {why}" for number, run in enumerate(ran) for why in run.faults()]
    assert wrong == []
    proof.held(
        "a run with sick sources is red, names exactly those as UNKNOWN, and its healthy checks end before the slow ones",
        n=len(ran),
        held=len(ran),
        runs=[run.figures() for run in ran],
    )


class Ran:
    """One run, while some Connections led to doors."""

    def __init__(self, airflow: Airflow, run_id: str, states: Mapping[str, str], run: Mapping[str, Any]) -> None:
        self.site, self.run_id, self.states, self.run = airflow.site, run_id, states, run
        self.tasks = airflow.tasks(DAG_ID, run_id)
        self.first_ends = {name: first_end(airflow, run_id, name) for name in self.tasks if name.startswith("check_")}
        self.sick = {source for source, needs in NEEDS.items() if any(states[name] != "healthy" for name in needs)}

    @classmethod
    def once(cls, airflow: Airflow, sick: Doors, states: Mapping[str, str]) -> Ran:
        instead = {name: sick.connection(name, state) for name, state in states.items() if state != "healthy"}
        with redirected(airflow, instead):
            run_id = airflow.trigger(DAG_ID)
            run = airflow.wait_for_run(DAG_ID, run_id, within_s=400)
        return cls(airflow, run_id, states, run)

    def faults(self) -> Iterator[str]:
        if self.run["state"] != "failed":
            yield f"it is {self.run['state']}"
        if (dark := self.unknown_in_evidence()) != self.sick:
            yield f"the evidence says UNKNOWN of {sorted(dark)}, sick were {sorted(self.sick)}"
        if self.states["slack"] == "healthy" and (told := self.unknown_in_slack()) != self.sick:
            yield f"the message says UNKNOWN of {sorted(told)}, sick were {sorted(self.sick)}"
        yield from self.delayed()

    def delayed(self) -> Iterator[str]:
        slow = [self.first_ends[task] for source, task in tasks().items() if self.is_slow(source)]
        for source in NEEDS.keys() - self.sick:
            task = self.tasks[tasks()[source]]
            if (task["state"], task["try_number"]) != ("success", 1):
                yield f"{source} is healthy and its task {task['state']} at try {task['try_number']}"
            elif moment(task["end_date"]) > min(slow):
                yield f"{source} is healthy and ended after a slow one"

    def is_slow(self, source: str) -> bool:
        # A login of PostgreSQL gives up after 5 s, so only what waits for the whole deadline is called slow.
        return source != "postgres" and any(self.states[name] == "slow" for name in NEEDS[source] if name != "postgres")

    def unknown_in_evidence(self) -> set[str]:
        with psycopg.connect(dsn(self.site, "ops_evidence_reader", "ops", "postgres_ops")) as connection:
            query = "select distinct task_id from ops.evidence where run_id = %s and verdict = 'UNKNOWN' and task_id like 'check_%%'"
            dark = {task_id for (task_id,) in connection.execute(query, [self.run_id])}
        return {source for source, task in tasks().items() if task in dark}

    def unknown_in_slack(self) -> set[str]:
        return set(re.findall(r"\*(\w+)\*: UNKNOWN", str(posts(self.site, self.run_id))))

    def figures(self) -> dict[str, Any]:
        return {
            "connections": dict(self.states),
            "seconds": round((moment(self.run["end_date"]) - moment(self.run["start_date"])).total_seconds(), 1),
            "seconds_of_healthy": {s: round(self.tasks[tasks()[s]]["duration"], 1) for s in NEEDS.keys() - self.sick},
            "tries": {source: self.tasks[task]["try_number"] for source, task in tasks().items()},
        }


def tasks() -> dict[str, str]:
    return {source: check.task_id for source, check in checks().items()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def first_end(airflow: Airflow, run_id: str, task_id: str) -> datetime:
    tries = airflow.get(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/tries")["task_instances"]
    return moment(min(tries, key=lambda each: int(each["try_number"]))["end_date"])


def posts(site: Site, run_id: str) -> list[Any]:
    """Return what was posted or updated since the message of this run, replies included."""
    answer = httpx.get(f"{site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
    bodies = [request["body"] for request in answer["recorded"] if "/chat." in request["path"]]
    first = next((n for n, body in enumerate(bodies) if run_id in str(body)), len(bodies))
    return bodies[first:]


@contextmanager
def redirected(airflow: Airflow, instead: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Change Connections as a person would, and change them back whatever happens."""
    healthy = all_of(airflow.site)
    try:
        for name, fields in instead.items():
            change(airflow, getattr(IDS, name), fields)
        yield
    finally:
        for name in instead:
            change(airflow, getattr(IDS, name), healthy[getattr(IDS, name)])


def change(airflow: Airflow, conn_id: str, fields: Mapping[str, Any]) -> None:
    whole = dict.fromkeys(("host", "port", "login", "password", "schema", "extra")) | dict(fields)
    extra = json.dumps(whole["extra"]) if whole["extra"] else None
    airflow.send("PATCH", f"connections/{conn_id}", {"connection_id": conn_id, **whole, "extra": extra})
