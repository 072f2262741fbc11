"""How components are started: in the order of their needs, under a real supervisord, with one sentence when it cannot be done."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from sandbox import __main__ as command
from sandbox import own, platform
from sandbox.component import Component, NotReadyError, SetupError
from sandbox.platform import Platform, running, with_needs
from sandbox.site import PORTS, PROJECT, Site, free_ports
from sandbox.supervise import _alive

Answer = TypeVar("Answer")

SLEEP = ["sleep", "600"]


@pytest.fixture
def place(tmp_path: Path) -> Site:
    return Site.create(tmp_path / "state", free_ports())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Component]:
    components: dict[str, Component] = {}
    monkeypatch.setattr(platform, "components", lambda: components)
    return components


def sleeper(name: str, **fields: object) -> Component:
    return replace(Component(name=name, command=lambda site: SLEEP), **fields)  # type: ignore[arg-type]


def test_what_a_component_needs_is_taken_along() -> None:
    components = {
        c.name: c for c in (sleeper("a"), sleeper("b", needs=("a",)), sleeper("c", needs=("b",)), sleeper("d"))
    }
    assert with_needs(["c"], components) == {"a", "b", "c"}


def test_each_is_filled_before_what_needs_it_is_prepared(place: Site, known: dict[str, Component]) -> None:
    steps: list[str] = []
    known["a"] = sleeper("a", after=lambda site: steps.append("a filled"))
    known["b"] = sleeper("b", needs=("a",), prepare=lambda site: steps.append("b prepared"))
    with running(place, say=lambda line: None) as started:
        assert steps == ["a filled", "b prepared"]
        assert started.supervisor.states() == {"a": "RUNNING", "b": "RUNNING"}
        assert all(health.healthy for health in started.status())
    assert not started.supervisor.running


def test_a_second_start_restarts_nothing(place: Site, known: dict[str, Component]) -> None:
    known["a"] = sleeper("a")
    with running(place, say=lambda line: None) as started:
        before = started.supervisor.pid("a")
        started.start()
        assert started.supervisor.pid("a") == before


def test_stop_leaves_no_process_behind(place: Site, known: dict[str, Component]) -> None:
    known["a"] = Component(name="a", command=lambda site: ["sh", "-c", "sleep 600 & wait"])
    with running(place, say=lambda line: None) as started:
        group = os.getpgid(started.supervisor.pid("a"))
        members = eventually(
            lambda: [pid for pid in _processes() if _in_group(pid, group)], lambda found: len(found) == 2
        )
    assert [pid for pid in members if _alive(pid)] == []


def eventually(look: Callable[[], Answer], good: Callable[[Answer], bool]) -> Answer:
    """What `look` sees once it is good: a process that was started needs a moment to become what it runs."""
    deadline = time.monotonic() + 10
    while not good(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert good(seen)
    return seen


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def test_the_callers_environment_does_not_reach_the_components(
    place: Site, known: dict[str, Component], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-real-cloud")
    known["a"] = sleeper("a", environment=lambda site: {"OURS": "100 % sure"})
    with running(place, say=lambda line: None) as started:
        environ = Path(f"/proc/{started.supervisor.pid('a')}/environ")
        environment = eventually(environ.read_bytes, lambda text: b"OURS" in text)
    assert b"of-a-real-cloud" not in environment
    assert b"OURS=100 % sure" in environment


def test_a_component_that_does_not_get_ready_is_named_with_its_reason_and_its_log(
    place: Site, known: dict[str, Component]
) -> None:
    def never(site: Site) -> None:
        raise NotReadyError("it still reads its tables")

    known["a"] = sleeper("a", ready=never, ready_within_s=0.1)
    said = r"a was not ready within 0\.1 s: it still reads its tables; its log is .*/a\.log"
    with pytest.raises(SetupError, match=said), running(place, say=lambda line: None):
        pass


def test_a_port_in_use_is_named_with_the_way_out(place: Site, known: dict[str, Component]) -> None:
    known["a"] = sleeper("a", ports=("airflow",))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", place.ports["airflow"]))
        listener.listen()
        with pytest.raises(SetupError, match=r"port \d+ \(airflow\) in use: .* `make up PORT_AIRFLOW=…`"):
            Platform(place, say=lambda line: None).start()


def test_what_a_killed_daemon_left_is_stopped_too(place: Site, known: dict[str, Component]) -> None:
    known["a"] = sleeper("a")
    with running(place, say=lambda line: None) as started:
        left, daemon = started.supervisor.pid("a"), int(place.path("supervisord.pid").read_text())
        os.kill(daemon, signal.SIGKILL)
        started.stop()
        assert not _alive(left)


def test_a_state_folder_may_have_a_space_in_its_name(tmp_path: Path, known: dict[str, Component]) -> None:
    known["a"] = sleeper("a")
    with running(Site.create(tmp_path / "a b", free_ports()), say=lambda line: None) as started:
        assert started.supervisor.states() == {"a": "RUNNING"}


def test_ports_that_were_chosen_are_nobody_elses_while_the_process_lives() -> None:
    ours = free_ports()
    theirs = "from sandbox.site import free_ports; print([free_ports() for _ in range(50)])"
    printed = subprocess.run([sys.executable, "-c", theirs], capture_output=True, text=True, check=True, cwd=PROJECT)
    chosen = [port for ports in ast.literal_eval(printed.stdout) for port in ports.values()]
    assert len({*chosen, *ours.values()}) == 51 * len(PORTS)
    assert set(ours) == set(PORTS)
    assert max(ours.values()) < 32768


def test_a_second_start_keeps_the_ports_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_STATE", str(tmp_path))
    monkeypatch.setenv("PORT_AIRFLOW", "18081")
    assert command._chosen_site().ports["airflow"] == 18081
    monkeypatch.delenv("PORT_AIRFLOW")
    assert command._chosen_site().ports["airflow"] == 18081


@pytest.mark.parametrize("value", ["http", "80", "70000", "-1", "8080\n"])
def test_a_port_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_AIRFLOW", value)
    with pytest.raises(SetupError, match=r"PORT_AIRFLOW is .*; write a port between 1024 and 65535"):
        command._port("airflow", PORTS["airflow"])


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("KUBECONFIG", "/nowhere/config", "KUBECONFIG=/nowhere/config: no such file"),
        ("DATABASE_URL", "mysql://host/db", "DATABASE_URL must be an address that begins with postgres or postgresql"),
        ("PROMETHEUS_URL", "prometheus:9090", "PROMETHEUS_URL must be an address that begins with http or https"),
    ],
)
def test_a_component_of_the_users_own_is_checked_first(
    place: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"OWN_{variable}", value)
    with pytest.raises(SetupError) as refused:
        own.remember(place)
    assert sentence in str(refused.value)
    assert own.given(place, variable) is None


def test_with_a_foreign_database_nothing_of_ours_writes(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_DATABASE_URL", "postgresql://someone@db.example/orchestrator")
    own.remember(place)
    assert own.left_out(place) == {"postgres", "simulator", "own-cluster"}


def test_a_shell_that_holds_a_kubeconfig_gives_no_order(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", __file__)
    own.remember(place)
    assert own.left_out(place) == {"own-cluster"}


def test_passwords_are_made_once_and_read_by_nobody_else(place: Site) -> None:
    assert place.secret("x") == place.secret("x") != place.secret("y")
    assert place.path("secrets", "x").stat().st_mode & 0o777 == 0o600
