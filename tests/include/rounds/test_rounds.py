from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

import include
from include.checks.queries import Queries
from include.findings import Severity
from include.probes.prometheus import Answer, Prometheus
from include.rounds import performance
from include.rounds.alerts import since
from include.rounds.business import usage
from include.settings import AlertLimits, PerformanceLimits

ROOT = Path(include.__file__).parent
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = PerformanceLimits()


def looked_at() -> list[Path]:
    return [path for room in ("probes", "checks", "rounds") for path in (ROOT / room).glob("*.py")]


def test_bug_76_no_check_needs_a_terminal_or_a_shell() -> None:
    assert looked_at()
    for path in looked_at():
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not imported & {"subprocess", "pty", "os", "airflow", "sre"}, path


class Silent(Prometheus):
    """Prometheus with an empty memory."""

    def __init__(self) -> None:
        pass

    def instant(self, query: str, at: datetime) -> Answer:
        return Answer(query=query, series=[])

    def range(self, query: str, *, start: datetime, end: datetime, step_s: int) -> Answer:
        return Answer(query=query, series=[])


def test_bug_72_an_empty_prometheus_is_unknown_in_every_item() -> None:
    report = performance.round_performance(Silent(), namespace="ns", limits=LIMITS, now=NOW, deadline_s=5)
    unknown = {finding.item for finding in report.findings if finding.severity is Severity.UNKNOWN}
    assert unknown == {"F-02", "F-06", "H-04", "H-06", "H-07", "H-09", "H-10", "H-12", "H-16"}
    assert report.severity is Severity.UNKNOWN


def test_bug_70_errors_are_counted_over_the_day_and_over_the_last_minutes() -> None:
    assert performance.windows(LIMITS) == [120, 300, 900, 1800, 3600, 21_600, 86_400]


def test_every_question_is_about_a_look_that_is_made() -> None:
    looks = performance.looks(Silent(), Queries(LIMITS, "ns"), NOW)
    asked = {name for question in performance.questions(LIMITS, NOW) for name in question.needs}
    assert asked == set(looks)


def test_api_requests_that_nobody_counts_have_no_newest_record() -> None:
    assert usage(Silent(), Queries(LIMITS, "ns"), now=NOW, weeks_back=4).newest is None


@pytest.mark.parametrize(
    ("last", "start"),
    [
        (None, datetime(2026, 3, 1, 9, 0, tzinfo=UTC)),
        (
            datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
            datetime(2026, 3, 1, 9, 0, tzinfo=UTC),
        ),  # run twice: a day all the same
        (datetime(2026, 2, 27, 9, 0, tzinfo=UTC), datetime(2026, 2, 27, 9, 0, tzinfo=UTC)),  # after a weekend
        (datetime(2026, 1, 1, 9, 0, tzinfo=UTC), datetime(2026, 2, 23, 9, 0, tzinfo=UTC)),  # after an outage
    ],
)
def test_the_night_begins_at_the_last_look_and_is_a_day_at_least(last: datetime | None, start: datetime) -> None:
    assert since(last, now=NOW, limits=AlertLimits()) == start


def test_only_the_channels_own_look_says_when_it_was_read_last() -> None:
    assert not {"H-02", "H-03"} & {question.item for question in performance.questions(LIMITS, NOW)}
