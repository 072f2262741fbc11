"""What may go, when people are asked, in what pieces, and at what pace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.plans import cleanup, hours
from include.plans.cleanup import Chunk, Counted, Subject
from include.settings import CleanupLimits, GateLimits

LIMITS = CleanupLimits(audit_policy="decision 7 of 2026")
NOW = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
DAY = date(2026, 8, 1)


def counted(subject: Subject = Subject.LOGS, rows: int = 100, total: int = 100_000, **kept: int) -> Counted:
    return Counted(subject=subject, rows=rows, total=total, kept=kept)


def only(found: Counted, limits: CleanupLimits = LIMITS) -> cleanup.Decision:
    (decision,) = cleanup.decide([found], limits)
    return decision


def test_bug_56_the_limit_of_age_follows_from_one_moment_and_is_days_not_seconds() -> None:
    assert cleanup.cutoff(Subject.LOGS, NOW, LIMITS) == NOW - timedelta(days=90)
    assert cleanup.cutoff(Subject.AUDIT, NOW, LIMITS) == NOW - timedelta(days=365)
    berlin = NOW.astimezone(ZoneInfo("Europe/Berlin"))
    assert cleanup.cutoff(Subject.LOGS, berlin, LIMITS) == NOW - timedelta(days=90)  # summer time ends between the two


def test_bug_52_audit_logs_stay_without_a_policy_and_whatever_is_held_stays() -> None:
    found = counted(Subject.AUDIT)
    assert "cleanup.audit_policy" in only(found, CleanupLimits()).rests
    held = CleanupLimits(audit_policy="x", held={"audit_logs": "case 4711"})
    assert "case 4711" in only(found, held).rests
    assert only(found).rests == ""


def test_nothing_to_do_is_said() -> None:
    decision = only(counted(rows=0))
    assert str(decision) == "execution_logs: nothing is old enough to go"
    assert cleanup.going([decision]) == []
    assert cleanup.over([decision]) == ""


@pytest.mark.parametrize(
    ("rows", "total", "asked"),
    [
        (20_000, 100_000, False),  # exactly a fifth
        (20_001, 100_000, True),
        (10_000, 10_000, False),  # all of a small table
        (10_001, 10_001, True),
        (1_000_000, 100_000_000, False),
        (1_000_001, 100_000_000, True),
    ],
)
def test_bug_51_people_are_asked_beyond_a_share_or_a_count(rows: int, total: int, asked: bool) -> None:
    assert bool(only(counted(rows=rows, total=total)).over) is asked


def test_what_rests_asks_nobody() -> None:
    assert only(counted(Subject.AUDIT, rows=90_000), CleanupLimits()).over == ""


def test_more_than_was_approved_is_another_plan_and_less_is_not() -> None:
    decisions = cleanup.decide([counted(rows=100)], LIMITS)
    assert cleanup.grown({"execution_logs": 100}, decisions) == ""
    assert cleanup.grown({"execution_logs": 101}, decisions) == ""
    assert cleanup.grown({"execution_logs": 99}, decisions) == "100 rows of execution_logs, not 99"
    assert cleanup.grown({}, decisions) == "100 rows of execution_logs, not 0"


@pytest.mark.parametrize(
    ("ids", "text"),
    [([], ""), ([7], "7"), ([1, 2, 3], "1-3"), ([1, 3, 4, 9], "1,3-4,9"), ([2**62, 2**62 + 1], f"{2**62}-{2**62 + 1}")],
)
def test_ids_survive_as_ranges(ids: Sequence[int], text: str) -> None:
    assert cleanup.ranges(ids) == text
    assert cleanup.ids_of(text) == list(ids)


def test_a_piece_is_of_one_day_and_no_larger_than_it_may_be() -> None:
    rows = [(DAY, number) for number in (5, 1, 2, 3, 4)] + [(DAY + timedelta(days=1), 6)]
    pieces = list(cleanup.chunks(Subject.LOGS, rows, 2))
    assert [(each.day.day, each.ids) for each in pieces] == [(1, "1-2"), (1, "3-4"), (1, "5"), (2, "6")]
    assert [each.name for each in pieces][-1] == "execution_logs/2026-08-02/0004"
    assert [Chunk.from_json(Subject.LOGS, each.to_json()) for each in pieces] == pieces


@pytest.mark.parametrize(
    ("busy_s", "wal_bytes", "rest_s"), [(0.1, 0, 0.4), (0.1, 5_000_000, 4.9), (0.1, 300_000, 0.4), (0.0, 0, 0.0)]
)
def test_the_rest_is_the_longer_of_its_share_of_time_and_its_share_of_the_log(
    busy_s: float, wal_bytes: int, rest_s: float
) -> None:
    limits = CleanupLimits(busy_percent=20, wal_bytes_per_s=1_000_000)
    assert cleanup.pause_s(busy_s, wal_bytes, limits) == pytest.approx(rest_s)


def berlin(day: int, hour: int) -> datetime:
    return datetime(2026, 11, day, hour, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        (berlin(3, 9), (3, 9, 30)),
        (berlin(3, 15), (3, 15, 30)),
        (berlin(3, 4), (3, 9, 0)),
        (berlin(3, 16), (4, 9, 0)),
        (berlin(6, 20), (9, 9, 0)),  # Friday evening
        (berlin(7, 12), (9, 9, 0)),  # Saturday
    ],
)
def test_people_are_asked_when_they_are_at_work(moment: datetime, then: tuple[int, int, int]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    found = hours.next_at_work(moment.astimezone(UTC), zone, GateLimits()).astimezone(zone)
    assert (found.day, found.hour, found.minute) == then


@pytest.mark.parametrize(("days", "begins"), [((6,), 9), ((0, 1, 2, 3, 4, 5, 6), 0)])
def test_the_days_and_hours_of_work_are_a_setting(days: Any, begins: int) -> None:
    limits = GateLimits(working_days=days, working_from_h=begins, working_until_h=24)
    found = hours.next_at_work(NOW, ZoneInfo("UTC"), limits)
    assert found.weekday() in days
    assert found.hour >= begins
