"""The runbook in a running Airflow, with its own accounts: asked for by one person, approved by another, taken back by a third."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.configuration.normalise import Object
from include.configuration.objects import ObjectApi
from include.configuration.window import Window
from sandbox.airflow_api import Airflow
from sandbox.components.airflow import environment
from sandbox.components.kubernetes.api import Api, ApiException
from sandbox.components.kubernetes.layout import NAMESPACE, admin
from sandbox.components.postgres import connect
from sandbox.connections import all_of
from sandbox.site import PROJECT, Site
from sre import runs
from tests.include.configuration import menagerie
from tests.include.configuration.world import World
from tests.integration.test_ledger_evidence import missing

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "configuration_recovery"
ASK = "approve_plan"
WITHIN_S = 120
MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "worker-config", "namespace": NAMESPACE}}
SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "token-signing-key", "namespace": NAMESPACE},
}
NAMES = "configmap/worker-config, secret/token-signing-key"


class Run:
    """One run of the runbook, asked for by operator_one."""

    def __init__(self, site: Site, **conf: Any) -> None:
        self.site, self.airflow = site, Airflow(site)
        form = {"dry_run": "no", "reason": "the worker reads the wrong values"} | conf
        self.run_id = Airflow(site, "operator_one").trigger(DAG_ID, **form)

    def answered(self, person: str = "recovery_approver") -> Run:
        self.airflow.wait_for_question(DAG_ID, self.run_id, ASK, WITHIN_S)
        path = f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{ASK}/-1/hitlDetails"
        body = {"chosen_options": ["Approve"], "params_input": {"approvers_reason": "seen in the drift, I agree"}}
        Airflow(self.site, person).send("PATCH", path, body)
        return self

    def ended(self) -> str:
        state: str = self.airflow.wait_for_run(DAG_ID, self.run_id, WITHIN_S)["state"]
        return state

    def states(self) -> dict[str, str]:
        return {name: each["state"] for name, each in self.airflow.tasks(DAG_ID, self.run_id).items()}

    def evidence(self) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = "select item, \"check\", verdict || ': ' || summary, detail from ops.evidence where run_id = %s order by id"
            return ops.execute(query, [self.run_id]).fetchall()

    def said(self) -> str:
        evidence = (f"{item} {check} {said}" for item, check, said, _ in self.evidence())
        return "\n".join([*evidence, *self.airflow.errors(DAG_ID, self.run_id)])


@pytest.fixture(scope="module")
def api(airflow_site: Site) -> Iterator[Api]:
    """A platform with one good bundle, after which somebody changed a value and a secret one."""
    world, api = World(airflow_site), Api(admin(airflow_site))
    menagerie.change(api, MAP, {"data": {"concurrency": "4", "added": None}})
    taken = world.take()
    world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    was = data(api, SECRET)["key"]
    menagerie.change(api, MAP, {"data": {"concurrency": "16", "added": "1"}})
    menagerie.change(api, SECRET, {"data": {"key": "d3Jvbmc="}})
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    yield api
    menagerie.change(api, MAP, {"data": {"concurrency": "4", "added": None}})
    menagerie.change(api, SECRET, {"data": {"key": was}})


def pods(api: Api) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]:
        app = each["metadata"].get("labels", {}).get("app", "")
        if not each["metadata"].get("deletionTimestamp"):
            found.setdefault(app, set()).add(each["metadata"]["uid"])
    return found


def data(api: Api, thing: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = api.call("GET", api.path(thing))["data"]
    return found


@pytest.fixture(scope="module")
def planned(airflow_site: Site, api: Api) -> Run:
    """Triggered with what the form has by itself: it only plans, of everything."""
    run = Run(airflow_site, dry_run="auto")
    run.ended()
    return run


@pytest.fixture(scope="module")
def through(planned: Run, airflow_site: Site, api: Api) -> tuple[Run, Mapping[str, set[str]]]:
    before = pods(api)
    run = Run(airflow_site, names=NAMES).answered()
    assert run.ended() == "success", run.said()
    return run, before


def test_by_itself_it_only_plans_and_names_who_changed_what(planned: Run, api: Api) -> None:
    assert data(api, MAP)["concurrency"] == "16"
    assert set(planned.states().values()) == {"success"}, planned.said()
    assert "only planned: trigger it with dry_run = no" in planned.said()
    (plan,) = [detail for _, check, _, detail in planned.evidence() if check == "planned"]
    acting = {subject for subject, each in plan["entries"].items() if each["deed"] in {"create", "change"}}
    assert acting == {"configmap/worker-config", "secret/token-signing-key"}
    assert plan["entries"]["configmap/worker-config"]["conflicts"]
    assert set(plan["restarts"]) == {"deployment/worker"}  # no pod has the signing key mounted


def test_what_one_asked_for_and_another_approved_is_applied_and_only_its_readers_restart(
    through: tuple[Run, Mapping[str, set[str]]], api: Api, airflow_site: Site
) -> None:
    run, before = through
    assert data(api, MAP)["concurrency"] == "4"
    assert "added" not in data(api, MAP)
    assert data(api, SECRET)["key"] != "d3Jvbmc="
    after = pods(api)
    assert {app for app in before if app and not before[app] & after[app]} == {"worker"}
    assert missing(DAG_ID, airflow_site, run.run_id) == []


def test_the_window_is_shut_afterwards_and_then_the_account_may_only_try(
    through: tuple[Run, Mapping[str, set[str]]], airflow_site: Site
) -> None:
    keeper = Api(airflow_site.path("kubernetes", "ops-recover-window.kubeconfig"))
    assert Window(ObjectApi(keeper.client, namespace=NAMESPACE)).holder() == ""
    account = Api(airflow_site.path("kubernetes", "ops-recover-config.kubeconfig"))
    wanted = {**MAP, "data": {"concurrency": "5"}}
    account.call("PATCH", account.path(MAP), wanted, fieldManager="test", force="true", dryRun="All")
    with pytest.raises(ApiException, match="the window of ops-recover-config is shut"):
        account.call("PATCH", account.path(MAP), wanted, fieldManager="test", force="true")


def test_no_secret_value_is_in_the_evidence_the_plan_the_logs_or_slack(
    through: tuple[Run, Mapping[str, set[str]]], airflow_site: Site, api: Api
) -> None:
    run, _ = through
    tasks = f"dags/{DAG_ID}/dagRuns/{run.run_id}/taskInstances"
    logs = "".join(json.dumps(run.airflow.get(f"{tasks}/{name}/logs/1")) for name in run.states())
    told = httpx.get(f"{airflow_site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().text
    with connect(airflow_site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        kept = str(
            ops.execute(
                "select summary, content from ops.plan union all select step, detail from ops.journal"
            ).fetchall()
        )
    secret = airflow_site.secret("token-signing-key")
    for form in (secret, data(api, SECRET)["key"], "d3Jvbmc="):
        assert [
            name
            for name, text in {"logs": logs, "slack": told, "ops": kept, "said": run.said()}.items()
            if form in text
        ] == []


def test_a_selector_that_matches_nothing_ends_red_and_changes_nothing(airflow_site: Site, api: Api) -> None:
    before = data(api, MAP)
    run = Run(airflow_site, selector="app=nobody")
    assert run.ended() == "failed"
    assert "selector 'app=nobody': nothing in the bundle matches; nothing was changed" in run.said()
    assert data(api, MAP) == before


def test_and_a_person_without_airflow_takes_it_back(
    through: tuple[Run, Mapping[str, set[str]]], api: Api, airflow_site: Site, tmp_path: Path
) -> None:
    run, _ = through
    file = tmp_path / "connections.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(all_of(airflow_site)))
    for verb in ("show", "rollback"):
        words = ["-m", "include.configuration", verb, runs.op_id(DAG_ID, run.run_id), "--connections", str(file)]
        whole = {**os.environ, **environment(airflow_site)}
        said = subprocess.run(
            [sys.executable, *words], env=whole, capture_output=True, text=True, check=False, cwd=PROJECT
        )
        assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("undone: what it had changed is as it was before")
    assert data(api, MAP) == {**data(api, MAP), "concurrency": "16", "added": "1"}
    assert data(api, SECRET)["key"] == "d3Jvbmc="
