from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import grafana
from include.findings import Finding, Severity
from include.probes.grafana import Firing, PanelData, Rule
from include.settings import GrafanaLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def panel(now: list[float], week_ago: list[float]) -> Finding:
    data = PanelData(dashboard="overview", panel=2, title="error rate", now=now, week_ago=week_ago, query="up")
    (finding,) = grafana.judge_panel(data, limits=GrafanaLimits(), now=NOW)
    return finding


@pytest.mark.parametrize(
    ("now", "week_ago", "severity"),
    [
        ([1.0, 1.1], [1.0, 1.0], Severity.OK),
        ([2.2], [1.0, 1.0], Severity.WARNING),  # exactly six times the floor of 20 %
        ([2.19], [1.0, 1.0], Severity.OK),
        ([], [1.0], Severity.UNKNOWN),
        ([1.0], [], Severity.INFO),
        ([0.0], [0.0], Severity.OK),
    ],
)
def test_a_panel_is_compared_with_the_same_hour_a_week_ago(
    now: list[float], week_ago: list[float], severity: Severity
) -> None:
    assert panel(now, week_ago).severity is severity


def test_no_rule_at_all_is_unknown() -> None:
    (finding,) = grafana.judge_rules([])
    assert finding.severity is Severity.UNKNOWN


def test_a_rule_that_cannot_be_evaluated_is_unknown() -> None:
    rules = [
        Rule(name="R", group="g", state="inactive", health="nodata"),
        Rule(name="S", group="g", state="firing", health="ok"),
    ]
    found = list(grafana.judge_rules(rules))
    assert [(f.subject, f.severity) for f in found] == [("rule R", Severity.UNKNOWN), ("alert rules", Severity.OK)]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"severity": "page"}, Severity.CRITICAL),
        ({"severity": "warning"}, Severity.WARNING),
        ({"severity": "page", "silenced": True}, Severity.INFO),
    ],
)
def test_what_fires_is_named_by_its_severity(changes: dict[str, Any], severity: Severity) -> None:
    alert = Firing(
        **{
            "name": "A",
            "severity": "",
            "started_at": NOW - timedelta(hours=1),
            "summary": "s",
            "silenced": False,
            **changes,
        }
    )
    (finding,) = grafana.judge_firing([alert], now=NOW)
    assert finding.severity is severity


def test_nothing_firing_is_healthy() -> None:
    (finding,) = grafana.judge_firing([], now=NOW)
    assert finding.severity is Severity.OK
