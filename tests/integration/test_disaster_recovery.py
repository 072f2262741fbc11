"""The runbook itself, in a running Airflow: with the operational Connections gone it restores, judges, and keeps a report to sign."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from sandbox.airflow_api import Airflow
from sandbox.components import s3
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import admin
from sandbox.components.postgres import connect
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from tests.include.backups.world import World
from tests.include.configuration.world import World as Configuration
from tests.integration.test_blind_sources import change

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "monthly_disaster_recovery_test"
DATABASE = "orchestrator"
OPERATIONAL = (
    IDS.backup_source,
    IDS.backup_scratch,
    IDS.backup_writer,
    IDS.backup_verifier,
    IDS.backup_key,
    IDS.configuration_key,
)
RESTORES = {
    "guard_slot",
    "restore_newest",
    "restore_older",
    "restore_configuration",
    "judge_recovery",
    "write_report",
    "publish_report",
}
FAILOVERS = {"exercise_postgres_failover", "exercise_redis_failover", "exercise_node_drain"}


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow, self.site, self.run_id = airflow, airflow.site, airflow.trigger(DAG_ID)
        self.state = airflow.wait_for_run(DAG_ID, self.run_id, within_s=180)["state"]
        self.states = {name: task["state"] for name, task in airflow.tasks(DAG_ID, self.run_id).items()}

    def the(self, item: str, check: str) -> tuple[str, str, float | None, Mapping[str, Any]]:
        """Verdict, summary, value and detail of the only row of a check."""
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = """select verdict, summary, value::float8, detail from ops.evidence
                       where run_id = %s and item = %s and "check" = %s"""
            (row,) = ops.execute(query, [self.run_id, item, check]).fetchall()
        return row

    def report(self) -> dict[str, bytes]:
        """The report as it lies in the bucket, by kind."""
        detail, client = self.the("M-12+", "report_kept")[3], s3.client(self.site)
        return {
            key.rpartition(".")[2]: client.get_object(Bucket=detail["bucket"], Key=key, VersionId=facts["version"])[
                "Body"
            ].read()
            for key, facts in detail["objects"].items()
        }

    def logs(self) -> str:
        """What all tasks said."""
        tasks = f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances"
        return "".join(json.dumps(self.airflow.get(f"{tasks}/{name}/logs/1")) for name in self.states)

    def posted(self) -> str:
        """The message of the run in Slack."""
        answer = httpx.get(f"{self.site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
        bodies = [each["body"] for each in answer["recorded"] if "chat.postMessage" in each["path"]]
        heads = [place for place, body in enumerate(bodies) if self.run_id in json.dumps(body)]
        return json.dumps(bodies[heads[0] :])


@contextmanager
def without(airflow: Airflow, conn_ids: tuple[str, ...]) -> Iterator[None]:
    """Take Connections away, as on a worker that never had them."""
    for conn_id in conn_ids:
        airflow.send("DELETE", f"connections/{conn_id}", None)
    try:
        yield
    finally:
        for conn_id in conn_ids:
            fields = all_of(airflow.site)[conn_id]
            airflow.send("POST", "connections", {"connection_id": conn_id, "conn_type": fields["conn_type"]})
            change(airflow, conn_id, fields)


@pytest.fixture(scope="module")
def ran(airflow_site: Site, staging: Site) -> Ran:
    """One run, while nothing of the operational side can be read."""
    world = World(airflow_site, DATABASE)
    for _ in range(2):
        taken = world.take(leftovers_after_s=43_200)
        world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    configuration = Configuration(airflow_site)
    bundle = configuration.take()
    configuration.prover().prove(bundle.manifest.facts.key, sha256=bundle.sha256)
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    with without(airflow, OPERATIONAL):
        return Ran(airflow)


def test_m_03_the_newest_and_an_older_backup_are_restored_without_the_operational_connections(ran: Ran) -> None:
    assert set(ran.states) == RESTORES | FAILOVERS
    assert set(ran.states.values()) == {"success"}, ran.states
    assert ran.state == "success"
    assert ran.the("M-03", "pieces")[0] == "OK"
    newest, older = ran.the("M-03", "restored_newest"), ran.the("M-03", "restored_older")
    assert (newest[0], older[0]) == ("OK", "OK")
    found = World(ran.site, DATABASE).catalogue().newest_good
    assert found
    assert (newest[3]["key"], older[3]["key"] < found.key) == (found.key, True)
    assert {"choose and look", "fetch and open", "restore", "compare"} == set(newest[3]["steps"])


def test_m_03_the_newest_bundle_is_made_in_an_empty_namespace_compared_and_removed(ran: Ran) -> None:
    verdict, summary, seconds, detail = ran.the("M-03", "restored_configuration")
    assert (verdict, detail["wrong"]) == ("OK", []), summary
    assert int(summary.split()[0]) >= 20
    assert seconds
    assert detail["key"] in ran.report()["md"].decode()
    found = Api(admin(ran.site)).call("GET", "/apis/apps/v1/namespaces/ai-orchestrator-dr/deployments")["items"]
    assert found == []


def test_m_04_m_05_the_time_and_the_loss_are_held_against_their_targets(ran: Ran) -> None:
    restored = ran.the("M-03", "restored_newest")[3]
    verdict, summary, value, detail = ran.the("M-04", "rto")
    assert (verdict, value, detail["database_bytes"]) == ("OK", restored["rto_s"], restored["database_bytes"])
    assert "(target 3600 s" in summary
    assert ran.the("M-04", "trend")[0] == "INFO"
    assert "no trend yet" in ran.the("M-04", "trend")[1]
    assert ran.the("M-05", "rpo")[0] == "OK"
    assert ran.the("M-05", "rpo_month")[0] == "OK"


def test_m_02_the_staging_pairs_and_a_node_were_exercised_and_stand_in_the_same_report(ran: Ran) -> None:
    with connect(ran.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = "select task_id, max(verdict) from ops.evidence where run_id = %s and item = 'M-02' group by task_id"
        assert dict(ops.execute(query, [ran.run_id]).fetchall()) == dict.fromkeys(FAILOVERS, "OK")
    assert "redis/staging" in ran.report()["md"].decode()


def test_m_12_the_report_lies_in_the_bucket_as_the_evidence_says_and_slack_names_it(ran: Ran) -> None:
    verdict, _, _, detail = ran.the("M-12+", "report_kept")
    assert verdict == "OK"
    assert [key for key in detail["objects"] if not key.startswith("reports/disaster-recovery/20")] == []
    contents = ran.report()
    assert {hashlib.sha256(content).hexdigest() for content in contents.values()} == {
        facts["sha256"] for facts in detail["objects"].values()
    }
    words, paper = (
        contents["md"].decode(),
        "".join(page.extract_text() for page in PdfReader(io.BytesIO(contents["pdf"])).pages),
    )
    assert f"seal {hashlib.sha256(contents['md']).hexdigest()[:12]}" in paper
    for said in ("Disaster-recovery test: orchestrator", ran.the("M-03", "restored_newest")[3]["key"], "Signatures"):
        assert said in words
        assert "".join(said.split()) in "".join(paper.split())
    assert next(key for key in detail["objects"] if key.endswith(".pdf")) in ran.posted()
    assert ran.the("M-12+", "compared")[1]


def test_no_key_of_any_kind_is_in_a_log_or_a_message(ran: Ran) -> None:
    told = ran.logs() + ran.posted()
    assert "AGE-SECRET-KEY" not in told
    for conn_id in (IDS.dr_store, IDS.dr_key, IDS.dr_target, IDS.report_writer):
        assert all_of(ran.site)[conn_id]["password"] not in told
