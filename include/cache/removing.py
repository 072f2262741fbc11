"""One batch of a removal: copy, UNLINK, write down.

    WATCH the keys, look at them, DUMP them, seal and store the copies, write the intent, MULTI UNLINK EXEC, write the outcome

What somebody changes between the look and the deed makes EXEC do nothing: the batch is halved until that one key is left alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from include.cache.copies import Copy, Keeper, place
from include.cache.selection import Seen, looked, parts
from include.cache.walk import Pace
from include.cache.wire import Command, Wire
from include.errors import RefusedError
from include.ops.journal import Entry, Journal, Phase
from include.ops.leases import Lease

if TYPE_CHECKING:
    from include.cache.removal import Removal

REMOVE = "remove "
REMOVED, IN_USE, TOO_LARGE, BEYOND = "removed", "in_use", "too_large", "beyond_the_approval"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as the journal holds it.

    :param removed: how many keys went; None if nobody lived to write it.
    """

    step: str
    copy: str
    version: str
    keys: int
    removed: int | None


def batches(lines: Sequence[Entry]) -> Sequence[Batch]:
    """Return the batches of an operation, oldest first."""
    outcomes = {each.step: int(each.detail["removed"]) for each in lines if _is(each, Phase.OUTCOME)}
    begun = (each for each in lines if _is(each, Phase.INTENT))
    return [Batch(step=each.step, removed=outcomes.get(each.step), **each.detail) for each in begun]


def _is(entry: Entry, phase: Phase) -> bool:
    return entry.phase is phase and entry.step.startswith(REMOVE)


@dataclass
class Remover:
    """An approved removal at work.

    :param approved: facts of the plan.
    :param became: how many keys became what.
    """

    removal: Removal
    lease: Lease
    writing: Journal
    keeper: Keeper
    approved: Mapping[str, Any]
    number: int = 0
    became: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        before = batches(self.writing.entries())
        self.number = len(before)
        # What nobody lived to write down may be gone, so it counts.
        self.became[REMOVED] = sum(each.keys if each.removed is None else each.removed for each in before)
        self.pace = Pace.of(self.removal.chosen.cache)

    def refuse_another(self, server: str) -> None:
        """Refuse to go on at another process than the one that was counted."""
        if self.approved["server"] != server:
            raise RefusedError(
                f"the primary is another process than when the {self.removal.subject} was approved (a restart, a failover);"
                " what was removed stays so and can be brought back, trigger a new run for the rest"
            )

    def batch(self, wire: Wire, found: Sequence[bytes]) -> None:
        """Remove those of these keys that were asked for."""
        limits = self.removal.chosen.cache
        mine = [seen for seen in looked(wire, self.pace, found) if self.removal.takes(seen)]
        small = [seen for seen in mine if seen.bytes <= limits.removal_batch_bytes]
        self.became[TOO_LARGE] += len(mine) - len(small)
        for part in parts(small, keys_max=limits.removal_batch_keys, bytes_max=limits.removal_batch_bytes):
            room = max(0, int(self.approved["most"]) - self.became[REMOVED])
            self.became[BEYOND] += len(part[room:])
            self._part(wire, part[:room])

    def _part(self, wire: Wire, part: Sequence[Seen]) -> None:
        if not part or self._removed(wire, part):
            return
        if len(part) == 1:
            self.became[IN_USE] += 1
            return
        half = len(part) // 2
        self._part(wire, part[:half])
        self._part(wire, part[half:])

    def _removed(self, wire: Wire, part: Sequence[Seen]) -> bool:
        """Remove them; False if somebody changed one of them meanwhile, and nothing was done."""
        wire.one("WATCH", *(seen.name for seen in part))
        copies = self._copied(wire, part)
        if not copies:
            wire.one("UNWATCH")
            return True
        step = self._intended(copies)
        *_, done = self.pace.ask(wire, [("MULTI",), ("UNLINK", *(copy.name for copy in copies)), ("EXEC",)])
        removed = int(done[0]) if done else 0
        self.writing.record(step, removed=removed)
        self.became[REMOVED] += removed
        return bool(done)

    def _copied(self, wire: Wire, part: Sequence[Seen]) -> list[Copy]:
        """Return the copies of those that still are what was asked for."""
        answers = iter(self.pace.ask(wire, [question for seen in part for question in _questions(seen.name)]))
        now_ms = int(time.time() * 1000)
        return [
            Copy(name=seen.name, expires_at_ms=now_ms + ttl_ms if ttl_ms >= 0 else 0, dump=dump)
            for seen, ttl_ms, dump in zip(part, answers, answers, strict=True)
            if dump is not None and self.removal.takes(replace(seen, ttl_ms=ttl_ms))
        ]

    def _intended(self, copies: Sequence[Copy]) -> str:
        """Put the copies away, then write down what is about to be done; nothing is done without either."""
        self.number += 1
        step, key = f"{REMOVE}{self.number}", place(self.writing.op_id, self.lease.token, self.number)
        version = self.keeper.keep(key, copies)
        self.lease.guard()
        self.writing.intend(step, copy=key, version=version, keys=len(copies))
        return step


def _questions(name: bytes) -> list[Command]:
    return [("PTTL", name), ("DUMP", name)]
