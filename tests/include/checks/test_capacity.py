from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.checks import capacity
from include.findings import Severity
from include.probes.prometheus import Answer, Series
from include.settings import PerformanceLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = PerformanceLimits()
NOTHING = Answer(query="q", series=[])
MIB = 1024**2


def one(value: float, **labels: str) -> Answer:
    return Answer(query="q", series=[Series(labels=labels, points=[(NOW.timestamp(), value)])])


@pytest.mark.parametrize(
    ("p95", "peak", "severity"),
    [(11, 49, Severity.OK), (11, 50, Severity.WARNING), (49.9, 90, Severity.WARNING), (50, 90, Severity.CRITICAL)],
)
def test_fewer_than_50_items_waited_all_day(p95: float, peak: float, severity: Severity) -> None:
    (finding,) = capacity.judge_queue_day(one(p95), one(peak), NOTHING, limits=LIMITS, now=NOW)
    assert finding.severity is severity


def test_a_queue_that_nobody_measures_is_unknown() -> None:
    (finding,) = capacity.judge_queue_day(NOTHING, NOTHING, NOTHING, limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("depth", "slope", "severity"), [(25, 20, Severity.WARNING), (25, 19, Severity.OK), (24, 100, Severity.OK)]
)
def test_a_queue_that_is_half_full_and_grows_warns(depth: float, slope: float, severity: Severity) -> None:
    (finding,) = capacity.judge_queue_growth(one(depth), one(slope), limits=LIMITS, now=NOW)
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.849, Severity.OK),
        (0.85, Severity.WARNING),
        (0.95, Severity.CRITICAL),
        (-3.45, Severity.UNKNOWN),
        (1.2, Severity.UNKNOWN),
    ],
)
def test_bug_74_a_node_is_judged_by_its_day_and_not_by_one_sample(share: float, severity: Severity) -> None:
    (finding,) = capacity.judge_node_day(one(share, node="node-1"), resource="cpu", limits=LIMITS, now=NOW)
    assert finding.severity is severity


@pytest.mark.parametrize(("share", "severity"), [(0.249, Severity.OK), (0.25, Severity.WARNING)])
def test_throttling_warns_at_exactly_the_limit(share: float, severity: Severity) -> None:
    (finding,) = capacity.judge_throttling(one(share, pod="p", container="c"), limits=LIMITS, now=NOW)
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("values", "severity"),
    [
        ([100, 105, 110, 113, 115, 118, 120], Severity.WARNING),
        ([100, 105, 110, 109, 115, 118, 140], Severity.OK),  # it fell once
        ([100, 103, 106, 109, 112, 115, 119], Severity.OK),  # too little
        ([100, 110, 120], Severity.OK),  # too short
        ([10, 12, 14, 16, 18, 20, 22], Severity.OK),  # too small to matter
    ],
)
def test_memory_that_rises_every_hour_is_a_leak(values: list[float], severity: Severity) -> None:
    points = [(3600.0 * hour, value * MIB) for hour, value in enumerate(values)]
    answer = Answer(query="q", series=[Series(labels={"pod": "p", "container": "c"}, points=points)])
    (finding,) = capacity.judge_leaks(answer, limits=LIMITS, now=NOW)
    assert finding.severity is severity


def test_containers_that_nobody_measures_are_unknown() -> None:
    findings = [
        *capacity.judge_throttling(NOTHING, limits=LIMITS, now=NOW),
        *capacity.judge_leaks(NOTHING, limits=LIMITS, now=NOW),
        *capacity.judge_node_day(NOTHING, resource="cpu", limits=LIMITS, now=NOW),
    ]
    assert {finding.severity for finding in findings} == {Severity.UNKNOWN}
