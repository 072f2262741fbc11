from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.checks import delivery
from include.checks.queries import Queries
from include.findings import Severity
from include.probes.prometheus import Answer, Series
from include.settings import PerformanceLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = PerformanceLimits()


def answer(*values: float) -> Answer:
    series = [Series(labels={"instance": str(n)}, points=[(NOW.timestamp(), v)]) for n, v in enumerate(values)]
    return Answer(query="q", series=series)


@pytest.mark.parametrize(
    ("up", "severity", "words"),
    [
        ((1,), Severity.OK, "1 of 1 answer"),
        ((1, 0), Severity.WARNING, "1 of 2 answer"),
        ((0,), Severity.CRITICAL, "no alert can arrive"),
        ((), Severity.UNKNOWN, "nobody knows"),
    ],
)
def test_a_quiet_night_is_quiet_only_if_alertmanager_runs(
    up: tuple[float, ...], severity: Severity, words: str
) -> None:
    (finding,) = delivery.judge_alertmanager(answer(*up))
    assert (finding.item, finding.severity) == ("H-04", severity)
    assert words in finding.summary
    assert bool(finding.next_step) is bool(severity)


@pytest.mark.parametrize(
    ("known", "severity"),
    [((1,), Severity.OK), ((2, 0), Severity.CRITICAL), ((0,), Severity.CRITICAL), ((), Severity.UNKNOWN)],
)
def test_a_prometheus_that_knows_no_alertmanager_sends_to_nobody(known: tuple[float, ...], severity: Severity) -> None:
    (finding,) = delivery.judge_discovered(answer(*known))
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("dropped", "failed", "severity"),
    [
        ((0,), (0,), Severity.OK),
        ((3,), (3,), Severity.WARNING),
        ((0,), (1,), Severity.WARNING),
        ((0,), (), Severity.UNKNOWN),
        ((), (0,), Severity.UNKNOWN),
        ((), (), Severity.UNKNOWN),
    ],
)
def test_an_alert_that_was_dropped_is_told_and_a_server_that_does_not_tell_is_unknown(
    dropped: tuple[float, ...], failed: tuple[float, ...], severity: Severity
) -> None:
    (finding,) = delivery.judge_sent(answer(*dropped), answer(*failed), limits=LIMITS, now=NOW)
    assert finding.severity is severity


def test_the_names_are_settings() -> None:
    queries = Queries(PerformanceLimits(alertmanager_job="am", notifications_dropped_metric="lost"), "ns")
    assert queries.alertmanager_up() == 'up{job="am"}'
    assert queries.alerts_dropped() == "sum(increase(lost[86400s]))"
