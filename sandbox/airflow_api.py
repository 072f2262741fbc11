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

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task_id."""
        instances = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]
        return {instance["task_id"]: instance for instance in instances}

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return where a person looks at the run."""
        return f"{self.site.url('airflow')}/dags/{dag_id}/runs/{run_id}"
