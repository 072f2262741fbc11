"""Walking over the keys of one node: all names, a random part of them measured, slowly enough that nobody else waits."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from include.cache.names import family
from include.cache.tally import Measured, Tally
from include.cache.wire import Command, Wire
from include.settings import CacheLimits

AT_ONCE = 20
"""Keys that are measured in one round trip: three commands each, some 50 microseconds of the node."""
SAMPLES = 5
"""Elements of a collection that MEMORY USAGE looks at; 0 would be all of them."""
LARGE = 1024**2
"""Bytes from which a collection's elements are counted: a million of them take more."""
COUNTED = {"list": "LLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN"}


@dataclass
class Pace:
    """Rests after each round trip, so that a node is busy with us no more than a share of the time.

    A round trip is counted as if the node had done nothing else: over a network it has, so it rests longer than it must.
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
        took = time.monotonic() - began
        self.busy_s += took
        self.rest(took)
        return answers

    def rest(self, busy_s: float) -> None:
        """Wait for what the node was busy."""
        pause = busy_s * (100 / self.busy_percent - 1)
        time.sleep(max(0.0, min(pause, self.until - time.monotonic())))

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What came of a walk.

    :param began: cursor at which it began; `cursor`: where the next one goes on, 0 at the end.
    :param keys: how many the node had at the end.
    :param busy_s: of the node, at most.
    """

    tally: Tally = field(repr=False)
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

    :param seed: of the dice that choose which keys are measured.
    :param began: cursor of an earlier walk on the same process of the node.
    """
    pace, tally, dice = Pace.of(limits, budget_s), Tally(limits.top), random.Random(seed)  # noqa: S311 - chance, not secrecy
    started = time.monotonic()
    share = min(1.0, limits.sample_keys / max(1, int(wire.one("DBSIZE"))))
    cursor = began
    while True:
        cursor, names = _step(wire, pace, cursor, limits.batch_keys)
        for name in names:
            tally.see(family(name))
        for key in measured(wire, pace, [name for name in names if share == 1.0 or dice.random() < share]):
            tally.measure(family(key.name), key)
        if cursor == 0 or pace.over:
            break
    seconds, keys = time.monotonic() - started, int(wire.one("DBSIZE"))
    return Walked(tally=tally, began=began, cursor=cursor, keys=keys, seconds=seconds, busy_s=pace.busy_s)


def _step(wire: Wire, pace: Pace, cursor: int, count: int) -> tuple[int, list[bytes]]:
    ((following, names),) = pace.ask(wire, [("SCAN", cursor, "COUNT", count)])
    return int(following), list(names)


def measured(wire: Wire, pace: Pace, names: Sequence[bytes]) -> Iterator[Measured]:
    """Measure these keys; what is gone meanwhile is left out. None of this counts as a use of the key."""
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        answers = iter(pace.ask(wire, [command for name in part for command in _questions(name)]))
        for name, kind, ttl_ms, size in zip(part, answers, answers, answers, strict=True):
            if size is not None and ttl_ms != -2:
                key = Measured(name=name, kind=kind.decode(), ttl_ms=ttl_ms, bytes=size)
                yield replace(key, elements=_elements(wire, pace, key))


def _questions(name: bytes) -> list[Command]:
    return [("TYPE", name), ("PTTL", name), ("MEMORY", "USAGE", name, "SAMPLES", SAMPLES)]


def _elements(wire: Wire, pace: Pace, key: Measured) -> int | None:
    if key.bytes < LARGE or key.kind not in COUNTED:
        return None
    return int(pace.ask(wire, [(COUNTED[key.kind], key.name)])[0])
