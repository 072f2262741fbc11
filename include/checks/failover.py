"""Did the failover exercise keep to its targets, and was any acknowledged write lost? (M-02)"""

from __future__ import annotations

from collections.abc import Iterator

from include.failover.exercise import Exercised
from include.failover.node import Drained
from include.failover.probe import Measured
from include.findings import Finding, Severity

ITEM = "M-02"
LOST = "stop relying on this failover until it is known why; the numbers that are missing are in the evidence"


def judge_exercise(result: Exercised, subject: str, target_s: float) -> Iterator[Finding]:
    """Judge a pair that was switched over and back."""
    yield _unavailable(result, subject, target_s)
    yield _lost(result, subject)
    if result.brought_home:
        said = f"an earlier exercise had been killed and left {result.brought_home} leading; {result.home} leads again"
        yield _finding("brought_home", subject, Severity.WARNING, said, was=result.brought_home, home=result.home)


def _unavailable(result: Exercised, subject: str, target_s: float) -> Finding:
    missed = result.worst_gap_s > target_s
    there, back = result.there.gap_s, result.back.gap_s
    return Finding(
        item=ITEM,
        check="unavailable",
        subject=subject,
        severity=Severity.CRITICAL if missed else Severity.OK,
        summary=(
            f"{result.home} handed over to {result.away} and took back: no write was acknowledged for {there:.1f} s and"
            f" {back:.1f} s (target {target_s:g} s)"
        ),
        evidence={
            "value": round(result.worst_gap_s, 3),
            "unit": "s",
            "threshold": f"<= {target_s:g}",
            "n": result.there.attempted + result.back.attempted,
            "home": result.home,
            "away": result.away,
            "there": _numbers(result.there),
            "back": _numbers(result.back),
        },
        next_step="compare the timeline in the log of Patroni or Redis with that of the exercise" if missed else "",
    )


def _lost(result: Exercised, subject: str) -> Finding:
    lost = sorted({*result.there.lost, *result.back.lost})
    twice = sorted({*result.there.duplicates, *result.back.duplicates})
    acknowledged = result.there.acknowledged + result.back.acknowledged
    also = f", and {len(twice)} are there more than once" if twice else ""
    return Finding(
        item=ITEM,
        check="lost_writes",
        subject=subject,
        severity=Severity.CRITICAL if lost or twice else Severity.OK,
        summary=f"{len(lost)} of {acknowledged} acknowledged writes are not there afterwards (target 0){also}",
        evidence={
            "value": len(lost),
            "unit": "writes",
            "threshold": "== 0",
            "n": acknowledged,
            "lost": lost[:20],
            "duplicates": twice[:20],
        },
        next_step=LOST if lost or twice else "",
    )


def _numbers(measured: Measured) -> dict[str, object]:
    return {
        "lasted_s": round(measured.lasted_s, 3),
        "attempted": measured.attempted,
        "acknowledged": measured.acknowledged,
        "gap_s": round(measured.gap_s, 3),
        "gap_began_s": round(measured.gap_began_s, 3),
    }


def judge_drain(result: Drained, target_s: float) -> Iterator[Finding]:
    """Judge a node that was drained and given back."""
    subject = f"node/{result.node}"
    missed = result.gap_s > target_s
    fewest = ", ".join(f"{name} {count}" for name, count in sorted(result.fewest_ready.items()))
    yield Finding(
        item=ITEM,
        check="unavailable",
        subject=subject,
        severity=Severity.CRITICAL if missed else Severity.OK,
        summary=(
            f"{result.node} was drained of {result.evicted} pods and given back in {result.lasted_s:.0f} s; without a ready"
            f" pod for {result.gap_s:.1f} s (target {target_s:g} s), fewest ready: {fewest}"
        ),
        evidence={
            "value": round(result.gap_s, 3),
            "unit": "s",
            "threshold": f"<= {target_s:g}",
            "n": result.evicted,
            "lasted_s": round(result.lasted_s, 1),
            "fewest_ready": dict(result.fewest_ready),
        },
        next_step="give the workload a disruption budget that keeps one pod ready" if missed else "",
    )
    if result.brought_home:
        named = ", ".join(result.brought_home)
        said = f"an earlier exercise had been killed and left {named} cordoned; uncordoned"
        yield _finding("brought_home", subject, Severity.WARNING, said, nodes=list(result.brought_home))


def _finding(check: str, subject: str, severity: Severity, summary: str, **evidence: object) -> Finding:
    return Finding(item=ITEM, check=check, subject=subject, severity=severity, summary=summary, evidence=evidence)
