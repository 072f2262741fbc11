"""When the monthly runbooks begin: asked of the schedules themselves, over years and both changes of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from croniter import croniter

from sre.schedules import slots
from watch.settings import EXPECTED_RUNS

MONTHLY = "0 13 * * MON#1"
YEARS = (2026, 2031)


def listed() -> dict[str, str]:
    """The cron of every scheduled runbook; a test of the watch holds this list against the DAGs."""
    return {run["dag_id"]: run["cron"] for run in yaml.safe_load(EXPECTED_RUNS.read_text())["runs"]}


def fired(cron: str, zone: str = "UTC") -> Iterator[datetime]:
    """Every slot of some years, as Airflow's scheduler counts them, in the zone's own time."""
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction
    from pendulum import datetime as moment

    timetable = decode_timetable(encode_timetable(slots(cron, zone)))
    first, end = (moment(year, 1, 1, tz="UTC") for year in YEARS)
    span = TimeRestriction(earliest=first, latest=end, catchup=True)
    last: Any = None
    while info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=span):
        last = info.data_interval
        yield datetime.fromtimestamp(info.run_after.timestamp(), ZoneInfo(zone))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"])
def test_m_01_it_begins_once_a_month_on_the_first_monday_at_one_whatever_the_clocks_do(zone: str) -> None:
    found = list(fired(MONTHLY, zone))
    months = [(at.year, at.month) for at in found]
    assert months == [(year, month) for year in range(*YEARS) for month in range(1, 13)]
    assert {(at.weekday(), at.hour, at.minute) for at in found} == {(0, 13, 0)}
    assert max(at.day for at in found) <= 7


def test_m_01_the_cron_that_looks_the_same_is_every_monday_and_every_day_of_the_first_week() -> None:
    found = list(fired("0 13 1-7 * 1"))
    assert len(found) > 10 * 12 * (YEARS[1] - YEARS[0])
    assert {at.weekday() for at in found} == set(range(7))


def test_m_01_every_monthly_runbook_of_a_monday_is_written_so() -> None:
    mondays = {name: cron for name, cron in listed().items() if name.startswith("monthly_") and "MON" in cron.upper()}
    assert mondays["monthly_disaster_recovery_test"] == MONTHLY
    assert {name: cron for name, cron in mondays.items() if not cron.endswith("* * MON#1")} == {}
    assert {name: cron for name, cron in listed().items() if "1-7" in cron} == {}


def test_bug_100_on_a_first_monday_nothing_begins_together_and_the_monthly_test_comes_after_the_weekly_runs() -> None:
    """In one zone, as on a team's day; what runs every hour is not meant."""
    monday = datetime(2026, 12, 7, tzinfo=UTC)
    daily = {name: cron for name, cron in listed().items() if not name.startswith("hourly_")}
    begins = {
        name: at
        for name, cron in daily.items()
        if (at := croniter(cron, monday - timedelta(seconds=1)).get_next(datetime)) < monday + timedelta(days=1)
    }
    assert len(set(begins.values())) == len(begins) > 3
    weekly = [at for name, at in begins.items() if name.startswith("weekly_")]
    assert weekly
    assert begins["monthly_disaster_recovery_test"] - max(weekly) >= timedelta(hours=1)
