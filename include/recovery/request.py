"""What a person asks of a recovery, what it is allowed to touch, and the plan that follows: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.backups import catalogue
from include.backups.catalogue import Backup, Catalogue
from include.backups.login import Login
from include.errors import ConfigurationError, RefusedError
from include.ops.gate import Plan
from include.ops.leases import Mode, Wanted
from include.recovery import databases, lost, preflight, workloads
from include.recovery.beside import Restorer
from include.recovery.cluster import Cluster
from include.recovery.preflight import Preflight
from include.recovery.workloads import Recorded, Thing
from include.settings import Settings

if TYPE_CHECKING:
    import httpx
    from redis import Redis

KIND = "database recovery"
REASON_LETTERS = 10


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for.

    :param key: of the backup; the newest good one if empty.
    :param stop_first: stop the application before the restore, for data that goes on being damaged.
    """

    op_id: str
    reason: str
    key: str = ""
    stop_first: bool = False

    @classmethod
    def of(cls, op_id: str, facts: Mapping[str, Any]) -> Request:
        """Return the request that an approved plan holds, by which a later process goes on."""
        return cls(op_id=op_id, reason=facts["reason"], key=facts["key"], stop_first=facts["stop_first"])

    def refuse(self) -> None:
        """ConfigurationError if a field of the form is unusable."""
        if len(self.reason.strip()) < REASON_LETTERS:
            raise ConfigurationError(
                f"reason: at least {REASON_LETTERS} characters say why {'the' if self.key else 'the newest good'} backup is"
                f" restored, not {self.reason.strip()[:40]!r}; nothing was changed, trigger it again"
            )


@dataclass(frozen=True, kw_only=True)
class Access:
    """Every door that a recovery goes through; made of Airflow's Connections, or from a file by a person without Airflow.

    :param window: login of the role that lets the restoring role log in.
    :param redis: makes a client with decoded responses.
    :param gateway: makes a client of the application's front door.
    :param free_bytes: of the disk of the database's server; None if nobody can see it.
    """

    restorer: Restorer
    window: Login
    cluster: Cluster
    redis: Callable[[], Redis]
    gateway: Callable[[], httpx.Client]
    free_bytes: Callable[[], int | None]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """One recovery: what was asked, by whom it is done, under which limits."""

    request: Request
    access: Access
    chosen: Settings

    @property
    def database(self) -> str:
        """Which is recovered."""
        return self.chosen.backup.database

    @property
    def subject(self) -> str:
        """What it is called in sentences."""
        return f"recovery {self.request.op_id[:8]} of {self.database}"

    def wanted(self, holder: str) -> Wanted:
        """Return the lease that it needs."""
        resource = f"database/{self.database}"
        return Wanted(resource=resource, mode=Mode.RESTORE, op_id=self.request.op_id, holder=holder)

    def catalogue(self) -> Catalogue:
        """Return what is in the bucket."""
        return catalogue.look(self.access.restorer.store, self.database)

    def choose(self) -> Backup:
        """Return the backup that was asked for; RefusedError if it is none that counts."""
        backup = self.catalogue().find(self.request.key)
        if not backup.is_good:
            raise RefusedError(
                f"backup: {backup.key} is {backup.verdict.value}, and only a GOOD one is restored; nothing was changed, choose"
                " another (`python -m include.backups list`)"
            )
        return backup

    def record(self) -> Recorded:
        """Return how every writer runs; RefusedError names every obstacle."""
        return workloads.record(self.access.cluster, namespace=self.chosen.namespace, limits=self.chosen.recovery)

    def plan(self) -> Plan:
        """Look at everything that the recovery would meet, and return what would be done; an error names what is in the way."""
        self.request.refuse()
        backup, restorer = self.choose(), self.access.restorer
        opened = restorer.open(backup)
        ahead = restorer.foresee(opened, self.request.op_id, self.access.free_bytes())
        recorded = self.record()
        loss = lost.lost(restorer.reader, opened.manifest.facts, opened.fingerprint.contents, self.chosen.restore)
        return Plan(
            op_id=self.request.op_id,
            kind=KIND,
            target=f"{self.database} on {ahead.seen.system_identifier}",
            steps=self._steps(backup, recorded),
            facts=self._facts(backup, recorded, ahead),
            seen=[f"Why: {self.request.reason}", f"Would be lost: {loss}", *_seen(backup, recorded, ahead)],
            code_version=self.chosen.code_version,
        )

    def _facts(self, backup: Backup, recorded: Recorded, ahead: Preflight) -> Mapping[str, Any]:
        return {
            "key": backup.key,
            "manifest": backup.sha256,
            "system_identifier": ahead.seen.system_identifier,
            "stop_first": self.request.stop_first,
            "reason": self.request.reason,
            "writers": [thing.subject for thing in recorded.things],
            "accepted": sorted(ahead.by_hand),
        }

    def _steps(self, backup: Backup, recorded: Recorded) -> Sequence[str]:
        called, limits = databases.names(self.database, self.request.op_id), self.chosen.restore
        stop = f"stop {', '.join(thing.subject for thing in recorded.things)}, until no pod and no session is left"
        restore = f"restore {backup.key} beside it as {called.restore}, and compare every table"
        return [
            *([stop, restore] if self.request.stop_first else [f"{restore}, while the application runs", stop]),
            "count what was written since, once more",
            f"rename {self.database} to {called.before} and {called.restore} to {self.database}, in one transaction",
            "set aside what Redis knows of later",
            "start everything exactly as it was recorded, and try it through the gateway; if that fails, swap back",
            f"keep {called.before} for {limits.keep_days} days",
        ]


def _seen(backup: Backup, recorded: Recorded, ahead: Preflight) -> Iterator[str]:
    assert backup.mark  # it is good
    yield f"The backup is of {backup.at:%Y-%m-%d %H:%M:%S} UTC; its proof took {backup.mark.rto_s:.0f} s"
    yield f"Running now: {', '.join(_running(thing) for thing in recorded.things)}"
    yield from (f"{sentence[0].upper()}{sentence[1:]}" for sentence in preflight.told(ahead))


def _running(thing: Thing) -> str:
    """`deployment/worker (6)`, `horizontalpodautoscaler/api-gateway (3 to 6)`, `cronjob/report-billing (suspended)`."""
    state = thing.state
    if "maxReplicas" in state:
        return f"{thing.subject} ({state['minReplicas']} to {state['maxReplicas']})"
    held = "suspended" if state.get("suspend") else "paused" if state.get("paused") else ""
    count = str(state["replicas"]) if "replicas" in state else ""
    said = ", ".join(word for word in (count, held) if word)
    return f"{thing.subject} ({said})" if said else thing.subject
