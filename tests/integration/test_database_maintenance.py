"""The runbook itself, in a running Airflow: by hand it changes nothing; told to act it does what it had shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World
from tests.integration.test_backup_verification import recorded

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "weekly_database_maintenance"
DATABASE = "orchestrator"
COUNTERS = (
    "select relid::regclass::text, vacuum_count, analyze_count, pg_relation_filenode(relid) from pg_stat_user_tables"
    " union all select indexrelid::regclass::text, 0, 0, pg_relation_filenode(indexrelid) from pg_index"
    " where indrelid in (select relid from pg_stat_user_tables) order by 1"
)
CHANGING = ("statement: vacuum", "statement: analyze", "statement: reindex", "select ops_maintenance.drop_leftover")


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    world = World(airflow_site, DATABASE)
    taken = world.take(leftovers_after_s=43_200)
    world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    return airflow


@pytest.fixture
def needy(airflow_site: Site) -> Iterator[Site]:
    """A table with dead rows, and an index that is not valid."""
    with connect(airflow_site) as session:
        session.execute("create table needy (id int, tag text) with (autovacuum_enabled = false)")
        session.execute("alter table needy owner to orchestrator_owner")
        session.execute("insert into needy select i, 'x' from generate_series(1, 4000) as i")
        with suppress(psycopg.errors.UniqueViolation):
            session.execute("insert into needy values (1, 'x')")
            session.execute("create unique index concurrently needy_idx on needy (id)")
        session.execute("delete from needy where id = 1")
        session.execute("update needy set tag = 'y'")
        session.execute("select pg_stat_force_next_flush()")
        try:
            yield airflow_site
        finally:
            session.execute("drop table needy")


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow, **conf: Any) -> None:
        self.site, self.run_id = airflow.site, airflow.trigger(DAG_ID, **conf)
        self.state = airflow.wait_for_run(DAG_ID, self.run_id)["state"]
        self.states = {name: task["state"] for name, task in airflow.tasks(DAG_ID, self.run_id).items()}

    def the(self, check: str, subject: str = "%") -> tuple[str, str, Mapping[str, Any]]:
        """Verdict, summary and detail of the only row of a check."""
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = 'select verdict, summary, detail from ops.evidence where run_id = %s and "check" = %s and subject like %s'
            ((verdict, summary, detail),) = ops.execute(query, [self.run_id, check, subject]).fetchall()
        return verdict, summary, detail


def counters(site: Site) -> list[tuple[Any, ...]]:
    with connect(site) as session:
        return session.execute(COUNTERS).fetchall()


def test_d_05_a_run_by_hand_shows_what_is_needed_and_changes_nothing(airflow: Airflow, needy: Site) -> None:
    log = needy.path("logs", "postgres.log")
    with connect(needy) as session:
        session.execute("alter role ops_maint set log_statement = 'all'")
        try:
            before, begins = counters(needy), log.stat().st_size
            ran = Ran(airflow)
            after = counters(needy)
        finally:
            session.execute("alter role ops_maint reset log_statement")
    assert (ran.state, ran.states["maintain_database"]) == ("success", "skipped"), ran.states
    assert after == before
    said = log.read_bytes()[begins:].decode(errors="replace").lower()
    assert "pg_stat_all_tables" in said, "what the role asks stands in the log of the server"
    assert [words for words in CHANGING if words in said] == []
    assert ran.the("backup_first")[0] == "OK"
    assert "reindex public.needy_idx: it is not valid" in ran.the("reindex_needed")[1]
    assert "public.needy" in ran.the("vacuum_needed")[1]
    assert ran.the("bloat")[0] == "OK"
    assert ran.the("transaction_age")[0] == "OK"
    assert ran.the("maintained")[1] == "dry run: nothing was changed, the plan says what would be"


def test_d_03_d_04_d_06_told_to_act_it_does_what_it_had_shown_and_says_what_it_brought(
    airflow: Airflow, needy: Site
) -> None:
    ran = Ran(airflow, dry_run="no")
    assert ran.state == "success", ran.states
    with connect(needy) as session:
        assert session.execute(
            "select indisvalid from pg_index where indexrelid = 'needy_idx'::regclass"
        ).fetchall() == [(True,)]
        assert session.execute("select vacuum_count from pg_stat_user_tables where relname = 'needy'").fetchall() == [
            (1,)
        ]
    verdict, summary, detail = ran.the("vacuum_done")
    mine = [each for each in detail["outcomes"] if each["name"] == "public.needy"]
    assert (verdict, mine[0]["ended"], mine[0]["before"]["dead"], mine[0]["after"]["dead"]) == ("OK", "done", 4001, 0)
    assert "dead rows" in summary
    assert ran.the("reindex_done")[2]["outcomes"][0]["ended"] == "done"
    assert ran.the("invalid_indexes")[:2] == ("OK", "0 leftovers swept, 0 invalid indexes left")
    posted = [str(body) for body in recorded(needy, "slack", "chat.postMessage") if ran.run_id in str(body)]
    assert "Weekly database maintenance" in posted[0]
    again = Ran(airflow, dry_run="no")
    assert again.state == "success"
    assert "needy" not in again.the("maintained")[1]
    assert again.the("reindex_done")[1] == "nothing to do"


def test_a_choice_that_is_none_ends_before_the_first_deed(airflow: Airflow, needy: Site) -> None:
    before = counters(needy)
    run_id = ""
    with suppress(Exception):
        run_id = airflow.trigger(DAG_ID, dry_run="perhaps")
    assert run_id == ""
    assert counters(needy) == before
