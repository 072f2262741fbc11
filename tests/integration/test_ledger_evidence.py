"""What the ledger claims is what a run really leaves: a row for every item, by the task that it names."""

from __future__ import annotations

import psycopg
import pytest

from include.catalogue.model import Item, load
from sandbox.airflow_api import Airflow
from sandbox.components.postgres import dsn
from sandbox.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ITEMS: dict[str, list[Item]] = {}
for entry in load().all_items():
    if entry.dag and entry.evidence:
        ITEMS.setdefault(entry.dag, []).append(entry)


APPROVED = {"database_recovery", "configuration_recovery"}
"""What acts only after an approval is asked for its evidence where it gets one: test_approvals, test_configuration_recovery."""

BESIDE = {"monthly_disaster_recovery_test": "staging"}
"""Fixtures that start what a runbook needs beside the platform."""


@pytest.mark.parametrize("dag_id", sorted(ITEMS.keys() - APPROVED))
def test_a_run_leaves_the_evidence_that_the_ledger_claims(
    dag_id: str, airflow_site: Site, request: pytest.FixtureRequest
) -> None:
    if dag_id in BESIDE:
        request.getfixturevalue(BESIDE[dag_id])
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({dag_id})
    airflow.unpause(dag_id)
    run_id = airflow.trigger(dag_id)
    airflow.wait_for_run(dag_id, run_id)
    assert missing(dag_id, airflow_site, run_id) == []


def missing(dag_id: str, site: Site, run_id: str) -> list[str]:
    """The items of a runbook of which a run left no row by the task that the ledger names."""
    left = rows(site, run_id)
    return [item.id for item in ITEMS[dag_id] if (item.task, item.evidence) not in left]


def rows(site: Site, run_id: str) -> set[tuple[str, str]]:
    """The task and the item of every row that a run has left."""
    with psycopg.connect(dsn(site, "ops_evidence_reader", "ops", "postgres_ops")) as connection:
        found = connection.execute("select distinct task_id, item from ops.evidence where run_id = %s", [run_id])
        return {(task_id, item) for task_id, item in found}
