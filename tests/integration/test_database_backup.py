"""The runbook itself, in a running Airflow: what a run leaves, what a bad backup does, and what the task that dumps does not have."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.backups.catalogue import Backup, Catalogue
from include.catalogue.model import load
from sandbox.airflow_api import Airflow
from sandbox.components import s3
from sandbox.components.postgres import connect, data_folder
from sandbox.connections import IDS, all_of
from sandbox.site import PROJECT, Site
from tests.include.backups.world import World
from tests.integration.test_blind_sources import change

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "daily_database_backup"
DATABASE = "orchestrator"
MINE = ("B-01", "B-02", "B-03", "B-04", "B-05", "B-16+")


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    return airflow


@pytest.fixture(scope="module")
def good(airflow: Airflow) -> Ran:
    """One run on a healthy platform."""
    ran = Ran.once(airflow)
    assert ran.state == "success", ran.states
    return ran


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow, run_id: str) -> None:
        self.airflow, self.site, self.run_id = airflow, airflow.site, run_id
        self.state = airflow.wait_for_run(DAG_ID, run_id)["state"]
        self.states = {name: task["state"] for name, task in airflow.tasks(DAG_ID, run_id).items()}

    @classmethod
    def once(cls, airflow: Airflow, **conf: Any) -> Ran:
        return cls(airflow, airflow.trigger(DAG_ID, **conf))

    def evidence(self, item: str) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """Check, verdict, summary and detail of each row of an item."""
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = (
                'select "check", verdict, summary, detail from ops.evidence where run_id = %s and item = %s order by id'
            )
            return ops.execute(query, [self.run_id, item]).fetchall()

    def said(self, item: str, check: str) -> str:
        """Verdict and summary of the last row of a check."""
        rows = [(verdict, summary) for name, verdict, summary, _ in self.evidence(item) if name == check]
        assert rows, f"{item} left no {check}"
        return ": ".join(rows[-1])


def catalogue(site: Site) -> Catalogue:
    return World(site, DATABASE).catalogue()


def newest_good(site: Site) -> Backup:
    found = catalogue(site).newest_good
    assert found
    assert found.manifest
    return found


def test_every_item_of_the_chapter_leaves_its_evidence(good: Ran) -> None:
    assert {item for item in MINE if not good.evidence(item)} == set()
    items = {item.id: item for item in load().all_items()}
    assert {items[item].dag for item in MINE} == {DAG_ID}


def test_b_01_a_run_says_how_old_the_newest_good_backup_was_and_which_nights_have_none(good: Ran) -> None:
    assert good.said("B-01", "slot").startswith("OK: started by hand")
    assert good.said("B-01", "newest_good").startswith(("INFO: no backup yet", "OK: the newest good backup is"))


def test_b_02_bug_01_bug_17_a_run_has_a_dated_key_of_its_own_and_touches_no_older_backup(
    good: Ran, airflow: Airflow
) -> None:
    before = {
        version.id for version in World(good.site, DATABASE).store("backup_verifier").versions("backups/database/")
    }
    key = newest_good(good.site).key
    second = Ran.once(airflow)
    assert second.state == "success"
    after = {
        version.id for version in World(good.site, DATABASE).store("backup_verifier").versions("backups/database/")
    }
    assert before < after
    assert newest_good(good.site).key != key
    assert second.said("B-02", "stored_under").startswith("OK: a key of its own: backups/database/orchestrator/20")


def test_b_04_bug_12_nothing_of_the_dump_is_in_plain_text_on_a_disk_or_in_the_bucket(good: Ran) -> None:
    with connect(good.site, database=DATABASE) as database:
        rows = database.execute("select email from users order by id limit 20").fetchall()
    emails = [email.encode() for (email,) in rows]
    assert len(emails) == 20
    places = [good.site.path("s3", "objects"), good.site.path("s3", "versions"), good.site.path("backup-spool")]
    places += [good.site.path("airflow", "task-logs"), good.site.path("logs"), good.site.path("receivers")]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [str(file) for file in files if any(email in file.read_bytes() for email in emails)] == []


def test_b_04_the_fingerprint_covers_every_table_of_one_snapshot(good: Ran) -> None:
    with connect(good.site, database=DATABASE) as database:
        ((tables,),) = database.execute(
            "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where relkind in ('r', 'p') and nspname !~ '^pg_' and nspname <> 'information_schema'"
        ).fetchall()
    (detail,) = [detail for check, _, _, detail in good.evidence("B-04") if check == "taken"]
    assert detail["tables"] == tables
    assert detail["snapshot"]
    assert set(detail["recipients"]) == {"operational", "disaster_recovery", "escrow"}


def test_b_05_what_was_proved_is_locked_by_the_store(good: Ran) -> None:
    backup, client = newest_good(good.site), s3.client(good.site)
    assert backup.manifest
    for name, stored in backup.manifest.objects.items():
        retention = client.get_object_retention(Bucket=s3.BUCKET, Key=backup.key + name, VersionId=stored.version_id)
        assert retention["Retention"]["Mode"] == "COMPLIANCE"
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=s3.BUCKET, Key=backup.key + name, VersionId=stored.version_id)


def test_b_16_a_backup_is_good_only_by_the_proof_which_says_rto_and_rpo(good: Ran) -> None:
    assert good.said("B-16+", "proved").startswith("OK: GOOD: ")
    assert good.said("B-16+", "rto").startswith("OK: a recovery from it takes ")
    assert good.said("B-16+", "rpo").startswith("OK: a recovery from it loses the last ")
    mark = newest_good(good.site).mark
    assert mark
    assert mark.rto_s > mark.restore_s > 0


def test_bug_23_the_report_speaks_of_the_restore_and_not_of_a_log(good: Ran) -> None:
    recorded = httpx.get(f"{good.site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
    bodies = [each["body"] for each in recorded["recorded"] if each["path"].endswith("chat.postMessage")]
    heads = [body for body in bodies if good.run_id in str(body.get("blocks")) and "thread_ts" not in body]
    assert [body["text"].splitlines()[0] for body in heads] in (
        ["Daily database backup: OK"],
        ["Daily database backup: INFO"],
    )
    assert "restored in" in str(bodies)


def test_the_task_that_dumps_needs_no_private_key_and_without_one_nothing_is_called_good(
    airflow: Airflow, good: Ran
) -> None:
    before = newest_good(good.site).key
    with without(airflow, IDS.backup_key):
        ran = Ran.once(airflow)
    assert (ran.states["take_backup"], ran.states["prove_backup"]) == ("success", "failed")
    assert ran.states["next_attempt"] == "skipped"  # it could not be compared, which says nothing about it
    assert ran.state == "failed"
    assert f"there is no Airflow Connection '{IDS.backup_key}'" in ran.said("B-16+", "proved")
    assert newest_good(good.site).key == before


@contextmanager
def without(airflow: Airflow, conn_id: str) -> Iterator[None]:
    airflow.send("DELETE", f"connections/{conn_id}", None)
    try:
        yield
    finally:
        fields = all_of(airflow.site)[conn_id]
        airflow.send("POST", "connections", {"connection_id": conn_id, "conn_type": fields["conn_type"]})
        change(airflow, conn_id, fields)


def test_bug_08_a_bad_backup_pages_is_followed_by_another_attempt_and_the_page_ends_with_a_good_one(
    airflow: Airflow, good: Ran
) -> None:
    before = newest_good(good.site).key
    with intruder(good.site):
        first = Ran.once(airflow)
        second = Ran(airflow, f"{first.run_id}__attempt_2")
        wait_until_idle(airflow)
    assert first.said("B-16+", "proved").startswith("CRITICAL: backups/database/orchestrator/")
    assert "is BAD: " in first.said("B-16+", "proved")
    assert (first.states["next_attempt"], second.states["next_attempt"]) == ("success", "skipped")
    assert (first.state, second.state) == ("failed", "failed")
    assert newest_good(good.site).key == before
    assert [backup.verdict.value for backup in catalogue(good.site).backups[-2:]] == ["BAD", "BAD"]
    assert pages(good.site)[-1] == "trigger"
    assert Ran.once(airflow).state == "success"
    assert pages(good.site)[-1] == "resolve"
    assert newest_good(good.site).key > before


@contextmanager
def intruder(site: Site) -> Iterator[None]:
    """Let every restored copy hold a table that the backup does not."""
    with connect(site, database="template1", server="postgres_scratch") as template:
        template.execute("create table public.intruder (n integer)")
    try:
        yield
    finally:
        with connect(site, database="template1", server="postgres_scratch") as template:
            template.execute("drop table public.intruder")


def pages(site: Site) -> list[str]:
    recorded = httpx.get(f"{site.url('receivers')}/_recorded/pagerduty", timeout=10).raise_for_status().json()
    bodies = [each["body"] for each in recorded["recorded"] if "enqueue" in each["path"]]
    mine = [body for body in bodies if body.get("dedup_key") == f"{DAG_ID}/B-16+/database/{DATABASE}"]
    return [body["event_action"] for body in mine]


def wait_until_idle(airflow: Airflow) -> None:
    deadline = time.monotonic() + 60
    while airflow.get(f"dags/{DAG_ID}/dagRuns", state="running")["total_entries"] and time.monotonic() < deadline:
        time.sleep(0.5)


def test_bug_14_the_server_is_asked_who_it_is_before_the_first_byte(airflow: Airflow, good: Ran) -> None:
    elsewhere = all_of(airflow.site)[IDS.backup_source] | {"schema": "postgres"}
    with connect(airflow.site, database="postgres") as server:
        server.execute("grant connect on database postgres to ops_backup")
    try:
        change(airflow, IDS.backup_source, elsewhere)
        ran = Ran.once(airflow)
    finally:
        change(airflow, IDS.backup_source, all_of(airflow.site)[IDS.backup_source])
        with connect(airflow.site, database="postgres") as server:
            server.execute("revoke connect on database postgres from ops_backup")
    assert "the login leads into database 'postgres', not 'orchestrator'" in ran.said("B-04", "taken")
    assert ran.states["take_backup"] == "failed"
    assert ran.state == "failed"


def test_bug_09_the_dump_comes_over_a_database_connection() -> None:
    """No exec into a pod, no shell, no dump file: read off the code, since it must stay so."""
    code = "".join(file.read_text() for file in Path(PROJECT, "include", "backups").glob("*.py"))
    assert "shell=True" not in code
    assert "kubectl" not in code
    assert "pods/exec" not in code


def test_the_scratch_server_holds_nothing_afterwards(good: Ran) -> None:
    with connect(good.site, database="postgres", server="postgres_scratch") as server:
        left = server.execute("select datname from pg_database where datname like 'verify%'").fetchall()
    assert left == []
    assert data_folder(good.site, "postgres_scratch").is_dir()
    assert [folder for folder in good.site.path("backup-spool").glob("*") if folder.is_dir()] == []


def test_the_log_of_the_take_says_how_far_it_is(good: Ran) -> None:
    tasks = f"dags/{DAG_ID}/dagRuns/{good.run_id}/taskInstances"
    log = json.dumps(good.airflow.get(f"{tasks}/take_backup/logs/1"))
    assert "stored in" in log
