"""The runbook itself, in a running Airflow: the matrix in Slack and in the evidence, a restore each week, and no log that is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from sandbox.airflow_api import Airflow
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import admin
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World
from tests.include.configuration.world import World as ConfigurationWorld

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "weekly_backup_verification"
DATABASE = "orchestrator"
NAMESPACE = "ai-orchestrator"
TASKS = {"guard_slot", "judge_week", "restore_random_backup", "publish_report"}


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow, self.site, self.run_id = airflow, airflow.site, airflow.trigger(DAG_ID)
        self.state = airflow.wait_for_run(DAG_ID, self.run_id)["state"]
        self.states = {name: task["state"] for name, task in airflow.tasks(DAG_ID, self.run_id).items()}

    def evidence(self, item: str, check: str) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """Subject, verdict, summary and detail of each row of a check."""
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = 'select subject, verdict, summary, detail from ops.evidence where run_id = %s and item = %s and "check" = %s'
            return ops.execute(query, [self.run_id, item, check]).fetchall()

    def the(self, item: str, check: str) -> tuple[str, str, Mapping[str, Any]]:
        """Verdict, summary and detail of the only row of a check."""
        ((_, verdict, summary, detail),) = self.evidence(item, check)
        return verdict, summary, detail

    @property
    def matrix(self) -> dict[str, str]:
        """The state of each cell."""
        return {subject: detail["state"] for subject, _, _, detail in self.evidence("W-11", "cell")}

    def log(self, task_id: str) -> str:
        return json.dumps(self.airflow.get(f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task_id}/logs/1"))

    def said(self) -> list[Mapping[str, Any]]:
        """The message of the run in Slack and its thread."""
        bodies = recorded(self.site, "slack", "chat.postMessage")
        heads = [body for body in bodies if self.run_id in json.dumps(body) and "thread_ts" not in body]
        assert len(heads) == 1
        place = bodies.index(heads[0])
        return [heads[0], *(body for body in bodies[place:] if "thread_ts" in body)]


def recorded(site: Site, who: str, path: str) -> list[Mapping[str, Any]]:
    answer = httpx.get(f"{site.url('receivers')}/_recorded/{who}", timeout=10).raise_for_status().json()
    return [each["body"] for each in answer["recorded"] if path in each["path"]]


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    world = World(airflow_site, DATABASE)
    configuration = ConfigurationWorld(airflow_site)
    configuration.prover().prove(configuration.take().manifest.facts.key)
    for _ in range(2):
        taken = world.take(leftovers_after_s=43_200)
        world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    return airflow


@pytest.fixture(scope="module")
def ran(airflow: Airflow) -> Ran:
    """One run on a healthy platform."""
    return Ran(airflow)


def test_a_healthy_week_is_green_for_both_kinds_and_pages_nobody(ran: Ran) -> None:
    assert (ran.state, set(ran.states.values())) == ("success", {"success"}), ran.states
    assert set(ran.states) == TASKS
    head, *thread = ran.said()
    first = head["text"].splitlines()[0]
    assert first.startswith(("Weekly backup verification: OK", "Weekly backup verification: INFO")), first
    assert "UTC day         database" in json.dumps(thread)
    assert "UTC day         database" in ran.log("judge_week")
    assert [page for page in recorded(ran.site, "pagerduty", "enqueue") if ran.run_id in json.dumps(page)] == []


def test_w_11_each_cell_of_the_matrix_is_a_row_of_evidence(ran: Ran) -> None:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    assert set(ran.matrix) == {f"{day}/{kind}" for day in days for kind in ("database", "configuration")}
    assert "GOOD" in {state for subject, state in ran.matrix.items() if subject.endswith("/configuration")}
    for check in ("newest_good", "gaps"):
        found = {subject: verdict for subject, verdict, _, _ in ran.evidence("W-11", check)}
        assert found == {"database/orchestrator": "OK", "configuration/ai-orchestrator": "OK"}


def test_w_12_an_older_backup_was_restored_and_is_equal(ran: Ran) -> None:
    verdict, summary, detail = ran.the("W-12", "restored")
    assert (verdict, detail["equal"]) == ("OK", True)
    assert "restored in" in summary
    assert ran.the("W-12", "rto")[0] == "OK"
    newest = World(ran.site, DATABASE).catalogue().newest_good
    assert newest
    assert detail["key"] != newest.key


@pytest.fixture(scope="module")
def again(ran: Ran) -> Ran:
    """A second run, when the pod that made a backup is collected and the logs of the first run are gone."""
    api, pods = Api(admin(ran.site)), f"/api/v1/namespaces/{NAMESPACE}/pods"
    spec = {"containers": [{"name": "backup", "image": "none"}], "nodeName": "nowhere", "restartPolicy": "Never"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "backup-29400120-x7k2p"}, "spec": spec}
    api.call("POST", pods, pod)
    api.call("DELETE", f"{pods}/backup-29400120-x7k2p", gracePeriodSeconds="0")
    shutil.rmtree(ran.site.path("airflow", "task-logs", f"dag_id={DAG_ID}"))
    return Ran(ran.airflow)


def test_bug_23_neither_a_pod_that_was_collected_nor_a_log_that_is_gone_changes_the_matrix(
    ran: Ran, again: Ran
) -> None:
    assert again.state == "success"
    assert again.matrix == ran.matrix
    assert told(again, "gaps") == told(ran, "gaps")


def told(ran: Ran, check: str) -> set[tuple[str, str, str]]:
    """Subject, verdict and summary of each row of a check."""
    return {(subject, verdict, summary) for subject, verdict, summary, _ in ran.evidence("W-11", check)}


def test_bug_24_the_second_run_restores_again_into_a_database_of_its_own(ran: Ran, again: Ran) -> None:
    first, second = (each.the("W-12", "restored")[2]["scratch_database"] for each in (ran, again))
    assert first.startswith("verify_")
    assert second.startswith("verify_")
    assert first != second
