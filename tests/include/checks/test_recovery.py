"""RTO and RPO against their targets, the trend against the size of the database, and the worst moment of the month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import recovery
from include.checks.recovery import Point
from include.findings import Finding, Severity
from include.ops.evidence import Measured
from include.settings import BackupLimits, DisasterLimits

LIMITS = BackupLimits(rto_target_s=3600, rpo_target_s=90_000)
TEST = DisasterLimits()
NOW = datetime(2026, 12, 7, 13, tzinfo=UTC)
GB = 10**9


def restored(**changed: Any) -> dict[str, Any]:
    known = {
        "rto_s": 1200.0,
        "rpo_s": 40_000.0,
        "database_bytes": 40 * GB,
        "steps": {},
        "newest_transaction_at": "2026-12-07T01:53:20+00:00",
        "commit_times_known": True,
    }
    return known | changed


def at(days: float, *, size_gb: float = 40, rto_s: float = 1200) -> Point:
    return Point(at=NOW - timedelta(days=days), database_bytes=int(size_gb * GB), rto_s=rto_s)


def time_of(found: dict[str, Any], *before: Point, **limits: Any) -> dict[str, Finding]:
    chosen = LIMITS.model_copy(update=limits)
    tests = [*before, *recovery.this_one(found, NOW)]
    return {each.check: each for each in recovery.judge_recovery_time(found, tests, chosen, TEST)}


def loss_of(found: dict[str, Any], *proofs: Measured) -> dict[str, Finding]:
    return {each.check: each for each in recovery.judge_data_loss(found, proofs, LIMITS, TEST, NOW)}


@pytest.mark.parametrize(
    ("rto_s", "severity"), [(3599.9, Severity.OK), (3600, Severity.OK), (3600.1, Severity.CRITICAL)]
)
def test_m_04_exactly_the_target_is_in_time_and_more_fails(rto_s: float, severity: Severity) -> None:
    found = time_of(restored(rto_s=rto_s))["rto"]
    assert (found.severity, found.evidence["value"], found.evidence["threshold"]) == (severity, rto_s, 3600)
    assert bool(found.next_step) is (severity is Severity.CRITICAL)


def test_m_04_the_test_before_stands_beside_it() -> None:
    found = time_of(restored(), at(30, rto_s=1100))["rto"]
    assert "1200.0 s (target 3600 s, 1100.0 s in the test before)" in found.summary
    assert found.evidence["headroom_percent"] == pytest.approx(66.7)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ([], "no trend yet: 1 test has restored anything"),
        ([at(13.9)], "no trend yet: 2 tests within 13.9 days, and 14 days are the least"),
        ([at(0.1), at(0.05)], "no trend yet: 3 tests within 0.1 days"),
    ],
)
def test_without_two_tests_far_enough_apart_there_is_no_trend(before: list[Point], words: str) -> None:
    found = time_of(restored(), *before)["trend"]
    assert (found.severity, found.summary.startswith(words)) == (Severity.INFO, True), found.summary
    assert "value" not in found.evidence


def test_a_database_that_grows_takes_longer_in_ninety_days() -> None:
    told = recovery.forecast([at(60, size_gb=20), at(30, size_gb=30), at(0, size_gb=40)], TEST)
    assert told.growth_bytes == pytest.approx(GB / 3)
    assert told.database_bytes == pytest.approx(70 * GB)
    assert told.rto_s == pytest.approx(1200 / 40 * 70)


@pytest.mark.parametrize("size_gb", [40, 80])
def test_a_database_that_does_not_grow_takes_as_long_as_now(size_gb: float) -> None:
    assert recovery.forecast([at(30, size_gb=size_gb), at(0)], TEST).rto_s == pytest.approx(1200)


def test_a_forecast_beyond_the_target_warns_and_at_the_target_does_not() -> None:
    grown = [at(90, size_gb=20)]  # 60 GB in 90 days: 1800 s
    assert time_of(restored(), *grown, rto_target_s=1800.0)["trend"].severity is Severity.OK
    warned = time_of(restored(), *grown, rto_target_s=1799.0)["trend"]
    assert (warned.severity, warned.evidence["value"]) == (Severity.WARNING, 1800)
    assert "30 s per GB now, 60 GB then, by 2 tests" in warned.summary


def test_earlier_tests_come_from_the_evidence_and_those_that_restored_nothing_do_not_count() -> None:
    rows = [
        Measured(run_id="a", subject="s", value=10.0, observed_at=NOW, detail={"database_bytes": GB}),
        Measured(run_id="b", subject="s", value=11.0, observed_at=NOW),
    ]
    lost = [Measured(run_id="a", subject="s", value=99.0, observed_at=NOW)]
    assert recovery.points(rows, lost) == [Point(at=NOW, database_bytes=GB, rto_s=10.0, rpo_s=99.0, run_id="a")]


@pytest.mark.parametrize(("rpo_s", "severity"), [(90_000, Severity.OK), (90_001, Severity.CRITICAL)])
def test_m_05_exactly_the_target_is_enough_and_more_fails(rpo_s: float, severity: Severity) -> None:
    assert loss_of(restored(rpo_s=rpo_s))["rpo"].severity is severity


def test_m_05_a_server_without_commit_times_is_judged_by_its_snapshot_and_says_so() -> None:
    assert "snapshot (the server keeps no commit times)" in loss_of(restored(commit_times_known=False))["rpo"].summary


def proved(hours_ago: float, age_s: float = 60) -> Measured:
    return Measured(run_id=f"{hours_ago}", subject="s", value=age_s, observed_at=NOW - timedelta(hours=hours_ago))


def test_m_05_the_worst_moment_is_just_before_the_next_backup_was_proved() -> None:
    found = recovery.worst([proved(83), proved(35), proved(11)], 40_000, NOW)
    assert (found.seconds, found.at, found.proofs) == (48 * 3600 + 60, NOW - timedelta(hours=35), 3)
    month = loss_of(restored(), proved(83), proved(35), proved(11))["rpo_month"]
    assert (month.severity, month.evidence["value"]) == (Severity.WARNING, 48 * 3600 + 60)
    assert "2026-12-06 02:00 UTC, 2 d would have been lost" in month.summary


def test_m_05_without_proofs_in_the_evidence_the_worst_is_today() -> None:
    assert recovery.worst([], 40_000, NOW) == recovery.Exposure(seconds=40_000, at=NOW, proofs=0)


def test_m_05_an_older_backup_that_is_proved_later_makes_nothing_younger() -> None:
    late = [proved(20), proved(10, age_s=40 * 3600), proved(1)]
    assert recovery.worst(late, 60, NOW).seconds == 19 * 3600 + 60


def test_when_nothing_was_restored_neither_is_known_and_the_targets_and_the_trend_stay() -> None:
    found = time_of({}, at(60), at(30))
    assert (found["rto"].severity, found["rto"].evidence["threshold"]) == (Severity.UNKNOWN, 3600)
    assert found["trend"].evidence["n"] == 2
    (rpo,) = loss_of({}).values()
    assert (rpo.severity, "value" in rpo.evidence) == (Severity.UNKNOWN, False)


def test_the_table_has_a_line_for_each_test() -> None:
    assert recovery.table([at(30, rto_s=1100.04), *recovery.this_one(restored(), NOW)]) == (
        "UTC day     database  RTO       s per GB  RPO",
        "2026-11-07  40 GB     1100.0 s  27.5      -",
        "2026-12-07  40 GB     1200.0 s  30        11 h",
    )
    assert recovery.table([]) == ()
