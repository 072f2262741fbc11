"""The day's peaks of queue, nodes and containers, from what Prometheus recorded (H-06, H-07, H-12, F-06)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from include.checks.scale import level, span, window
from include.findings import Finding, Severity
from include.probes.prometheus import Answer, Series
from include.settings import PerformanceLimits

QUEUE = "H-12"
NODES = "H-06"
PODS = "H-07"
LEAKS = "F-06"
LEAK_HOURS = 6
DRAIN = "are the workers ready and taking items? scale them or find what they wait for"


def judge_queue_day(
    p95: Answer, peak: Answer, age: Answer, *, limits: PerformanceLimits, now: datetime
) -> Iterator[Finding]:
    """Judge how deep the queue stood over the day: the depth that 95 % of it stayed below is the runbook's own threshold."""
    if not p95.series or not peak.series:
        yield _unseen_queue("queue_day", p95, limits)
        return
    depth, most = p95.series[0].value, peak.series[0].value
    severity = max(level(depth, critical=limits.queue_depth_critical), level(most, warning=limits.queue_depth_critical))
    yield Finding(
        item=QUEUE,
        check="queue_day",
        subject="work queue",
        severity=severity,
        summary=(
            f"{depth:.0f} items or fewer for 95 % of the last {span(limits.window_s)}, {most:.0f} at most"
            f" (below {limits.queue_depth_critical})"
        ),
        evidence={
            **window(now, limits.window_s),
            "value": round(depth, 2),
            "unit": "items",
            "threshold": f"< {limits.queue_depth_critical}",
            "most": round(most, 2),
            "oldest_s": round(age.series[0].value, 1) if age.series else None,
            "request": p95.query,
        },
        next_step=DRAIN if severity else "",
    )


def judge_queue_growth(depth: Answer, growth: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Warn of a queue that grows: it will reach the limit before the next look."""
    if not depth.series or not growth.series:
        yield _unseen_queue("queue_growth", depth, limits)
        return
    slope, waiting = growth.series[0].value, depth.series[0].value
    severity = level(slope, warning=limits.queue_growth_warning_per_h)
    # A queue that is nearly empty may still show a slope, from a peak that is over.
    severity = severity if waiting >= limits.queue_depth_critical / 2 else Severity.OK
    yield Finding(
        item=QUEUE,
        check="queue_growth",
        subject="work queue",
        severity=severity,
        summary=f"{waiting:.0f} items wait, {slope:+.1f} an hour",
        evidence={
            **window(now, 3600),
            "value": round(slope, 2),
            "unit": "items/h",
            "threshold": f"< {limits.queue_growth_warning_per_h:g}",
            "depth": waiting,
            "request": growth.query,
        },
        next_step=DRAIN if severity else "",
    )


def _unseen_queue(check: str, answer: Answer, limits: PerformanceLimits) -> Finding:
    return _unknown(QUEUE, check, "work queue", f"{limits.queue_depth_metric} has no data", answer)


def judge_node_day(answer: Answer, *, resource: str, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Judge what each node stayed below for 95 % of the day."""
    if not answer.series:
        yield _unknown(NODES, f"node_{resource}_day", "nodes", f"no node reports its {resource}", answer)
    warning, critical = limits.node_usage_warning_percent, limits.node_usage_critical_percent
    for line in answer.series:
        name, percent = line.label("node"), 100 * line.value
        # A share outside 0..1 is a metric that means something else, and says nothing of the node.
        sane = 0 <= percent <= 100
        severity = level(percent, warning=warning, critical=critical) if sane else Severity.UNKNOWN
        yield Finding(
            item=NODES,
            check=f"node_{resource}_day",
            subject=f"node/{name}/{resource}",
            severity=severity,
            summary=f"used {percent:.0f} % of its {resource} or less for 95 % of the last {span(limits.window_s)}",
            evidence={
                **window(now, limits.window_s),
                "value": round(percent, 2),
                "unit": "%",
                "threshold": f"< {warning:g}",
                "request": answer.query,
            },
            next_step="add a node or move work before the day's peak" if severity else "",
        )


def judge_throttling(answer: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Warn of containers whose CPU limit holds them back."""
    if not answer.series:
        yield _unknown(PODS, "throttling", "containers", "no container reports throttling", answer)
        return
    held = [line for line in answer.series if level(100 * line.value, warning=limits.throttled_warning_percent)]
    for line in held:
        yield _throttled(line, answer, limits, now, Severity.WARNING)
    if not held:
        yield _throttled(max(answer.series, key=lambda line: line.value), answer, limits, now, Severity.OK)


def _throttled(line: Series, answer: Answer, limits: PerformanceLimits, now: datetime, severity: Severity) -> Finding:
    percent = 100 * line.value
    most = "" if severity else "most throttled: "
    return Finding(
        item=PODS,
        check="throttling",
        subject=f"pod/{line.label('pod')}/{line.label('container')}" if severity else "containers",
        severity=severity,
        summary=(
            f"{most}pod {line.label('pod')} waited for CPU in {percent:.1f} % of its periods"
            f" (limit {limits.throttled_warning_percent:g} %)"
        ),
        evidence={
            **window(now, limits.window_s),
            "value": round(percent, 3),
            "unit": "% of periods",
            "threshold": f"< {limits.throttled_warning_percent:g}",
            "n": len(answer.series),
            "request": answer.query,
        },
        next_step="raise its CPU limit (M-10)" if severity else "",
    )


def judge_leaks(by_hour: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Warn of memory that rose in each of six hours: the pattern of a leak, before the OOM killer finds it."""
    if not by_hour.series:
        yield _unknown(LEAKS, "memory_leaks", "containers", "no container reports its memory", by_hour)
        return
    leaking = [line for line in by_hour.series if _leaks([value for _, value in line.points], limits)]
    yield from (_leak(line, by_hour, limits, now) for line in leaking)
    if not leaking:
        yield _no_leak(by_hour, now)


def _leak(line: Series, by_hour: Answer, limits: PerformanceLimits, now: datetime) -> Finding:
    first, last = line.points[0][1], line.points[-1][1]
    return Finding(
        item=LEAKS,
        check="memory_leaks",
        subject=f"pod/{line.label('pod')}/{line.label('container')}",
        severity=Severity.WARNING,
        summary=f"memory rose every hour for {LEAK_HOURS} h, by {100 * (last / first - 1):.0f} % in all",
        evidence={
            **window(now, LEAK_HOURS * 3600),
            "value": round(100 * (last / first - 1), 1),
            "unit": "%",
            "threshold": f"< {limits.leak_growth_warning_percent:g}",
            "n": len(line.points),
            "request": by_hour.query,
        },
        next_step="restart it before its limit, and look at what the last deploy keeps in memory",
    )


def _no_leak(by_hour: Answer, now: datetime) -> Finding:
    n = len(by_hour.series)
    return Finding(
        item=LEAKS,
        check="memory_leaks",
        subject="containers",
        severity=Severity.OK,
        summary=f"none of {n} containers' memory rose steadily for {LEAK_HOURS} h",
        evidence={
            **window(now, LEAK_HOURS * 3600),
            "value": 0,
            "unit": "containers",
            "n": n,
            "request": by_hour.query,
        },
    )


def _leaks(values: Sequence[float], limits: PerformanceLimits) -> bool:
    rising = all(later > earlier for earlier, later in pairwise(values))
    grown = len(values) > LEAK_HOURS and values[-1] >= values[0] * (1 + limits.leak_growth_warning_percent / 100)
    return rising and grown and values[-1] >= limits.leak_min_bytes


def _unknown(item: str, check: str, subject: str, summary: str, answer: Answer) -> Finding:
    return Finding(
        item=item,
        check=check,
        subject=subject,
        severity=Severity.UNKNOWN,
        summary=summary,
        evidence={"request": answer.query, "n": 0},
        next_step="check Prometheus' targets and the metric names in settings performance",
    )
