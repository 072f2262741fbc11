"""Whether the platform is used as on other such days (H-13 to H-16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.checks.scale import Band, span, window
from include.findings import Finding, Severity
from include.probes.business import Weeks
from include.settings import BusinessLimits

DAY_S = 86_400
USERS = "H-13"
EXECUTIONS = "H-14"
REVENUE = "H-15"
API_USAGE = "H-16"


@dataclass(frozen=True, kw_only=True)
class Number:
    """Which number is judged, and how.

    :param secret: only the change is told, never the amount.
    :param both_ways: too much is as suspicious as too little.
    :param none_is_critical: an idle platform is a broken one.
    """

    item: str
    check: str
    subject: str
    unit: str
    max_age_s: float
    secret: bool = False
    both_ways: bool = False
    none_is_critical: bool = False


def judge_number(weeks: Weeks, *, number: Number, limits: BusinessLimits, now: datetime) -> Iterator[Finding]:
    """Judge today's 24 hours against the band of the same weekday; stale or missing history is UNKNOWN."""
    yield (
        _nothing_today(weeks, number, now)
        or _stale(weeks, number, now)
        or _no_band(weeks, number, limits, now)
        or _against_band(weeks, number, limits, now)
    )


def _nothing_today(weeks: Weeks, number: Number, now: datetime) -> Finding | None:
    if weeks.today or not number.none_is_critical or not weeks.before:
        return None
    step = "is the scheduler up, the gateway reachable, the API key of the greatest customer valid?"
    return _finding(number, Severity.CRITICAL, "not one in 24 h", now, value=0.0, n=0, step=step)


def _stale(weeks: Weeks, number: Number, now: datetime) -> Finding | None:
    age_s = (now - weeks.newest).total_seconds() if weeks.newest else None
    if age_s is not None and age_s <= number.max_age_s:
        return None
    words = "there is no record at all" if age_s is None else f"the newest record is {span(age_s)} old"
    summary = f"{words} (limit {span(number.max_age_s)})"
    return _finding(number, Severity.UNKNOWN, summary, now, step="has the writer of these records stopped?")


def _no_band(weeks: Weeks, number: Number, limits: BusinessLimits, now: datetime) -> Finding | None:
    if len(weeks.before) >= limits.min_weeks:
        return None
    summary = f"{len(weeks.before)} earlier weeks with data, {limits.min_weeks} are needed for a band"
    return _finding(number, Severity.UNKNOWN, summary, now, n=len(weeks.before), step="wait, or load the history")


def _against_band(weeks: Weeks, number: Number, limits: BusinessLimits, now: datetime) -> Finding:
    today, before = _relative(weeks) if number.secret else (weeks.today, weeks.before)
    band = Band.around(before, deviations=limits.deviations, floor_percent=limits.floor_percent)
    if number.secret:
        today, band = 100 * (today - 1), Band(low=100 * (band.low - 1), middle=0.0, high=100 * (band.high - 1))
    severity, words = _place(today, band, both_ways=number.both_ways)
    shown = f"{today:+.1f} %" if number.secret else f"{today:,.0f}"
    expected = (
        f"{band.low:+.1f} to {band.high:+.1f} %" if number.secret else f"{max(0.0, band.low):,.0f} to {band.high:,.0f}"
    )
    return _finding(
        number,
        severity,
        f"{shown} in 24 h, {words} the band of this weekday ({expected})",
        now,
        value=round(today, 2),
        threshold=expected,
        n=len(before),
        step="did a deploy, an outage or a holiday change it?" if severity > Severity.INFO else "",
    )


def _relative(weeks: Weeks) -> tuple[float, Sequence[float]]:
    """Return all amounts as multiples of the median of the weeks before, so that none of them can be read back."""
    middle = Band.around(weeks.before, deviations=1, floor_percent=0).middle
    return weeks.today / middle, [value / middle for value in weeks.before]


def _place(today: float, band: Band, *, both_ways: bool) -> tuple[Severity, str]:
    if today in band:
        return Severity.OK, "inside"
    if today < band.low:
        return Severity.WARNING, "below"
    return (Severity.WARNING if both_ways else Severity.INFO), "above"


def _finding(
    number: Number,
    severity: Severity,
    summary: str,
    now: datetime,
    *,
    value: float | None = None,
    threshold: str = "band of the same weekday",
    n: int | None = None,
    step: str = "",
) -> Finding:
    return Finding(
        item=number.item,
        check=number.check,
        subject=number.subject,
        severity=severity,
        summary=summary,
        evidence={
            **window(now, DAY_S),
            "value": value,
            "unit": "% of the usual" if number.secret else number.unit,
            "threshold": threshold,
            "n": n,
        },
        next_step=step,
    )
