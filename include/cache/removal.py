"""The removal as one operation: count, plan, approve, remove batch by batch; and the way back.

Killed anywhere, the next process goes on: what was removed is no longer found, and every key that is gone has its copy.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.cache.copies import Keeper
from include.cache.removing import Remover, batches
from include.cache.selection import REMOVER, Seen, looked, names, primary
from include.cache.walk import FOREVER, Pace
from include.cache.wire import Wire
from include.errors import RefusedError
from include.ops import gate, journal, leases
from include.ops.gate import Stored
from include.ops.journal import Journal
from include.ops.leases import Mode, Wanted
from include.ops.saga import BACK, DONE, UNDONE
from include.plans.cache_removal import Counted, Request, Which, plan
from include.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from include.ops.database import OpsDatabase

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One removal: what was asked, and how Redis is reached.

    :param redis: makes a client of the primary whose answers are bytes.
    """

    request: Request
    redis: Callable[[], Redis]
    chosen: Settings

    @property
    def subject(self) -> str:
        """What it is called in sentences."""
        return f"removal {self.request.op_id[:8]} of {self.request.prefix}"

    def wanted(self, holder: str) -> Wanted:
        """Return the lease that it needs: on the database, since its recovery tidies the cache as well."""
        return wanted(self.chosen, self.request.op_id, holder)

    def plan(self, approved: int | None = None) -> gate.Plan:
        """Count, and return what would be done; nothing is changed.

        :param approved: how many keys people agreed to; None makes a plan to be asked for.
        """
        self.request.refuse(self.chosen.cache)
        with self.redis() as client, Wire(client, REMOVER) as wire:
            counted = self.count(wire, client)
        code = self.chosen.code_version
        return plan(self.request, counted, self.chosen.cache, code_version=code, approved=approved)

    def count(self, wire: Wire, client: Redis) -> Counted:
        """Count what lies below the prefix."""
        pace, sums = Pace.of(self.chosen.cache), Counter[str]()
        server, to = str(primary(client)["run_id"]), client.get_connection_kwargs()
        for found in names(wire, pace, self.request.prefix, self.chosen.cache.batch_keys):
            mine = [seen for seen in looked(wire, pace, found) if self.takes(seen)]
            sums.update(keys=len(mine), others=len(found) - len(mine), bytes=sum(each.bytes for each in mine))
        place = f"{to.get('host')}:{to.get('port')}"
        return Counted(server=server, place=place, keys=sums["keys"], others=sums["others"], bytes=sums["bytes"])

    def takes(self, seen: Seen) -> bool:
        """Whether a key is one that was asked for."""
        return self.request.which == Which.ALL or seen.ttl_ms == FOREVER


def wanted(chosen: Settings, op_id: str, holder: str) -> Wanted:
    """Return the lease of a removal or of its undo."""
    return Wanted(resource=f"database/{chosen.backup.database}", mode=Mode.CACHE, op_id=op_id, holder=holder)


def act(removal: Removal, ops: OpsDatabase, keeper: Keeper, *, holder: str, wait_s: float = 0.0) -> Mapping[str, Any]:
    """Carry the approved plan out, or go on where an earlier process was killed; return what became of the keys.

    RefusedError before anything is touched if the plan must not be carried out; TransientError when it may go on.
    """
    with leases.keep(leases.acquire(ops, removal.wanted(holder), wait_s=wait_s)) as lease:
        writing = Journal(ops, removal.request.op_id, holder, lease.token)
        _refuse_undone(writing)
        if done := journal.last(writing.entries(), DONE):
            log.info("%s is done already; nothing was changed", removal.subject)
            return done.detail
        approved = gate.authorise(ops, writing, lambda stored: _planned_again(removal, stored))
        left = _remove(
            removal, Remover(removal=removal, lease=lease, writing=writing, keeper=keeper, approved=approved)
        )
        writing.record(DONE, **left)
        return left


def _refuse_undone(writing: Journal) -> None:
    if any(each.step in {BACK, UNDONE} for each in writing.entries()):
        raise RefusedError(f"operation {writing.op_id} was taken back; nothing was changed, begin a new one")


def _planned_again(removal: Removal, stored: Stored) -> gate.Plan:
    if Request.of(removal.request.op_id, stored.plan.facts) != removal.request:
        raise RefusedError(
            f"plan {stored.id} is of another form than this run's; nothing was changed, trigger it again"
        )
    return removal.plan(approved=int(stored.plan.facts["most"]))


def _remove(removal: Removal, remover: Remover) -> Mapping[str, Any]:
    """Remove them all, and look again."""
    limits = removal.chosen.cache
    with removal.redis() as client, Wire(client, REMOVER) as looking, Wire(client, REMOVER) as wire:
        remover.refuse_another(str(primary(client)["run_id"]))
        for found in names(looking, Pace.of(limits), removal.request.prefix, limits.removal_batch_keys):
            remover.batch(wire, found)
        remaining = removal.count(looking, client).keys
    return {**remover.became, "batches": len(batches(remover.writing.entries())), "remaining": remaining}
