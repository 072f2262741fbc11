from __future__ import annotations

import json
from dataclasses import replace

import pytest

from include.findings import Blind, Finding, Report, Severity, worst_first


def finding(severity: Severity, item: str = "H-01", subject: str = "x") -> Finding:
    return Finding(item=item, check="c", subject=subject, severity=severity, summary="s", evidence={"n": 1})


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ([Severity.OK, Severity.WARNING], Severity.WARNING),
        ([Severity.WARNING, Severity.UNKNOWN], Severity.UNKNOWN),
        ([Severity.UNKNOWN, Severity.CRITICAL], Severity.CRITICAL),
        ([Severity.OK, Severity.INFO], Severity.INFO),
        ([], Severity.OK),
    ],
)
def test_the_verdict_is_the_worst_finding(severities: list[Severity], verdict: Severity) -> None:
    assert Report(source="s", checked=2, findings=tuple(map(finding, severities))).severity is verdict


def test_nothing_checked_is_unknown_and_never_ok() -> None:
    assert Report(source="s", checked=0, findings=()).severity is Severity.UNKNOWN
    assert Report(source="s", checked=0, findings=(finding(Severity.OK),)).severity is Severity.UNKNOWN


def test_what_could_not_be_seen_is_unknown_and_says_why() -> None:
    blind = Blind(error="TransientError", reason="no answer", transient=True)
    unseen = Finding.unseen(item="H-08", check="login", subject="postgres", blind=blind)
    report = Report(source="s", checked=1, findings=(unseen, finding(Severity.OK)))
    assert (unseen.severity, unseen.summary) == (Severity.UNKNOWN, "could not look: no answer")
    assert report.blind == (unseen,)


def test_a_report_survives_the_way_through_json() -> None:
    blind = Blind(error="TransientError", reason="no answer", transient=True)
    unseen = Finding.unseen(item="H-08", check="login", subject="postgres", blind=blind)
    cell = replace(finding(Severity.OK), in_table=True)
    report = Report(
        source="s", checked=2, findings=(finding(Severity.CRITICAL), unseen, cell), table=("day  a", "mon  b")
    )
    assert report.told == report.findings[:2]
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_worst_first_and_then_always_alike() -> None:
    given = [
        finding(Severity.OK),
        finding(Severity.CRITICAL, "H-02"),
        finding(Severity.CRITICAL, "H-01", "b"),
        finding(Severity.CRITICAL, "H-01", "a"),
    ]
    assert [(each.item, each.subject) for each in worst_first(given)] == [
        ("H-01", "a"),
        ("H-01", "b"),
        ("H-02", "x"),
        ("H-01", "x"),
    ]
