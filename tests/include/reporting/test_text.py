from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from include.findings import Finding, Severity
from include.reporting import text
from tests.include.reporting.test_slack import finding, report


def test_a_report_is_the_verdict_then_every_finding_worst_first() -> None:
    lines = text.render(report(finding("a"), finding("b", Severity.WARNING, next_step="wait"))).splitlines()
    assert lines == [
        "kubernetes: WARNING, 2 looked at",
        "  WARNING b: 4 of 6 ready [H-05] → wait",
        "  OK a: 4 of 6 ready [H-05]",
    ]


def test_a_table_stands_before_the_findings_and_what_is_in_it_is_not_told_once_more() -> None:
    whole = replace(report(finding("a", in_table=True), finding("b")), table=("day  a", "mon  GOOD"))
    assert text.render(whole).splitlines() == [
        "kubernetes: OK, 2 looked at",
        "  day  a",
        "  mon  GOOD",
        "  OK b: 4 of 6 ready [H-05]",
    ]


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "Tue 1 Jan 23:30 UTC"),
        ("Europe/London", "Tue 1 Jan 23:30 GMT"),
        ("Europe/Berlin", "Wed 2 Jan 00:30 CET (1 Jan 23:30 UTC)"),
        ("America/New_York", "Tue 1 Jan 18:30 EST (23:30 UTC)"),
    ],
)
def test_a_moment_shows_the_readers_clock_and_utc(zone: str, shown: str) -> None:
    assert text.moment(datetime(2030, 1, 1, 23, 30, tzinfo=UTC), ZoneInfo(zone)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 min"), (600, "10 min"), (5700, "95 min"), (7200, "2 h"), (3 * 86400, "3 d")]
)
def test_a_span_reads_well(seconds: float, shown: str) -> None:
    assert text.span(seconds) == shown


def test_a_finding_is_one_short_line_whatever_it_says() -> None:
    said = text.detail(finding(summary="a\nb\t" + "x" * 5000, next_step="y" * 5000))
    assert "\n" not in said
    assert len(said) <= text.LINE_LIMIT


def restarts(pod: str, value: float | None, **evidence: str) -> Finding:
    return finding(f"pod/{pod}", check="pods_healthy", evidence={"value": value, "unit": "restarts", **evidence})


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ([restarts("a", 0)], "H-05 pod/a: 4 of 6 ready"),
        ([restarts("a", 0), restarts("b", 0)], "H-05 pods healthy: 2 OK, 0 restarts"),
        ([restarts("a", 2), restarts("b", 0)], "H-05 pods healthy: 2 OK, 0 to 2 restarts"),
        (
            [restarts("a", 1, threshold="< 3"), restarts("b", 1, threshold="< 3")],
            "H-05 pods healthy: 2 OK, 1 restarts (< 3)",
        ),
        ([restarts("a", 1, threshold="< 3"), restarts("b", 1, threshold="< 4")], "H-05 pods healthy: 2 OK, 1 restarts"),
        ([restarts("a", 62.5), restarts("b", 23.4375, unit="%")], "H-05 pods healthy: 2 OK, 23.44 to 62.5"),
        ([restarts("a", 1), restarts("b", None)], "H-05 pods healthy: 2 OK"),
    ],
)
def test_what_is_healthy_is_one_line_for_each_check(findings: list[Finding], line: str) -> None:
    assert text.healthy(findings) == [line]


def test_healthy_lines_stand_by_item_and_check() -> None:
    found = [
        finding(item=item, check=check, subject=check) for item, check in (("H-06", "b"), ("H-05", "c"), ("H-05", "b"))
    ]
    assert [line.split(":")[0] for line in text.healthy(found)] == ["H-05 b", "H-05 c", "H-06 b"]
