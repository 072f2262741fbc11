"""Walking over the keys of one node: the size of each, type and lifetime of a random part, slowly enough that nobody else waits."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from include.cache.names import family
from include.cache.tally import Big, Tally
from include.cache.wire import Command, Wire
from include.settings import CacheLimits

AT_ONCE = 10
"""Keys that are asked for in one round trip, for which everybody else waits.

With 50 the 99th percentile of another client was 1.33 times that of the quiet, with 10 it is 1.04, and a walk takes
half as long again (300,000 keys, the walker on a core of its own).
"""
SAMPLES = 5
"""Elements of a collection that MEMORY USAGE looks at; 0 would be all of them."""
GONE, FOREVER = -2, -1
"""What PTTL says of a key that is not there, and of one without a lifetime."""
COUNTED = {"list": "LLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN"}


@dataclass
class Pace:
    """Rests after each round trip, so that a node is busy with us no more than a share of the time.

    Busy is the time until its answer begins: over a network some of that is the way, so it rests longer than it must.
    """

    busy_percent: float
    until: float
    busy_s: float = 0.0

    @classmethod
    def of(cls, limits: CacheLimits, budget_s: float = inf) -> Pace:
        """Return the pace of the settings, for so long."""
        return cls(busy_percent=limits.busy_percent, until=time.monotonic() + budget_s)

    def ask(self, wire: Wire, commands: Sequence[Command]) -> list[Any]:
        """Ask, and rest."""
        began = time.monotonic()
        answers = wire.ask(commands)
        self.rest(wire.waited_s, time.monotonic() - began - wire.waited_s)
        return answers

    def rest(self, busy_s: float, rested_s: float = 0.0) -> None:
        """Wait for what the node was busy, less what has passed since."""
        self.busy_s += busy_s
        pause = busy_s * (100 / self.busy_percent - 1) - rested_s
        time.sleep(max(0.0, min(pause, self.until - time.monotonic())))

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until


@dataclass(frozen=True, kw_only=True)
class Large:
    """One of the largest keys: its type, and how many elements it has, None where that means nothing."""

    big: Big
    kind: str
    elements: int | None


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What came of a walk.

    :param largest: the largest keys, largest first.
    :param began: cursor at which it began; `cursor`: where the next one goes on, 0 at the end.
    :param keys: how many the node had at the end.
    :param busy_s: of the node, at most.
    """

    tally: Tally = field(repr=False)
    largest: Sequence[Large]
    began: int
    cursor: int
    keys: int
    seconds: float
    busy_s: float

    @property
    def whole(self) -> bool:
        """Whether every name was met."""
        return self.began == 0 and self.cursor == 0


def walk(wire: Wire, limits: CacheLimits, *, budget_s: float, seed: int, began: int = 0) -> Walked:
    """Walk until all names were met or the time is up, at least one batch.

    :param seed: of the dice that choose whose type and lifetime are asked for.
    :param began: cursor of an earlier walk on the same process of the node.
    """
    pace, tally, dice = Pace.of(limits, budget_s), Tally(limits.top, limits.big_key_bytes), random.Random(seed)  # noqa: S311
    started = time.monotonic()
    share = min(1.0, limits.sample_keys / max(1, int(wire.one("DBSIZE"))))
    cursor, asking = began, list[bytes]()
    while True:
        cursor, names = _step(wire, pace, cursor, limits.batch_keys)
        asking += [name for name in names if share == 1.0 or dice.random() < share]
        for name, size in sizes(wire, pace, names).items():
            tally.see(name, family(name), size)
        over = cursor == 0 or pace.over
        if over or len(asking) >= AT_ONCE:
            _ask(wire, pace, asking, tally)
            asking = []
        if over:
            break
    largest, seconds = [_large(wire, pace, big) for big in tally.largest()], time.monotonic() - started
    keys = int(wire.one("DBSIZE"))
    return Walked(
        tally=tally, largest=largest, began=began, cursor=cursor, keys=keys, seconds=seconds, busy_s=pace.busy_s
    )


def _step(wire: Wire, pace: Pace, cursor: int, count: int) -> tuple[int, list[bytes]]:
    ((following, names),) = pace.ask(wire, [("SCAN", cursor, "COUNT", count)])
    return int(following), list(names)


def sizes(wire: Wire, pace: Pace, names: Sequence[bytes]) -> Mapping[bytes, int]:
    """Return the bytes of those of these keys that are still there. It does not count as a use of them."""
    answers = [answer for part in _parts(names) for answer in pace.ask(wire, [_size(name) for name in part])]
    return {name: int(size) for name, size in zip(names, answers, strict=True) if size is not None}


def _size(name: bytes) -> Command:
    return ("MEMORY", "USAGE", name, "SAMPLES", SAMPLES)


def _ask(wire: Wire, pace: Pace, names: Sequence[bytes], tally: Tally) -> None:
    for part in _parts(names):
        answers = iter(pace.ask(wire, [command for name in part for command in (("TYPE", name), ("PTTL", name))]))
        for name, kind, ttl_ms in zip(part, answers, answers, strict=True):
            if ttl_ms != GONE:
                tally.ask(family(name), kind.decode(), ttl_ms)


def _parts(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    yield from (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def _large(wire: Wire, pace: Pace, big: Big) -> Large:
    kind = pace.ask(wire, [("TYPE", big.name)])[0].decode()
    elements = int(pace.ask(wire, [(COUNTED[kind], big.name)])[0]) if kind in COUNTED else None
    return Large(big=big, kind=kind, elements=elements)
