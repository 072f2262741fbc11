from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from include.errors import ConfigurationError, TransientError
from include.findings import Finding, Severity
from include.ops.evidence import Evidence, Try, append
from include.ops.migrate import migrate
from sandbox.site import PROJECT
from watch.clock import Clock
from watch.expected import load
from watch.gauges import Board, Sample
from watch.settings import EXPECTED_RUNS, WatchSettings
from watch.settings import load as load_settings
from watch.sources import DagsSource, EvidenceSource, HealthSource

HEALTH = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-23T09:00:00+00:00"},
    "triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": "2026-11-23T08:00:00+00:00"},
    "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": "2026-11-23T09:00:00+00:00"},
}
DAG = {"dag_id": "daily_health_check", "is_paused": True, "is_stale": False, "has_import_errors": False}


class Airflow:
    """A server that answers the four questions of the watch; `answers` says how."""

    def __init__(self) -> None:
        self.token = "first"
        self.logins = 0
        self.answers: dict[str, tuple[int, Any]] = {
            "/api/v2/monitor/health": (200, HEALTH),
            "/api/v2/dags/daily_health_check": (200, DAG),
            "/api/v2/importErrors?limit=1": (200, {"import_errors": [{}], "total_entries": 3}),
        }

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        if path != "/api/v2/monitor/health" and authorization != f"Bearer {self.token}":
            return 401, {"detail": "Invalid JWT token"}
        return self.answers[path]

    def log_in(self, body: dict[str, str]) -> tuple[int, Any]:
        self.logins += 1
        good = body == {"username": "watch", "password": "right"}
        return (201, {"access_token": self.token}) if good else (401, {"detail": "Invalid credentials"})


@pytest.fixture
def airflow() -> Iterator[tuple[Airflow, str]]:
    airflow = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*airflow.answer(self.path, self.headers.get("Authorization")))

        def do_POST(self) -> None:
            self._send(*airflow.log_in(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _send(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield airflow, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., WatchSettings]:
    def make(**changes: Any) -> WatchSettings:
        nowhere = "postgresql://nobody@127.0.0.1:1/ops"
        base = {
            "state": tmp_path,
            "evidence_dsn": nowhere,
            "airflow_password": "right",
            "airflow_url": "http://127.0.0.1:1",
        }
        return WatchSettings.model_validate(base | changes)

    return make


RUNS = load(EXPECTED_RUNS)[:1]
NOW = datetime.now(UTC) - timedelta(minutes=1)


def test_the_health_of_each_component_is_shown(airflow: tuple[Airflow, str], settings: Any) -> None:
    samples = HealthSource(settings(airflow_url=airflow[1])).look()
    assert {sample.label: sample.value for sample in samples} == {
        "api_server": 1.0,
        "metadatabase": 1.0,
        "scheduler": 1.0,
        "triggerer": 0.0,
        "dag_processor": 1.0,
    }


def test_an_api_server_that_does_not_answer_or_answers_nonsense_is_down(
    airflow: tuple[Airflow, str], settings: Any
) -> None:
    down = [Sample("watch_airflow_component_up", 0.0, "api_server")]
    assert HealthSource(settings()).look() == down
    airflow[0].answers["/api/v2/monitor/health"] = (500, {})
    assert HealthSource(settings(airflow_url=airflow[1])).look() == down


def test_paused_and_missing_dags_and_import_errors_are_shown(airflow: tuple[Airflow, str], settings: Any) -> None:
    source = DagsSource(settings(airflow_url=airflow[1]), RUNS)
    paused = Sample("watch_dag_paused", 1.0, "daily_health_check")
    known = Sample("watch_dag_missing", 0.0, "daily_health_check")
    missing = Sample("watch_dag_missing", 1.0, "daily_health_check")
    errors = Sample("watch_import_errors", 3.0)
    assert source.look() == [known, paused, errors]
    airflow[0].answers["/api/v2/dags/daily_health_check"] = (200, DAG | {"is_stale": True})
    assert source.look() == [missing, errors]
    airflow[0].answers["/api/v2/dags/daily_health_check"] = (404, {"detail": "not found"})
    assert source.look() == [missing, errors]
    assert airflow[0].logins == 1


def test_a_token_that_expired_is_asked_for_again_once(airflow: tuple[Airflow, str], settings: Any) -> None:
    source = DagsSource(settings(airflow_url=airflow[1]), RUNS)
    source.look()
    airflow[0].token = "second"
    assert len(source.look()) == 3
    assert airflow[0].logins == 2


def test_a_refused_user_is_named_and_its_password_is_not(airflow: tuple[Airflow, str], settings: Any) -> None:
    source = DagsSource(settings(airflow_url=airflow[1], airflow_password="wr0ng-canary"), RUNS)
    with pytest.raises(ConfigurationError, match="WATCH_AIRFLOW_PASSWORD") as caught:
        source.look()
    assert "canary" not in str(caught.value) + repr(source)


@pytest.mark.parametrize("answer", [(403, {"detail": "Forbidden"}), (500, {}), (200, {"unknown": "shape"})])
def test_an_airflow_that_will_not_tell_is_not_taken_for_healthy(
    airflow: tuple[Airflow, str], settings: Any, answer: tuple[int, Any]
) -> None:
    airflow[0].answers["/api/v2/dags/daily_health_check"] = answer
    with pytest.raises(TransientError):
        DagsSource(settings(airflow_url=airflow[1]), RUNS).look()


def test_an_ops_database_that_does_not_answer_is_an_error_and_not_zero_seconds_overdue(settings: Any) -> None:
    with pytest.raises(TransientError, match="evidence cannot be read"):
        EvidenceSource(settings(), RUNS, Clock()).look()


@pytest.mark.integration
def test_only_a_verdict_proves_that_a_run_looked(empty_ops: Callable[[str], str], settings: Any) -> None:
    migrate(empty_ops("ops_owner"))
    source = EvidenceSource(settings(evidence_dsn=empty_ops("ops_evidence_reader")), RUNS, Clock())
    with psycopg.connect(empty_ops("ops_evidence_writer"), autocommit=True) as ops:
        append(ops, [row("slot", "run", "skipped: missed slot"), row("ready", "deployment/worker", "4 of 6 ready")])
        assert newest(source) == []
        append(ops, [row("verdict", "run", "1 critical")])
        assert newest(source) == [NOW.timestamp()]


def row(check: str, subject: str, summary: str) -> Evidence:
    found = Finding(item="H-01", check=check, subject=subject, severity=Severity.INFO, summary=summary)
    by = Try(dag_id="daily_health_check", task_id="the_task", run_id="r1", try_number=1)
    return Evidence.of(found, source="runbook", by=by, observed_at=NOW)


def newest(source: EvidenceSource) -> list[float]:
    return [each.value for each in source.look() if each.name == "watch_last_evidence_timestamp_seconds"]


def shown(board: Board) -> str:
    registry = CollectorRegistry()
    registry.register(board)
    return generate_latest(registry).decode()


def test_what_could_not_be_looked_at_is_absent() -> None:
    board = Board(["evidence", "airflow"], stale_after_s=60)
    board.publish("evidence", [Sample("watch_run_overdue_seconds", 0.0, "daily_health_check")])
    text = shown(board)
    assert 'watch_run_overdue_seconds{dag_id="daily_health_check"} 0.0' in text
    assert 'watch_source_up{source="evidence"} 1.0' in text
    assert 'watch_source_up{source="airflow"} 0.0' in text
    board.publish("evidence", None)
    assert "watch_run_overdue_seconds{" not in shown(board)
    assert 'watch_source_up{source="evidence"} 0.0' in shown(board)


def test_a_view_that_is_too_old_is_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(["evidence"], stale_after_s=60)
    board.publish("evidence", [Sample("watch_run_overdue_seconds", 0.0, "daily_health_check")])
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert "watch_run_overdue_seconds{" not in shown(board)
    assert 'watch_source_up{source="evidence"} 0.0' in shown(board)


def test_a_clock_of_ones_own_starts_and_runs_as_told() -> None:
    start = datetime(2026, 11, 23, 1, 55, tzinfo=UTC)
    clock = Clock(start, 3600)
    time.sleep(0.02)
    assert timedelta(seconds=60) < clock.now() - start < timedelta(minutes=30)
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"WATCH_STATE": None}, "WATCH_STATE: Field required"),
        ({"WATCH_PORT": "99999"}, "WATCH_PORT: Input should be less than or equal to 65535"),
        ({"WATCH_LOOK_EVERY": "5"}, "WATCH_LOOK_EVERY is no setting of the watch"),
        ({"WATCH_CLOCK_START": "2026-11-23 02:00"}, "WATCH_CLOCK_START: Input should have timezone info"),
        ({"WATCH_CLOCK_SPEED": "0"}, "WATCH_CLOCK_SPEED: Input should be greater than 0"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None], said: str
) -> None:
    good = {"WATCH_STATE": "/nowhere", "WATCH_EVIDENCE_DSN": "x", "WATCH_AIRFLOW_PASSWORD": "canary"}
    for name, value in (good | change).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value).startswith(said)
    assert "canary" not in str(caught.value)


def test_a_wrong_list_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "expected_runs.yaml"
    broken.write_text("runs: [{dag_id: x, cron: '* * *', zone: UTC, grace_minutes: 1, proof: evidence}]")
    mine = {"STATE": tmp_path, "EVIDENCE_DSN": "x", "AIRFLOW_PASSWORD": "x", "EXPECTED_RUNS": broken}
    environment = {"PATH": os.environ["PATH"], **{f"WATCH_{name}": str(value) for name, value in mine.items()}}
    done = subprocess.run(
        [sys.executable, "-m", "watch"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"watch: {broken}: runs, entry 1, cron: ")
