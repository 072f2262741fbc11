from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import incidents
from include.findings import Finding, Severity
from include.probes.pagerduty import Incident
from include.settings import AlertLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)
CREATED = NOW - timedelta(hours=3)


def incident(**changes: Any) -> Incident:
    defaults: dict[str, Any] = {"id": "Q1", "number": 1, "title": "errors", "status": "resolved", "urgency": "high"}
    more = {"priority": "", "service": "AI Orchestrator", "address": "https://pd/1", "created_at": CREATED}
    ended = {"acknowledged_at": CREATED + timedelta(minutes=5), "resolved_at": CREATED + timedelta(hours=1)}
    return Incident(**{**defaults, **more, **ended, **changes})


def judged(*given: Incident) -> list[Finding]:
    return list(incidents.judge_incidents(given, limits=AlertLimits(), own="daily_health_check/", since=SINCE, now=NOW))


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, Severity.OK),
        ({"status": "triggered", "resolved_at": None}, Severity.CRITICAL),
        ({"status": "acknowledged", "resolved_at": None}, Severity.CRITICAL),
        ({"status": "triggered", "urgency": "low"}, Severity.WARNING),
        ({"status": "triggered", "urgency": "low", "priority": "P1"}, Severity.CRITICAL),
        ({"acknowledged_at": CREATED + timedelta(seconds=899)}, Severity.OK),
        ({"acknowledged_at": CREATED + timedelta(seconds=900)}, Severity.WARNING),
    ],
)
def test_an_incident_is_judged_by_what_is_open_and_how_fast_it_was_taken(
    changes: dict[str, Any], severity: Severity
) -> None:
    assert max(finding.severity for finding in judged(incident(**changes))) is severity


def test_an_open_incident_from_before_the_window_is_still_named() -> None:
    found = judged(incident(status="triggered", created_at=SINCE - timedelta(days=9), resolved_at=None))
    assert (found[0].severity, found[-1].evidence["n"]) == (Severity.CRITICAL, 0)


def test_the_count_says_how_fast_they_were_taken() -> None:
    evidence = judged(incident())[-1].evidence
    assert (evidence["median_seconds_to_acknowledge"], evidence["median_seconds_to_resolve"]) == (300, 3600)


def test_our_own_page_is_counted_and_not_found_again() -> None:
    ours = incident(status="triggered", resolved_at=None, key="daily_health_check/H-05/pod/worker-1")
    theirs = incident(id="Q2", status="triggered", resolved_at=None, key="database_backup/failed/upload")
    (count,) = judged(ours)
    assert (count.severity, count.evidence["value"]) == (Severity.OK, 1)
    assert "1 of them paged by this check" in count.summary
    assert judged(theirs)[0].severity is Severity.CRITICAL
