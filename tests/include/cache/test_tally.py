"""From a random part to the whole: what is exact, what is estimated, and how far off it may be."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp

import pytest

from include.cache.names import OTHER
from include.cache.tally import ENOUGH, FAMILIES_MAX, FOREVER, Tally, digest, lifetime, lines, merged, together


def tally(sizes: list[int], asked: float = 1.0, seed: int = 1) -> Tally:
    made, dice = Tally(5, 1000), random.Random(seed)
    for number, size in enumerate(sizes):
        made.see(b"cache:a:%d" % number, "cache:a:", size)
        if dice.random() < asked:
            made.ask("cache:a:", "string", -1 if number % 4 == 0 else 1000)
    return made


def test_all_seen_and_all_asked_is_exact() -> None:
    (line,) = lines(tally([100, 200, 300, 400]).families, seen=4, keys=4, whole=True)
    assert (line.keys.value, line.bytes.value, line.forever.value) == (4, 1000, 1)
    assert (line.keys.error, line.bytes.error, line.forever.error) == (0, 0, 0)


SIZES: dict[str, Callable[[random.Random], int]] = {
    "few large": lambda dice: min(4_000, int(50 * dice.paretovariate(1.5))),
    "very few very large": lambda dice: min(100_000, int(100 * dice.paretovariate(1.3))),
    "log-normal": lambda dice: int(exp(dice.gauss(5, 1.2))),
    "equal": lambda dice: 100,
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("whole", [True, False])
def test_the_truth_lies_within_the_error_that_is_said_99_times_in_100(whole: bool, kind: str) -> None:
    dice, missed, estimates = random.Random(7), 0, 0
    for turn in range(50):
        truth = [SIZES[kind](dice) for _ in range(2_000)]
        part = truth if whole else truth[:900]
        (line,) = lines(tally(part, 0.25, turn).families, seen=len(part), keys=len(truth), whole=whole)
        checks = (line.keys.holds(2_000), line.bytes.holds(sum(truth)), line.forever.holds(500))
        estimates, missed = estimates + 3, missed + checks.count(False)
        assert line.bytes.error is not None
        assert line.bytes.error < 3 * line.bytes.value  # an error of everything would hold always
        assert (line.forever.error or 0) < 300
    assert missed <= estimates // 100


def test_too_few_seen_say_nothing_of_their_sizes() -> None:
    (line,) = lines(tally([100] * (ENOUGH - 1)).families, seen=ENOUGH - 1, keys=10_000, whole=False)
    assert line.bytes.error is None
    (line,) = lines(tally([100] * ENOUGH).families, seen=ENOUGH, keys=10_000, whole=False)
    assert line.bytes.error is not None


def test_the_largest_are_kept_each_once_and_none_is_missed() -> None:
    made = tally([1, 900, 5, 7, 3, 2, 8, 1001, 4])
    made.see(b"cache:a:7", "cache:a:", 1001)  # a walk may meet a key twice
    assert [big.size for big in made.largest()] == [1001, 900, 8, 7]
    assert made.larger == 2
    assert "cache:a:7'" not in repr(made.largest())
    assert digest(b"cache:a:7") == digest(b"cache:a:7") != digest(b"cache:a:8")


def test_however_many_prefixes_there_are_memory_is_bounded_and_all_are_counted() -> None:
    made = Tally(3, 1000)
    for number in range(FAMILIES_MAX + 500):
        made.see(b"x", f"prefix{number}:", 1)
    assert len(made.families) <= FAMILIES_MAX + 1
    assert made.families[OTHER].keys >= 500
    assert together(made.families, seen=made.seen, keys=made.seen, whole=True).bytes.value == FAMILIES_MAX + 500


def test_merging_loses_nothing() -> None:
    made = tally([10, 20, 30])
    made.see(b"alice:1", "alice:", 7)
    found = merged(made.families, 2)
    assert sorted(found) == ["(rare)", "cache:a:"]
    assert sum(each.bytes for each in found.values()) == 67


@pytest.mark.parametrize(
    ("ttl_ms", "said"),
    [
        (-1, FOREVER),
        (0, "< 1 h"),
        (3_599_999, "< 1 h"),
        (3_600_000, "< 1 d"),
        (604_799_999, "< 1 w"),
        (604_800_000, ">= 1 w"),
    ],
)
def test_lifetimes_by_class(ttl_ms: int, said: str) -> None:
    assert lifetime(ttl_ms) == said
