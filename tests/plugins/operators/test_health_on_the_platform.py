from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from include.findings import Severity
from include.settings import load
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from sre.operators.business import BusinessHealthOperator
from sre.operators.grafana import GrafanaHealthOperator
from sre.operators.health import HealthOperator
from sre.operators.kubernetes import KubernetesHealthOperator
from sre.operators.pagerduty import PagerDutyIncidentsOperator
from sre.operators.postgres import PostgresHealthOperator
from sre.operators.prometheus import PerformanceHealthOperator
from sre.operators.redis import RedisHealthOperator
from sre.operators.slack import SlackAlertsOperator

pytestmark = pytest.mark.integration


@pytest.fixture
def fields(site: Site) -> dict[str, dict[str, Any]]:
    return all_of(site)


@pytest.fixture(autouse=True)
def connections(fields: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in fields.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(given))


def operators() -> Iterator[HealthOperator]:
    known = load()
    yield SlackAlertsOperator(task_id="check_alerts", limits=known.alerts)
    yield PagerDutyIncidentsOperator(task_id="check_pagerduty", limits=known.alerts)
    yield GrafanaHealthOperator(task_id="check_grafana", limits=known.grafana)
    yield KubernetesHealthOperator(task_id="check_kubernetes", limits=known.kubernetes)
    yield PostgresHealthOperator(task_id="check_postgres", limits=known.postgres)
    yield RedisHealthOperator(task_id="check_redis", limits=known.redis)
    yield PerformanceHealthOperator(task_id="check_performance", limits=known.performance)
    yield BusinessHealthOperator(task_id="check_business", limits=known.business)


each_check = pytest.mark.parametrize("check", list(operators()), ids=lambda operator: operator.task_id)


@each_check
def test_every_check_sees_the_platform(check: HealthOperator) -> None:
    report = check.report({})
    assert report.checked
    assert not report.blind
    assert [f.summary for f in report.findings if f.severity is Severity.UNKNOWN] == []


@pytest.mark.parametrize("mode", ["down", "empty", "forbidden"])
@pytest.mark.parametrize("service", ["slack", "pagerduty", "grafana"])
def test_a_receiver_that_is_sick_is_unknown(service: str, mode: str, site: Site) -> None:
    control = f"{site.url('receivers')}/_control/{service}"
    httpx.post(control, json={"mode": mode}).raise_for_status()
    try:
        check = next(operator for operator in operators() if operator.source == service)
        assert check.report({}).severity is Severity.UNKNOWN
    finally:
        httpx.post(control, json={"mode": "ok"}).raise_for_status()


def test_bug_75_a_database_that_is_not_there_is_unknown_and_named(
    fields: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**fields[IDS.postgres], "schema": "no_such_database"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{IDS.postgres.upper()}", json.dumps(wrong))
    report = PostgresHealthOperator(task_id="check_postgres", limits=load().postgres).report({})
    assert report.severity is Severity.UNKNOWN
    assert 'database "no_such_database" does not exist' in report.findings[0].summary


def test_a_misspelt_namespace_is_unknown_and_names_the_setting() -> None:
    check = KubernetesHealthOperator(task_id="k", limits=load().kubernetes, namespace="ai-orchestratr")
    report = check.report({})
    assert report.severity is Severity.UNKNOWN
    assert "settings connections.kubernetes and namespace" in report.findings[0].summary
