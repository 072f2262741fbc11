"""Airflow 3.3 itself: its metadata database, its connections, and its four processes with the LocalExecutor."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx

from sandbox import age_keys, connections
from sandbox.component import Component, NotReadyError, SetupError
from sandbox.components.kubernetes import mounts
from sandbox.components.postgres import dsn, program
from sandbox.site import PROJECT, Site

USERS = {
    "admin": "admin",
    "operator_one": "op",
    "operator_two": "op",
    "recovery_approver": "op",
    "auditor": "viewer",
    "viewer": "viewer",
    "watch": "viewer",
}
"""Role of each Airflow user; the passwords are `site.secret("airflow-<user>")`."""

AIRFLOW = Path(sys.executable).with_name("airflow")


def environment(site: Site) -> dict[str, str]:
    """Return the settings of every Airflow process of this site."""
    return {
        "AIRFLOW_HOME": str(site.folder("airflow")),
        "PYTHONPATH": str(PROJECT),
        "OPS_ENVIRONMENT": "sandbox",
        "OPS_CODE_VERSION": _code_version(),
        **{f"OPS_BACKUP__RECIPIENTS__{name.upper()}": key for name, key in age_keys.recipients(site).items()},
        **_of_configuration(site),
        "OPS_BACKUP__PROGRAMS": str(program("pg_dump").parent),
        "OPS_BACKUP__SPOOL": str(site.path("backup-spool")),
        "SANDBOX_STATE": str(site.state),
        **{f"AIRFLOW__{key}": value for key, value in _options(site).items()},
    }


def _of_configuration(site: Site) -> dict[str, str]:
    keys = age_keys.recipients(site, age_keys.OF_CONFIGURATION)
    return {
        **{f"OPS_CONFIGURATION__RECIPIENTS__{name.upper()}": key for name, key in keys.items()},
        **{f"OPS_CONFIGURATION__FOLDERS__{name.upper()}": str(path) for name, path in mounts.folders(site).items()},
        "OPS_CONFIGURATION__SOURCES__CONFIG": str(mounts.SOURCE),
    }


def _options(site: Site) -> dict[str, str]:
    return {
        "CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "16",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__FERNET_KEY": _fernet_key(site.secret("airflow-fernet-key")),
        "CORE__EXECUTION_API_SERVER_URL": f"{site.url('airflow')}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(site.path("airflow", "passwords.json")),
        "DATABASE__SQL_ALCHEMY_CONN": dsn(site, "airflow", "airflow", "postgres_ops").replace(
            "postgresql://", "postgresql+psycopg2://"
        ),
        "LOGGING__BASE_LOG_FOLDER": str(site.folder("airflow", "task-logs")),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(site.ports["airflow"]),
        "API__BASE_URL": site.url("airflow"),
        "API__SECRET_KEY": site.secret("airflow-secret-key"),
        "API_AUTH__JWT_SECRET": site.secret("airflow-jwt-secret"),
        # A short restart of the API server must not kill a long task.
        "WORKERS__MAX_FAILED_HEARTBEATS": "30",
        # A dead worker is noticed after a minute here, after five by default.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # A file that changed is read at once; reading the others twice a minute would take a tenth of the machine.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def call_airflow(site: Site, *arguments: str) -> None:
    """Run one command of Airflow's own; SetupError with its last line when it fails."""
    whole = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment(site)}
    done = subprocess.run(
        [str(AIRFLOW), *arguments], env=whole, capture_output=True, text=True, check=False, cwd=PROJECT
    )
    if done.returncode:
        log = site.path("logs", f"airflow-{arguments[0]}.log")
        log.write_text(done.stdout + done.stderr)
        raise SetupError(f"`airflow {' '.join(arguments[:2])}` failed; its output is in {log}")


def _prepare_database(site: Site) -> None:
    passwords = site.path("airflow", "passwords.json")
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({name: site.secret(f"airflow-{name}") for name in USERS}))
    call_airflow(site, "db", "migrate")


def _load_connections(site: Site) -> None:
    call_airflow(site, "connections", "import", "--overwrite", str(connections.write(site)))


def _command(site: Site, *, arguments: tuple[str, ...]) -> list[str]:
    return [str(AIRFLOW), *arguments]


def _health(site: Site, part: str) -> None:
    try:
        answer = httpx.get(f"{site.url('airflow')}/api/v2/monitor/health", timeout=5)
    except httpx.HTTPError as error:
        raise NotReadyError(f"the API server does not answer ({type(error).__name__})") from None
    status = answer.json().get(part, {}).get("status") if answer.is_success else f"HTTP {answer.status_code}"
    if status != "healthy":
        raise NotReadyError(f"Airflow says that its {part} is {status}")


def _of_airflow(name: str, part: str, *arguments: str) -> Component:
    return Component(
        name=f"airflow-{name}",
        command=partial(_command, arguments=(name, *arguments)),
        environment=environment,
        ready=partial(_health, part=part),
        needs=("airflow-database",),
        ports=("airflow",) if name == "api-server" else (),
        ready_within_s=120,
    )


def _fernet_key(secret: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode()


def _code_version() -> str:
    if given := os.environ.get("OPS_CODE_VERSION"):
        return given
    if not (PROJECT / ".git").exists() or not shutil.which("git"):
        return "unknown"
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


COMPONENTS = (
    Component(name="airflow-database", prepare=_prepare_database, needs=("postgres-ops",)),
    Component(
        name="airflow-connections",
        prepare=_load_connections,
        needs=("airflow-database", "metrics-server", "own-cluster"),
    ),
    _of_airflow("api-server", "metadatabase"),
    _of_airflow("scheduler", "scheduler", "--skip-serve-logs"),
    _of_airflow("dag-processor", "dag_processor"),
    _of_airflow("triggerer", "triggerer", "--skip-serve-logs"),
)
