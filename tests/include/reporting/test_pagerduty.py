from __future__ import annotations

from typing import Any

from include.findings import Finding, Report, Severity
from include.reporting import pagerduty
from include.reporting.changes import Changes
from tests.include.reporting.test_slack import finding, recorded, report

URL = "http://airflow/dags/d/runs/r"


def events(*findings: Finding, **changes: Any) -> list[pagerduty.Event]:
    return pagerduty.events("daily_health_check", URL, [report(*findings)], Changes(**changes))


def test_only_what_is_critical_pages() -> None:
    found = events(*(finding(severity.name, severity) for severity in Severity))
    assert [(event.action, event.source) for event in found] == [("trigger", "CRITICAL")]


def test_the_key_is_the_same_tomorrow_and_in_another_run() -> None:
    first = events(finding("x", Severity.CRITICAL, summary="2 of 6"))
    second = pagerduty.events(
        "daily_health_check", "http://airflow/other", [report(finding("x", Severity.CRITICAL))], Changes()
    )
    assert first[0].dedup_key == second[0].dedup_key == "daily_health_check/H-05/x"


def test_two_checks_of_one_subject_are_one_alert() -> None:
    found = events(finding("x", Severity.CRITICAL), finding("x", Severity.CRITICAL, check="restarts"))
    assert len(found) == 1


def test_what_is_gone_is_resolved_unless_another_check_still_pages_it() -> None:
    gone = (recorded("x", Severity.CRITICAL), recorded("y", Severity.UNKNOWN))
    found = events(finding("x", Severity.CRITICAL, check="restarts"), gone=gone)
    assert [(event.action, event.dedup_key[-1]) for event in found] == [("trigger", "x"), ("resolve", "y")]


def test_limits_of_the_api_hold_and_long_keys_stay_distinct() -> None:
    long = finding("s" * 400, Severity.CRITICAL, summary="w" * 3000)
    longer = finding("s" * 401, Severity.CRITICAL)
    found = events(long, longer)
    assert len({event.dedup_key for event in found}) == 2
    assert all(len(event.dedup_key) <= 255 and len(event.summary) <= 1024 for event in found)


def test_the_event_carries_numbers_next_step_and_the_run_and_no_secret() -> None:
    evidence = {"value": 2, "request": "postgresql://u:hush-canary@host", "none": None}
    (event,) = events(finding("x", Severity.CRITICAL, evidence=evidence, next_step="restart it"))
    assert event.details == {"value": "2", "request": "postgresql://***@host", "next_step": "restart it"}
    assert event.links[0]["href"] == URL
    assert event.payload == {"component": "kubernetes", "group": "daily_health_check", "class": "ready"}


def test_a_failed_task_is_one_alert_however_often_it_fails() -> None:
    event = pagerduty.failure("daily_health_check", "publish_report", URL, "TransientError: Slack says 503: later")
    assert event.dedup_key == "daily_health_check/failed/publish_report"
    assert event.severity == "error"


def test_a_report_that_slack_refused_is_one_alert_until_it_is_posted() -> None:
    refused = pagerduty.unposted("daily_health_check", URL, "Slack says token_revoked")
    assert (refused.action, refused.summary) == (
        "trigger",
        "daily_health_check: its report is not in Slack: Slack says token_revoked",
    )
    posted = pagerduty.posted("daily_health_check")
    assert posted.action == "resolve"
    assert posted.dedup_key == refused.dedup_key == "daily_health_check/report/slack"


def test_no_reports_no_events() -> None:
    assert pagerduty.events("d", URL, [Report(source="s", checked=0, findings=())], Changes()) == []


def test_an_open_incident_is_a_page_already() -> None:
    found = finding("incident 7", Severity.CRITICAL, check="incidents")
    said = [Report(source="pagerduty", checked=1, findings=(found,))]
    assert pagerduty.events("daily_health_check", URL, said, Changes()) == []
