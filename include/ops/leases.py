"""Operations exclude each other by a lease with a time limit and a fencing token; docs/adr/0040 has the table and the reasons.

`keep` renews the lease while an operation runs. Before each effect the operation calls `Lease.guard`: it raises when the lease was
lost, taken over, or everything was ordered to stop, so that a process which slept past its limit writes nothing when it wakes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from include.errors import RefusedError, RunbookError
from include.ops.database import OpsDatabase

log = logging.getLogger(__name__)

LIVES_S = 300.0
RENEWED_EVERY_S = 30.0
LOOKS_EVERY_S = 5.0


class Mode(StrEnum):
    """What an operation does to its resource."""

    BACKUP = "backup"
    VERIFY = "verify"
    MAINTENANCE = "maintenance"
    CLEANUP = "cleanup"
    RESTORE = "restore"
    CONFIG_BACKUP = "config backup"
    CONFIG_RESTORE = "config restore"
    PLANNED_MAINTENANCE = "planned maintenance"
    CACHE = "cache"
    RETENTION = "retention"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for.

    :param resource: `database/orchestrator`; leases of different resources know nothing of each other.
    :param op_id: of the operation; asking again as the same operation fences its earlier process off.
    :param holder: who it is, for people.
    :param parent_op: operation that this one is a part of, if any.
    """

    resource: str
    mode: Mode
    op_id: str
    holder: str
    parent_op: str | None = None


@dataclass(frozen=True, kw_only=True)
class InTheWay:
    """A lease that stands against what is wanted, and the rule of the table for the pair."""

    rule: str
    mode: str
    op_id: str
    holder: str
    expires_at: datetime

    def __str__(self) -> str:
        return f"{self.mode} by {self.holder} ({self.op_id[:8]}) until {self.expires_at:%H:%M:%S} UTC"


class HeldBackError(RefusedError):
    """This process must not go on: its lease is lost, or everything was ordered to stop. Nothing may be undone by it either."""


class Lease:
    """A lease that was granted.

    :param token: grows with each grant; effects carry it.
    """

    def __init__(self, ops: OpsDatabase, wanted: Wanted, token: int, lives_s: float = LIVES_S) -> None:
        self.ops, self.wanted, self.token, self.lives_s = ops, wanted, token, lives_s
        self._kept_at = time.clock_gettime(time.CLOCK_BOOTTIME)

    def guard(self) -> None:
        """Raise HeldBackError if the next effect must not be: the lease is lost, or everything was ordered to stop."""
        refuse_if_stopped(self.ops)
        self.renew()
        if time.clock_gettime(time.CLOCK_BOOTTIME) - self._kept_at > self.lives_s:  # asleep since the answer
            raise self._lost()

    def renew(self) -> None:
        """Lengthen it; HeldBackError if it no longer stands."""
        asked_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        if not self.ops.ask("keep_lease", self.wanted.resource, self.wanted.op_id, self.token, self.lives_s):
            raise self._lost()
        self._kept_at = asked_at

    def release(self) -> None:
        """Give it back; one that is gone already is no error."""
        self.ops.ask("release_lease", self.wanted.resource, self.wanted.op_id, self.token)

    def _lost(self) -> HeldBackError:
        return HeldBackError(
            f"the lease {self.token} on {self.wanted.resource} is lost: it ran out, was taken over, or a newer process of"
            f" {self.wanted.op_id[:8]} goes on; nothing more was changed by this one, see `python -m include.ops`"
        )


def refuse_if_stopped(ops: OpsDatabase) -> None:
    """HeldBackError while a stop order stands."""
    if why := ops.ask("stopped"):
        raise HeldBackError(f"everything that changes production was ordered to stop: {why}; `make go` lifts the order")


def acquire(ops: OpsDatabase, wanted: Wanted, *, wait_s: float = 0.0, lives_s: float = LIVES_S) -> Lease:
    """Return the lease; RefusedError says by whom it is held when that does not end within `wait_s`, or must not be waited for."""
    refuse_if_stopped(ops)
    deadline = time.monotonic() + wait_s
    while True:
        granted = _try(ops, wanted, lives_s)
        if isinstance(granted, Lease):
            return granted
        if any(each.rule != "wait" for each in granted) or time.monotonic() >= deadline:
            raise RefusedError(
                f"{wanted.resource} is held: {'; '.join(map(str, granted))}; nothing was changed, try again when that has ended"
            )
        log.info("waiting for %s, held: %s", wanted.resource, "; ".join(map(str, granted)))
        time.sleep(min(LOOKS_EVERY_S, max(deadline - time.monotonic(), 0)))


@contextmanager
def keep(lease: Lease, *, every_s: float = RENEWED_EVERY_S) -> Iterator[Lease]:
    """Renew the lease beside what runs, and give it back at the end, whatever happens."""
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, over, every_s), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        over.set()
        renewing.join()
        _give_back(lease)


def _renew(lease: Lease, over: threading.Event, every_s: float) -> None:
    while not over.wait(every_s):
        try:
            lease.renew()
        except RunbookError as error:  # the operation finds out at its next guard
            log.warning("%s", error)


def _give_back(lease: Lease) -> None:
    try:
        lease.release()
    except RunbookError as error:  # it ends by itself, and what the operation did is the news
        log.warning("the lease is left to run out: %s", error)


def _try(ops: OpsDatabase, wanted: Wanted, lives_s: float) -> Lease | Sequence[InTheWay]:
    arguments = [wanted.resource, wanted.mode.value, wanted.op_id, wanted.parent_op, wanted.holder, lives_s]
    with ops.session() as session:
        rows = session.execute(
            "select token, rule, mode, op_id::text, holder, expires_at at time zone 'UTC'"
            " from ops.acquire_lease(%s, %s, %s, %s, %s, %s)",
            arguments,
        ).fetchall()
    if rows[0][0] is not None:
        return Lease(ops, wanted, int(rows[0][0]), lives_s)
    return [InTheWay(rule=r, mode=m, op_id=o, holder=h, expires_at=at) for _, r, m, o, h, at in rows]
