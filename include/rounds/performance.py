"""Latency, errors, API use, the day's peaks and whether alerts arrive, from Prometheus.

It answers H-06, H-07, H-09, H-10, H-12, H-16, F-02, F-03 and F-06, and of H-04 whether alerts can arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from include.checks import capacity, delivery, performance
from include.checks.inquiry import Question, inquire
from include.checks.queries import Queries
from include.findings import Report
from include.probes.prometheus import Answer, Prometheus
from include.settings import PerformanceLimits

HOUR_S = 3600
STEP = "check connections.prometheus; is Prometheus up?"
Look = Callable[[], Answer]

ask = partial(Question, subject="prometheus", next_step=STEP)


def round_performance(
    prometheus: Prometheus, *, namespace: str, limits: PerformanceLimits, now: datetime, deadline_s: float
) -> Report:
    """Send all queries at once; those that two questions share are sent once."""
    queries = Queries(limits, namespace)
    return inquire("performance", looks(prometheus, queries, now), list(questions(limits, now)), deadline_s=deadline_s)


def looks(prometheus: Prometheus, queries: Queries, now: datetime) -> dict[str, Look]:
    """Return every query by name."""
    limits = queries.limits
    instant = {
        "requests_age": queries.requests_age(),
        "latency_age": queries.latency_age(),
        "within": queries.within_limit(limits.window_s),
        "answered": queries.answered(limits.window_s),
        "queue_now": queries.queue_now(),
        "queue_p95": queries.queue_p95(),
        "queue_peak": queries.queue_peak(),
        "queue_growth": queries.queue_growth(),
        "queue_age": queries.queue_age(),
        "node_cpu": queries.node_cpu_p95(),
        "node_memory": queries.node_memory_p95(),
        "throttled": queries.throttled(),
        "keys": queries.usage_by_key(limits.window_s),
        "keys_before": queries.usage_by_key(limits.window_s, weeks_ago=1),
        "alertmanager": queries.alertmanager_up(),
        "alertmanagers": queries.alertmanagers_known(),
        "dropped": queries.alerts_dropped(),
        "failed": queries.alerts_failed(),
        "talkers": queries.usage_by_key_and_route(),
        **{f"codes_{seconds}": queries.requests_by_code(seconds) for seconds in windows(limits)},
        **{f"within_{seconds}": queries.within_limit(seconds) for seconds in limits.recent_s},
        **{f"answered_{seconds}": queries.answered(seconds) for seconds in limits.recent_s},
    }
    return {name: partial(prometheus.instant, text, now) for name, text in instant.items()} | _ranges(
        prometheus, queries, now
    )


def _ranges(prometheus: Prometheus, queries: Queries, now: datetime) -> dict[str, Look]:
    limits = queries.limits
    day, hours = timedelta(seconds=limits.window_s - limits.step_s), timedelta(hours=capacity.LEAK_HOURS)
    return {
        "p95_series": partial(prometheus.range, queries.p95_series(), start=now - day, end=now, step_s=limits.step_s),
        "memory": partial(prometheus.range, queries.memory_by_hour(), start=now - hours, end=now, step_s=HOUR_S),
    }


def windows(limits: PerformanceLimits) -> list[int]:
    """Return every window, in seconds, over which errors are counted."""
    burns = (round(seconds) for rate in limits.burn_rates for seconds in (rate.long_s, rate.short_s))
    return sorted({limits.window_s, *limits.recent_s, *burns})


def questions(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    """Return what is asked of the answers."""
    yield from _alerts(limits, now)
    yield from _fresh(limits)
    yield from _day(limits, now)
    yield from _recent(limits, now)
    yield from _burns(limits, now)
    yield from _queue(limits, now)
    yield from _nodes_and_pods(limits, now)
    judge = partial(performance.judge_usage, limits=limits, now=now)
    yield ask(item="H-16", check="api_usage", needs=("keys", "keys_before", "talkers"), judge=judge)


def _alerts(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    sent = partial(delivery.judge_sent, limits=limits, now=now)
    yield ask(item="H-04", check="alerts_delivered", needs=("alertmanager",), judge=delivery.judge_alertmanager)
    yield ask(item="H-04", check="alerts_delivered", needs=("alertmanagers",), judge=delivery.judge_discovered)
    yield ask(item="H-04", check="alerts_delivered", needs=("dropped", "failed"), judge=sent)


def _fresh(limits: PerformanceLimits) -> Iterator[Question]:
    judge = partial(performance.judge_freshness, limits=limits)
    latency = partial(judge, item="H-09", metric=limits.latency_metric)
    requests = partial(judge, item="H-10", metric=limits.requests_metric)
    yield ask(item="H-09", check="samples_fresh", needs=("latency_age",), judge=latency)
    yield ask(item="H-10", check="samples_fresh", needs=("requests_age",), judge=requests)


def _day(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    dated: dict[str, Any] = {"limits": limits, "now": now}
    latency, errors = partial(performance.judge_latency, **dated), partial(performance.judge_errors, **dated)
    yield ask(item="H-09", check="latency", needs=("within", "answered"), judge=latency)
    yield ask(item="F-02", check="p95_series", needs=("p95_series",), judge=partial(performance.judge_windows, **dated))
    yield ask(item="H-10", check="errors", needs=(f"codes_{limits.window_s}",), judge=errors)


def _recent(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    for seconds in limits.recent_s:
        dated: dict[str, Any] = {"limits": limits, "now": now, "window_s": seconds}
        latency = partial(performance.judge_recent_latency, **dated)
        errors = partial(performance.judge_recent_errors, **dated)
        both = (f"within_{seconds}", f"answered_{seconds}")
        yield ask(item="H-09", check=f"latency_{seconds}s", needs=both, judge=latency)
        yield ask(item="H-10", check=f"errors_{seconds}s", needs=(f"codes_{seconds}",), judge=errors)


def _burns(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    for rate in limits.burn_rates:
        needs = (f"codes_{rate.long_s:.0f}", f"codes_{rate.short_s:.0f}")
        judge = partial(performance.judge_burn, rate=rate, limits=limits, now=now)
        yield ask(item="H-10", check=f"burn_rate_{rate.factor:g}", needs=needs, judge=judge)


def _queue(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    dated: dict[str, Any] = {"limits": limits, "now": now}
    day, growth = partial(capacity.judge_queue_day, **dated), partial(capacity.judge_queue_growth, **dated)
    yield ask(item="H-12", check="queue_day", needs=("queue_p95", "queue_peak", "queue_age"), judge=day)
    yield ask(item="H-12", check="queue_growth", needs=("queue_now", "queue_growth"), judge=growth)


def _nodes_and_pods(limits: PerformanceLimits, now: datetime) -> Iterator[Question]:
    dated: dict[str, Any] = {"limits": limits, "now": now}
    for resource in ("cpu", "memory"):
        judge = partial(capacity.judge_node_day, resource=resource, **dated)
        yield ask(item="H-06", check=f"node_{resource}_day", needs=(f"node_{resource}",), judge=judge)
    yield ask(item="H-07", check="throttling", needs=("throttled",), judge=partial(capacity.judge_throttling, **dated))
    yield ask(item="F-06", check="memory_leaks", needs=("memory",), judge=partial(capacity.judge_leaks, **dated))
