"""What is made of what a node says of itself, at each limit and where it does not say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks.cache import COUNTERS, Counters, Interval, judge_node, judge_replicas, keep_counters
from include.findings import Finding, Severity
from include.probes.cache import Node
from include.settings import CacheLimits

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
LIMITS = CacheLimits()
GIB = 1024**3
INFO: dict[str, Any] = {
    "role": "master",
    "run_id": "a" * 40,
    "uptime_in_seconds": 1_000_000,
    "used_memory": 700 * 1024**2,
    "used_memory_rss": 750 * 1024**2,
    "maxmemory": GIB,
    "maxmemory_policy": "volatile-lru",
    "keyspace_hits": 96_000,
    "keyspace_misses": 4_000,
    "evicted_keys": 0,
    "expired_keys": 10,
    "total_commands_processed": 10**6,
    "total_connections_received": 100,
    "expired_stale_perc": 1.5,
    "db0": {"keys": 1000, "expires": 900, "avg_ttl": 5},
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
}
FINE = "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base."
JOKE = "Hi Sam, this instance is empty or is using very little memory, my issue detector can't be used in these conditions."
TROUBLE = (
    "Sam, I detected a few issues in this Valkey instance memory implants:\n\n"
    " * Peak memory: In the past this instance used more than 150% the memory that is currently using.\n\n"
    " * High allocator fragmentation: This instance has an allocator external fragmentation greater than 1.1.\n\n"
    "I'm here to keep you safe, Sam. I want to help you.\n"
)


def node(advice: str = FINE, **changes: Any) -> Node:
    info = {name: value for name, value in {**INFO, **changes}.items() if value is not None}
    return Node(name="redis-0:6379", info=info, advice=advice, place=("redis-0", 6379))


def counters(**changes: Any) -> Counters:
    found = Counters.of(node(**changes), NOW)
    assert found
    return found


def found(check: str, of: Node, interval: Interval | None = None) -> Finding:
    (one,) = [each for each in judge_node(of, LIMITS, interval or counters().since(None)) if each.check == check]
    return one


# --- F-10 -----------------------------------------------------------------------------------------------------------------------


def earlier(**changes: Any) -> Counters:
    old = counters(keyspace_hits=90_000, keyspace_misses=1_000, total_commands_processed=9 * 10**5, **changes)
    return Counters.from_json({**old.to_json(), "at": (NOW - timedelta(days=7)).isoformat()})


def test_bug_64_the_ratio_is_made_of_hits_and_misses() -> None:
    assert "hit_rate" not in INFO
    said = found("hit_ratio", node(), Interval(since="x", seconds=1, hits=9_000, misses=1_000, evicted=0))
    assert (said.severity, said.evidence["value"], said.evidence["n"]) == (Severity.OK, 90.0, 10_000)


def test_bug_65_what_counts_is_what_happened_since_the_last_look_and_not_since_the_start() -> None:
    since = counters().since(earlier())
    assert (since.hits, since.misses, since.seconds) == (6_000, 3_000, 7 * 86_400)
    said = found("hit_ratio", node(), since)
    assert said.severity is Severity.WARNING  # 66.7 % this week; 96 % since the start would have hidden it
    assert "66.7 % of 9000 keys that were asked for since the last look 168 h ago" in said.summary


def test_bug_65_after_a_restart_the_counters_are_those_since_then() -> None:
    since = counters(run_id="b" * 40, uptime_in_seconds=3600, keyspace_hits=10, keyspace_misses=90).since(earlier())
    assert (since.hits, since.misses, since.seconds) == (10, 90, 3600)
    assert since.since == "its restart 60 min ago"


def test_bug_65_a_reset_is_noticed_also_when_hits_have_overtaken() -> None:
    since = counters(total_commands_processed=5).since(earlier())
    assert (since.hits, since.seconds, since.since) == (96_000, None, "somebody reset the counters")


@pytest.mark.parametrize(
    ("hits", "misses", "severity"),
    [
        (0, 0, Severity.UNKNOWN),
        (5, 5, Severity.INFO),
        (899, 101, Severity.WARNING),
        (900, 100, Severity.OK),
        (1000, 0, Severity.OK),
    ],
)
def test_the_ratio_is_judged_from_enough_questions(hits: int, misses: int, severity: Severity) -> None:
    interval = Interval(since="x", seconds=1, hits=hits, misses=misses, evicted=0)
    assert found("hit_ratio", node(), interval).severity is severity


def test_the_counters_come_back_from_the_evidence_as_they_were_left() -> None:
    (left,) = keep_counters(node(), NOW)
    assert left.check == COUNTERS
    assert Counters.from_json(left.evidence["counters"]) == counters()


def test_a_server_that_hides_its_counters_is_unknown_and_never_a_hundred_percent() -> None:
    hidden = node(keyspace_misses=None)
    assert Counters.of(hidden, NOW) is None
    assert list(keep_counters(hidden, NOW)) == []
    judged = {each.check: each for each in judge_node(hidden, LIMITS, None)}
    assert judged["hit_ratio"].severity is Severity.UNKNOWN
    assert judged["evictions"].severity is Severity.UNKNOWN


# --- R-01 -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "severity"),
    [(79.9, Severity.OK), (80, Severity.WARNING), (90, Severity.CRITICAL), (100, Severity.CRITICAL)],
)
def test_memory_at_its_limits(percent: float, severity: Severity) -> None:
    assert found("memory", node(used_memory=int(percent * 10), maxmemory=1000)).severity is severity


def test_without_maxmemory_the_machine_is_the_limit() -> None:
    assert "the machine's memory" in found("memory", node(maxmemory=0, total_system_memory=4 * GIB)).summary
    assert found("memory", node(maxmemory=0)).severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("used", "rss", "severity"),
    [
        (50 * 1024**2, 50 * GIB, Severity.OK),  # so small that it means nothing
        (GIB, GIB + GIB // 2 - 1, Severity.OK),
        (2 * GIB, 3 * GIB - 1, Severity.OK),
        (2 * GIB, 3 * GIB, Severity.WARNING),
        (10 * GIB, 12 * GIB, Severity.OK),
    ],
)
def test_fragmentation_counts_when_it_is_large_and_wastes_much(used: int, rss: int, severity: Severity) -> None:
    assert found("fragmentation", node(used_memory=used, used_memory_rss=rss)).severity is severity


@pytest.mark.parametrize(
    ("policy", "evicted", "severity"),
    [
        ("volatile-lru", 0, Severity.OK),
        ("volatile-lru", 1, Severity.WARNING),
        ("noeviction", 0, Severity.OK),
        ("allkeys-lru", 0, Severity.WARNING),  # it would take queues
        ("allkeys-lru", 1, Severity.CRITICAL),
    ],
)
def test_evictions_by_what_the_policy_may_take(policy: str, evicted: int, severity: Severity) -> None:
    interval = Interval(since="x", seconds=1, hits=0, misses=0, evicted=evicted)
    assert found("evictions", node(maxmemory_policy=policy), interval).severity is severity


@pytest.mark.parametrize("value", ["err", None])
def test_a_failed_or_hidden_save_is_never_well(value: str | None) -> None:
    severity = found("persistence", node(aof_last_write_status=value)).severity
    assert severity is (Severity.CRITICAL if value else Severity.UNKNOWN)


def test_a_replica_that_is_lost_is_critical() -> None:
    replica = Node(name="r:1", info={"role": "slave", "master_link_status": "down"}, advice=FINE, place=("r", 1))
    (said,) = judge_replicas([node(), replica], 1)
    assert said.severity is Severity.CRITICAL
    (said,) = judge_replicas([node()], 0)
    assert said.severity is Severity.OK


# --- R-02, R-03 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stale", "severity"), [(24.9, Severity.OK), (25, Severity.WARNING), (None, Severity.UNKNOWN)])
def test_bug_59_what_has_run_out_is_measured_and_left_to_redis(stale: float | None, severity: Severity) -> None:
    said = found("expired_lingering", node(expired_stale_perc=stale))
    assert said.severity is severity
    assert "delete" not in said.next_step


def test_an_empty_server_is_no_healthy_one() -> None:
    assert found("expired_lingering", node(db0=None)).severity is Severity.UNKNOWN


def test_bug_63_advice_becomes_a_proposal_for_each_trouble() -> None:
    said = found("memory_advice", node(TROUBLE))
    assert said.severity is Severity.WARNING
    assert list(said.evidence["proposals"]) == ["Peak memory", "High allocator fragmentation"]
    assert "activedefrag" in said.summary
    assert said.evidence["value"] == INFO["used_memory_rss"]


@pytest.mark.parametrize(
    ("advice", "severity", "words"),
    [
        (FINE, Severity.OK, "needs no change"),
        (JOKE, Severity.OK, "is too small for memory advice"),
        ("Gruezi", Severity.UNKNOWN, "does not know"),
        ("", Severity.UNKNOWN, "does not know"),
    ],
)
def test_bug_63_a_joke_is_no_advice_and_an_unknown_answer_is_no_health(
    advice: str, severity: Severity, words: str
) -> None:
    said = found("memory_advice", node(advice))
    assert said.severity is severity
    assert words in said.summary
