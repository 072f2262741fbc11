"""The runbook in a running Airflow: by hand it shows and changes nothing; told to act it archives, deletes, and a day comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter

from include.plans.cleanup import Subject
from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World
from tests.include.cleanup.yard import OLD, Yard
from tests.integration.test_ledger_evidence import missing

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

DAG_ID, BACK = "monthly_database_cleanup", "restore_archive"
ASK = "approve_plan"
WITHIN_S = 180


def test_d_07_the_first_of_the_month_meets_no_backup() -> None:
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(dag_folder="dags", collect_dags=True).dags
    crons = {name: str(getattr(dag.timetable, "expression", "")) for name, dag in found.items()}
    first = datetime(2026, 12, 1, tzinfo=UTC)
    assert croniter(crons[DAG_ID], first).get_next(datetime) == first + timedelta(hours=4, minutes=30)
    assert croniter(crons[DAG_ID], first + timedelta(hours=5)).get_next(datetime).day == 1
    for name in ("daily_database_backup", "backup_retention"):
        at = croniter(crons[name], first).get_next(datetime) - first
        assert abs(at - timedelta(hours=4, minutes=30)) >= timedelta(minutes=30), name


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID, BACK})
    for dag_id in (DAG_ID, BACK):
        airflow.unpause(dag_id)
    return airflow


@pytest.fixture(scope="module")
def here(airflow_site: Site) -> Yard:
    """The platform's database, with a good backup: without one nothing is deleted."""
    world = World(airflow_site, "orchestrator")
    taken = world.take(leftovers_after_s=43_200)
    world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    return Yard(airflow_site, "orchestrator")


def ran(airflow: Airflow, dag_id: str, **conf: Any) -> tuple[str, str]:
    run_id = airflow.trigger(dag_id, **conf)
    return run_id, airflow.wait_for_run(dag_id, run_id, WITHIN_S)["state"]


def said(site: Site, run_id: str) -> Mapping[str, str]:
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = "select item || ' ' || \"check\", summary from ops.evidence where run_id = %s order by id"
        return dict(ops.execute(query, [run_id]).fetchall())


def test_a_run_by_hand_shows_what_would_go_and_changes_nothing(airflow: Airflow, here: Yard) -> None:
    before = {subject: here.rows(subject) for subject in Subject}
    written = changes(here)
    run_id, state = ran(airflow, DAG_ID)
    assert state == "success", said(here.site, run_id)
    assert "rows go" in said(here.site, run_id)["D-08 dry_run"]
    assert missing(DAG_ID, here.site, run_id) == []
    now = {subject: here.rows(subject) for subject in Subject}
    assert all(now[subject].items() >= before[subject].items() for subject in Subject)  # the simulator goes on writing
    assert changes(here) == written
    assert here.archived(Subject.LOGS) == []


def changes(here: Yard) -> list[tuple[Any, ...]]:
    """What the server counted of changes to the tables that only a clean-up makes."""
    return here.ask(
        "select relname, n_tup_del from pg_stat_user_tables where relname in ('execution_logs', 'audit_logs',"
        " 'workflow_versions', 'receipt') order by 1"
    )


def test_d_08_d_09_d_10_told_to_act_it_archives_and_deletes_and_a_day_comes_back(airflow: Airflow, here: Yard) -> None:
    was = {subject: here.rows(subject) for subject in Subject}
    run_id, state = ran(airflow, DAG_ID, dry_run="no")
    assert state == "success", said(here.site, run_id)
    for subject in Subject:
        gone = was[subject].keys() - here.ids(subject)
        assert gone
        assert here.archived_ids(subject) == gone
    assert here.ids(Subject.LOGS, OLD[Subject.LOGS].replace("90 days", "90 days 1 hour")) == set()
    oldest = here.archived(Subject.LOGS)[-1]
    day = {
        number for each in here.archived(Subject.LOGS) if each.header.day == oldest.header.day for number in each.ids
    }
    form = {"table": "execution_logs", "day": str(oldest.header.day), "reason": "a customer complains"}
    run_id, state = ran(airflow, BACK, **form)
    assert (state, day & here.ids(Subject.LOGS)) == ("success", set()), said(here.site, run_id)
    run_id, state = ran(airflow, BACK, **form, dry_run="no")
    assert state == "success", said(here.site, run_id)
    now = here.rows(Subject.LOGS)
    assert {number: now[number] for number in day} == {number: was[Subject.LOGS][number] for number in day}


def test_what_is_typed_wrong_is_refused_in_one_sentence(airflow: Airflow, here: Yard) -> None:
    run_id, state = ran(airflow, BACK, table="execution_logs", day="yesterday", reason="a customer complains")
    assert state == "failed"
    assert said(here.site, run_id)["D-08 restored"].startswith("day: a day of the archive is written 2026-08-20, not")


def test_more_than_usual_is_asked_for_and_one_answer_of_another_person_lets_it_go_on(
    airflow: Airflow, here: Yard
) -> None:
    with here.superuser() as session:
        session.execute(
            "insert into execution_logs (execution_id, level, message, created_at)"
            " select (select min(id) from workflow_executions), 'info', 'old ' || n, now() - interval '100 days'"
            " from generate_series(1, greatest(20000, (select count(*) / 3 from execution_logs))) n"
        )
        session.execute("analyze execution_logs")
    run_id = Airflow(here.site, "operator_one").trigger(DAG_ID, dry_run="no")
    airflow.wait_for_question(DAG_ID, run_id, ASK, WITHIN_S)
    body = {"chosen_options": ["Approve"], "params_input": {"approvers_reason": "the logs of the import"}}
    Airflow(here.site, "recovery_approver").send(
        "PATCH", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{ASK}/-1/hitlDetails", body
    )
    assert airflow.wait_for_run(DAG_ID, run_id, WITHIN_S)["state"] == "success", said(here.site, run_id)
    assert here.ids(Subject.LOGS, "message like 'old %'") == set()
