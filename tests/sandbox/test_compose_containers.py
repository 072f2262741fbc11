"""What one container does: prepare, start, fill, stay healthy, end; and the door to the published ports."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.component import Component, NotReadyError, SetupError
from sandbox.compose import forward, run, stay
from sandbox.site import PROJECT, Site, free_ports


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.create(tmp_path / "site", {})


def python(code: str) -> Callable[[Site], list[str]]:
    return lambda site: [sys.executable, "-c", code]


def test_prepares_then_starts_then_waits_then_fills(site: Site, tmp_path: Path) -> None:
    steps: list[str] = []
    started = tmp_path / "started"
    component = Component(
        name="server",
        prepare=lambda site: steps.append(f"prepare, started: {started.exists()}"),
        command=python(f"open({str(started)!r}, 'w'); import time; time.sleep(1)"),
        ready=lambda site: _exists(started),
        after=lambda site: steps.append(f"fill, started: {started.exists()}"),
    )
    assert run(component, site, healthy=tmp_path / "healthy") == 0
    assert steps == ["prepare, started: False", "fill, started: True"]


def _exists(path: Path) -> None:
    if not path.exists():
        raise NotReadyError(f"{path.name} is not there")


def test_a_step_without_a_process_ends_when_it_is_done(site: Site, tmp_path: Path) -> None:
    done: list[str] = []
    step = Component(
        name="step", prepare=lambda site: done.append("prepared"), after=lambda site: done.append("filled")
    )
    assert run(step, site, healthy=tmp_path / "healthy") == 0
    assert done == ["prepared", "filled"]


def test_returns_the_exit_code_of_the_process_and_is_no_longer_healthy(site: Site, tmp_path: Path) -> None:
    component = Component(name="server", command=python("import sys, time; time.sleep(0.3); sys.exit(7)"))
    assert run(component, site, healthy=tmp_path / "healthy") == 7
    assert not (tmp_path / "healthy").exists()


def test_names_the_reason_when_the_process_ends_before_it_is_ready(site: Site, tmp_path: Path) -> None:
    component = Component(name="server", command=python(""), ready=lambda site: _exists(tmp_path / "never"))
    with pytest.raises(SetupError, match="server ended with 0 before it was ready: never is not there"):
        run(component, site, healthy=tmp_path / "healthy")


def test_names_the_reason_when_it_takes_too_long_and_leaves_no_process(site: Site, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    component = Component(
        name="server",
        command=python(f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"),
        ready=lambda site: _exists(tmp_path / "never"),
        ready_within_s=0.6,
    )
    with pytest.raises(SetupError, match=r"server was not ready within 0\.6 s: never is not there"):
        run(component, site, healthy=tmp_path / "healthy")
    assert not Path("/proc", pid.read_text()).exists()


def test_is_healthy_only_while_it_is_ready(site: Site, tmp_path: Path) -> None:
    healthy, sick, seen = tmp_path / "healthy", tmp_path / "sick", []

    class Process:
        returncode = 0
        left = 3

        def poll(self) -> int | None:
            return 0 if self.left == 0 else None

        def wait(self, timeout: float) -> None:
            seen.append(healthy.exists())
            sick.touch() if self.left == 3 else sick.unlink(missing_ok=True)
            self.left -= 1

    def ready(site: Site) -> None:
        if sick.exists():
            raise NotReadyError("it is sick")

    stay(Component(name="server", ready=ready), site, Process(), healthy=healthy)  # type: ignore[arg-type]
    assert seen == [True, False, True]


def test_passes_only_its_own_variables_on(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("BROKER_PASSWORD", "not for the component")
    out = tmp_path / "out"
    component = Component(
        name="server",
        environment=lambda site: {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW_HOME": "ours"},
        command=python(f"import json, os; open({str(out)!r}, 'w').write(json.dumps(dict(os.environ)))"),
    )
    run(component, site, healthy=tmp_path / "healthy")
    variables = json.loads(out.read_text())
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert variables["AIRFLOW_HOME"] == "ours"
    assert "BROKER_PASSWORD" not in variables


def test_the_door_passes_both_ways_and_survives_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=_door, args=(port,), daemon=True).start()
        client = _connected("127.0.0.2", port)
        inner, _ = server.accept()
        client.sendall(b"ask")
        assert inner.recv(10) == b"ask"
        inner.sendall(b"answer")
        assert client.recv(10) == b"answer"
        inner.close()
        assert client.recv(10) == b""
    assert _connected("127.0.0.2", port).recv(10) == b""


def _door(port: int) -> None:
    asyncio.run(forward([port], outside="127.0.0.2"))


def _connected(host: str, port: int) -> socket.socket:
    for _ in range(50):
        try:
            return socket.create_connection((host, port), timeout=5)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {host}:{port}")


@pytest.mark.integration
def test_runs_a_real_component_until_it_is_stopped(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site", free_ports())
    healthy = tmp_path / "healthy"
    command = [sys.executable, "-m", "sandbox.compose", "run", "etcd", "--healthy", str(healthy)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "SANDBOX_STATE": str(site.state)}
    with subprocess.Popen(command, env=environment, cwd=PROJECT) as container:
        assert _within(60, healthy.exists), "etcd did not become healthy"
        socket.create_connection(("127.0.0.1", site.ports["etcd"]), timeout=5).close()
        container.terminate()
        assert container.wait(30) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.ports["etcd"]), timeout=5)


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()
