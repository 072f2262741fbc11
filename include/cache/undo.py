"""The way back: what a removal took is restored from its copies. A key that somebody has made anew stays as it is.

Of several copies of one key only the newest counts: an older one was made before a try was killed, or before the application made the
key anew, and its value was no longer true when the key went.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.cache.copies import Copy, Opener
from include.cache.removal import wanted
from include.cache.removing import Batch, batches
from include.cache.selection import REMOVER, primary
from include.cache.walk import Pace
from include.cache.wire import Command, Wire
from include.errors import PermanentError, RefusedError, VerificationError
from include.ops import leases
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.ops.saga import BACK, UNDONE
from include.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from include.ops.database import OpsDatabase

AT_ONCE = 50
"""Keys of one round trip: RESTORE builds each value anew."""
BROUGHT, MADE_ANEW, RAN_OUT = "brought_back", "made_anew", "ran_out"


@dataclass(frozen=True, kw_only=True)
class Undo:
    """Who brings keys back.

    :param redis: makes a client of the primary whose answers are bytes.
    """

    redis: Callable[[], Redis]
    opener: Opener
    chosen: Settings


def undo(its: Undo, ops: OpsDatabase, op_id: str, *, holder: str, why: str) -> Mapping[str, int]:
    """Bring back every key that an operation removed; return how many came back, were made anew, and have run out since.

    It may be cut off and called again. From its first moment on the operation removes nothing more. VerificationError names the
    copies that cannot be opened, after all others were brought back.
    """
    with leases.keep(leases.acquire(ops, wanted(its.chosen, op_id, holder))) as lease:
        writing = Journal(ops, op_id, holder, lease.token)
        begun = [batch for batch in batches(writing.entries()) if batch.removed != 0]
        if not begun:
            raise RefusedError(f"operation {op_id} removed nothing: there is nothing to bring back")
        writing.intend(BACK, why=why)
        became, damaged = _all(its, lease, begun)
        if damaged:
            raise VerificationError(f"{became[BROUGHT]} keys came back, and these did not: {'; '.join(damaged[:3])}")
        writing.record(UNDONE, **became)
        return became


def _all(its: Undo, lease: Lease, begun: Sequence[Batch]) -> tuple[Counter[str], list[str]]:
    became, damaged, pace = Counter[str](), list[str](), Pace.of(its.chosen.cache)
    met = set[bytes]()
    with its.redis() as client, Wire(client, REMOVER) as wire:
        primary(client)
        for batch in reversed(begun):
            try:
                copies = its.opener.open(batch.copy, batch.version)
            except VerificationError as error:
                damaged.append(str(error))
                continue
            lease.guard()
            became.update(_restored(wire, pace, [copy for copy in copies if copy.name not in met]))
            met.update(copy.name for copy in copies)
    return became, damaged


def _restored(wire: Wire, pace: Pace, copies: Sequence[Copy]) -> Counter[str]:
    """Restore one batch; a key that ran out meanwhile stays away."""
    now_ms = int(time.time() * 1000)
    alive = [copy for copy in copies if not copy.ran_out(now_ms)]
    became = Counter(RAN_OUT for copy in copies if copy.ran_out(now_ms))
    for start in range(0, len(alive), AT_ONCE):
        answers = wire.answers([_restore(copy) for copy in alive[start : start + AT_ONCE]])
        pace.rest(wire.waited_s)
        became.update(_said(answer) for answer in answers)
    return became


def _restore(copy: Copy) -> Command:
    return ("RESTORE", copy.name, copy.expires_at_ms, copy.dump, "ABSTTL")


def _said(answer: Any) -> str:
    if not isinstance(answer, Exception):
        return BROUGHT
    if str(answer).startswith("BUSYKEY"):
        return MADE_ANEW
    raise PermanentError(
        f"Redis does not take a copy back ({answer}); is it an older version than the one that made it?"
    )
