"""Whether alerts could arrive at all: an Alertmanager that is down reads as a quiet night (H-04)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from include.checks.scale import span, window
from include.findings import Finding, Severity
from include.probes.prometheus import Answer
from include.settings import PerformanceLimits

ITEM = "H-04"
"""Not H-02, whose own rows say since when the channel has to be read."""
CHECK = "alerts_delivered"
ABSENT_STEP = "does Prometheus scrape Alertmanager and itself? see performance.alertmanager* and notifications_*"


def _finding(subject: str, severity: Severity, summary: str, step: str, answer: Answer, **evidence: Any) -> Finding:
    return Finding(
        item=ITEM,
        check=CHECK,
        subject=subject,
        severity=severity,
        summary=summary,
        evidence={"request": answer.query, **evidence},
        next_step=ABSENT_STEP if severity is Severity.UNKNOWN else step if severity else "",
    )


def judge_alertmanager(up: Answer) -> Iterator[Finding]:
    """Judge whether Alertmanager runs: no replica is CRITICAL, one too few warns, none that is known is UNKNOWN."""
    running, known = sum(line.value > 0 for line in up.series), len(up.series)
    severity = Severity.OK if running == known else Severity.WARNING if running else Severity.CRITICAL
    words = f"{running} of {known} answer" + ("" if running else ": no alert can arrive")
    yield _finding(
        "alertmanager",
        severity if known else Severity.UNKNOWN,
        words if known else "Prometheus does not look at it, so nobody knows whether an alert could arrive",
        "start Alertmanager, then read Prometheus' own list of alerts: what fired meanwhile reached nobody",
        up,
        value=running if known else None,
        unit="running",
        threshold="all",
        n=known,
    )


def judge_discovered(discovered: Answer) -> Iterator[Finding]:
    """Judge whether Prometheus knows an Alertmanager to send to: one that it does not know gets nothing."""
    known = min((line.value for line in discovered.series), default=None)
    yield _finding(
        "prometheus/alertmanagers",
        Severity.UNKNOWN if known is None else Severity.OK if known else Severity.CRITICAL,
        "does not tell to how many it sends" if known is None else f"{known:.0f} known, to which alerts are sent",
        "correct alerting.alertmanagers in Prometheus' configuration: no alert can arrive",
        discovered,
        value=known,
        unit="alertmanagers",
        threshold="at least 1",
    )


def judge_sent(dropped: Answer, failed: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Judge whether all that fired since yesterday left Prometheus; what was dropped was never shown in the channel."""
    told = bool(dropped.series and failed.series)
    lost = max(dropped.total, failed.total)
    yield _finding(
        "prometheus/notifications",
        Severity.UNKNOWN if not told else Severity.WARNING if lost > 0 else Severity.OK,
        f"{dropped.total:.0f} alerts dropped, {failed.total:.0f} could not be sent in the last {span(limits.window_s)}"
        if told
        else "does not tell whether it dropped alerts",
        "read Prometheus' own list of alerts and its log: some of what fired may have reached nobody",
        dropped,
        **window(now, limits.window_s),
        value=round(lost, 1) if told else None,
        unit="alerts",
        threshold="0",
        dropped=round(dropped.total, 1),
        errors=round(failed.total, 1),
    )
