"""From what a walk saw to all keys, with the error that this brings.

The size of every key is asked for, since sizes are so unequal that no sample knows them: where the walk saw all names, keys and
bytes are exact. Type and lifetime are asked of a random part. Where the walk's time ran out, the part that it saw is itself a random
one, since Redis keeps keys in the order of a hash. Errors hold 99 times in 100: Wilson's interval for shares, and for bytes
Bernstein's, which the largest key that was seen makes wider (Maurer and Pontil, 2009; its constant tried on sizes as caches have).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import sqrt

from include.cache.names import OTHER, shared
from include.checks.scale import Share

CONFIDENCE = "99 %"
Z = 3.290527
"""Of a two-sided 99.9 % interval, which few and unequal samples fall out of more often than that."""
LARGEST = 10.0
"""How many times the largest key, spread over what was seen, is added to an error of bytes."""
ENOUGH = 100
"""Fewer keys say nothing of the spread of their sizes."""

FAMILIES_MAX = 5_000

FOREVER = "no lifetime"
LIFETIMES = ((3_600_000, "< 1 h"), (86_400_000, "< 1 d"), (604_800_000, "< 1 w"))
LONG = ">= 1 w"


def lifetime(ttl_ms: int) -> str:
    """Return the class of a lifetime, -1 being none."""
    if ttl_ms < 0:
        return FOREVER
    return next((name for limit, name in LIFETIMES if ttl_ms < limit), LONG)


def digest(name: bytes) -> str:
    """Return by what a key is called without its name: whoever may read names finds it, a message tells none."""
    return blake2b(name, digest_size=6).hexdigest()


@dataclass(frozen=True, order=True)
class Big:
    """A large key. The name stays in the process."""

    size: int
    name: bytes = field(repr=False)
    family: str = field(compare=False)


@dataclass
class Family:
    """What was seen of one family: how many keys with which sizes; and of a random part of them, types and lifetimes."""

    keys: int = 0
    bytes: int = 0
    squares: int = 0
    largest: int = 0
    asked: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    lifetimes: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Family) -> None:
        """Take another one in."""
        self.keys += other.keys
        self.bytes += other.bytes
        self.squares += other.squares
        self.largest = max(self.largest, other.largest)
        self.asked += other.asked
        self.kinds += other.kinds
        self.lifetimes += other.lifetimes

    @property
    def mean(self) -> float:
        """Bytes of a key."""
        return self.bytes / self.keys if self.keys else 0.0

    @property
    def variance(self) -> float:
        """Of these bytes."""
        return max(0.0, (self.squares - self.keys * self.mean**2) / (self.keys - 1)) if self.keys > 1 else 0.0


@dataclass(frozen=True)
class Estimate:
    """A number and how far the truth may be from it; None if too little was seen to say."""

    value: float
    error: float | None

    @property
    def percent(self) -> float | None:
        """The error in percent of the value."""
        return 100 * self.error / self.value if self.error is not None and self.value else self.error

    def holds(self, truth: float) -> bool:
        """Whether the truth is where it is said to be."""
        return self.error is None or abs(truth - self.value) <= self.error + 1e-6


@dataclass(frozen=True, kw_only=True)
class Line:
    """One family, estimated."""

    family: str
    keys: Estimate
    bytes: Estimate
    forever: Estimate
    asked: int
    kinds: Mapping[str, int]
    lifetimes: Mapping[str, int]


@dataclass
class Tally:
    """All families, and the largest keys.

    :param top: how many large keys are kept.
    :param large: from how many bytes a key is one.
    """

    top: int
    large: int
    families: dict[str, Family] = field(default_factory=dict)
    biggest: list[Big] = field(default_factory=list)
    larger: int = 0

    def see(self, name: bytes, family: str, size: int) -> None:
        """Count a key of so many bytes."""
        its = self._of(family)
        its.keys += 1
        its.bytes += size
        its.squares += size**2
        its.largest = max(its.largest, size)
        self.larger += size > self.large
        self._keep(Big(size, name, family))

    def ask(self, family: str, kind: str, ttl_ms: int) -> None:
        """Count the type and lifetime of a key that was seen."""
        its = self._of(family)
        its.asked += 1
        its.kinds[kind] += 1
        its.lifetimes[lifetime(ttl_ms)] += 1

    def _of(self, family: str) -> Family:
        if family not in self.families and len(self.families) >= FAMILIES_MAX:
            family = OTHER
        return self.families.setdefault(family, Family())

    def _keep(self, big: Big) -> None:
        if len(self.biggest) < self.top:
            heapq.heappush(self.biggest, big)
        elif big > self.biggest[0]:
            heapq.heapreplace(self.biggest, big)

    @property
    def seen(self) -> int:
        """How many keys were."""
        return sum(each.keys for each in self.families.values())

    @property
    def asked(self) -> int:
        """Of how many type and lifetime were."""
        return sum(each.asked for each in self.families.values())

    def largest(self) -> list[Big]:
        """Return the largest keys, largest first, each once: a walk may meet a key twice."""
        return sorted({big.name: big for big in self.biggest}.values(), reverse=True)


def merged(families: Mapping[str, Family], least: int) -> Mapping[str, Family]:
    """Return them by the name under which each is shown."""
    names, found = shared({name: each.keys for name, each in families.items()}, least), dict[str, Family]()
    for name, each in families.items():
        found.setdefault(names[name], Family()).merge(each)
    return found


def lines(families: Mapping[str, Family], *, seen: int, keys: int, whole: bool) -> Iterator[Line]:
    """Return what each family is, the largest first.

    :param seen: how many keys the walk met; `keys`: how many there are; `whole`: whether it met all of them.
    """
    made = [_line(name, each, seen, max(keys, seen), whole=whole) for name, each in families.items()]
    yield from sorted(made, key=lambda line: -line.bytes.value)


def together(families: Mapping[str, Family], *, seen: int, keys: int, whole: bool) -> Line:
    """Return all of them as one."""
    pooled = Family()
    for each in families.values():
        pooled.merge(each)
    return _line("all", pooled, seen, max(keys, seen), whole=whole)


def _line(name: str, each: Family, seen: int, keys: int, *, whole: bool) -> Line:
    count = Estimate(each.keys, 0.0) if whole else _count(each.keys, seen, keys)
    return Line(
        family=name,
        keys=count,
        bytes=Estimate(each.bytes, 0.0) if whole else _bytes(each, count),
        forever=_forever(each, count),
        asked=each.asked,
        kinds=dict(each.kinds.most_common()),
        lifetimes=dict(each.lifetimes.most_common()),
    )


def _count(hits: int, seen: int, keys: int) -> Estimate:
    share = Share(hits, seen, z=Z)
    return Estimate(keys * share.value, keys * _reach(share) * sqrt(max(0.0, 1 - seen / keys)))


def _bytes(each: Family, count: Estimate) -> Estimate:
    value = count.value * each.mean
    if each.keys < ENOUGH or count.error is None:
        return Estimate(value, None)
    left_out = max(0.0, 1 - each.keys / max(count.value, each.keys))
    spread = Z * sqrt(each.variance / each.keys * left_out) + LARGEST * each.largest / each.keys * left_out
    return Estimate(value, count.value * spread + each.mean * count.error)


def _forever(each: Family, count: Estimate) -> Estimate:
    share = Share(each.lifetimes[FOREVER], each.asked, z=Z)
    value = count.value * share.value
    if not each.asked or count.error is None:
        return Estimate(value, None)
    left_out = sqrt(max(0.0, 1 - each.asked / max(count.value, each.asked)))
    return Estimate(value, count.value * _reach(share) * left_out + share.value * count.error)


def _reach(share: Share) -> float:
    return max(share.high - share.value, share.value - share.low)
