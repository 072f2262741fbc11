"""The application tried through its front door: what works, and what each way of not working is called."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from include.errors import ConfigurationError, RunbookError, TransientError, VerificationError
from include.recovery.gateway import BYPASS_HEADER, await_healthy, smoke, sweep
from include.settings import RecoveryLimits
from sandbox.components.kubernetes.layout import NAMESPACE, admin
from sandbox.components.postgres import connect
from sandbox.simulator.worker import TAKE_WITHIN_S
from sandbox.site import Site, free_ports
from tests.include.recovery.village import client, eventually

pytestmark = pytest.mark.integration

QUICK = RecoveryLimits(healthy_within_s=2, smoke_within_s=0.5)


@pytest.fixture
def op_id() -> str:
    return str(uuid4())


@pytest.fixture
def door(site: Site) -> Iterator[httpx.Client]:
    token = {BYPASS_HEADER: site.secret("bypass-token")}
    with httpx.Client(base_url=site.url("gateway"), headers=token, timeout=10) as found:
        yield found


@pytest.fixture
def outside(site: Site) -> Iterator[httpx.Client]:
    """Somebody without the token."""
    with httpx.Client(base_url=site.url("gateway"), timeout=10) as found:
        yield found


@pytest.fixture
def maintenance(site: Site, door: httpx.Client) -> Iterator[None]:
    _switch(site, "true", f"{datetime.now(UTC) + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}")
    try:
        eventually(lambda: door.get("/health").json()["maintenance"])
        yield
    finally:
        _switch(site, "false", "")
        eventually(lambda: not door.get("/health").json()["maintenance"])


def _switch(site: Site, mode: str, until: str) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/api-config"
    client(admin(site)).patch(path, {"data": {"maintenance_mode": mode, "maintenance_expires_at": until}})


@pytest.fixture
def paused(site: Site) -> Iterator[None]:
    """No worker takes work."""
    orders = f"{site.url('simulator_metrics')}/_control"
    httpx.post(orders, json={"workers_paused": True}).raise_for_status()
    time.sleep(TAKE_WITHIN_S + 0.2)  # who waits for work already still takes it
    yield
    httpx.post(orders, json={"workers_paused": False}).raise_for_status()


def _left(site: Site, op_id: str) -> int:
    with connect(site, database="orchestrator") as connection:
        query = "select count(*) from workflows where name like %s"
        row = connection.execute(query, [f"recovery-smoke-{op_id[:8]}%"]).fetchone()
    assert row
    return int(row[0])


def test_a_workflow_is_made_run_and_deleted_in_maintenance_mode_too(
    site: Site, door: httpx.Client, maintenance: None, op_id: str
) -> None:
    noted: list[int] = []
    seen = smoke(door, limits=RecoveryLimits(), op_id=op_id, noted=noted.append)
    assert seen.maintenance
    assert len(noted) == 1
    assert _left(site, op_id) == 0


def test_maintenance_mode_is_not_taken_for_a_broken_application(
    site: Site, outside: httpx.Client, maintenance: None, op_id: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"maintenance mode is on, .*connections\.gateway.*nothing is known"):
        smoke(outside, limits=QUICK, op_id=op_id)


def test_work_that_nobody_takes_is_named_and_leaves_nothing(
    site: Site, door: httpx.Client, paused: None, op_id: str
) -> None:
    with pytest.raises(VerificationError, match=r"still queued .* no worker takes work; the test workflow was deleted"):
        smoke(door, limits=QUICK, op_id=op_id)
    assert _left(site, op_id) == 0


def test_a_gateway_that_is_away_is_named() -> None:
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{free_ports()['gateway']}") as nobody,
        pytest.raises(VerificationError, match=r"not healthy 0\.2 s after .*ConnectError; nothing was tried"),
    ):
        await_healthy(nobody, 0.2)


@pytest.mark.parametrize("code", [502, 503, 504, None])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_that_is_away_in_the_middle_is_asked_again_and_takes_no_recovery_back(
    code: int | None, method: str
) -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health":
            return httpx.Response(200, json={"ready_replicas": 1})
        if request.method == method:
            if code is None:
                raise httpx.ReadError("reset")
            return httpx.Response(code, json={"error": "the database does not answer"})
        return httpx.Response(201 if request.method == "POST" else 204, json={"id": 7})

    with (
        httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answers)) as door,
        pytest.raises(TransientError, match=f"answer(ed)? {method} /workflows"),
    ):
        smoke(door, limits=QUICK, op_id="0")


def test_what_a_kill_left_behind_is_swept_and_what_is_somebodys_stays(
    site: Site, door: httpx.Client, op_id: str
) -> None:
    ours = door.post("/workflows", json={"name": f"recovery-smoke-{op_id[:8]}-dead"}).json()["id"]
    theirs = door.post("/workflows", json={"name": f"somebody's {op_id}"}).json()["id"]
    try:
        assert [sweep(door, workflow_id, op_id) for workflow_id in (ours, theirs, 2**62)] == [True, False, False]
        assert [door.get(f"/workflows/{workflow_id}").status_code for workflow_id in (ours, theirs)] == [404, 200]
    finally:
        door.delete(f"/workflows/{theirs}")


def test_an_answer_that_is_none_says_so(site: Site, op_id: str) -> None:
    with (
        httpx.Client(base_url=site.url("simulator_metrics")) as wrong,
        pytest.raises(RunbookError, match="GET /health answers 404"),
    ):
        smoke(wrong, limits=QUICK.model_copy(update={"healthy_within_s": 0.2}), op_id=op_id)
