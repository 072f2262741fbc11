"""The application's simulator: what it decides, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.images import BEHAVIOURS, DIGESTS, behaviour_of, image
from sandbox.simulator import maintenance
from sandbox.simulator.behaviour import answer, failure, work_s
from sandbox.simulator.control import Control
from sandbox.simulator.fleet import Fleet, Replica
from sandbox.simulator.gateway import Gateway
from sandbox.simulator.metrics import BUCKETS, Metrics
from sandbox.simulator.patience import Outage
from sandbox.simulator.podlogs import PodLogs, line
from sandbox.simulator.pods import Pod, pod_from, replicas
from sandbox.simulator.queue import Item
from sandbox.simulator.routes import API_KEYS, ROUTES, api_key
from sandbox.simulator.sessions import Session
from sandbox.simulator.traffic import Arrivals, Traffic
from sandbox.simulator.usage import cores

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WORKFLOWS = next(route for route in ROUTES if (route.method, route.path) == ("GET", "/workflows"))


def pod(app: str = "api-gateway", number: int = 0, **changes: Any) -> Pod:
    given = {
        "name": f"{app}-{number}",
        "app": app,
        "container": app,
        "node": "node-1",
        "behaviour": "good",
        "ready": True,
        "running": True,
        "restarts": 0,
        "created": f"2026-11-23T00:00:{number:02d}Z",
    }
    return Pod(**{**given, **changes})


def raw_pod(*, ready: str = "True", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "worker-1", "labels": {"app": "worker"}, **metadata},
        "spec": {"nodeName": "node-2", "containers": [{"name": "worker", "image": image("worker", "slow")}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"restartCount": 3, "state": {"running": {}}}],
        },
    }


class UpSession(Session):
    """A session of a database that is always there."""

    up = True

    def __init__(self, name: str) -> None:
        super().__init__("", name)
        self.was_up = True


def replica(**changes: Any) -> Replica:
    one = pod(**changes)
    return Replica(one, UpSession(one.name))


# --- images and pods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_build_behaves_by_its_digest_alone(behaviour: str) -> None:
    assert behaviour_of(f"elsewhere.example/anything@{DIGESTS[behaviour]}") == behaviour
    assert behaviour_of(image("worker", behaviour)) == behaviour


@pytest.mark.parametrize("reference", ["worker:latest", "worker@sha256:" + "0" * 64, ""])
def test_a_build_that_nobody_knows_is_good(reference: str) -> None:
    assert behaviour_of(reference) == "good"


def test_reads_a_pod() -> None:
    found = pod_from(raw_pod())
    assert (found.name, found.app, found.node) == ("worker-1", "worker", "node-2")
    assert (found.behaviour, found.ready, found.running, found.restarts) == ("slow", True, True, 3)


@pytest.mark.parametrize(
    "raw",
    [
        raw_pod(ready="False"),
        raw_pod(phase="Pending"),
        raw_pod(phase="Succeeded"),
        raw_pod(deletionTimestamp="2026-11-23T00:00:00Z"),
        {**raw_pod(), "status": {}},
    ],
)
def test_only_a_ready_pod_that_stays_does_work(raw: dict[str, Any]) -> None:
    assert not replicas([pod_from(raw)])


def test_pods_of_other_applications_are_not_ours_to_play() -> None:
    assert list(replicas([pod(app="postgres"), pod(app="worker")])) == ["worker-0"]


# --- what becomes of a request or an execution --------------------------------------------------------------------------


def outcomes(behaviour: str, *, able: bool = True, n: int = 20_000) -> list[Any]:
    dice = Random(1)
    return [answer(dice, WORKFLOWS, behaviour, able=able) for _ in range(n)]


def test_a_good_build_keeps_the_limits() -> None:
    answers = outcomes("good")
    durations = sorted(one.duration_s for one in answers)
    assert 0.2 < durations[int(0.95 * len(durations))] < 0.4
    assert 0.0005 < sum(one.code >= 500 for one in answers) / len(answers) < 0.005


def test_a_slow_build_breaks_the_limit_of_one_second() -> None:
    durations = sorted(one.duration_s for one in outcomes("slow"))
    assert durations[int(0.95 * len(durations))] > 1.5


def test_a_faulty_build_fails_three_percent() -> None:
    answers = outcomes("errors")
    assert 0.025 < sum(one.code >= 500 for one in answers) / len(answers) < 0.035


def test_a_replica_that_cannot_reach_what_it_needs_answers_503() -> None:
    assert {one.code for one in outcomes("good", able=False, n=100)} == {503}


def test_failures_come_at_the_ordered_share() -> None:
    dice = Random(2)
    assert sum(failure(dice, "good", 0.2) is not None for _ in range(10_000)) == pytest.approx(2_000, rel=0.1)
    assert sum(failure(dice, "good", None) is not None for _ in range(10_000)) == pytest.approx(150, rel=0.4)
    assert failure(dice, "errors", 0.0) is None


def test_workers_hurry_when_many_items_wait() -> None:
    dice = Random(3)
    assert max(work_s(dice, "good", 80) for _ in range(500)) < 2
    assert min(work_s(dice, "good", 0) for _ in range(500)) > 2


# --- maintenance mode ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expires", "on"),
    [
        ("false", "", False),
        ("true", "", True),
        ("True", "", False),
        ("true", "2026-11-23T12:00:01Z", True),
        ("true", "2026-11-23T12:00:00Z", False),
        ("true", "2026-11-23T13:30:00+02:00", False),
        ("true", "2026-11-23T12:30:00", True),  # no zone, so no end
        ("true", "tomorrow", True),
        ("false", "2026-11-23T13:00:00Z", False),
    ],
)
def test_maintenance_mode_is_a_lease(mode: str, expires: str, on: bool) -> None:
    assert maintenance.is_on({"maintenance_mode": mode, "maintenance_expires_at": expires}, NOW) is on


def test_no_configmap_means_no_maintenance() -> None:
    assert not maintenance.is_on({}, NOW)


def test_retry_after_is_the_time_that_is_left() -> None:
    end = {"maintenance_expires_at": (NOW + timedelta(seconds=90)).isoformat()}
    assert maintenance.retry_after_s(end, NOW) == 90
    assert maintenance.retry_after_s({}, NOW) == maintenance.RETRY_AFTER_S


# --- log files ----------------------------------------------------------------------------------------------------------


def test_log_lines_are_in_cri_format() -> None:
    assert line("hello", 1_700_000_000.25) == "2023-11-14T22:13:20.250000000Z stdout F hello\n"


def test_a_log_file_keeps_its_newer_half(tmp_path: Path) -> None:
    logs = PodLogs(tmp_path, limit_bytes=10_000)
    for number in range(400):
        logs.write(pod(), f"line {number:05d}")
        logs.flush()
    lines = (tmp_path / "api-gateway-0" / "api-gateway.log").read_text().splitlines()
    assert lines[-1].endswith("line 00399")
    assert sum(map(len, lines)) < 11_000
    assert all(" stdout F line " in one for one in lines)


def test_logs_go_with_their_pod_and_others_stay(tmp_path: Path) -> None:
    logs = PodLogs(tmp_path)
    for one in (pod(), pod(number=1), pod(app="report-billing")):
        logs.write(one, "hello")
    logs.flush()
    logs.write(pod(number=1), "never written")
    logs.keep_only(["api-gateway-0"])
    logs.flush()
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["api-gateway-0", "report-billing-0"]


# --- metrics ------------------------------------------------------------------------------------------------------------


def samples(metrics: Metrics, name: str, **labels: str) -> list[float]:
    found = (sample for family in metrics.registry.collect() for sample in family.samples)
    return [one.value for one in found if one.name == name and labels.items() <= one.labels.items()]


def test_counters_are_there_at_zero_before_anything_happened() -> None:
    metrics = Metrics("ai-orchestrator")
    metrics.begin_service("api-gateway", "api-gateway-0")
    assert samples(metrics, "http_requests_total", pod="api-gateway-0", code="500")
    assert set(samples(metrics, "http_requests_total")) == {0.0}
    assert set(samples(metrics, "workflow_executions_total", status="failed")) == {0.0}
    assert len(samples(metrics, "http_request_duration_seconds_bucket")) == len(BUCKETS) + 1


def test_the_series_of_a_pod_go_with_it() -> None:
    metrics = Metrics("ai-orchestrator")
    for name in ("api-gateway-0", "api-gateway-1"):
        metrics.begin_service("api-gateway", name)
        metrics.request(WORKFLOWS, name, 200, 0.1)
    metrics.forget("api-gateway-0")
    text = metrics.text().decode()
    assert "api-gateway-1" in text
    assert "api-gateway-0" not in text


def test_a_queue_that_nobody_can_see_is_not_empty() -> None:
    metrics = Metrics("ai-orchestrator")
    metrics.queue("workflows", 3, 1.5)
    assert samples(metrics, "queue_depth") == [3.0]
    metrics.queue_unknown()
    assert not samples(metrics, "queue_depth")


# --- traffic ------------------------------------------------------------------------------------------------------------


def test_arrivals_keep_the_rate() -> None:
    arrivals = Arrivals(Random(4))
    came = sum(arrivals.of(WORKFLOWS, 0.5, 1.0) for _ in range(2_000))
    assert came == pytest.approx(WORKFLOWS.per_second * 0.5 * 2_000, rel=0.05)


def traffic(tmp_path: Path, found: list[Replica], *, cache_up: bool | None = True) -> Traffic:
    metrics = Metrics("ai-orchestrator")
    return Traffic(
        Random(5),
        metrics,
        PodLogs(tmp_path),
        lambda service: [one for one in found if one.pod.app == service],
        lambda: cache_up,
    )


def test_requests_are_counted_logged_and_shared_out(tmp_path: Path) -> None:
    made = traffic(tmp_path, [replica(), replica(number=1), replica(app="auth-service")])
    made.tick(1.0, 60.0, maintenance=False)
    made.logs.flush()
    total = sum(samples(made.metrics, "http_requests_total"))
    assert total == pytest.approx(20 * 60, rel=0.4)
    counts = [sum(samples(made.metrics, "http_requests_total", pod=f"api-gateway-{number}")) for number in (0, 1)]
    assert min(counts) > 0.35 * sum(counts)
    logged = (tmp_path / "api-gateway-0" / "api-gateway.log").read_text().splitlines()
    assert len(logged) == counts[0]
    assert json.loads(logged[0].split(" F ", 1)[1])["service"] == "api-gateway"
    assert "authentication failed" in (tmp_path / "auth-service-0" / "auth-service.log").read_text()


def test_a_cache_that_is_away_fails_requests_and_one_not_looked_at_does_not(tmp_path: Path) -> None:
    for cache_up, failed in ((False, True), (None, False)):
        made = traffic(tmp_path, [replica()], cache_up=cache_up)
        made.tick(1.0, 5.0, maintenance=False)
        assert bool(sum(samples(made.metrics, "http_requests_total", code="503"))) is failed


def test_a_replica_takes_no_request_before_it_has_its_session(tmp_path: Path) -> None:
    fresh = Replica(pod(), Session("", "api-gateway-0"))
    made = traffic(tmp_path, [fresh])
    made.tick(1.0, 5.0, maintenance=False)
    assert not samples(made.metrics, "http_requests_total")


def test_in_maintenance_few_come_and_all_are_turned_away(tmp_path: Path) -> None:
    made = traffic(tmp_path, [replica()])
    made.tick(1.0, 60.0, maintenance=True)
    health = sum(samples(made.metrics, "http_requests_total", route="/health"))
    turned_away = sum(samples(made.metrics, "http_requests_total", code="503"))
    assert turned_away == sum(samples(made.metrics, "http_requests_total")) - health
    assert 0 < turned_away < 200


def test_keys_are_used_at_their_shares() -> None:
    dice = Random(6)
    drawn = [api_key(dice.random()) for _ in range(20_000)]
    assert drawn.count(API_KEYS[0]) == pytest.approx(6_000, rel=0.1)
    assert drawn.count(None) == pytest.approx(3_700, rel=0.2)


def test_a_slow_build_burns_more() -> None:
    assert cores(pod(behaviour="slow"), 0.5) == 2 * cores(pod(), 0.5)


# --- orders, queue, outages ---------------------------------------------------------------------------------------------


def test_orders_survive_a_restart(tmp_path: Path) -> None:
    Control(tmp_path / "orders.json").order({"workers_paused": True, "failed_share": 0.2})
    orders = Control(tmp_path / "orders.json").orders
    assert (orders.workers_paused, orders.failed_share, orders.held_sessions) == (True, 0.2, None)


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({"worker_paused": True}, "worker_paused"),
        ({"workers_paused": "yes"}, "workers_paused"),
        ({"failed_share": 1.5}, "failed_share"),
        ({"held_sessions": True}, "held_sessions"),
        ([], "object"),
    ],
)
def test_an_order_that_makes_no_sense_is_named_and_changes_nothing(tmp_path: Path, order: Any, named: str) -> None:
    control = Control(tmp_path / "orders.json")
    with pytest.raises(ValueError, match=named):
        control.order(order)
    assert not control.path.exists()


def test_an_item_is_plain_json_that_others_can_read() -> None:
    text = Item(7, NOW).to_json()
    assert json.loads(text) == {"execution_id": 7, "enqueued_at": "2026-11-23T12:00:00+00:00"}
    assert Item.from_json(text) == Item(7, NOW)


def test_an_outage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("Valkey")
    pauses = [outage.failed(OSError("gone")) for _ in range(20)]
    outage.over()
    outage.over()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert pauses[0] < pauses[-1] <= 5


# --- the fleet ----------------------------------------------------------------------------------------------------------


class NoDatabase(Fleet):
    """A fleet whose replicas only wait, and say when they come and go."""

    def __init__(self, tmp_path: Path) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        metrics = Metrics("ai-orchestrator")
        super().__init__(dsn="", metrics=metrics, logs=PodLogs(tmp_path), roles={})

    async def _live(self, replica: Replica) -> None:
        self.began.append(replica.pod.name)
        await replica.stop.wait()
        self.ended.append(replica.pod.name)


def by_name(*pods: Pod) -> dict[str, Pod]:
    return {one.name: one for one in pods}


def test_replicas_come_and_go_with_their_pods(tmp_path: Path) -> None:
    async def scenario() -> NoDatabase:
        fleet = NoDatabase(tmp_path)
        fleet.reconcile(by_name(pod(), pod(number=1), pod(app="worker")))
        await asyncio.sleep(0)
        fleet.reconcile(by_name(pod(), pod(number=1, ready=False)))
        await asyncio.sleep(0.01)
        assert [one.pod.name for one in fleet.serving("api-gateway")] == ["api-gateway-0"]
        assert "api-gateway-1" in fleet.metrics.text().decode()  # not ready, but there: its series stay
        fleet.reconcile(by_name(pod()))
        assert "api-gateway-1" not in fleet.metrics.text().decode()
        await fleet.end()
        return fleet

    fleet = asyncio.run(scenario())
    assert sorted(fleet.began) == ["api-gateway-0", "api-gateway-1", "worker-0"]
    assert sorted(fleet.ended) == sorted(fleet.began)


def test_a_container_that_was_restarted_begins_anew(tmp_path: Path) -> None:
    async def scenario() -> NoDatabase:
        fleet = NoDatabase(tmp_path)
        fleet.reconcile(by_name(pod()))
        await asyncio.sleep(0)
        fleet.metrics.request(WORKFLOWS, "api-gateway-0", 200, 0.1)
        fleet.reconcile(by_name(pod(restarts=1)))
        await fleet.end()
        return fleet

    fleet = asyncio.run(scenario())
    assert fleet.began == ["api-gateway-0", "api-gateway-0"]
    assert set(samples(fleet.metrics, "http_requests_total")) == {0.0}


# --- the gateway without a database -------------------------------------------------------------------------------------


class Gone:
    """A queue whose server is away."""

    async def depth(self) -> int:
        raise OSError("away")


def gateway(tmp_path: Path, found: list[Replica], config: dict[str, str] | None = None) -> TestClient:
    made = Gateway(
        Random(7),
        Metrics("ai-orchestrator"),
        PodLogs(tmp_path),
        Gone(),  # type: ignore[arg-type]
        lambda service: found,
        lambda: config or {},
        "let-me-in",
    )
    return TestClient(made.application())


@pytest.fixture
def down(tmp_path: Path) -> Iterator[TestClient]:
    with gateway(tmp_path, [Replica(pod(), Session("", "api-gateway-0"))]) as client:
        yield client


def test_without_a_ready_replica_nobody_answers(tmp_path: Path) -> None:
    answer = gateway(tmp_path, []).get("/health")
    assert (answer.status_code, answer.json()) == (503, {"error": "no ready replica of api-gateway"})


def test_health_names_what_does_not_answer(down: TestClient) -> None:
    answer = down.get("/health")
    assert answer.status_code == 503
    assert answer.json()["database"] == answer.json()["redis"] == "does not answer"


def test_a_lost_database_is_a_503(down: TestClient) -> None:
    assert down.get("/workflows/1").status_code == 503


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        ('{"name": ""}', 422),
        ('{"name": "x", "definition": []}', 422),
        (json.dumps({"name": "x" * 201}), 422),
        (json.dumps({"name": "x", "definition": {"a": "\0"}}), 422),
        (json.dumps({"name": "x" * 300_000}), 413),
    ],
)
def test_a_wrong_request_is_the_callers_fault(down: TestClient, body: str, code: int) -> None:
    assert down.post("/workflows", content=body).status_code == code


@pytest.mark.parametrize("text", ["abc", "0", "-1", "9" * 30, "٣"])
def test_what_is_no_id_is_not_found(down: TestClient, text: str) -> None:
    assert down.get(f"/workflows/{text}").status_code == 404


def test_maintenance_turns_away_all_but_the_bypass(tmp_path: Path) -> None:
    end = (maintenance.utc_now() + timedelta(minutes=5)).isoformat()
    config = {"maintenance_mode": "true", "maintenance_expires_at": end}
    client = gateway(tmp_path, [Replica(pod(), Session("", "api-gateway-0"))], config)
    answer = client.get("/workflows/1")
    assert (answer.status_code, answer.json()) == (503, {"error": "maintenance"})
    assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert client.get("/workflows/1", headers={"X-Maintenance-Bypass": "wrong"}).json() == {"error": "maintenance"}
    assert client.get("/workflows/1", headers={"X-Maintenance-Bypass": "let-me-in"}).json() != {"error": "maintenance"}
