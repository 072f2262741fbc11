"""Judge what the statements cost between two looks: shares of the time, regressions, newcomers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.findings import Finding, Severity
from include.probes.statements import Statement, Statements
from include.settings import OptimisationLimits

KEPT = 500
"""Statements of which a snapshot keeps the counters; what came behind them cost less than each of these."""
SNAPSHOT = "snapshot"
"""The check under which a snapshot lies in the evidence, for the next look."""
PAGE = "docs/runbooks/weekly_performance_optimization.md"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The counters of an earlier look.

    :param counters: calls and total milliseconds, by statement; `least_ms`: what any statement that is not among them cost at most.
    """

    at: datetime
    database: str
    major: int
    thrown_out: int
    least_ms: float
    counters: Mapping[str, tuple[int, float]]

    @classmethod
    def of(cls, now: Statements) -> Snapshot:
        """Keep what cost most."""
        kept = sorted(now.found, key=lambda each: -each.total_ms)[:KEPT]
        least = kept[-1].total_ms if len(now.found) > KEPT else 0.0
        counters = {each.key: (each.calls, round(each.total_ms, 3)) for each in kept}
        return cls(
            at=now.at,
            database=now.database,
            major=now.major,
            thrown_out=now.thrown_out,
            least_ms=least,
            counters=counters,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the evidence keeps."""
        counters = {key: list(counted) for key, counted in self.counters.items()}
        return {**vars(self), "at": self.at.isoformat(), "counters": counters}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Snapshot:
        """Read back what `to_json` wrote."""
        counters = {key: (int(calls), float(total)) for key, (calls, total) in value["counters"].items()}
        fields = {name: value[name] for name in ("database", "major", "thrown_out", "least_ms")}
        return cls(at=datetime.fromisoformat(value["at"]), counters=counters, **fields)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one statement cost between two looks.

    :param earlier_mean_ms: before the first of them; None if it is not known from then.
    :param is_new: it was not there at the first look.
    """

    statement: Statement
    calls: int
    total_ms: float
    earlier_mean_ms: float | None = None
    is_new: bool = False

    @property
    def mean_ms(self) -> float:
        """Of one call between the looks."""
        return self.total_ms / self.calls


@dataclass(frozen=True, kw_only=True)
class Interval:
    """All that was run between two looks.

    :param since: the first look, or what the server counts from if there is none to compare with.
    :param compared: whether there was an earlier look of the same counters.
    :param why_not: why there was not, or what may be missing.
    """

    since: datetime
    until: datetime
    costs: Sequence[Cost]
    compared: bool
    why_not: str = ""

    @property
    def total_ms(self) -> float:
        """Of all of them."""
        return sum(each.total_ms for each in self.costs)


def between(before: Snapshot | None, now: Statements) -> Interval:
    """Return what was run since the earlier look, aware of resets and of statements that the server forgot meanwhile."""
    if reason := _incomparable(before, now):
        costs = [Cost(statement=each, calls=each.calls, total_ms=each.total_ms) for each in now.found if each.calls]
        return Interval(since=now.reset_at, until=now.at, costs=costs, compared=False, why_not=reason)
    assert before
    found = [cost for each in now.found if (cost := _cost(each, before))]
    forgot = now.thrown_out - before.thrown_out
    said = f"{forgot} times the server forgot rare statements: raise pg_stat_statements.max" if forgot > 0 else ""
    return Interval(since=before.at, until=now.at, costs=found, compared=True, why_not=said)


def _incomparable(before: Snapshot | None, now: Statements) -> str:
    if before is None:
        return "this is the first look; from the next one on it is compared"
    if now.reset_at > before.at:
        return f"the statistics were reset at {now.reset_at:%Y-%m-%d %H:%M} UTC, after the last look"
    if (now.database, now.major) != (before.database, before.major):
        return f"the last look was at {before.database} on PostgreSQL {before.major}"
    return ""


def _cost(now: Statement, before: Snapshot) -> Cost | None:
    """Return what it cost since then; None if it was not called."""
    calls, total_ms = before.counters.get(now.key, (0, 0.0))
    began_anew = (now.counted_since and now.counted_since > before.at) or now.calls < calls or now.total_ms < total_ms
    if began_anew:
        calls, total_ms = 0, 0.0
    known = now.key in before.counters
    at_least = (
        0.0 if known or began_anew else before.least_ms
    )  # too cheap to be kept then, so it cost at most that much
    spent_ms, called = now.total_ms - total_ms - at_least, now.calls - calls
    if called <= 0 or spent_ms < 0:
        return None
    earlier = total_ms / calls if calls else None
    is_new = not known and not before.least_ms
    return Cost(statement=now, calls=called, total_ms=spent_ms, earlier_mean_ms=earlier, is_new=is_new)


# --- what is said of it -------------------------------------------------------------------------------------------------


def judge_statements(
    interval: Interval, snapshot: Snapshot, limits: OptimisationLimits, subject: str
) -> Iterator[Finding]:
    """The slowest by share, mean and worst; who takes too much; who became slower; who is new (F-08, W-08)."""
    yield from _lists(interval, limits, subject)
    yield from _greedy(interval, limits)
    slower = list(_slower(interval, limits)) if interval.compared else []
    yield from slower
    yield _compared(interval, len(slower), subject)
    yield _newcomers(interval, limits, subject)
    yield Finding(
        item="W-08",
        check=SNAPSHOT,
        subject=subject,
        severity=Severity.OK,
        summary=f"the counters of {len(snapshot.counters)} statements are kept for the next look",
        evidence={"value": len(snapshot.counters), "unit": "statements", "snapshot": snapshot.to_json()},
    )


def _lists(interval: Interval, limits: OptimisationLimits, subject: str) -> Iterator[Finding]:
    orders: tuple[tuple[str, Callable[[Cost], float]], ...] = (
        ("by_total", lambda cost: cost.total_ms),
        ("by_mean", lambda cost: cost.mean_ms),
        ("by_worst", lambda cost: cost.statement.max_ms),
    )
    window = {"window_start": interval.since.isoformat(), "window_end": interval.until.isoformat()}
    for check, order in orders:
        top = sorted(interval.costs, key=order, reverse=True)[: limits.top]
        said = (
            f"{check.replace('_', ' ')}: {told(top[0], interval)}" if top else "no statement of the application was run"
        )
        rows = [_row(cost, interval) for cost in top]
        evidence: dict[str, Any] = {"n": len(interval.costs), "statements": rows, **window}
        yield Finding(item="F-08", check=check, subject=subject, severity=Severity.OK, summary=said, evidence=evidence)


def told(cost: Cost, interval: Interval) -> str:
    """Return one statement with its numbers."""
    return (
        f"{share(cost, interval):.1f} % of the time, {cost.calls} calls of {cost.mean_ms:.2f} ms, worst"
        f" {cost.statement.max_ms:.0f} ms: {cost.statement.query[:120]}"
    )


def share(cost: Cost, interval: Interval) -> float:
    """Return its percentage of all the time."""
    return 100 * cost.total_ms / interval.total_ms if interval.total_ms else 0.0


def _row(cost: Cost, interval: Interval) -> dict[str, Any]:
    return {
        "queryid": cost.statement.queryid,
        "role": cost.statement.role,
        "query": cost.statement.query,
        "calls": cost.calls,
        "total_ms": round(cost.total_ms, 1),
        "share_percent": round(share(cost, interval), 1),
        "mean_ms": round(cost.mean_ms, 3),
        "max_ms": round(cost.statement.max_ms, 1),
        "blocks_read": cost.statement.blocks_read,
        "temp_blocks": cost.statement.temp_blocks,
    }


def _greedy(interval: Interval, limits: OptimisationLimits) -> Iterator[Finding]:
    for cost in interval.costs:
        if share(cost, interval) > limits.share_warning_percent and interval.total_ms >= limits.total_min_ms:
            yield Finding(
                item="F-08",
                check="share",
                subject=f"statement/{cost.statement.key}",
                severity=Severity.WARNING,
                summary=f"{told(cost, interval)} (limit {limits.share_warning_percent:g} % for one statement)",
                evidence={"value": round(share(cost, interval), 1), "unit": "%", "n": cost.calls},
                next_step=f"EXPLAIN (GENERIC_PLAN) of it on a replica; {PAGE}",
            )


def _slower(interval: Interval, limits: OptimisationLimits) -> Iterator[Finding]:
    for cost in interval.costs:
        earlier = cost.earlier_mean_ms
        if not earlier or cost.calls < limits.calls_min or cost.total_ms < limits.total_min_ms:
            continue
        if cost.mean_ms >= limits.slower_factor * earlier:
            yield Finding(
                item="W-08",
                check="slower",
                subject=f"statement/{cost.statement.key}",
                severity=Severity.WARNING,
                summary=f"{cost.mean_ms / earlier:.1f} times as slow as before ({earlier:.2f} ms, now {cost.mean_ms:.2f} ms in"
                f" {cost.calls} calls): {cost.statement.query[:120]}",
                evidence={"value": round(cost.mean_ms / earlier, 2), "unit": "times", "n": cost.calls},
                next_step=f"compare its plan with the one of last week, look for stale statistics; {PAGE}",
            )


def _compared(interval: Interval, slower: int, subject: str) -> Finding:
    said = f"{slower} became slower since {interval.since:%Y-%m-%d %H:%M} UTC" if interval.compared else "not compared"
    severity = Severity.OK if interval.compared else Severity.INFO
    summary = f"{said}; {interval.why_not}" if interval.why_not else said
    evidence = {"n": len(interval.costs), "value": slower, "compared": interval.compared}
    return Finding(
        item="W-08", check="compared", subject=subject, severity=severity, summary=summary, evidence=evidence
    )


def _newcomers(interval: Interval, limits: OptimisationLimits, subject: str) -> Finding:
    new = sorted((cost for cost in interval.costs if cost.is_new), key=lambda cost: -cost.total_ms)
    said = f"{len(new)} statements are new; most costs {told(new[0], interval)}" if new else "no statement is new"
    rows = [_row(cost, interval) for cost in new[: limits.top]]
    return Finding(
        item="W-08",
        check="new",
        subject=subject,
        severity=Severity.OK,
        summary=said,
        evidence={"n": len(new), "statements": rows},
    )
