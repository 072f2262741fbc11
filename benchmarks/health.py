"""How long the morning health check takes: against its slowest source, against the sum of all, and what it costs the platform.

Runs against a platform that is up: `make bench`. The wall time is that of real runs in Airflow, from the first check's start to the
last one's end. Asking one source after the other, as a person with the written procedure does, costs the sum.
"""

from __future__ import annotations

import importlib
import os
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.result import finish, options
from include import looking
from sandbox.airflow_api import Airflow
from sandbox.components.postgres import dsn
from sandbox.site import PROJECT, Site

DAG = "daily_health_check"
LONGEST_QUERY = """
    select max(s.max_exec_time) from pg_stat_statements s join pg_roles r on r.oid = s.userid where r.rolname = 'ops_health'
"""


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    chosen = options(__doc__)
    site = Site.load(Path(os.environ["SANDBOX_STATE"]))
    with psycopg.connect(dsn(site, "postgres", "orchestrator"), autocommit=True) as server:
        server.execute("select pg_stat_statements_reset()")
        runs = in_airflow(site, chosen.runs)
        alone = in_one_process()
        longest = server.execute(LONGEST_QUERY).fetchone()
    ratios = {
        "wall_over_slowest": _median(runs, "wall_s", "slowest_s"),
        "wall_over_sum": _median(runs, "wall_s", "sum_s"),
        "looking_wall_over_slowest": round(alone["wall_s"] / alone["slowest_s"], 2),
        "looking_wall_over_sum": round(alone["wall_s"] / alone["sum_s"], 2),
    }
    figures = {
        "runs": len(runs),
        "wall_s": round(statistics.median(run["wall_s"] for run in runs), 2),
        "looking_wall_s": round(alone["wall_s"], 2),
        "looking_cpu_s": round(alone["cpu_s"], 2),
        "longest_query_ms": round(float(longest[0] or 0) if longest else 0.0, 1),
    }
    finish("health", ratios=ratios, figures=figures, as_json=chosen.json)


def in_airflow(site: Site, n: int) -> list[Mapping[str, float]]:
    """Return wall, slowest and sum in seconds of the checks of n runs, one after the other."""
    airflow = Airflow(site)
    measured = []
    for _ in range(n):
        run_id = airflow.trigger(DAG)
        airflow.wait_for_run(DAG, run_id)
        checks = [task for name, task in airflow.tasks(DAG, run_id).items() if name.startswith("check_")]
        measured.append(spans([(_at(task["start_date"]), _at(task["end_date"])) for task in checks]))
    return measured


def spans(times: list[tuple[float, float]]) -> Mapping[str, float]:
    """Return wall, slowest and sum of what ran from … to …, in seconds."""
    took = [end - start for start, end in times]
    wall = max(end for _, end in times) - min(start for start, _ in times)
    return {"wall_s": wall, "slowest_s": max(took), "sum_s": sum(took)}


def in_one_process() -> Mapping[str, float]:
    """Return the same for the looking alone, all imports done, and the CPU seconds that it took."""
    sys.path.insert(0, str(PROJECT / "dags"))
    runbook = importlib.import_module(DAG)
    for _ in range(2):  # the first time pays for imports, which a worker pays for once
        times: list[tuple[float, float]] = []
        before = _cpu_s()
        looking.look({check.task_id: partial(_timed, check, times) for check in runbook.checks}, deadline_s=60)
        cpu_s = _cpu_s() - before
    return {**spans(times), "cpu_s": cpu_s}


def _timed(check: Any, times: list[tuple[float, float]]) -> None:
    began = time.monotonic()
    try:
        check.look({})
    finally:
        times.append((began, time.monotonic()))


def _median(runs: list[Mapping[str, float]], above: str, below: str) -> float:
    return round(statistics.median(run[above] / run[below] for run in runs), 2)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    # Without it Airflow takes us for a task, which asks a supervisor for its Connections; there is none here.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    main()
