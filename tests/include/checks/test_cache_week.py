"""The cache over a week: what it counted without our own questions, and what would help which prefix."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.checks.cache import Counters, Interval
from include.checks.cache_week import interval, judge_prefixes, judge_week
from include.findings import Severity
from include.ops.evidence import Measured
from include.settings import CacheLimits
from tests.include.checks.test_cache import NOW, counters, node

LIMITS = CacheLimits()
BUSY = Interval(since="x", seconds=1, hits=9_500, misses=500, evicted=0)


def left(of: Counters, days: float) -> Measured:
    at = NOW - timedelta(days=days)
    detail = {"counters": {**of.to_json(), "at": at.isoformat()}}
    return Measured(run_id=f"r{days}", subject="redis/redis-0:6379", value=of.hits, observed_at=at, detail=detail)


def walk(days: float, *families: dict[str, Any], questions: int = 0, node: str = "redis/redis-0:6379") -> Measured:
    detail = {"node": node, "questions": questions, "families": list(families), "lifetimes": {}}
    return Measured(
        run_id="w", subject="redis/keys", value=1_000_000.0, observed_at=NOW - timedelta(days=days), detail=detail
    )


def family(name: str = "cache:report:", taken: int = 1000, forever: int = 0, long: int = 0) -> dict[str, Any]:
    return {
        "family": name,
        "bytes": [taken, 0],
        "no_lifetime": [forever, 0],
        "asked": 100,
        "lifetimes": {">= 1 w": long, "< 1 h": 100 - long},
    }


def test_w_09_a_week_is_counted_from_last_weeks_look_and_not_from_yesterdays() -> None:
    looks = [left(counters(keyspace_hits=n, keyspace_misses=0), days) for n, days in ((10, 14), (20, 7), (30, 1))]
    found = interval(node(), looks, [], NOW)
    assert found
    assert (found.hits, found.seconds) == (96_000 - 20, 7 * 86_400)
    recent = interval(node(), looks[2:], [], NOW)
    assert recent
    assert recent.hits == 96_000 - 30  # there is no older one


def test_w_09_our_own_questions_are_no_hits_of_the_cache() -> None:
    looks = [left(counters(keyspace_hits=20, keyspace_misses=0), 7)]
    walks = [walk(8, questions=500), walk(2, questions=100), walk(2, questions=50, node="redis/replica:1")]
    found = interval(node(), looks, walks, NOW)
    assert found
    assert found.hits == 96_000 - 20 - 100


def test_w_09_the_weeks_ratio_stands_beside_those_before() -> None:
    before = [Measured(run_id="r", subject="s", value=value, observed_at=NOW) for value in (97.0, 99.0, 98.0)]
    (said,) = judge_week(node(), BUSY, before, LIMITS)
    assert (said.item, said.severity) == ("W-09", Severity.OK)
    assert said.summary.endswith("; -3.0 points against the 3 looks before")
    assert said.evidence["earlier"] == [97.0, 99.0, 98.0]


def test_w_09_a_hidden_counter_is_unknown() -> None:
    (said,) = judge_week(node(keyspace_hits=None), interval(node(keyspace_hits=None), [], [], NOW), [], LIMITS)
    assert said.severity is Severity.UNKNOWN


@pytest.mark.parametrize("walks", [[], [walk(8)]])
def test_w_09_keys_that_nobody_looked_at_are_unknown(walks: list[Measured]) -> None:
    (said,) = judge_prefixes(walks, BUSY, LIMITS, NOW)
    assert said.severity is Severity.UNKNOWN
    assert "weekly_cache_maintenance" in said.next_step


@pytest.mark.parametrize(
    ("of", "evicted", "words"),
    [
        (family(), 5, ""),
        (family(forever=3), 0, "cache:report: holds 3 keys without a lifetime"),
        (family("session:", forever=3), 0, ""),  # no cache
        (family(long=60), 5, "60 % of its keys live longer than a week while keys are evicted"),
        (family(long=60), 0, ""),
        (family(taken=500_000), 5, "takes 500 kB, 50 % of all, while keys are evicted"),
        (family(taken=500_000), 0, ""),
    ],
)
def test_w_09_a_prefix_is_named_for_what_would_help_it(of: dict[str, Any], evicted: float, words: str) -> None:
    week = Interval(since="x", seconds=1, hits=1, misses=1, evicted=evicted)
    (said,) = judge_prefixes([walk(1, of)], week, LIMITS, NOW)
    assert said.severity is (Severity.WARNING if words else Severity.OK)
    assert words in said.summary
