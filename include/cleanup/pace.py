"""Rest after each piece of work, wait for replicas, and ask the lease: the application comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.errors import TransientError
from include.plans import cleanup
from include.settings import CleanupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

ASKED_EVERY_S = 2.0
LOOKS_EVERY_S = 1.0


@dataclass
class Pace:
    """How fast one process may go.

    :param watcher: a session that sees replication.
    :param guard: of the lease; asked before an effect, but not more often than it matters.
    """

    watcher: Session
    limits: CleanupLimits
    guard: Callable[[], None]
    rested_s: float = 0.0
    _asked_at: float = field(default=float("-inf"))

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Let one piece of work be done, if it still may, and rest after it."""
        self.ask()
        began, before = time.monotonic(), self._wal_bytes()
        yield
        busy_s = time.monotonic() - began
        self._rest(cleanup.pause_s(busy_s, self._wal_bytes() - before, self.limits))

    def ask(self) -> None:
        """Raise HeldBackError if the next effect must not be."""
        if time.monotonic() - self._asked_at >= ASKED_EVERY_S:
            self.guard()
            self._asked_at = time.monotonic()

    def _rest(self, seconds: float) -> None:
        self.rested_s += seconds
        time.sleep(seconds)

    def _wal_bytes(self) -> int:
        """Return what was written in all; waits while a replica is too far behind."""
        until = time.monotonic() + self.limits.lag_wait_s
        while True:
            [(written, lag_s)] = self.watcher.execute(statement("cleanup_load")).fetchall()
            if lag_s <= self.limits.replica_lag_max_s:
                return int(written)
            if time.monotonic() > until:
                raise TransientError(
                    f"a replica is {lag_s:.0f} s behind (limit {self.limits.replica_lag_max_s:g} s) for"
                    f" {self.limits.lag_wait_s:g} s: the clean-up stands still, nothing is lost; mend the replica and clear the task"
                )
            self.guard()
            time.sleep(LOOKS_EVERY_S)
