"""Reports as PagerDuty events: one alert for each thing that is broken, however often it is reported, until it is seen to be well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from include.findings import Finding, Report, Severity, worst_first
from include.masking import masked, one_line
from include.reporting.changes import Changes

PAGED_ALREADY = frozenset({"pagerduty"})
"""Reports whose critical findings are pages themselves: an open incident has woken somebody."""

SUMMARY = 1024
DEDUP_KEY = 255


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of the Events API, version 2."""

    action: Literal["trigger", "resolve"]
    dedup_key: str
    summary: str = ""
    source: str = ""
    severity: str = "critical"
    payload: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    links: Sequence[Mapping[str, str]] = ()


def events(dag_id: str, url: str, reports: Iterable[Report], changes: Changes) -> list[Event]:
    """Return a trigger for every critical subject and a resolve for every one that is gone."""
    critical: dict[str, tuple[Report, Finding]] = {}
    for report in (each for each in reports if each.source not in PAGED_ALREADY):
        for finding in worst_first(report.findings):
            if finding.severity is Severity.CRITICAL:
                critical.setdefault(dedup_key(dag_id, finding.item, finding.subject), (report, finding))
    gone = {dedup_key(dag_id, record.item, record.subject) for record in changes.gone} - critical.keys()
    return [
        *(_trigger(key, dag_id, url, report, finding) for key, (report, finding) in critical.items()),
        *(Event(action="resolve", dedup_key=key) for key in sorted(gone)),
    ]


def failure(dag_id: str, task_id: str, url: str, reason: str) -> Event:
    """Return the event of a task that failed where that pages; the next failure of the same task is the same alert."""
    return Event(
        action="trigger",
        dedup_key=dedup_key(dag_id, "failed", task_id),
        summary=one_line(f"{dag_id}: {task_id} failed: {reason}", SUMMARY),
        source=task_id,
        severity="error",
        payload={"component": task_id, "group": dag_id, "class": "failed"},
        links=({"href": url, "text": "Open the run"},),
    )


def unposted(dag_id: str, url: str, reason: str) -> Event:
    """Return the event of a report that Slack did not take: nobody would miss what nobody can read."""
    return Event(
        action="trigger",
        dedup_key=dedup_key(dag_id, "report", "slack"),
        summary=one_line(f"{dag_id}: its report is not in Slack: {reason}", SUMMARY),
        source="slack",
        severity="error",
        payload={"component": "slack", "group": dag_id, "class": "report"},
        links=({"href": url, "text": "Open the run"},),
    )


def glass(dag_id: str, run_id: str, url: str, said: str) -> Event:
    """Return the event of somebody who acts without a second person."""
    return Event(
        action="trigger",
        dedup_key=dedup_key(dag_id, "glass", run_id),
        summary=one_line(f"{dag_id}: {said}", SUMMARY),
        source="approval",
        payload={"component": "approval", "group": dag_id, "class": "break-glass"},
        links=({"href": url, "text": "Open the run"},),
    )


def posted(dag_id: str) -> Event:
    """Return the event that ends it; PagerDuty ignores it where nothing is open."""
    return Event(action="resolve", dedup_key=dedup_key(dag_id, "report", "slack"))


def dedup_key(dag_id: str, item: str, subject: str) -> str:
    """Return what names the alert: the same from run to run, so that a lasting fault is one alert."""
    key = f"{dag_id}/{item}/{subject}"
    if len(key) <= DEDUP_KEY:
        return key
    return f"{key[: DEDUP_KEY - 65]}/{hashlib.sha256(key.encode()).hexdigest()}"


def _trigger(key: str, dag_id: str, url: str, report: Report, finding: Finding) -> Event:
    details = {name: masked(str(value)) for name, value in finding.evidence.items() if value is not None}
    return Event(
        action="trigger",
        dedup_key=key,
        summary=one_line(f"{finding.subject}: {finding.summary}", SUMMARY),
        source=finding.subject,
        payload={"component": report.source, "group": dag_id, "class": finding.check},
        details=details | ({"next_step": finding.next_step} if finding.next_step else {}),
        links=({"href": url, "text": "Open the run"},),
    )
