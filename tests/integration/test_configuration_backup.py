"""The runbook itself, in a running Airflow: what a run leaves, what drift says, and that no secret value is anywhere but sealed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from include.backups.catalogue import Backup
from include.backups.manifest import ConfigurationManifest
from include.catalogue.model import load
from include.configuration import reading
from sandbox.airflow_api import Airflow
from sandbox.components.kubernetes.api import Api, ApiException, Object
from sandbox.components.kubernetes.layout import NAMESPACE, admin
from sandbox.components.postgres import connect
from sandbox.connections import IDS
from sandbox.site import Site
from tests.include.configuration import menagerie
from tests.include.configuration.things import CANARY
from tests.include.configuration.world import World
from tests.integration.test_database_backup import without

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "daily_configuration_backup"
MINE = ("B-07", "B-08", "B-09", "B-10", "B-11", "B-12", "B-13", "B-14")
SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "canary", "namespace": NAMESPACE},
    "data": {"password": base64.b64encode(CANARY.encode()).decode()},
}
MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "worker-config", "namespace": NAMESPACE}}


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow) -> None:
        self.site, self.run_id = airflow.site, airflow.trigger(DAG_ID)
        self.state = airflow.wait_for_run(DAG_ID, self.run_id)["state"]
        self.states = {name: task["state"] for name, task in airflow.tasks(DAG_ID, self.run_id).items()}

    def evidence(self, item: str) -> list[tuple[str, str, str, str, Mapping[str, Any]]]:
        """Check, subject, verdict, summary and detail of each row of an item."""
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = (
                'select "check", subject, verdict, summary, detail from ops.evidence where run_id = %s and item = %s'
                " order by id"
            )
            return ops.execute(query, [self.run_id, item]).fetchall()

    def said(self, item: str, check: str) -> str:
        """Verdict and summary of the last row of a check."""
        rows = [f"{verdict}: {summary}" for name, _, verdict, summary, _ in self.evidence(item) if name == check]
        assert rows, f"{item} left no {check}"
        return rows[-1]

    def messages(self) -> str:
        """All that Slack got."""
        return httpx.get(f"{self.site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().text


@pytest.fixture(scope="module")
def api(airflow_site: Site) -> Iterator[Api]:
    """The cluster, with a canary in it."""
    api = Api(admin(airflow_site))
    api.apply(SECRET)
    yield api
    menagerie.change(api, MAP, {"data": {"concurrency": "4"}})
    with suppress(ApiException):
        api.call("DELETE", api.path(SECRET))


@pytest.fixture(scope="module")
def airflow(airflow_site: Site, api: Api) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    return airflow


@pytest.fixture(scope="module")
def good(airflow: Airflow) -> Ran:
    """One run on a healthy platform."""
    ran = Ran(airflow)
    assert ran.state == "success", ran.states
    return ran


@pytest.fixture(scope="module")
def drifted(good: Ran, airflow: Airflow, api: Api) -> Ran:
    """The next one, after somebody changed a value and a secret one."""
    menagerie.change(api, MAP, {"data": {"concurrency": "16"}})
    menagerie.change(api, SECRET, {"data": {"password": base64.b64encode(b"another").decode()}})
    return Ran(airflow)


def newest_good(site: Site) -> Backup[ConfigurationManifest]:
    found = reading.backups(World(site).store("backup_verifier"), NAMESPACE).newest_good
    assert found
    return found


def test_every_item_of_the_chapter_leaves_its_evidence(good: Ran) -> None:
    assert {item for item in MINE if not good.evidence(item)} == set()
    items = {item.id: item for item in load().all_items()}
    assert {items[item].dag for item in MINE} == {DAG_ID}


def test_b_07_a_run_says_how_old_the_newest_good_backup_was(good: Ran) -> None:
    assert good.said("B-07", "slot").startswith("OK: started by hand")
    assert good.said("B-07", "newest_good").startswith(("INFO: no backup yet", "OK: the newest good backup is"))


def test_b_08_b_14_it_lies_under_a_key_of_its_own_and_is_good_by_its_proof(good: Ran) -> None:
    assert good.said("B-08", "stored_under").startswith(
        "OK: a key of its own, which no other runbook cleans: backups/conf"
    )
    assert good.said("B-14", "proved").startswith("OK: GOOD: fetched, opened, and ")
    assert newest_good(good.site).is_good


def test_b_09_bug_18_bug_22_the_kinds_are_counted_and_what_was_left_out_is_named(good: Ran) -> None:
    (detail,) = [detail for check, _, _, _, detail in good.evidence("B-09") if check == "taken"]
    assert {"Secret", "ConfigMap", "NetworkPolicy", "Role", "Certificate", "CustomResourceDefinition"} <= set(
        detail["kinds"]
    )
    assert detail["left_out"]["made by its owner"] > 0
    assert [subject for check, subject, _, _, _ in good.evidence("B-09") if check == "read"] == []


def test_b_11_bug_20_the_canary_is_nowhere_but_sealed(good: Ran, drifted: Ran) -> None:
    site = good.site
    places = ("s3", "airflow", "logs", "receivers", "kubernetes/audit")
    files = [file for place in places for file in site.path(*place.split("/")).rglob("*") if file.is_file()]
    with connect(site, "airflow", "airflow", "postgres_ops") as database:
        xcoms = "".join(f"{value}" for (value,) in database.execute("select value::text from xcom").fetchall())
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        rows = "".join(f"{row}" for (row,) in ops.execute("select e::text from ops.evidence e").fetchall())
    assert len(files) > 20
    assert len(xcoms) > 1000
    for word in (CANARY, base64.b64encode(CANARY.encode()).decode(), quote(CANARY, safe="")):
        assert [str(file) for file in files if word.encode() in file.read_bytes()] == []
        assert word not in xcoms
        assert word not in rows
        assert word not in drifted.messages()


def test_b_12_b_13_bug_21_files_and_certificates_are_told_and_no_key_is_shown(good: Ran) -> None:
    assert good.said("B-12", "git_config") == "OK: config is mounted as Git has it"
    assert good.said("B-13", "certificates") == "OK: 4 certificates in clear, 2 private keys sealed"
    assert "PRIVATE KEY" not in json.dumps([detail for *_, detail in (*good.evidence("B-12"), *good.evidence("B-13"))])


def test_b_10_drift_is_yellow_and_says_who_and_when_and_no_secret_value(drifted: Ran) -> None:
    assert drifted.state == "success"
    rows = [row for row in drifted.evidence("B-10") if row[0] == "drifted" and row[2] == "WARNING"]
    told = {subject: f"{verdict}: {said}" for _, subject, verdict, said, _ in rows}
    assert set(told) == {"configmap/worker-config", "secret/canary"}
    assert told["configmap/worker-config"].startswith(
        "WARNING: data.concurrency: 4 -> 16 (last written by kubectl-edit, 20"
    )
    assert told["secret/canary"].startswith("WARNING: data.password has a new value (fingerprint ")
    assert drifted.said("B-10", "drift").startswith("WARNING: ")
    assert drifted.said("B-10", "drift").endswith(" differ from the last good backup, 2 objects unexpectedly")
    assert "data.concurrency: 4 -&gt; 16" in drifted.messages()


def test_b_15_bug_07_the_retention_decides_about_the_configuration_too(good: Ran, airflow: Airflow) -> None:
    airflow.wait_for_dags({"backup_retention"})
    airflow.unpause("backup_retention")
    run_id = airflow.trigger("backup_retention")
    airflow.wait_for_run("backup_retention", run_id)
    with connect(good.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = "select task_id, subject, summary from ops.evidence where run_id = %s and item = 'B-15+' and \"check\" = 'planned'"
        ((task_id, subject, summary),) = ops.execute(query, [run_id]).fetchall()
    assert (task_id, subject) == ("plan_configuration", f"configuration/{NAMESPACE}")
    assert "stay" in summary


def test_without_its_connection_nothing_is_stored_and_the_report_names_it(good: Ran, airflow: Airflow) -> None:
    before = newest_good(good.site).key
    with without(airflow, IDS.configuration_kubernetes):
        ran = Ran(airflow)
    assert (ran.state, ran.states["take_configuration"]) == ("failed", "failed")
    assert ran.states["prove_configuration"] == "skipped"
    assert f"there is no Airflow Connection '{IDS.configuration_kubernetes}'" in ran.said("B-09", "taken")
    assert newest_good(good.site).key == before
