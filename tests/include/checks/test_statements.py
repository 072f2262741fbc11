"""What statements cost between two looks, whatever happened to the counters meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import statements
from include.checks.statements import SNAPSHOT, Interval, Snapshot, between, judge_statements
from include.findings import Finding, Severity
from include.probes.statements import Statement, Statements
from include.settings import OptimisationLimits

MONDAY = datetime(2026, 11, 30, 11, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
LIMITS = OptimisationLimits()


def one(queryid: str, calls: int, total_ms: float, **changed: Any) -> Statement:
    known: dict[str, Any] = {"role": "orchestrator_app", "query": f"select {queryid}", "max_ms": 10.0, "rows": calls}
    return Statement(
        queryid=queryid, calls=calls, total_ms=total_ms, **{**known, "blocks_read": 0, "temp_blocks": 0} | changed
    )


def look(*found: Statement, at: datetime = MONDAY, **changed: Any) -> Statements:
    known: dict[str, Any] = {"database": "orchestrator", "major": 17, "reset_at": MONDAY - 10 * WEEK, "thrown_out": 0}
    return Statements(at=at, found=found, **known | changed)


def last_week(*found: Statement, **changed: Any) -> Snapshot:
    kept = Snapshot.of(look(*found, at=MONDAY - WEEK, **changed))
    assert Snapshot.from_json(kept.to_json()) == kept
    return kept


def costs(interval: Interval) -> dict[str, tuple[int, float]]:
    return {cost.statement.queryid: (cost.calls, cost.total_ms) for cost in interval.costs}


def judged(interval: Interval) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in judge_statements(interval, Snapshot.of(look()), LIMITS, "database/orchestrator"):
        found.setdefault(finding.check, []).append(finding)
    return found


def test_bug_78_what_counts_is_the_difference_between_two_looks() -> None:
    before = last_week(one("old", 1_000_000, 9e9), one("busy", 100, 1000))
    interval = between(before, look(one("old", 1_000_000, 9e9), one("busy", 300, 4000)))
    assert costs(interval) == {"busy": (200, 3000)}
    assert (interval.since, interval.compared) == (MONDAY - WEEK, True)


def test_bug_78_a_rare_slow_one_leads_the_list_of_means_and_not_that_of_time() -> None:
    interval = between(last_week(), look(one("rare", 1, 900), one("busy", 100_000, 90_000)))
    found = judged(interval)
    assert found["by_total"][0].evidence["statements"][0]["queryid"] == "busy"
    assert found["by_mean"][0].evidence["statements"][0]["queryid"] == "rare"
    assert found["by_total"][0].evidence["statements"][0]["share_percent"] == 99.0


def test_a_reset_is_told_and_nothing_is_compared_with_what_it_removed() -> None:
    interval = between(last_week(one("a", 100, 1000)), look(one("a", 7, 700), reset_at=MONDAY - timedelta(days=1)))
    assert (costs(interval), interval.compared) == ({"a": (7, 700)}, False)
    (compared,) = judged(interval)["compared"]
    assert compared.severity is Severity.INFO
    assert "were reset at 2026-11-29 11:30 UTC" in compared.summary
    assert "slower" not in judged(interval)


@pytest.mark.parametrize("anew", [{"counted_since": MONDAY - timedelta(days=2)}, {}])
def test_a_statement_that_was_forgotten_meanwhile_counts_from_its_new_beginning(anew: dict[str, Any]) -> None:
    interval = between(last_week(one("a", 100, 1000)), look(one("a", 40, 400, **anew), thrown_out=3))
    assert costs(interval) == {"a": (40, 400)}
    assert "3 times the server forgot rare statements" in interval.why_not


@pytest.mark.parametrize("other", [{"database": "postgres"}, {"major": 16}])
def test_another_database_or_version_is_not_compared(other: dict[str, Any]) -> None:
    assert not between(last_week(one("a", 1, 1), **other), look(one("a", 2, 2))).compared


def test_the_first_look_is_no_comparison_and_keeps_its_counters() -> None:
    interval = between(None, look(one("a", 5, 50)))
    assert (interval.compared, costs(interval)) == (False, {"a": (5, 50)})
    assert (
        judged(interval)["compared"][0].summary
        == "not compared; this is the first look; from the next one on it is compared"
    )
    assert judged(interval)[SNAPSHOT][0].evidence["value"] == 0


def test_what_was_too_cheap_to_be_kept_is_counted_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "KEPT", 1)
    before = last_week(one("a", 100, 1000), one("b", 10, 10))
    interval = between(before, look(one("a", 100, 1000), one("b", 20, 1500)))
    assert costs(interval) == {"b": (20, 500)}
    assert not interval.costs[0].is_new


@pytest.mark.parametrize(
    ("calls", "total_ms", "slower"),
    [(100, 2000, 1), (100, 1999, 0), (19, 3800, 0), (20, 400, 0)],
)
def test_w_08_slower_is_twice_as_slow_in_enough_calls_and_enough_time(calls: int, total_ms: float, slower: int) -> None:
    before = one("a", 1000, 10_000)
    interval = between(last_week(before), look(replace(before, calls=1000 + calls, total_ms=10_000 + total_ms)))
    assert len(judged(interval).get("slower", [])) == slower
    assert judged(interval)["compared"][0].evidence["value"] == slower


def test_one_statement_that_takes_more_than_its_share_is_yellow() -> None:
    found = judged(between(last_week(), look(one("a", 10, 3100), one("b", 10, 3000), one("c", 10, 3900))))
    assert [each.subject for each in found["share"]] == ["statement/a/orchestrator_app", "statement/c/orchestrator_app"]
    assert found["share"][0].severity is Severity.WARNING


def test_a_new_statement_is_named() -> None:
    (new,) = judged(between(last_week(one("a", 1, 1)), look(one("a", 2, 2), one("b", 3, 9))))["new"]
    assert [row["queryid"] for row in new.evidence["statements"]] == ["b"]
