"""Which incidents came, which are still open, how fast they were taken (H-03)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import median

from include.checks.scale import span
from include.findings import Finding, Severity
from include.probes.pagerduty import Incident
from include.settings import AlertLimits

ITEM = "H-03"
HIGH_PRIORITIES = frozenset({"P0", "P1"})


def judge_incidents(
    incidents: Sequence[Incident], *, limits: AlertLimits, own: str, since: datetime, now: datetime
) -> Iterator[Finding]:
    """Name what is open (an urgent one is critical) and what was taken late; count all.

    :param own: how the keys of our own pages begin. They tell what an earlier run found; judged here, each would be found again by
        the next run, and paged again, for ever.
    """
    ours = [each for each in incidents if each.key.startswith(own)]
    for incident in (each for each in incidents if not each.key.startswith(own)):
        severity, words = _state(incident, limits)
        if severity > Severity.INFO:
            yield _finding(incident, severity, words, now)
    yield _count([each for each in incidents if each.created_at >= since], incidents, ours, since, now)


def _state(incident: Incident, limits: AlertLimits) -> tuple[Severity, str]:
    if incident.status != "resolved":
        urgent = incident.urgency == "high" or incident.priority in HIGH_PRIORITIES
        return Severity.CRITICAL if urgent else Severity.WARNING, f"is {incident.status}"
    taken = _ack_s(incident)
    if taken is not None and taken >= limits.ack_target_s and incident.urgency == "high":
        return Severity.WARNING, f"was taken after {span(taken)} (target {span(limits.ack_target_s)})"
    return Severity.OK, "is resolved"


def _ack_s(incident: Incident) -> float | None:
    taken = incident.acknowledged_at or incident.resolved_at
    return (taken - incident.created_at).total_seconds() if taken else None


def _resolve_s(incident: Incident) -> float | None:
    return (incident.resolved_at - incident.created_at).total_seconds() if incident.resolved_at else None


def _finding(incident: Incident, severity: Severity, words: str, now: datetime) -> Finding:
    by = f" by {incident.by}" if incident.by else ""
    label = incident.priority or f"{incident.urgency} urgency"
    return Finding(
        item=ITEM,
        check="incidents",
        subject=f"incident {incident.number}",
        severity=severity,
        summary=(f"{label}, {incident.service}: {words}{by}: {incident.title[:120]} {incident.address}").rstrip(),
        evidence={
            "window_start": incident.created_at.isoformat(),
            "window_end": now.isoformat(),
            "value": round((now - incident.created_at).total_seconds()),
            "unit": "s open" if incident.status != "resolved" else "s ago",
            "threshold": "resolved, taken in time",
            "id": incident.id,
            "urgency": incident.urgency,
            "priority": incident.priority,
            "seconds_to_acknowledge": _ack_s(incident),
            "seconds_to_resolve": _resolve_s(incident),
        },
        next_step="open the incident and take it, or resolve it"
        if incident.status != "resolved"
        else "speak about it in the weekly review",
    )


def _count(
    recent: Sequence[Incident], every: Sequence[Incident], ours: Sequence[Incident], since: datetime, now: datetime
) -> Finding:
    acks = [seconds for each in recent if (seconds := _ack_s(each)) is not None]
    ends = [seconds for each in recent if (seconds := _resolve_s(each)) is not None]
    still = sum(each.status != "resolved" for each in every)
    own = sum(each.status != "resolved" for each in ours)
    return Finding(
        item=ITEM,
        check="incidents_counted",
        subject="incidents",
        severity=Severity.OK,
        summary=f"{len(recent)} incidents since {since:%d %b %H:%M} UTC, {still} open"
        + (f", {own} of them paged by this check" if own else ""),
        evidence={
            "window_start": since.isoformat(),
            "window_end": now.isoformat(),
            "value": still,
            "unit": "open incidents",
            "threshold": "0 urgent",
            "n": len(recent),
            "median_seconds_to_acknowledge": median(acks) if acks else None,
            "median_seconds_to_resolve": median(ends) if ends else None,
            "request": "GET /incidents, /incidents/{id}/log_entries",
        },
    )
