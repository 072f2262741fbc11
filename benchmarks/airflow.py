"""What a runbook costs Airflow: importing its file on top of `airflow.sdk`, and the way from a trigger to the first task's success.

Runs against a platform that is up: `make bench`. The first task of the health check stands for a trivial one: it compares two times
and leaves one row of evidence.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.result import finish, options
from sandbox.airflow_api import Airflow
from sandbox.site import PROJECT, Site

DAG = "daily_health_check"
FIRST_TASK = "guard_slot"
ALLOWED_IMPORT_S = 0.3

TIMED_IMPORT = """
import sys, time
began = time.perf_counter()
from airflow.sdk import DAG
between = time.perf_counter()
sys.path.insert(0, {folder!r})
__import__({name!r})
print(between - began, time.perf_counter() - between)
"""


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    chosen = options(__doc__)
    files = sorted((PROJECT / "dags").glob("*.py"))
    imports = {file.stem: imported(file, chosen.runs) for file in files}
    sdk_s = statistics.median(sdk for sdk, _ in imports.values())
    slowest_s = max(own for _, own in imports.values())
    first_task_s = trivial_task(Site.load(Path(os.environ["SANDBOX_STATE"])), chosen.runs)
    ratios = {
        "slowest_import_over_sdk_import": round(slowest_s / sdk_s, 3),
        "slowest_import_over_allowed": round(slowest_s / ALLOWED_IMPORT_S, 2),
    }
    figures = {
        "dag_files": len(files),
        "sdk_import_s": round(sdk_s, 2),
        "slowest_import_on_top_s": round(slowest_s, 2),
        "trigger_to_first_success_s": round(first_task_s, 2),
    }
    finish("airflow", ratios=ratios, figures=figures, as_json=chosen.json)


def imported(file: Path, n: int) -> tuple[float, float]:
    """Return the median seconds of importing the SDK, and of importing the file after it, each time in a new process."""
    code = TIMED_IMPORT.format(folder=str(file.parent), name=file.stem)
    lines = [subprocess.check_output([sys.executable, "-c", code], text=True).split() for _ in range(n + 1)][1:]
    return statistics.median(float(sdk) for sdk, _ in lines), statistics.median(float(own) for _, own in lines)


def trivial_task(site: Site, n: int) -> float:
    """Return the median seconds from a trigger to the success of the run's first task."""
    airflow = Airflow(site)
    return statistics.median(_once(airflow) for _ in range(n))


def _once(airflow: Airflow) -> float:
    began = time.time()
    run_id = airflow.trigger(DAG)
    airflow.wait_for_run(DAG, run_id)
    first: dict[str, Any] = airflow.tasks(DAG, run_id)[FIRST_TASK]
    return datetime.fromisoformat(first["end_date"]).timestamp() - began


if __name__ == "__main__":
    main()
