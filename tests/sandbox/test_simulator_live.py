"""The simulator on the real platform: what Kubernetes says is what database, queue, metrics and gateway show."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import kubernetes
import pytest

from sandbox.components.postgres import connect
from sandbox.components.valkey import client
from sandbox.faults.catalogue import FAULTS
from sandbox.faults.fault import switch_off, switch_on
from sandbox.site import Site

pytestmark = pytest.mark.integration

NAMESPACE = "ai-orchestrator"


def until(what: str, look: Callable[[], Any], within_s: float = 30) -> Any:
    """Wait until `look` finds something true, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.3)
    return found


@pytest.fixture
def cluster(site: Site) -> Iterator[Any]:
    config = str(site.path("kubernetes", "admin.kubeconfig"))
    with kubernetes.config.new_client_from_config(config_file=config) as api:
        yield api


@pytest.fixture
def gateway(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url("gateway"), timeout=15) as client:
        yield client


@pytest.fixture
def switched(site: Site) -> Iterator[Callable[[str], str]]:
    """Switch a fault on; it goes off at the end of the test."""
    names: list[str] = []

    def on(name: str) -> str:
        names.append(name)
        return switch_on(site, FAULTS[name])

    try:
        yield on
    finally:
        for name in names:
            switch_off(site, FAULTS[name])


def state(site: Site) -> dict[str, Any]:
    return dict(httpx.get(f"{site.url('simulator_metrics')}/_control", timeout=15).json())


def replicas(site: Site, service: str) -> list[dict[str, Any]]:
    return [one for one in state(site)["replicas"].values() if one["service"] == service]


def behaviours(site: Site, service: str) -> set[str]:
    return {one["behaviour"] for one in replicas(site, service)}


def sessions(site: Site, prefix: str) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND usename = 'orchestrator_app'"
    with connect(site) as connection:
        row = connection.execute(statement, [f"{prefix}-%"]).fetchone()
    assert row is not None
    return int(row[0])


def all_connected(site: Site) -> bool:
    found = state(site)["replicas"].values()
    return len(found) >= 12 and all(one["session"] for one in found)


def test_a_workflow_is_created_run_and_deleted(site: Site, gateway: httpx.Client) -> None:
    created = gateway.post("/workflows", json={"name": f"test-{uuid.uuid4()}", "definition": {"steps": []}})
    assert created.status_code == 201
    path = f"/workflows/{created.json()['id']}"
    assert gateway.get(path).json()["definition"] == {"steps": []}
    again = gateway.post("/workflows", json={"name": created.json()["name"]})
    assert again.status_code == 409
    execution = gateway.post(f"{path}/runs").json()["execution_id"]

    def ended() -> Any:
        return gateway.get(f"/executions/{execution}").json()["finished_at"]

    until("the execution ends", ended, 90)
    assert gateway.delete(path).status_code == 204
    assert gateway.get(path).status_code == gateway.post(f"{path}/runs").status_code == 404


def test_each_ready_replica_holds_a_session_and_scaling_down_ends_it(site: Site, cluster: Any) -> None:
    apps = kubernetes.client.AppsV1Api(cluster)
    until("all replicas are connected", lambda: all_connected(site))
    assert sessions(site, "worker") == 6
    try:
        apps.patch_namespaced_deployment_scale("worker", NAMESPACE, {"spec": {"replicas": 0}})
        until("no session of a worker", lambda: sessions(site, "worker") == 0, 20)
        assert sessions(site, "api-gateway") == 3
    finally:
        apps.patch_namespaced_deployment_scale("worker", NAMESPACE, {"spec": {"replicas": 6}})
    until("six workers have sessions again", lambda: sessions(site, "worker") == 6, 60)


def test_without_the_gateways_pods_the_gateway_does_not_answer(site: Site, cluster: Any, gateway: httpx.Client) -> None:
    apps = kubernetes.client.AppsV1Api(cluster)
    try:
        apps.patch_namespaced_deployment_scale("api-gateway", NAMESPACE, {"spec": {"replicas": 0}})
        until("the gateway is gone", lambda: gateway.get("/health").status_code == 503, 20)
        assert gateway.get("/health").json() == {"error": "no ready replica of api-gateway"}
    finally:
        apps.patch_namespaced_deployment_scale("api-gateway", NAMESPACE, {"spec": {"replicas": 3}})
    until("the gateway is back", lambda: gateway.get("/health").status_code == 200, 60)
    until("three gateways", lambda: len(replicas(site, "api-gateway")) == 3, 60)


def test_a_bad_build_shows_and_a_rollback_mends_it(site: Site, switched: Callable[[str], str]) -> None:
    switched("slow-gateway")
    until("the slow build serves", lambda: behaviours(site, "api-gateway") == {"slow"}, 90)
    began = time.monotonic()
    durations = [httpx.get(f"{site.url('gateway')}/health", timeout=30).elapsed.total_seconds() for _ in range(5)]
    assert max(durations) > 0.3, f"no slow answer in {time.monotonic() - began:.1f} s"
    switch_off(site, FAULTS["slow-gateway"])
    until("the good build serves", lambda: behaviours(site, "api-gateway") == {"good"}, 90)


def test_a_build_that_crashes_or_is_never_ready_takes_no_work(site: Site, switched: Callable[[str], str]) -> None:
    for name in ("crash-loop", "never-ready"):
        switched(name)
    time.sleep(15)  # long enough for both rollouts to get stuck
    assert behaviours(site, "worker") == behaviours(site, "auth-service") == {"good"}


def test_maintenance_mode_ends_by_itself(site: Site, cluster: Any, gateway: httpx.Client) -> None:
    core = kubernetes.client.CoreV1Api(cluster)

    def switch(mode: str, expires: str) -> None:
        data = {"maintenance_mode": mode, "maintenance_expires_at": expires}
        core.patch_namespaced_config_map("api-config", NAMESPACE, {"data": data})

    try:
        switch("true", (datetime.now(UTC) + timedelta(seconds=6)).isoformat())
        turned_away = until("maintenance", lambda: _refused(gateway.get("/workflows/1")))
        assert 1 <= int(turned_away.headers["Retry-After"]) <= 6
        bypass = {"X-Maintenance-Bypass": site.secret("bypass-token")}
        assert gateway.get("/workflows/1", headers=bypass).status_code == 200
        until("the lease runs out", lambda: gateway.get("/workflows/1").status_code == 200, 15)
    finally:
        switch("false", "")


def _refused(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 503 else None


def test_an_outage_of_the_database_is_survived(
    site: Site, gateway: httpx.Client, switched: Callable[[str], str]
) -> None:
    switched("postgres-down")
    assert until("the gateway is unhealthy", lambda: _refused(gateway.get("/health"))).json()["redis"] == "ok"
    switch_off(site, FAULTS["postgres-down"])
    until("the gateway is healthy", lambda: gateway.get("/health").status_code == 200)
    until("all replicas are connected", lambda: all_connected(site), 60)


def test_an_outage_of_the_cluster_changes_nothing_for_customers(
    site: Site, gateway: httpx.Client, switched: Callable[[str], str]
) -> None:
    switched("kube-apiserver-down")
    assert gateway.get("/health").json()["ready_replicas"] == 3
    switch_off(site, FAULTS["kube-apiserver-down"])


def test_a_leak_takes_the_pool_and_gives_it_back(site: Site, switched: Callable[[str], str]) -> None:
    leaked = "SELECT count(*) > 0, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    leaked += "::float8 / current_setting('max_connections')::int"
    leaked += " FROM pg_stat_activity WHERE application_name = 'leaked-session'"

    def look() -> Any:
        with connect(site, "ops_health") as connection:
            return connection.execute(leaked).fetchone()

    switched("connection-pool")
    until("more than 90 % in use", lambda: look()[1] > 0.9, 20)
    switch_off(site, FAULTS["connection-pool"])
    until("all given back", lambda: not look()[0], 20)


def test_a_backlog_stays_until_it_is_mended(site: Site, switched: Callable[[str], str]) -> None:
    switched("queue-backlog")
    switched("queue-backlog")
    time.sleep(3)
    with client(site) as redis:
        assert 74 <= redis.llen("queue:workflows") < 100
        oldest: Any = redis.lindex("queue:workflows", -1)
        assert set(json.loads(oldest)) == {"execution_id", "enqueued_at"}
    switch_off(site, FAULTS["queue-backlog"])
    until("the workers drain it", lambda: state(site)["queue_depth"] < 10, 60)


def test_a_full_cache_is_emptied_again(site: Site, switched: Callable[[str], str]) -> None:
    def used() -> float:
        with client(site) as redis:
            memory: Any = redis.info("memory")
        return float(memory["used_memory"] / memory["maxmemory"])

    before = used()
    switched("redis-memory")
    assert used() > 0.95
    switch_off(site, FAULTS["redis-memory"])
    until("the memory is free again", lambda: used() < before + 0.05)


def test_people_are_paged_and_answered(site: Site, switched: Callable[[str], str]) -> None:
    switched("open-pagerduty-incident")
    switched("unanswered-alert")
    headers = {"Authorization": f"Token token={site.secret('pagerduty-api-token')}"}
    slack = {"Authorization": f"Bearer {site.secret('slack-bot-token')}"}

    def incident() -> str:
        parameters = {"incident_key": "sandbox-drill", "sort_by": "created_at:desc"}
        answer = httpx.get(f"{site.url('receivers')}/pagerduty/incidents", params=parameters, headers=headers)
        return str(answer.json()["incidents"][0]["status"])

    def drill() -> dict[str, Any]:
        url = f"{site.url('receivers')}/slack/api/conversations.history"
        answer = httpx.get(url, params={"channel": "C0ALERTS01", "limit": 100}, headers=slack)
        return next(one for one in answer.json()["messages"] if one["text"].startswith("[FIRING:1] SandboxDrill-"))

    assert incident() == "triggered"
    assert "reply_count" not in drill()
    switch_off(site, FAULTS["open-pagerduty-incident"])
    switch_off(site, FAULTS["unanswered-alert"])
    assert incident() == "resolved"
    assert drill()["reply_count"] == 1


def test_receivers_misbehave_on_order(site: Site, switched: Callable[[str], str]) -> None:
    for name in ("slack-down", "pagerduty-forbidden", "grafana-empty"):
        switched(name)
    modes = httpx.get(f"{site.url('receivers')}/_control").json()
    assert (modes["slack"], modes["pagerduty"], modes["grafana"]) == ("down", "forbidden", "empty")


def test_pods_have_logs_and_series_of_their_own(site: Site, cluster: Any) -> None:
    core = kubernetes.client.CoreV1Api(cluster)
    text = httpx.get(f"{site.url('simulator_metrics')}/metrics").text
    for service, wanted in (("api-gateway", '"msg":"request"'), ("auth-service", "token issued")):
        pods = core.list_namespaced_pod(NAMESPACE, label_selector=f"app={service}").items
        assert pods
        for one in pods:
            answer = core.read_namespaced_pod_log(one.metadata.name, NAMESPACE, tail_lines=500, _preload_content=False)
            assert wanted in answer.data.decode()
            assert f'pod="{one.metadata.name}"' in text
