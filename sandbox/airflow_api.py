"""Airflow's REST API as `make up` and the tests use it: with a user's own login, like a person in the UI."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.component import SetupError
from sandbox.site import Site

ENDED = {"success", "failed"}
PARSED_WITHIN_S = 90


class Airflow:
    """One user's session with the API server of a site."""

    def __init__(self, site: Site, user: str = "admin") -> None:
        self.site = site
        login = {"username": user, "password": site.secret(f"airflow-{user}")}
        self._http = httpx.Client(base_url=site.url("airflow"), timeout=30)
        answer = self._http.post("/auth/token", json=login).raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: Any) -> Any:
        """GET below /api/v2; httpx.HTTPStatusError when it is refused."""
        return self._http.get(f"/api/v2/{path}", params=params).raise_for_status().json()

    def send(self, method: str, path: str, body: Any) -> Any:
        """POST, PATCH or DELETE below /api/v2; httpx.HTTPStatusError when it is refused."""
        answer = self._http.request(method, f"/api/v2/{path}", json=body).raise_for_status()
        return answer.json() if answer.content else None

    def wait_for_dags(self, wanted: set[str]) -> None:
        """Return when all these DAGs are there; SetupError with the import errors when they do not come."""
        deadline = time.monotonic() + PARSED_WITHIN_S
        while missing := wanted - {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}:
            errors = self.get("importErrors")["import_errors"]
            if errors or time.monotonic() > deadline:
                reasons = "; ".join(f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in errors)
                raise SetupError(f"Airflow does not show the DAGs {sorted(missing)}: {reasons or 'no import error'}")
            time.sleep(0.5)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run it; nothing when it already may."""
        self.send("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start one run by hand and return its id."""
        run_id = f"by_hand__{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        self.send("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
        return run_id

    def wait_for_run(self, dag_id: str, run_id: str, within_s: float = 300) -> dict[str, Any]:
        """Return the run when it has ended, green or red; SetupError when it takes longer."""
        deadline = time.monotonic() + within_s
        while (run := self.get(f"dags/{dag_id}/dagRuns/{run_id}"))["state"] not in ENDED:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"the run {run_id} of {dag_id} is still {run['state']} after {within_s:g} s;"
                    f" open {self.run_url(dag_id, run_id)}"
                )
            time.sleep(0.5)
        return dict(run)

    def wait_for_question(self, dag_id: str, run_id: str, task_id: str, within_s: float = 120) -> None:
        """Return when a task waits for an answer and may get one; SetupError when it does not come to that.

        An answer fails the task if it comes before the scheduler has heard that the process which asked is over: Airflow's own race.
        """
        deadline = time.monotonic() + within_s
        while not self._asks(dag_id, run_id, task := self.tasks(dag_id, run_id).get(task_id, {})):
            state = task.get("state")
            if state in {*ENDED, "upstream_failed", "skipped"} or time.monotonic() > deadline:
                raise SetupError(f"{task_id} does not wait, it is {state}; open {self.run_url(dag_id, run_id)}")
            time.sleep(0.3)

    def _asks(self, dag_id: str, run_id: str, task: dict[str, Any]) -> bool:
        if task.get("state") != "awaiting_input":
            return False
        heard = f"TaskInstance Finished: dag_id={dag_id}, task_id={task['task_id']}, run_id={run_id}, "
        log = self.site.path("logs", "airflow-scheduler.log").read_text(errors="replace")
        return any(heard in line and f"try_number={task['try_number']}," in line for line in log.splitlines())

    def errors(self, dag_id: str, run_id: str) -> list[str]:
        """Return what the logs of the failed tasks call errors."""
        failed = [task for task in self.tasks(dag_id, run_id).values() if task["state"] == "failed"]
        return [line for task in failed for line in self._errors(f"dags/{dag_id}/dagRuns/{run_id}", task)]

    def _errors(self, run: str, task: dict[str, Any]) -> list[str]:
        log = self.get(f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}")["content"]
        return [f"{task['task_id']}: {line['event']}" for line in log if line.get("level") in {"error", "critical"}]

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task_id."""
        instances = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]
        return {instance["task_id"]: instance for instance in instances}

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return where a person looks at the run."""
        return f"{self.site.url('airflow')}/dags/{dag_id}/runs/{run_id}"
