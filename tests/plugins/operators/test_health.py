from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk import Connection

from include.errors import ConfigurationError, TransientError
from include.findings import Severity
from include.ops.evidence import Recorded
from include.settings import BusinessLimits, KubernetesLimits, PerformanceLimits, PostgresLimits
from sre.hooks.evidence import EvidenceHook
from sre.hooks.http import HttpClientHook, address
from sre.hooks.postgres import server
from sre.operators.business import BusinessHealthOperator
from sre.operators.kubernetes import KubernetesHealthOperator
from sre.operators.postgres import PostgresHealthOperator
from sre.operators.prometheus import PerformanceHealthOperator

NOBODY: dict[str, Any] = {"evidence_conn_id": "evidence"}


def recorded(subject: str, value: int | None, severity: Severity = Severity.OK) -> Recorded:
    at = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    amount = None if value is None else Decimal(value)
    return Recorded(
        item="H-05",
        task_id="t",
        check="c",
        subject=subject,
        severity=severity,
        value=amount,
        observed_at=at,
        run_id="r",
    )


@pytest.fixture
def operator() -> PostgresHealthOperator:
    return PostgresHealthOperator(task_id="check_postgres", limits=PostgresLimits(), conn_id="db", **NOBODY)


def test_yesterdays_counters_are_those_of_the_evidence(
    operator: PostgresHealthOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"pod/a": recorded("pod/a", 7), "pod/b": recorded("pod/b", None)}
    monkeypatch.setattr(EvidenceHook, "last_values", lambda self, item, before: rows)
    assert operator.counters_of_yesterday("H-05") == {"pod/a": 7.0}


def test_a_look_that_saw_nothing_is_no_look(operator: PostgresHealthOperator, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"#alerts": recorded("#alerts", None, Severity.UNKNOWN)}
    monkeypatch.setattr(EvidenceHook, "last_values", lambda self, item, before: rows)
    assert operator.last_seen("H-02") is None


def test_evidence_that_cannot_be_read_blinds_nobody(
    operator: PostgresHealthOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: EvidenceHook, item: str, before: datetime) -> dict[str, Recorded]:
        raise TransientError("down")

    monkeypatch.setattr(EvidenceHook, "last_values", fail)
    assert operator.counters_of_yesterday("H-05") == {}
    assert operator.last_seen("H-02") is None


@pytest.mark.parametrize(
    "missing",
    [
        PostgresHealthOperator(task_id="a", limits=PostgresLimits(), conn_id="nosuch", **NOBODY),
        KubernetesHealthOperator(task_id="b", limits=KubernetesLimits(), conn_id="nosuch", **NOBODY),
        PerformanceHealthOperator(task_id="c", limits=PerformanceLimits(), conn_id="nosuch", **NOBODY),
        BusinessHealthOperator(task_id="d", limits=BusinessLimits(), postgres_conn_id="nosuch", **NOBODY),
    ],
    ids=lambda operator: operator.source,
)
def test_a_missing_connection_is_unknown_and_names_it(missing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DB", "postgres://u:p@h/d")
    report = missing.report({})
    assert report.severity is Severity.UNKNOWN
    assert "no Airflow Connection 'nosuch'" in report.findings[0].summary


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "http://127.0.0.1:28090"}, "http://127.0.0.1:28090"),
        ({"host": "https://grafana.example/sub"}, "https://grafana.example/sub"),
        ({"host": "prometheus", "port": 9090}, "http://prometheus:9090"),
        ({"host": "prometheus.example", "schema": "https"}, "https://prometheus.example"),
    ],
)
def test_an_address_is_put_together_from_what_the_connection_has(fields: dict[str, Any], url: str) -> None:
    assert address(Connection(conn_id="c", conn_type="http", **fields)) == url


def test_a_connection_without_a_host_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'c' has no host"):
        address(Connection(conn_id="c", conn_type="http"))


@pytest.mark.parametrize(
    ("uri", "header"),
    [
        ("http://:s3cret-token@h", "Token token=s3cret-token"),
        ("http://user:pass@h", "Basic dXNlcjpwYXNz"),
        ("http://h", None),
    ],
)
def test_a_token_goes_as_the_server_wants_it(uri: str, header: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", uri)
    client = HttpClientHook("c", timeout_s=1, token_scheme="Token token=").get_conn()
    request = client.build_request("GET", "x")
    sent = next(client.auth.auth_flow(request)) if client.auth else request
    assert sent.headers.get("authorization") == header


def test_a_database_connection_becomes_parameters_and_no_address_with_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DB", "postgres://ops_health:s3cret@db:5433/orchestrator?sslmode=require")
    found = server("db", 5)
    assert found.parameters["sslmode"] == "require"
    assert found.name == "db:5433/orchestrator"
    assert "s3cret" not in found.name
