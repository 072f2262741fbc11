from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from watch.decide import Span, components_up, judge, last_slot
from watch.expected import ExpectedRun

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(**changes: Any) -> ExpectedRun:
    fields = {
        "dag_id": "daily_health_check",
        "cron": "0 9 * * *",
        "zone": "UTC",
        "grace_minutes": 30,
        "proof": "evidence",
    }
    return ExpectedRun.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "slot"),
    [
        ("0 9 * * *", "UTC", "2026-11-23 09:00", "2026-11-23 09:00"),
        ("0 9 * * *", "UTC", "2026-11-23 08:59", "2026-11-22 09:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-11-23 08:00", "2026-11-23 08:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-01 07:00", "2026-07-01 07:00"),
        ("0 9 * * *", "Asia/Kolkata", "2026-11-23 03:29", "2026-11-22 03:30"),
        ("0 13 * * MON#1", "UTC", "2026-11-23 12:00", "2026-11-02 13:00"),
        ("0 2 * * SUN", "UTC", "2026-11-23 12:00", "2026-11-22 02:00"),
        # Clocks go forward at 02:00 on 2026-03-29: half past two is half past three on that day, and due once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29 01:29", "2026-03-28 01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29 01:30", "2026-03-29 01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-30 00:29", "2026-03-29 01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-30 00:30", "2026-03-30 00:30"),
        # Clocks go back at 03:00 on 2026-10-25: half past two comes twice, and the first counts.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:29", "2026-10-24 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:31", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-26 01:30", "2026-10-26 01:30"),
    ],
)
def test_the_last_slot_is_read_in_its_zone_and_daylight_saving_makes_none_twice_or_never(
    cron: str, zone: str, now: str, slot: str
) -> None:
    assert last_slot(cron, ZoneInfo(zone), at(now)) == at(slot)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])
def test_over_a_year_every_local_day_has_exactly_one_slot(zone: str) -> None:
    moments = (LONG_AGO + timedelta(hours=4 * step) for step in range(365 * 6))
    slots = {last_slot("30 2 * * *", ZoneInfo(zone), moment) for moment in moments}
    days = sorted(slot.astimezone(ZoneInfo(zone)).date() for slot in slots)
    assert len(days) == len(set(days))
    assert days[-1] - days[0] == timedelta(days=len(days) - 1)


@pytest.mark.parametrize(
    ("now", "newest", "overdue_s"),
    [
        ("2026-11-23 09:29", "2026-11-22 09:01", 0),
        ("2026-11-23 09:30", "2026-11-22 09:01", 0),
        ("2026-11-23 09:31", "2026-11-22 09:01", 60),
        ("2026-11-23 09:31", "2026-11-23 08:59", 60),
        ("2026-11-23 09:31", "2026-11-23 09:00", 0),
        ("2026-11-23 12:00", "2026-11-23 11:59", 0),
        ("2026-11-24 08:59", "2026-11-22 09:01", 84_540),
    ],
)
def test_a_run_is_overdue_when_its_grace_ended_without_proof(now: str, newest: str, overdue_s: float) -> None:
    evidence = Span(first=LONG_AGO, newest=at(newest))
    assert judge(run(), evidence, expected_since=LONG_AGO, now=at(now)).overdue_s == overdue_s


def test_what_was_due_before_it_was_expected_is_not_missed() -> None:
    since, now = at("2026-11-23 09:10"), at("2026-11-23 18:00")
    assert judge(run(), None, expected_since=since, now=now).overdue_s == 0
    assert judge(run(), None, expected_since=since, now=now + timedelta(days=1)).overdue_s == 30_600


def test_a_watch_that_lost_its_memory_still_sees_that_an_old_runbook_stopped() -> None:
    evidence = Span(first=at("2026-11-01 09:01"), newest=at("2026-11-20 09:01"))
    now = at("2026-11-23 10:00")
    assert judge(run(), evidence, expected_since=now, now=now).overdue_s == 1800


def test_a_silent_component_is_down_and_a_silent_api_server_hides_the_others() -> None:
    health = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": "2026-11-23T09:00:00Z"},
        "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
        "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": "2026-11-23T09:00:00Z"},
    }
    up = {"api_server": True, "metadatabase": True, "scheduler": False, "triggerer": False, "dag_processor": True}
    assert components_up(health) == up
    assert components_up({}) == {"api_server": True} | dict.fromkeys(up.keys() - {"api_server"}, False)
    assert components_up(None) == {"api_server": False}
