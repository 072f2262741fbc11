from __future__ import annotations

import pytest

from include.checks.failover import judge_drain, judge_exercise
from include.failover.exercise import Exercised
from include.failover.node import Drained
from include.failover.probe import Measured
from include.findings import Finding, Severity

CRITICAL, OK, WARNING = Severity.CRITICAL, Severity.OK, Severity.WARNING


def measured(gap_s: float = 1.0, lost: tuple[int, ...] = (), duplicates: tuple[int, ...] = ()) -> Measured:
    return Measured(
        lasted_s=20,
        attempted=400,
        acknowledged=380,
        gap_s=gap_s,
        gap_began_s=9,
        lost=lost,
        duplicates=duplicates,
    )


def judged(there: Measured, back: Measured, brought_home: str = "") -> dict[str, Finding]:
    result = Exercised(home="one", away="two", there=there, back=back, brought_home=brought_home)
    return {finding.check: finding for finding in judge_exercise(result, "postgres/staging", 5.0)}


@pytest.mark.parametrize(
    ("there", "back", "severity"), [(5.0, 1, OK), (5.01, 1, CRITICAL), (1, 5.01, CRITICAL), (1, 5.0, OK)]
)
def test_critical_above_the_target_on_either_way(there: float, back: float, severity: Severity) -> None:
    finding = judged(measured(there), measured(back))["unavailable"]
    assert finding.severity is severity
    assert finding.evidence["value"] == max(there, back)
    assert bool(finding.next_step) == (severity is CRITICAL)


@pytest.mark.parametrize(
    ("there", "back", "count"),
    [
        (measured(), measured(), 0),
        (measured(lost=(7,)), measured(lost=(7,)), 1),
        (measured(), measured(lost=(400, 401)), 2),
        (measured(lost=(7,)), measured(), 1),
    ],
)
def test_one_lost_acknowledged_write_is_critical(there: Measured, back: Measured, count: int) -> None:
    finding = judged(there, back)["lost_writes"]
    assert finding.severity is (CRITICAL if count else OK)
    assert finding.evidence["value"] == count
    assert f"{count} of 760 acknowledged writes" in finding.summary


def test_a_write_that_is_there_twice_is_critical_too() -> None:
    assert judged(measured(), measured(duplicates=(3,)))["lost_writes"].severity is CRITICAL


def test_says_that_an_earlier_exercise_had_been_killed() -> None:
    assert "brought_home" not in judged(measured(), measured())
    assert judged(measured(), measured(), "two")["brought_home"].severity is WARNING


@pytest.mark.parametrize(("gap_s", "severity"), [(0.0, OK), (1.0, OK), (1.01, CRITICAL)])
def test_a_drain_is_judged_by_the_time_without_a_ready_pod(gap_s: float, severity: Severity) -> None:
    result = Drained(node="node-3", evicted=2, lasted_s=9, gap_s=gap_s, fewest_ready={"api-gateway": 1})
    (finding,) = judge_drain(result, 1.0)
    assert finding.severity is severity
    assert "drained of 2 pods" in finding.summary


def test_a_node_that_was_left_cordoned_is_told() -> None:
    result = Drained(node="node-3", evicted=2, lasted_s=9, gap_s=0, fewest_ready={}, brought_home=("node-2",))
    assert [finding.severity for finding in judge_drain(result, 1.0)] == [OK, WARNING]
