"""One statement at a time, watched from a second session: its progress in the log, and its end when something is wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from include.errors import RefusedError
from include.maintenance.giving_way import LOOKS_EVERY_S, PostponedError, give_way, watched
from include.maintenance.need import maybe, replica_lag_s
from include.plans.maintenance import Step, Verb, behind
from include.settings import MaintenanceLimits

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

    from include.backups.login import Login, Session

log = logging.getLogger(__name__)

CHECKED_EVERY = "1s"
"""How soon the server notices that our process is dead, and ends what it was told."""
NO_ROOM = ("53100", "53200")
"""Disk full, out of memory: whatever comes next would fail the same way."""
NO_LOCK = "55P03"
IN_THE_WAY = (NO_LOCK, "57014", "40P01")
"""A lock or the statement took too long, or two waited for each other."""


class NotPossibleError(RefusedError):
    """The server says that it cannot be done; trying again would say the same."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """How statements of one operation are run.

    :param application: name of its sessions at the server, by which a later process finds one that still works.
    :param guard: asked before and during each statement; raises when the lease is lost or operations are stopped.
    :param until: by `time.monotonic`; nothing goes on after it.
    """

    login: Login
    limits: MaintenanceLimits
    application: str
    guard: Callable[[], None]
    until: float

    def do(self, step: Step) -> None:
        """Do one step; PostponedError if it could not be done now, any other error if it cannot be done at all."""
        self.guard()
        with self.login.session(self.application, **self._settings(step)) as session:
            pid, text = session.info.backend_pid, statement_of(step)
            watched(session, lambda: session.execute(text), lambda running: self._watch(running, pid, step))

    def _settings(self, step: Step) -> Mapping[str, str]:
        return {
            "lock_timeout": f"{self._waits_s(step):g}s",
            "statement_timeout": f"{self.limits.statement_timeout_s:g}s",
            "client_connection_check_interval": CHECKED_EVERY,
            "vacuum_cost_delay": f"{self.limits.vacuum_cost_delay_ms:g}ms",
            "max_parallel_maintenance_workers": "0",  # the application's cores stay the application's
        }

    def _waits_s(self, step: Step) -> float:
        return self.limits.rebuild_wait_s if step.verb is Verb.REINDEX else self.limits.lock_timeout_s

    def _watch(self, running: Future[Any], pid: int, step: Step) -> None:
        due = time.monotonic() + self.limits.progress_s
        if self._ended(running, step):
            return
        with self.login.session(self.application) as beside:
            while True:
                give_way(beside, pid)
                if time.monotonic() >= due:
                    self._look(beside, pid, step)
                    due = time.monotonic() + self.limits.progress_s
                if self._ended(running, step):
                    return

    def _look(self, beside: Session, pid: int, step: Step) -> None:
        self.guard()
        log.info("%s: %s", step.key, _progress(beside, pid))
        self._stop_if_harmful(beside)

    def _ended(self, running: Future[Any], step: Step) -> bool:
        import psycopg

        try:
            running.result(timeout=min(self.limits.progress_s, LOOKS_EVERY_S))
        except NotYet:
            return False
        except psycopg.Error as error:
            raise _in_our_words(error, step, self._waits_s(step)) from None
        return True

    def _stop_if_harmful(self, beside: Session) -> None:
        if late := behind(replica_lag_s(beside), self.limits):
            raise PostponedError(f"ended before its time: {late}")
        if time.monotonic() > self.until:
            raise PostponedError("ended before its time: the maintenance window is over")


# No truncation: it takes the strongest lock of the table, on every replica too, and gives away room that is filled again.
STATEMENTS: Mapping[Verb, LiteralString] = {
    Verb.VACUUM: "vacuum (truncate false, parallel 0, skip_database_stats true) {}",
    Verb.ANALYZE: "analyze {}",
    Verb.REINDEX: "reindex index concurrently {}",
}


def statement_of(step: Step) -> sql.Composed:
    """Return the one statement of a step, its names quoted by the driver."""
    from psycopg import sql

    return sql.SQL(STATEMENTS[step.verb]).format(sql.Identifier(step.schema, step.name))


def _in_our_words(error: psycopg.Error, step: Step, waits_s: float) -> Exception:
    """Return what a failed statement means; the error itself when the session is lost, which is known better further up."""
    said = " ".join((error.diag.message_primary or str(error)).split())
    state = error.sqlstate or ""
    if state in IN_THE_WAY:
        waited_s = waits_s if state == NO_LOCK else 0.0
        return PostponedError(f"{step.key} had to wait for others for too long: {said}", waited_s=waited_s)
    if state in NO_ROOM:
        return RefusedError(
            f"{step.key}: the server has no room ({said}); the rest was not begun, make room and clear the task"
        )
    if not state or state.startswith(("08", "57P")):
        return error
    return NotPossibleError(said)


def _progress(beside: Session, pid: int) -> str:
    found = maybe(beside, "maintenance_progress", {"pid": pid})
    if not found:
        return "waits, or has no progress to show"
    return f"{found['phase']}, {found['done']} of {found['total']}"
