from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks.business import Number, judge_number
from include.findings import Finding, Severity
from include.probes.business import Weeks
from include.settings import BusinessLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BEFORE = (1000.0, 1010.0, 990.0, 1005.0)


def judged(today: float, *, before: tuple[float, ...] = BEFORE, age_s: float | None = 60, **changes: Any) -> Finding:
    newest = None if age_s is None else NOW - timedelta(seconds=age_s)
    fields: dict[str, Any] = {
        "item": "H-13",
        "check": "c",
        "subject": "active users",
        "unit": "users",
        "max_age_s": 3600,
    }
    number = Number(**{**fields, **changes})
    weeks = Weeks(today=today, before=before, newest=newest)
    (finding,) = judge_number(weeks, number=number, limits=BusinessLimits(), now=NOW)
    return finding


# The band of BEFORE is its median 1002.5 ± 20 %: 802 to 1203.
@pytest.mark.parametrize(
    ("today", "severity"),
    [(1000, Severity.OK), (802, Severity.OK), (801.9, Severity.WARNING), (1203, Severity.OK), (1204, Severity.INFO)],
)
def test_a_day_is_compared_with_the_band_of_its_weekday(today: float, severity: Severity) -> None:
    assert judged(today).severity is severity


def test_too_much_warns_where_that_is_as_suspicious() -> None:
    assert judged(1500, both_ways=True).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("age_s", "severity"), [(3600, Severity.OK), (3601, Severity.UNKNOWN), (None, Severity.UNKNOWN)]
)
def test_a_source_that_stopped_is_unknown(age_s: float | None, severity: Severity) -> None:
    assert judged(1000, age_s=age_s).severity is severity


@pytest.mark.parametrize(("weeks", "severity"), [(3, Severity.OK), (2, Severity.UNKNOWN), (0, Severity.UNKNOWN)])
def test_two_weeks_are_no_band(weeks: int, severity: Severity) -> None:
    assert judged(1000, before=BEFORE[:weeks]).severity is severity


def test_not_one_execution_is_critical_even_though_the_source_looks_stale() -> None:
    assert judged(0, none_is_critical=True, age_s=90_000).severity is Severity.CRITICAL


def test_no_execution_in_a_place_that_never_had_any_is_unknown() -> None:
    assert judged(0, before=(), none_is_critical=True, age_s=None).severity is Severity.UNKNOWN


def test_revenue_is_told_as_a_change_and_never_as_an_amount() -> None:
    finding = judged(123_456.78, before=(111_111.0, 111_222.0, 111_333.0, 111_000.0), secret=True, both_ways=True)
    told = finding.summary + json.dumps(dict(finding.evidence)) + finding.next_step
    assert finding.evidence["value"] == 11.06
    assert not any(digits in told for digits in ("123456", "123,456", "1111", "111,1"))


@pytest.mark.parametrize(
    ("today", "severity"), [(800, Severity.WARNING), (1000, Severity.OK), (1300, Severity.WARNING)]
)
def test_revenue_outside_its_band_warns_both_ways(today: float, severity: Severity) -> None:
    assert judged(today, secret=True, both_ways=True).severity is severity
