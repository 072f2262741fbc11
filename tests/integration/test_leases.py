"""The lease in a running Airflow: of two runbooks that begin together one works, the other waits and says for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

BACKUP, RETENTION = "daily_database_backup", "backup_retention"
ACTING = (
    (BACKUP, "take_backup"),
    (BACKUP, "prove_backup"),
    (RETENTION, "mark_backups"),
    (RETENTION, "delete_marked"),
    (RETENTION, "sweep_leftovers"),
)
LOOKS_EVERY_S = 0.02
HELD = "select holder from ops.lease where resource = 'database/orchestrator' and expires_at > clock_timestamp()"
"""The retention holds another for the configuration's backups, which is in nobody's way."""


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({BACKUP, RETENTION})
    for dag_id in (BACKUP, RETENTION):
        airflow.unpause(dag_id)
    return airflow


@contextmanager
def watched(site: Site) -> Iterator[set[frozenset[str]]]:
    """Yield which DAGs were seen to hold a lease at the same moment."""
    seen: set[frozenset[str]] = set()
    over = threading.Event()

    def look() -> None:
        with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
            while not over.wait(LOOKS_EVERY_S):
                rows = ops.execute(HELD).fetchall()
                seen.add(frozenset(holder.split(".")[0] for (holder,) in rows))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def said_who_holds_it(airflow: Airflow, runs: dict[str, str]) -> int:
    """Count the tasks whose log says for whom they waited."""
    logs = (
        str(airflow.get(f"dags/{dag_id}/dagRuns/{runs[dag_id]}/taskInstances/{task}/logs/1")) for dag_id, task in ACTING
    )
    return sum("waiting for database/orchestrator, held: " in log for log in logs)


@pytest.mark.proof
def test_of_two_runbooks_that_begin_together_one_works_and_the_other_waits(airflow: Airflow, proof: Proof) -> None:
    times = proof.n(small=1, full=10)
    waits, wrong = [], []
    for _ in range(times):
        with watched(airflow.site) as seen:
            runs = {RETENTION: airflow.trigger(RETENTION, dry_run="no"), BACKUP: airflow.trigger(BACKUP)}
            ended = {dag_id: airflow.wait_for_run(dag_id, run_id)["state"] for dag_id, run_id in runs.items()}
        assert {BACKUP, RETENTION} <= frozenset().union(*seen), "each was seen to hold its lease"
        if set(ended.values()) != {"success"} or any({BACKUP, RETENTION} <= each for each in seen):
            wrong.append((ended, [sorted(each) for each in seen], [states(airflow, *run) for run in runs.items()]))
        waits.append(said_who_holds_it(airflow, runs))
    assert wrong == []
    assert sum(waits) > 0 or not proof.full
    what = "of two runbooks that begin together one works, the other waits and says for whom"
    proof.held(what, n=times, held=times - len(wrong), waits=waits)


def states(airflow: Airflow, dag_id: str, run_id: str) -> dict[str, str]:
    return {name: task["state"] for name, task in airflow.tasks(dag_id, run_id).items()}
