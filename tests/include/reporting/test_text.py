from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from include.findings import Severity
from include.reporting import text
from tests.include.reporting.test_slack import finding, report


def test_a_report_is_the_verdict_then_every_finding_worst_first() -> None:
    lines = text.render(report(finding("a"), finding("b", Severity.WARNING, next_step="wait"))).splitlines()
    assert lines == [
        "kubernetes: WARNING, 2 looked at",
        "  WARNING b: 4 of 6 ready [H-05] → wait",
        "  OK a: 4 of 6 ready [H-05]",
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
