from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest

from sandbox.seed.shape import traffic

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
YEAR = [MONDAY + timedelta(minutes=5 * n) for n in range(365 * 288)]


def test_is_a_share_that_is_never_nothing() -> None:
    loads = [traffic(at) for at in YEAR]
    assert min(loads) > 0
    assert 0.97 < max(loads) <= 1


def test_five_minutes_never_jump() -> None:
    loads = [traffic(at) for at in YEAR[: 2 * 2016]]
    assert max(abs(after - before) for before, after in pairwise(loads)) < 0.03


@pytest.mark.parametrize(
    ("busier", "calmer"),
    [
        (timedelta(days=1, hours=11), timedelta(days=1, hours=3)),
        (timedelta(days=2, hours=11), timedelta(days=5, hours=11)),
        (timedelta(days=2, hours=11), timedelta(days=6, hours=11)),
    ],
)
def test_days_are_busier_than_nights_and_weekends(busier: timedelta, calmer: timedelta) -> None:
    assert traffic(MONDAY + busier) > 1.5 * traffic(MONDAY + calmer)


def test_a_place_with_another_clock_sees_the_same_load_at_the_same_moment() -> None:
    at = datetime.fromisoformat("2026-06-01T11:00:00+02:00")
    assert traffic(at) == traffic(at.astimezone(UTC))


def test_every_day_lies_inside_three_deviations_of_the_same_weekday_of_four_weeks() -> None:
    for day in range(28, 28 + 90):
        today, *before = (_of_day(MONDAY + timedelta(days=day - 7 * week)) for week in range(5))
        middle = median(before)
        assert abs(today - middle) <= 3 * median(abs(value - middle) for value in before)


def _of_day(start: datetime) -> float:
    return sum(traffic(start + timedelta(hours=hour)) for hour in range(24))
