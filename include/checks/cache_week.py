"""The cache over a week (W-09): how often it had what was asked for, and which prefixes would gain from a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from include.backups.moving import size
from include.cache.names import below
from include.checks.cache import RATIO, Counters, Interval, judge_ratio
from include.findings import Finding, Severity
from include.ops.evidence import Measured
from include.probes.cache import Node
from include.settings import CacheLimits

ITEM = "W-09"
WEEK = timedelta(days=6)
"""What is at least this old is last week's."""
FRESH = timedelta(days=8)
"""An older look at the keys says nothing of this week."""
LARGE_SHARE = 0.25


def interval(node: Node, counted: Sequence[Measured], walks: Sequence[Measured], now: datetime) -> Interval | None:
    """Return what a node counted this week, without what the walks over its keys asked; None if it does not tell.

    :param counted: its counters as they were left before, oldest first; `walks`: what these walks left.
    """
    counters = Counters.of(node, now)
    if counters is None:
        return None
    old = [each for each in counted if each.observed_at <= now - WEEK] or list(counted[:1])
    before = Counters.from_json(old[-1].detail["counters"]) if old else None
    since = counters.since(before)
    mine = [each for each in walks if each.detail.get("node") == f"redis/{node.name}" and _is_within(each, since, now)]
    return since.without(sum(float(each.detail.get("questions", 0)) for each in mine))


def _is_within(walk: Measured, since: Interval, now: datetime) -> bool:
    return since.seconds is None or walk.observed_at > now - timedelta(seconds=since.seconds)


def judge_week(node: Node, of: Interval | None, earlier: Sequence[Measured], limits: CacheLimits) -> Iterator[Finding]:
    """Judge the week's ratio, with those of the weeks before beside it."""
    ratio = judge_ratio(node, limits, of, ITEM)
    before = [each.value for each in earlier]
    value = ratio.evidence.get("value")
    words = ""
    if before and value is not None:
        words = f"; {value - median(before):+.1f} points against the {len(before)} looks before"
    yield Finding(
        item=ITEM,
        check=RATIO,
        subject=ratio.subject,
        severity=ratio.severity,
        summary=f"{ratio.summary}{words}",
        evidence={**ratio.evidence, "earlier": before},
        next_step=ratio.next_step,
    )


def judge_prefixes(
    walks: Sequence[Measured], of: Interval | None, limits: CacheLimits, now: datetime
) -> Iterator[Finding]:
    """Say which prefixes would gain from a change, from the newest look at the keys; none that is fresh is UNKNOWN."""
    fresh = [each for each in walks if each.observed_at > now - FRESH]
    if not fresh:
        said = f"nobody has looked at the keys for {FRESH.days} days"
        yield _prefixes(Severity.UNKNOWN, said, "trigger weekly_cache_maintenance, then this runbook again")
        return
    detail = fresh[-1].detail
    evicted = of.evicted if of else 0.0
    advice = [line for each in detail["families"] for line in advise(each, fresh[-1].value, evicted, limits)]
    yield _prefixes(
        Severity.WARNING if advice else Severity.OK,
        "; ".join(advice[:5]) if advice else f"none of {len(detail['families'])} prefixes asks for a change",
        "with its owner; docs/runbooks/weekly_cache_maintenance.md" if advice else "",
        advice=advice,
        lifetimes=detail.get("lifetimes", {}),
        families=len(detail["families"]),
        looked_at=fresh[-1].observed_at.isoformat(),
    )


def advise(family: Mapping[str, Any], whole: float, evicted: float, limits: CacheLimits) -> Iterator[str]:
    """Yield what would help one prefix of a cache."""
    name, taken = family["family"], family["bytes"][0]
    if not below(name, limits.prefixes):
        return
    if family["no_lifetime"][0] > 0:
        yield f"{name} holds {family['no_lifetime'][0]} keys without a lifetime: give them one"
    long = family["lifetimes"].get(">= 1 w", 0) / max(family["asked"], 1)
    if evicted and long > LARGE_SHARE:
        yield f"{name}: {100 * long:.0f} % of its keys live longer than a week while keys are evicted: shorten that"
    if evicted and taken > LARGE_SHARE * whole:
        share = f"{size(taken)}, {100 * taken / whole:.0f} % of all"
        yield f"{name} takes {share}, while keys are evicted: store less in each, or raise maxmemory"


def _prefixes(severity: Severity, said: str, step: str, **evidence: Any) -> Finding:
    return Finding(
        item=ITEM,
        check="prefixes",
        subject="redis/prefixes",
        severity=severity,
        summary=said,
        evidence=evidence,
        next_step=step,
    )
