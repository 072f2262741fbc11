"""A wrong Connection, an unknown namespace, a wrong setting: one clear sentence that names what to change, before any side effect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from include.findings import Severity
from sandbox.components.postgres import dsn
from sandbox.connections import IDS, all_of
from sandbox.site import PROJECT, Site
from tests.integration.morning import checks, connected
from tests.integration.test_blind_sources import UNTRANSLATED

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Wrong:
    """One mistake in one Connection.

    :param named: what the sentence must say, so that the reader knows where to go.
    """

    source: str
    connection: str
    change: Mapping[str, Any]
    named: str


NO_SUCH_HOST = {"host": "no-such-host.invalid"}
ELSEWHERE = {"extra": {"base_url": "http://no-such-host.invalid/api/"}}
CONNECTIONS = [
    Wrong("postgres", "postgres", {"host": None}, "'orchestrator_postgres_health' has no host"),
    Wrong("postgres", "postgres", NO_SUCH_HOST, "connections.postgres"),
    Wrong("postgres", "postgres", {"schema": ""}, "'orchestrator_postgres_health' names no database"),
    Wrong("postgres", "postgres", {"schema": "no_such_database"}, "connections.postgres"),
    Wrong("postgres", "postgres", {"login": "nobody"}, "connections.postgres"),
    Wrong("postgres", "postgres", {"extra": {"sslmode": "sometimes"}}, "connections.postgres"),
    Wrong("redis", "redis", {"host": None}, "'orchestrator_redis_health' has no host"),
    Wrong("redis", "redis", {"port": None}, "connections.redis"),
    Wrong("redis", "redis", NO_SUCH_HOST, "connections.redis"),
    Wrong("redis", "redis", {"extra": {"db": 7}}, "connections.redis"),
    Wrong("redis", "redis", {"login": "nobody"}, "connections.redis"),
    Wrong("kubernetes", "kubernetes", {"extra": {"kube_config_path": "/no/such/file"}}, "kube_config_path"),
    Wrong("kubernetes", "kubernetes", {"extra": {"kube_config": "not: [yaml"}}, "'orchestrator_kubernetes_read'"),
    Wrong("performance", "prometheus", {"host": None}, "'orchestrator_prometheus' has no host"),
    Wrong("performance", "prometheus", NO_SUCH_HOST, "connections.prometheus"),
    Wrong("grafana", "grafana", {"host": None}, "'orchestrator_grafana' has no host"),
    Wrong("grafana", "grafana", {"password": None}, "check its Connection"),
    Wrong("slack", "slack", {"password": None}, "'orchestrator_slack' holds no Slack token"),
    Wrong("slack", "slack", ELSEWHERE, "read the channel by hand"),
]


@pytest.mark.parametrize("wrong", CONNECTIONS, ids=lambda wrong: f"{wrong.connection}-{next(iter(wrong.change))}")
def test_a_wrong_connection_is_one_sentence_that_names_it(site: Site, wrong: Wrong) -> None:
    conn_id = getattr(IDS, wrong.connection)
    with connected(site, {conn_id: {**all_of(site)[conn_id], **wrong.change}}):
        report = checks()[wrong.source].report({})
    assert report.severity is Severity.UNKNOWN
    first = f"{report.findings[0].summary}; {report.findings[0].next_step}"
    assert wrong.named in first
    assert UNTRANSLATED.search(first) is None
    assert "\n" not in first


@pytest.mark.parametrize("source", ["slack", "grafana", "kubernetes", "postgres", "redis"])
def test_a_missing_connection_is_named(site: Site, source: str) -> None:
    with connected(site), pytest.MonkeyPatch.context() as patch:
        conn_id = getattr(IDS, source)
        patch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}")
        report = checks()[source].report({})
    assert f"there is no Airflow Connection {conn_id!r}" in report.findings[0].summary


def test_an_unknown_namespace_names_the_setting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks()["kubernetes"], "namespace", "no-such-namespace")
    with connected(site):
        report = checks()["kubernetes"].report({})
    said = f"{report.findings[0].summary}; {report.findings[0].next_step}"
    assert report.severity is Severity.UNKNOWN
    assert "no-such-namespace" in said
    assert "the setting namespace" in said


SETTINGS = [
    ({"OPS_TIME_ZONE": "Europe/Berlino"}, "setting time_zone: "),
    ({"OPS_NAMESPAC": "ai-orchestrator"}, "there is no setting OPS_NAMESPAC"),
]
"""One of each kind; `tests/include/test_settings.py` has the table of them all."""


@pytest.mark.parametrize(("given", "named"), SETTINGS, ids=lambda value: next(iter(value)) if value else "")
def test_a_wrong_setting_stops_the_runbook_before_it_is_one(given: Mapping[str, str], named: str) -> None:
    done = python(given, str(PROJECT / "dags" / "daily_health_check.py"))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("include.errors.ConfigurationError: ")
    assert named in last


def test_the_doctor_names_each_mistake_and_changes_nothing(airflow_site: Site) -> None:
    healthy = doctor(airflow_site, {})
    assert wrong(healthy).keys() == PAIRS, healthy.stdout + healthy.stderr
    assert healthy.stdout.splitlines()[0].startswith("ok     settings")
    before = effects(airflow_site)
    nowhere = ({"OPS_NAMESPACE": "no-such-namespace"}, "namespace")
    for (given, named), lines in [
        (SETTINGS[0], 1),
        (nowhere, 5),
    ]:  # who looks at the cluster, stops its writers, reads its configuration, recovers that, and opens the window for it
        done = doctor(airflow_site, given)
        told = [line for name, line in wrong(done).items() if name not in PAIRS]
        assert (done.returncode, len(told)) == (1, lines)
        assert all(named in line for line in told)
    assert effects(airflow_site) == before


PAIRS = {IDS.failover_postgres, IDS.failover_redis}
"""What is wrong with this platform, since these tests do not start the staging pairs."""


def wrong(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What the doctor calls wrong: the line by the name."""
    lines = (done.stdout + done.stderr).splitlines()
    return {line.split()[1]: line for line in lines if line.startswith("WRONG")}


def doctor(site: Site, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return python({"SANDBOX_STATE": str(site.state), **given}, "-m", "sandbox", "run", "sre.doctor")


def python(given: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}", **given}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=whole, cwd=PROJECT, capture_output=True, text=True, check=False)


def effects(site: Site) -> tuple[int, int]:
    """What a run would leave: rows of evidence, and messages."""
    with psycopg.connect(dsn(site, "ops_evidence_reader", "ops", "postgres_ops")) as connection:
        (rows,) = connection.execute("select count(*) from ops.evidence").fetchone() or (0,)
    recorded = httpx.get(f"{site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()["recorded"]
    return rows, sum("/chat." in request["path"] for request in recorded)
