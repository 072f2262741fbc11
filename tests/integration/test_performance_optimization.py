"""The runbook itself, in a running Airflow, twice: the second look compares with the first, and nothing is made or dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect
from sandbox.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID, SUNDAY = "weekly_performance_optimization", "weekly_cache_maintenance"


def indexes(site: Site) -> list[tuple[Any, ...]]:
    with connect(site) as session:
        return session.execute("select indexrelid::regclass::text from pg_index order by 1").fetchall()


class Ran:
    """One run, ended."""

    def __init__(self, airflow: Airflow) -> None:
        self.site, self.run_id = airflow.site, airflow.trigger(DAG_ID)
        self.state = airflow.wait_for_run(DAG_ID, self.run_id)["state"]
        with connect(self.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            query = 'select "check", subject, verdict, summary, detail from ops.evidence where run_id = %s'
            self.rows = ops.execute(query, [self.run_id]).fetchall()

    def found(self, check: str) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """Subject, verdict, summary and detail of each row of a check."""
        return [row[1:] for row in self.rows if row[0] == check]


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID, SUNDAY})
    for dag_id in (DAG_ID, SUNDAY):
        airflow.unpause(dag_id)
    airflow.wait_for_run(SUNDAY, airflow.trigger(SUNDAY))  # whose look at the keys is what Monday reads
    return airflow


@pytest.fixture(scope="module")
def ran(airflow: Airflow) -> Ran:
    return Ran(airflow)


def test_f_09_w_10_the_platform_s_foreign_keys_without_an_index_are_advised_and_none_is_made(
    airflow: Airflow, ran: Ran
) -> None:
    assert ran.state == "success"
    advised = {subject: detail["ddl"] for subject, _, _, detail in ran.found("foreign_key_without_index")}
    assert advised["constraint/public.events.events_user_id_fkey"] == (
        'CREATE INDEX CONCURRENTLY ON "public"."events" ("user_id");'
    )
    assert len(ran.found("index_use")[0][3]["indexes"]) > 10
    before = indexes(airflow.site)
    assert Ran(airflow).state == "success"
    assert indexes(airflow.site) == before


def test_f_07_w_08_a_second_run_compares_with_the_first(airflow: Airflow, ran: Ran) -> None:
    ((_, _, summary, kept),) = ran.found("snapshot")
    assert kept["snapshot"]["counters"], summary
    with connect(airflow.site, "orchestrator_app") as application:
        for _ in range(30):
            application.execute("select count(*) from billing where kind = 'nothing of that kind'")
    second = Ran(airflow)
    ((_, verdict, said, detail),) = second.found("compared")
    assert (verdict, detail["compared"]) == ("OK", True), said
    ((_, _, _, by_total),) = second.found("by_total")
    calls = {row["query"]: row["calls"] for row in by_total["statements"]}
    assert calls["select count(*) from billing where kind = $1"] == 30
