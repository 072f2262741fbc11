"""`python -m sandbox up | down | status | run MODULE …`: the platform in small, Airflow over it, and its first run."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

import httpx

from sandbox import own
from sandbox.airflow_api import Airflow
from sandbox.component import SetupError
from sandbox.components import s3
from sandbox.components.airflow import USERS, environment
from sandbox.components.postgres import dsn
from sandbox.platform import Platform
from sandbox.site import PORTS, PROJECT, Site, bypass_proxies, default_state, free_ports

BACKUP = "daily_database_backup"
BACKUP_NEEDS = "a Connection orchestrator_postgres_backup of yours"
FIRST_RUNBOOKS = ("daily_health_check", BACKUP)
NEEDED_GB = 3


def main() -> None:
    """Run the command; one sentence on standard error and exit code 1 when it cannot be done."""
    commands: Mapping[str, Callable[[], int]] = {
        "up": up,
        "down": down,
        "status": status,
        "run": lambda: run(*rest),
    }
    bypass_proxies()
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("command", choices=commands)
    chosen, rest = parser.parse_known_args()
    try:
        sys.exit(commands[chosen.command]())
    except SetupError as error:
        sys.exit(f"\n{error}")
    except httpx.HTTPError as error:
        sys.exit(f"\nAirflow or a receiver did not answer as it should: {error}; `make status` says which part is down")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; `make status` says what runs, `make down` stops it")


def up() -> int:
    """Start everything, unpause the DAGs, run the first runbooks once, and say where to look and what is proved."""
    began = time.monotonic()
    site = _chosen_site()
    print(f"Starting the platform in small; its state lies in {site.state}", flush=True)
    _platform(site).start()
    airflow = _with_dags_unpaused(site)
    print(f"All of it runs after {time.monotonic() - began:.0f} s.", flush=True)
    runs = [_run_once(airflow, dag_id) for dag_id in _first_runbooks(site)]
    _say_where_to_look(site, airflow, runs)
    _say_what_is_proved()
    print(f"`make up` took {time.monotonic() - began:.0f} s; `make status` looks again, `make down` stops it.")
    return 0


def down() -> int:
    """Stop all of it; the data stay for the next start."""
    _platform(_existing_site()).stop()
    print("Stopped. `make up` starts it again where it was.")
    return 0


def status() -> int:
    """Print one line a component; 0 only if all are healthy."""
    lines = _platform(_existing_site()).status()
    for line in lines:
        print(f"{'ok  ' if line.healthy else 'DOWN'}  {line.name:<24} {line.detail}")
    return 0 if all(line.healthy for line in lines) else 1


def run(module: str, *arguments: str) -> int:
    """Run a Python module as the Airflow of this site would: with its settings, its Connections and its evidence database."""
    site = _existing_site()
    whole = {
        **os.environ,
        **environment(site),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")]),
        "OPS_DSN": dsn(site, "ops_runner" if module == "include.ops" else "ops_evidence_reader", "ops", "postgres_ops"),
        **s3.variables(site, "backup_verifier"),
    }
    return subprocess.run([sys.executable, "-m", module, *arguments], env=whole, check=False).returncode


def _chosen_site() -> Site:
    state = default_state()
    ports = {name: _port(name, usual) for name, usual in _usual_ports(state).items()}
    _refuse_full_disk(state)
    site = Site.create(state, ports)
    own.remember(site)
    return site


def _platform(site: Site) -> Platform:
    return Platform(site, without=own.left_out(site), say=partial(print, flush=True))


def _existing_site() -> Site:
    try:
        return Site.load(default_state())
    except FileNotFoundError:
        raise SetupError("nothing was ever started from this checkout; `make up` does it") from None


def _usual_ports(state: Path) -> Mapping[str, int]:
    """Return the ports of the last start, of the table at the first one, or free ones where these are asked for."""
    if (choice := os.environ.get("PORTS")) not in {None, "", "free"}:
        raise SetupError(f"PORTS is {choice!r}; write PORTS=free, or PORT_AIRFLOW=… and the like for single ones")
    if (state / "site.json").exists():
        return {**PORTS, **Site.load(state).ports}
    return free_ports() if choice else PORTS


def _port(name: str, usual: int) -> int:
    variable = f"PORT_{name.upper()}"
    text = os.environ.get(variable) or str(usual)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise SetupError(f"{variable} is {text!r}; write a port between 1024 and 65535")
    return int(text)


def _refuse_full_disk(state: Path) -> None:
    state = next(folder for folder in (state, *state.parents) if folder.exists())
    free_gb = shutil.disk_usage(state).free / 1e9
    if free_gb < NEEDED_GB:
        raise SetupError(
            f"{state} has {free_gb:.1f} GB free and the platform needs {NEEDED_GB} GB:"
            " free some space, or choose another folder with `make up SANDBOX_STATE=…`"
        )


def _with_dags_unpaused(site: Site) -> Airflow:
    airflow = Airflow(site)
    runbooks = {file.stem for file in (PROJECT / "dags").glob("*.py")}
    airflow.wait_for_dags(runbooks)
    for dag_id in sorted(runbooks):
        airflow.unpause(dag_id)
    return airflow


def _first_runbooks(site: Site) -> Sequence[str]:
    if not own.given(site, "DATABASE_URL"):
        return FIRST_RUNBOOKS
    print(f"Not running {BACKUP}: the database is yours; {BACKUP_NEEDS} leads it there.", flush=True)
    return [dag_id for dag_id in FIRST_RUNBOOKS if dag_id != BACKUP]


def _run_once(airflow: Airflow, dag_id: str) -> dict[str, Any]:
    print(f"Running {dag_id} once …", flush=True)
    return airflow.wait_for_run(dag_id, airflow.trigger(dag_id))


def _say_where_to_look(site: Site, airflow: Airflow, runs: Sequence[dict[str, Any]]) -> None:
    print(f"\nAirflow     {site.url('airflow')}   (logins below)")
    for run in runs:
        print(f"This run    {airflow.run_url(run['dag_id'], run['dag_run_id'])}   {run['state']}")
    print(f"Slack       {site.url('receivers')}/slack/channels/operations")
    print(f"Others      {site.url('receivers')}/   (PagerDuty, status page, Grafana)")
    print(f"Logins      {'   '.join(f'{name} ({role})' for name, role in USERS.items())}")
    print(f"            the password of each is in {site.state}/secrets/airflow-<name>")
    print("\nWhat they said in Slack:\n")
    for run in runs:
        print(indent(_report_of(site, run["dag_run_id"]), "    "), end="\n\n")


def _say_what_is_proved() -> None:
    print("The backups in the bucket, as `make backups` shows them:\n", flush=True)
    run("include.backups", "list")
    print(flush=True)


def _report_of(site: Site, run_id: str) -> str:
    """Return what stands in Slack about this run, and no other run's words."""
    answer = httpx.get(f"{site.url('receivers')}/_recorded/slack", timeout=5).raise_for_status().json()
    posts = [request["body"] for request in answer["recorded"] if request["path"].endswith("chat.postMessage")]
    of_this_run = [post["text"] for post in posts if run_id in str(post.get("blocks")) and "thread_ts" not in post]
    return str(of_this_run[-1]) if of_this_run else "nothing; the log of the run's task publish_report says why"


if __name__ == "__main__":
    main()
