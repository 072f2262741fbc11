"""Reports as plain text, for the log and for what Slack shows in a notification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from include.findings import Finding, Report, Severity, worst_first
from include.masking import one_line

LINE_LIMIT = 600
"""Characters of one finding: three of them fit into a screen of a telephone."""


def render(report: Report) -> str:
    """Return one report: the verdict, its table, then every finding, worst first."""
    head = f"{report.source}: {report.severity.name}, {report.checked} looked at"
    told = [detail(finding) for finding in worst_first(report.told)]
    return "\n".join([head, *(f"  {line}" for line in (*report.table, *told))])


def line(finding: Finding) -> str:
    """Return a finding on one line: how bad, what, why, which line of the runbook."""
    return one_line(f"{finding.severity.name} {finding.subject}: {finding.summary} [{finding.item}]", LINE_LIMIT)


def detail(finding: Finding) -> str:
    """Return the line with the numbers and the next step behind it."""
    next_step = f" → {finding.next_step}" if finding.next_step else ""
    return one_line(f"{line(finding)}{numbers(finding.evidence)}{next_step}", LINE_LIMIT)


def healthy(findings: Iterable[Finding]) -> list[str]:
    """Return one line for each item and check: the sentence of the only finding, or how many there are and between which numbers."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.item, finding.check), []).append(finding)
    return [one_line(f"{item} {_together(check, groups[item, check])}", LINE_LIMIT) for item, check in sorted(groups)]


def _together(check: str, group: Sequence[Finding]) -> str:
    if len(group) == 1:
        return f"{group[0].subject}: {group[0].summary}"
    return f"{check.replace('_', ' ')}: {len(group)} OK{_between(group)}{_common(group, 'threshold', ' ({})')}"


def _between(group: Sequence[Finding]) -> str:
    values = [value for finding in group if isinstance(value := finding.evidence.get("value"), int | float)]
    if len(values) < len(group):
        return ""
    ends = dict.fromkeys([_short(min(values)), _short(max(values))])
    return f", {' to '.join(ends)}{_common(group, 'unit', ' {}')}"


def _common(group: Sequence[Finding], key: str, form: str) -> str:
    """What all of them have under a key, in this form; nothing if they differ."""
    values = {str(finding.evidence.get(key) or "") for finding in group}
    return form.format(*values) if len(values) == 1 and "" not in values else ""


def numbers(evidence: Mapping[str, Any]) -> str:
    """Return ` (value 81 %, threshold 80, n 1200)`, or nothing if there are none."""
    unit = f" {evidence['unit']}" if evidence.get("unit") else ""
    shown = {key: evidence.get(key) for key in ("value", "threshold", "n")}
    parts = [
        f"{key} {_short(value)}{unit if key == 'value' else ''}" for key, value in shown.items() if value is not None
    ]
    return f" ({', '.join(parts)})" if parts else ""


def counts(findings: Iterable[Finding]) -> str:
    """Return `1 critical, 2 unknown`, worst first, without the healthy ones."""
    severities = [finding.severity for finding in findings]
    faults = sorted({severity for severity in severities if severity >= Severity.WARNING}, reverse=True)
    return ", ".join(f"{severities.count(severity)} {severity.name.lower()}" for severity in faults)


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Return `Wed 2 Jan 10:00 CET (09:00 UTC)`: the reader's clock, and the one that logs are written in."""
    local, utc = at.astimezone(zone), at.astimezone(UTC)
    shown = f"{local:%a} {local.day} {local:%b %H:%M %Z}"
    if local.utcoffset() == utc.utcoffset():
        return shown
    day = "" if local.date() == utc.date() else f"{utc.day} {utc:%b} "
    return f"{shown} ({day}{utc:%H:%M} UTC)"


def span(seconds: float) -> str:
    """Return `95 min`, or hours and days where those read better."""
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 1440)} d"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
