from __future__ import annotations

import pytest

from include.checks.scale import Band, Share, level, span
from include.findings import Severity


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        (79.9, Severity.OK),
        (80, Severity.WARNING),
        (94.9, Severity.WARNING),
        (95, Severity.CRITICAL),
        (100, Severity.CRITICAL),
    ],
)
def test_warns_at_exactly_the_limit(value: float, severity: Severity) -> None:
    assert level(value, warning=80, critical=95) is severity


def test_without_a_limit_nothing_is_too_much() -> None:
    assert level(1e9) is Severity.OK


# Brown, Cai and DasGupta (2001), table of the Wilson interval; the last two by hand.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (95, 100, 0.8882, 0.9785)],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int, low: float, high: float) -> None:
    share = Share(hits, n)
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_may_be_anything() -> None:
    assert (Share(0, 0).low, Share(0, 0).high) == (0.0, 1.0)


def test_a_share_that_extrapolation_put_over_one_still_has_an_interval() -> None:
    assert Share(100.4, 100).high == 1.0


def test_a_band_of_equal_days_is_as_wide_as_its_floor() -> None:
    band = Band.around([100, 100, 100, 100], deviations=4, floor_percent=20)
    assert (band.low, band.middle, band.high) == (80, 100, 120)


def test_a_band_ignores_one_odd_day() -> None:
    assert 300 not in Band.around([100, 102, 98, 500], deviations=4, floor_percent=20)


@pytest.mark.parametrize("edge", [80, 120])
def test_the_edge_of_a_band_is_inside(edge: float) -> None:
    assert edge in Band.around([100, 100, 100], deviations=4, floor_percent=20)


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (120, "2 min"), (5400, "90 min"), (86_400, "24 h")])
def test_a_span_is_told_in_the_unit_that_people_use(seconds: float, words: str) -> None:
    assert span(seconds) == words
