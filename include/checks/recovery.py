"""How long a recovery takes and how much it loses, against the targets, the tests before, and the month (items M-04, M-05)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.backups.moving import size
from include.checks.disaster import PAGE, of, utc
from include.findings import Finding, Severity
from include.ops.evidence import Measured
from include.reporting import text
from include.settings import BackupLimits, DisasterLimits

GB = 1e9
_AGAIN = "mend what is named, then trigger the runbook again"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One test: how large the database was, how long its recovery took, how much it would have lost."""

    at: datetime
    database_bytes: int
    rto_s: float
    rpo_s: float | None = None
    run_id: str = ""

    @property
    def s_per_gb(self) -> float:
        """Seconds for each gigabyte of database; for a small one mostly what every restore takes."""
        return self.rto_s / (self.database_bytes / GB)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a recovery will take if the database grows as it did.

    :param why_not: why nothing can be said; "" if the numbers are.
    :param growth_bytes: a day.
    """

    why_not: str = ""
    growth_bytes: float = 0.0
    database_bytes: float = 0.0
    rto_s: float = 0.0


def points(recovery: Sequence[Measured], loss: Sequence[Measured]) -> list[Point]:
    """Return the earlier tests that restored something, oldest first, from their rows of M-04 and M-05."""
    lost = {each.run_id: each.value for each in loss}
    return [
        Point(
            at=each.observed_at,
            database_bytes=int(each.detail["database_bytes"]),
            rto_s=each.value,
            rpo_s=lost.get(each.run_id),
            run_id=each.run_id,
        )
        for each in recovery
        if each.detail.get("database_bytes")
    ]


def this_one(restored: Mapping[str, Any], now: datetime) -> list[Point]:
    """Return this test's own point; none if nothing was restored.

    :param restored: evidence of `restored_newest`.
    """
    if not restored.get("database_bytes"):
        return []
    size_now = int(restored["database_bytes"])
    return [Point(at=now, database_bytes=size_now, rto_s=float(restored["rto_s"]), rpo_s=float(restored["rpo_s"]))]


def forecast(tests: Sequence[Point], limits: DisasterLimits) -> Forecast:
    """Return the recovery time in `forecast_days`: today's seconds per gigabyte, times the size on a straight line of the tests.

    A database that shrank is taken to stay as it is, since what was deleted once may not be deleted again.
    """
    span = tests[-1].at - tests[0].at if tests else timedelta()
    if len(tests) < 2:
        return Forecast(why_not=f"no trend yet: {len(tests) or 'no'} test has restored anything, and two are the least")
    if span < timedelta(days=limits.trend_min_days):
        seen = f"{len(tests)} tests within {span / timedelta(days=1):.1f} days"
        return Forecast(why_not=f"no trend yet: {seen}, and {limits.trend_min_days} days are the least")
    ages = [(each.at - tests[0].at) / timedelta(days=1) for each in tests]
    growth = statistics.linear_regression(ages, [float(each.database_bytes) for each in tests]).slope
    then = tests[-1].database_bytes + max(0.0, growth) * limits.forecast_days
    return Forecast(growth_bytes=growth, database_bytes=then, rto_s=tests[-1].s_per_gb * then / GB)


def judge_recovery_time(
    restored: Mapping[str, Any], tests: Sequence[Point], limits: BackupLimits, test: DisasterLimits
) -> Iterator[Finding]:
    """How long from the decision until it was restored and compared, and where that goes (M-04).

    :param restored: evidence of `restored_newest`; empty if nothing was restored.
    :param tests: earlier ones and this one, oldest first.
    """
    yield (
        _recovery_time(restored, tests, limits) if restored else _not_known("M-04", "rto", limits.rto_target_s, limits)
    )
    yield _trend(tests, limits, test)


def _not_known(item: str, check: str, target_s: float, limits: BackupLimits) -> Finding:
    said = f"no {check.upper()}: nothing was restored (target {text.span(target_s)})"
    return of(item, check, Severity.UNKNOWN, said, limits, next_step=_AGAIN, unit="s", threshold=target_s)


def _recovery_time(restored: Mapping[str, Any], tests: Sequence[Point], limits: BackupLimits) -> Finding:
    rto_s, target_s = float(restored["rto_s"]), limits.rto_target_s
    within = rto_s <= target_s
    before = f", {tests[-2].rto_s:.1f} s in the test before" if len(tests) > 1 else ""
    said = f"from the decision to restored and equal {rto_s:.1f} s (target {target_s:.0f} s{before})"
    return of(
        "M-04",
        "rto",
        Severity.OK if within else Severity.CRITICAL,
        said,
        limits,
        next_step="" if within else f"{PAGE}, section Too slow",
        value=rto_s,
        unit="s",
        threshold=target_s,
        headroom_percent=round(100 * (1 - rto_s / target_s), 1),
        database_bytes=restored["database_bytes"],
        steps=restored["steps"],
        before_s=tests[-2].rto_s if len(tests) > 1 else None,
    )


def _trend(tests: Sequence[Point], limits: BackupLimits, test: DisasterLimits) -> Finding:
    told = forecast(tests, test)
    runs = [{**asdict(each), "at": each.at.isoformat(timespec="seconds")} for each in tests]
    if told.why_not:
        return of("M-04", "trend", Severity.INFO, told.why_not, limits, n=len(tests), runs=runs)
    within = told.rto_s <= limits.rto_target_s
    said = (
        f"in {test.forecast_days} days a recovery takes {told.rto_s:.1f} s (target {limits.rto_target_s:.0f} s):"
        f" {tests[-1].s_per_gb:.3g} s per GB now, {size(told.database_bytes)} then, by {len(tests)} tests"
    )
    return of(
        "M-04",
        "trend",
        Severity.OK if within else Severity.WARNING,
        said,
        limits,
        next_step="" if within else f"{PAGE}, section Too slow",
        value=round(told.rto_s, 1),
        unit="s",
        threshold=limits.rto_target_s,
        n=len(tests),
        runs=runs,
        s_per_gb=round(tests[-1].s_per_gb, 2),
        growth_bytes_a_day=round(told.growth_bytes),
        database_bytes_then=round(told.database_bytes),
    )


# --- how much it would lose (M-05)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The most that could have been lost at one moment of a time: until the next backup was proved, the last one had to do."""

    seconds: float
    at: datetime
    proofs: int


def worst(proofs: Sequence[Measured], rpo_s: float, now: datetime) -> Exposure:
    """Return the month's worst moment.

    :param proofs: when a backup became GOOD, and how old its newest transaction was then (B-16+), oldest first.
    :param rpo_s: the age of the newest restored transaction now.
    """
    moments = [(rpo_s, now)]
    newest: datetime | None = None
    for each in proofs:
        until = newest or each.observed_at - timedelta(seconds=each.value)
        moments.append(((each.observed_at - until).total_seconds(), each.observed_at))
        newest = max(until, each.observed_at - timedelta(seconds=each.value))
    seconds, at = max(moments)
    return Exposure(seconds=seconds, at=at, proofs=len(proofs))


def judge_data_loss(
    restored: Mapping[str, Any], proofs: Sequence[Measured], limits: BackupLimits, test: DisasterLimits, now: datetime
) -> Iterator[Finding]:
    """How old the newest restored transaction is, and how old it was at the worst moment of the month (M-05)."""
    if not restored:
        yield _not_known("M-05", "rpo", limits.rpo_target_s, limits)
        return
    rpo_s, target_s = float(restored["rpo_s"]), limits.rpo_target_s
    newest = utc(datetime.fromisoformat(restored["newest_transaction_at"]))
    what = "transaction" if restored["commit_times_known"] else "snapshot (the server keeps no commit times)"
    said = f"the newest restored {what} is of {newest}, {text.span(rpo_s)} old (target {text.span(target_s)})"
    known = {"unit": "s", "threshold": target_s}
    step = "" if rpo_s <= target_s else f"{PAGE}, section Too much lost"
    severity = Severity.CRITICAL if step else Severity.OK
    yield of("M-05", "rpo", severity, said, limits, next_step=step, value=round(rpo_s, 1), **known)
    yield _month(worst(proofs, rpo_s, now), limits, test)


def _month(found: Exposure, limits: BackupLimits, test: DisasterLimits) -> Finding:
    target_s = limits.rpo_target_s
    within = found.seconds <= target_s
    said = (
        f"at the worst moment of {test.month_days} days, {utc(found.at)}, {text.span(found.seconds)} would have been lost"
        f" (target {text.span(target_s)}; {found.proofs} proofs)"
    )
    return of(
        "M-05",
        "rpo_month",
        Severity.OK if within else Severity.WARNING,
        said,
        limits,
        next_step="" if within else f"{PAGE}, section Too much lost",
        value=round(found.seconds, 1),
        unit="s",
        threshold=target_s,
        n=found.proofs,
        at=found.at.isoformat(timespec="seconds"),
    )


def table(tests: Sequence[Point]) -> tuple[str, ...]:
    """Return the tests as lines of equal columns, the newest last."""
    head = ("UTC day", "database", "RTO", "s per GB", "RPO")
    rows = [
        (
            f"{each.at.astimezone(UTC):%Y-%m-%d}",
            size(each.database_bytes),
            f"{each.rto_s:.1f} s",
            f"{each.s_per_gb:.3g}",
            "-" if each.rpo_s is None else text.span(each.rpo_s),
        )
        for each in tests
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return tuple("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows)) if rows else ()
