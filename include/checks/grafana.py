"""What the dashboards would show a person who looks at them (H-04)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from include.checks.scale import MAD_TO_SIGMA, span, window
from include.findings import Finding, Severity
from include.probes.grafana import Firing, PanelData, Rule
from include.settings import GrafanaLimits

ITEM = "H-04"
URGENT = frozenset({"critical", "page", "high"})


def _finding(check: str, subject: str, severity: Severity, summary: str, step: str = "", **evidence: Any) -> Finding:
    return Finding(
        item=ITEM,
        check=check,
        subject=subject,
        severity=severity,
        summary=summary,
        evidence=evidence,
        next_step=step if severity else "",
    )


def judge_rules(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Judge whether the rules are evaluated at all; no rule is UNKNOWN, since nothing would ever fire."""
    if not rules:
        step = "check the rights of the token in connections.grafana"
        yield _finding("rules", "alert rules", Severity.UNKNOWN, "Grafana shows no alert rule", step, n=0)
        return
    for rule in rules:
        if rule.health not in {"ok", ""}:
            words = f"cannot be evaluated ({rule.health}) {rule.error[:120]}".rstrip()
            yield _finding(
                "rule_health", f"rule {rule.name}", Severity.UNKNOWN, words, "correct its query", threshold="ok"
            )
    states = [rule.state for rule in rules]
    summary = f"{len(rules)} rules: {states.count('firing')} firing, {states.count('pending')} pending"
    yield _finding(
        "rules", "alert rules", Severity.OK, summary, value=states.count("firing"), unit="firing rules", n=len(rules)
    )


def judge_firing(firing: Sequence[Firing], *, now: datetime) -> Iterator[Finding]:
    """Name what fires; what somebody silenced is told and does not warn."""
    for alert in firing:
        age_s = (now - alert.started_at).total_seconds()
        urgent = alert.severity.lower() in URGENT
        severity = Severity.INFO if alert.silenced else Severity.CRITICAL if urgent else Severity.WARNING
        state = "is silenced" if alert.silenced else "fires"
        yield _finding(
            "alerts",
            f"grafana alert {alert.name}",
            severity,
            f"{state} since {span(age_s)}: {alert.summary[:160]}",
            "follow the action that the alert names",
            value=round(age_s),
            unit="s",
            threshold="none firing",
            label=alert.severity,
        )
    if not firing:
        yield _finding("alerts", "alerts", Severity.OK, "no Grafana alert fires", value=0, unit="alerts", threshold="0")


def judge_panel(data: PanelData, *, limits: GrafanaLimits, now: datetime) -> Iterator[Finding]:
    """Compare a panel's hour with the same hour a week ago; a panel without data is UNKNOWN."""
    severity, summary, z = _panel(data, limits)
    steps = {
        Severity.UNKNOWN: "does its query still name what is exported?",
        Severity.WARNING: "open the dashboard at this hour",
    }
    yield _finding(
        "panels",
        data.subject,
        severity,
        summary,
        steps.get(severity, ""),
        **window(now, limits.window_s),
        value=None if z is None else round(z, 2),
        unit="robust z against a week ago",
        threshold=f"< {limits.anomaly_z:g}",
        n=len(data.now),
        request=data.query,
    )


def _panel(data: PanelData, limits: GrafanaLimits) -> tuple[Severity, str, float | None]:
    if not data.now:
        return Severity.UNKNOWN, f"no data in the last {span(limits.window_s)}", None
    middle = median(data.now)
    if not data.week_ago:
        return Severity.INFO, f"{middle:.4g}, nothing to compare with a week ago", None
    z = robust_z(middle, data.week_ago, limits.anomaly_floor_percent)
    words = f"{middle:.4g}, a week ago {median(data.week_ago):.4g}"
    return (Severity.WARNING, f"{words}: far off", z) if abs(z) >= limits.anomaly_z else (Severity.OK, words, z)


def robust_z(value: float, sample: Sequence[float], floor_percent: float) -> float:
    """Return how many deviations a value lies off the sample's median, with a floor for samples that never move."""
    middle = median(sample)
    deviation = MAD_TO_SIGMA * median(abs(each - middle) for each in sample)
    scale = max(deviation, floor_percent / 100 * abs(middle), 1e-9)
    return (value - middle) / scale
