"""From a random part to the whole: what is exact, what is estimated, and how far off it may be."""

from __future__ import annotations

import random

import pytest

from include.cache.names import OTHER
from include.cache.tally import ENOUGH, FAMILIES_MAX, Measured, Tally, digest, lines, merged, together


def key(number: int, size: int = 100, ttl_ms: int = 1000) -> Measured:
    return Measured(name=b"cache:a:%d" % number, kind="string", ttl_ms=ttl_ms, bytes=size)


def tally(sizes: list[int], measured: float, dice: random.Random) -> Tally:
    made = Tally(5)
    for number, size in enumerate(sizes):
        made.see("cache:a:")
        if dice.random() < measured:
            made.measure("cache:a:", key(number, size, -1 if number % 4 == 0 else 1000))
    return made


def test_all_seen_and_all_measured_is_exact() -> None:
    made = tally([100, 200, 300, 400], 1.0, random.Random(1))
    (line,) = lines(made.families, seen=4, keys=4, whole=True)
    assert (line.keys.value, line.bytes.value, line.forever.value) == (4, 1000, 1)
    assert (line.keys.error, line.bytes.error, line.forever.error) == (0, 0, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_the_truth_lies_within_the_error_that_is_said(whole: bool) -> None:
    dice, missed, estimates = random.Random(7), 0, 0
    for _ in range(150):
        truth = [min(4_000, int(50 * dice.paretovariate(1.5))) for _ in range(4_000)]
        part = truth if whole else dice.sample(truth, 1_500)
        made = tally(part, 0.25, dice)
        (line,) = lines(made.families, seen=len(part), keys=len(truth), whole=whole)
        forever = 1000
        checks = (line.keys.holds(4_000), line.bytes.holds(sum(truth)), line.forever.holds(forever))
        estimates, missed = estimates + 3, missed + checks.count(False)
        assert line.bytes.error is not None
        assert line.bytes.error < 0.5 * line.bytes.value  # an error of everything would hold always
    assert missed <= 0.01 * estimates


def test_too_few_measured_say_nothing_of_their_spread() -> None:
    made = Tally(5)
    for number in range(1000):
        made.see("cache:a:")
        if number < ENOUGH - 1:
            made.measure("cache:a:", key(number))
    (line,) = lines(made.families, seen=1000, keys=1000, whole=True)
    assert line.bytes.error is None


def test_the_largest_are_kept_each_once_and_without_a_name() -> None:
    made = Tally(3)
    for number in (5, 1, 9, 9, 7, 3):
        made.measure("cache:a:", key(number, size=number))
    found = made.biggest({"cache:a:": "cache:a:"})
    assert [(big.bytes, big.digest) for big in found] == [(n, digest(b"cache:a:%d" % n)) for n in (9, 7, 5)]
    assert "cache:a:9" not in repr(found)


def test_however_many_prefixes_there_are_memory_is_bounded_and_all_are_counted() -> None:
    made = Tally(3)
    for number in range(FAMILIES_MAX + 500):
        made.see(f"prefix{number}:")
    assert len(made.families) <= FAMILIES_MAX + 1
    assert made.families[OTHER].keys >= 500
    assert together(made.families, seen=made.seen, keys=made.seen, whole=True).keys.value == FAMILIES_MAX + 500


def test_merging_loses_nothing() -> None:
    made = tally([10, 20, 30], 1.0, random.Random(1))
    made.see("alice:")
    made.measure("alice:", Measured(name=b"alice:1", kind="hash", ttl_ms=5, bytes=7))
    found = merged(made.families, 2)
    assert sorted(found) == ["(rare)", "cache:a:"]
    assert sum(each.bytes for each in found.values()) == 67
