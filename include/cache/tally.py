"""From a random part of the keys to all of them, with the error that this brings.

Every name that the walk meets is counted; a random part of the keys is measured (type, lifetime, bytes). Where the walk saw all names,
counts are exact and only what was measured is estimated; where its time ran out, the part it saw is itself a random part, since Redis
keeps keys in the order of a hash. Errors are half the width of a 99.9 % interval: Cochran, Sampling Techniques, chapters 2 and 3.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import sqrt

from include.cache.names import OTHER, shared
from include.checks.scale import Share

Z = 3.290527
"""Of a two-sided 99.9 % interval: of a thousand such statements one is wrong, and a report makes a hundred."""

FAMILIES_MAX = 5_000
ENOUGH = 30
"""Fewer measured keys say nothing of their spread."""

FOREVER = "no lifetime"
LIFETIMES = ((3_600_000, "< 1 h"), (86_400_000, "< 1 d"), (604_800_000, "< 1 w"))
LONG = ">= 1 w"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One key as it was measured.

    :param ttl_ms: -1 if it has no lifetime.
    :param elements: of a large collection; None of all others.
    """

    name: bytes
    kind: str
    ttl_ms: int
    bytes: int
    elements: int | None = None

    @property
    def lifetime(self) -> str:
        """Its class."""
        if self.ttl_ms < 0:
            return FOREVER
        return next((name for limit, name in LIFETIMES if self.ttl_ms < limit), LONG)


@dataclass(frozen=True, kw_only=True)
class Big:
    """A large key, by the digest of its name: whoever may read names finds it, a message tells none."""

    bytes: int
    family: str
    kind: str
    elements: int | None
    digest: str


def digest(name: bytes) -> str:
    """Return by what a key is called without its name."""
    return blake2b(name, digest_size=6).hexdigest()


@dataclass
class Family:
    """What was seen of one family: how many names, and the sums of those that were measured."""

    keys: int = 0
    measured: int = 0
    bytes: int = 0
    squares: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    lifetimes: Counter[str] = field(default_factory=Counter)

    def add(self, key: Measured) -> None:
        """Count a key that was measured."""
        self.measured += 1
        self.bytes += key.bytes
        self.squares += float(key.bytes) ** 2
        self.kinds[key.kind] += 1
        self.lifetimes[key.lifetime] += 1

    def merge(self, other: Family) -> None:
        """Take another one in."""
        self.keys += other.keys
        self.measured += other.measured
        self.bytes += other.bytes
        self.squares += other.squares
        self.kinds += other.kinds
        self.lifetimes += other.lifetimes

    @property
    def mean(self) -> float:
        """Bytes of a measured key."""
        return self.bytes / self.measured if self.measured else 0.0

    @property
    def variance(self) -> float:
        """Of these bytes."""
        if self.measured < 2:
            return 0.0
        return max(0.0, (self.squares - self.measured * self.mean**2) / (self.measured - 1))


@dataclass(frozen=True)
class Estimate:
    """A number and how far the truth may be from it; None if too little was measured to say."""

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
    measured: int
    kinds: Mapping[str, int]
    lifetimes: Mapping[str, int]


@dataclass
class Tally:
    """All families, and the largest keys that were measured.

    :param top: how many large keys are kept.
    """

    top: int
    families: dict[str, Family] = field(default_factory=dict)
    seen: int = 0
    largest: list[tuple[int, str, Big]] = field(default_factory=list)

    def see(self, family: str) -> None:
        """Count a name."""
        self.seen += 1
        self._of(family).keys += 1

    def measure(self, family: str, key: Measured) -> None:
        """Count what a key was measured to be."""
        self._of(family).add(key)
        name = digest(key.name)
        big = Big(bytes=key.bytes, family=family, kind=key.kind, elements=key.elements, digest=name)
        if any(name == other for _, other, _ in self.largest):  # a walk may meet a key twice
            return
        push = heapq.heappush if len(self.largest) < self.top else heapq.heappushpop
        push(self.largest, (key.bytes, name, big))

    def _of(self, family: str) -> Family:
        if family not in self.families and len(self.families) >= FAMILIES_MAX:
            family = OTHER
        return self.families.setdefault(family, Family())

    @property
    def measured(self) -> int:
        """How many keys were."""
        return sum(each.measured for each in self.families.values())

    def biggest(self, shown: Mapping[str, str]) -> list[Big]:
        """Return the largest, largest first, each under the name that its family is shown by."""
        found = sorted((big for _, _, big in self.largest), key=lambda big: (-big.bytes, big.digest))
        return [replace(big, family=shown.get(big.family, OTHER)) for big in found]


def merged(families: Mapping[str, Family], least: int) -> Mapping[str, Family]:
    """Return them by the name under which each is shown."""
    names, found = shared({name: each.keys for name, each in families.items()}, least), dict[str, Family]()
    for name, each in families.items():
        found.setdefault(names[name], Family()).merge(each)
    return found


def lines(families: Mapping[str, Family], *, seen: int, keys: int, whole: bool) -> Iterator[Line]:
    """Return what each family is, the largest first.

    :param seen: how many names the walk met; `keys`: how many there are; `whole`: whether it met all of them.
    """
    made = [_line(name, each, seen, max(keys, seen), whole=whole) for name, each in families.items()]
    yield from sorted(made, key=lambda line: -line.bytes.value)


def _line(name: str, each: Family, seen: int, keys: int, *, whole: bool) -> Line:
    count = Estimate(each.keys, 0.0) if whole else _count(each.keys, seen, keys)
    return Line(
        family=name,
        keys=count,
        bytes=_bytes(each, count),
        forever=_forever(each, count),
        measured=each.measured,
        kinds=dict(each.kinds.most_common()),
        lifetimes=dict(each.lifetimes.most_common()),
    )


def _count(hits: int, seen: int, keys: int) -> Estimate:
    share = Share(hits, seen, z=Z)
    left_out = sqrt(max(0.0, 1 - seen / keys))
    reach = max(share.high - share.value, share.value - share.low)
    return Estimate(keys * share.value, keys * reach * left_out)


def _bytes(each: Family, count: Estimate) -> Estimate:
    value = count.value * each.mean
    if count.error == 0.0 and each.measured >= each.keys:
        return Estimate(value, 0.0)
    if each.measured < ENOUGH or count.error is None:
        return Estimate(value, None)
    left_out = max(0.0, 1 - each.measured / max(count.value, each.measured))
    spread = Z * count.value * sqrt(each.variance / each.measured * left_out)
    return Estimate(value, sqrt(spread**2 + (each.mean * count.error) ** 2))


def _forever(each: Family, count: Estimate) -> Estimate:
    share = Share(each.lifetimes[FOREVER], each.measured, z=Z)
    value = count.value * share.value
    if count.error == 0.0 and each.measured >= each.keys:
        return Estimate(value, 0.0)
    if not each.measured or count.error is None:
        return Estimate(value, None)
    left_out = sqrt(max(0.0, 1 - each.measured / max(count.value, each.measured)))
    reach = max(share.high - share.value, share.value - share.low) * left_out
    return Estimate(value, sqrt((count.value * reach) ** 2 + (share.value * count.error) ** 2))


def together(families: Mapping[str, Family], *, seen: int, keys: int, whole: bool) -> Line:
    """Return all of them as one."""
    pooled = Family()
    for each in families.values():
        pooled.merge(each)
    return _line("all", pooled, seen, max(keys, seen), whole=whole)
