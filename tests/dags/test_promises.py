"""What every runbook keeps, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for path in (ROOT / "dags").glob("*.py"))
KINDS = {"read-only", "writes-own-data", "changes-production"}
TAGS = KINDS | {
    "backup",
    "business",
    "cost",
    "health",
    "kubernetes",
    "maintenance",
    "monitoring",
    "pages",
    "performance",
    "postgres",
    "recovery",
    "redis",
    "s3",
    "security",
}
SEVERAL_RUNS = {"incident_response": 200, "planned_maintenance": 16}
"""Runbooks of which more than one run may be open: an incident each, a service each."""

IMPORTS = """
import importlib, json, os, sys
import airflow.sdk
known = set(sys.modules)
for path in sys.argv[1:]:
    if not os.fork():
        name = path.rpartition("/")[2].removesuffix(".py")
        importlib.import_module(name)
        print(json.dumps([name, sorted(HEAVY & (set(sys.modules) - known))]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, path
"""
HEAVY = {"kubernetes", "boto3", "botocore", "pandas", "slack_sdk", "pagerduty", "redis", "psycopg", "sqlalchemy.orm"}


@cache
def bag() -> Mapping[str, DAG]:
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(dag_folder=str(ROOT / "dags"), collect_dags=True)
    assert found.import_errors == {}
    return dict(found.dags)


def test_there_are_runbooks_and_each_file_is_one_of_its_name() -> None:
    assert FILES
    assert {path.stem for path in FILES} == set(bag())


each_file = pytest.mark.parametrize("name", [path.stem for path in FILES])


@each_file
def test_the_docs_say_what_to_do_when_it_is_red(name: str) -> None:
    doc = bag()[name].doc_md or ""
    assert doc.lstrip().startswith("# ")
    assert "If it is red" in doc


@each_file
def test_it_has_an_owner_known_tags_and_exactly_one_kind(name: str) -> None:
    dag = bag()[name]
    assert {task.owner for task in dag.tasks} == {"sre"}
    assert set(dag.tags) <= TAGS
    assert len(set(dag.tags) & KINDS) == 1


@each_file
def test_runs_do_not_pile_up_and_the_past_is_left_alone(name: str) -> None:
    dag = bag()[name]
    assert dag.max_active_runs == SEVERAL_RUNS.get(name, 1)
    assert dag.catchup is False
    assert dag.start_date is None, "a start date makes unpausing run a past slot, see docs/adr/0001"
    assert dag.allowed_run_types is not None
    assert "backfill" not in set(dag.allowed_run_types)


@each_file
def test_a_scheduled_runbook_begins_with_its_guard_and_with_the_next_slot(name: str) -> None:
    from sre.operators.schedule import GuardSlotOperator

    dag = bag()[name]
    if not dag.timetable.can_be_scheduled:
        return
    assert getattr(dag.timetable, "run_immediately", None) == timedelta(0), "use sre.schedules.slots, see docs/adr/0001"
    assert [type(task) for task in dag.roots] == [GuardSlotOperator]


@each_file
def test_every_task_has_a_retry_policy_a_time_limit_and_somebody_who_hears_of_it(name: str) -> None:
    for task in bag()[name].tasks:
        assert task.retry_policy is not None, task.task_id
        assert time_limit(task) is not None, task.task_id
        assert task.on_failure_callback, task.task_id


def time_limit(task: Any) -> timedelta | None:
    """Return how long a task may take: one that waits for people has another limit than one that works."""
    from sre.operators.gate import ApprovePlanOperator

    limit: timedelta | None = task.response_timeout if isinstance(task, ApprovePlanOperator) else task.execution_timeout
    return limit


@each_file
def test_an_approval_is_asked_once_ends_in_time_and_never_answers_itself(name: str) -> None:
    from sre.operators.gate import ApprovePlanOperator

    for task in bag()[name].tasks:
        if isinstance(task, ApprovePlanOperator):
            assert (task.retries, task.defaults, task.fail_on_reject) == (0, None, True)
            assert task.response_timeout
            assert task.response_timeout <= timedelta(minutes=30)
            assert task.approvers


@each_file
def test_af_01_what_is_tried_again_has_changed_nothing_or_does_it_once(name: str) -> None:
    from sre.defaults import WRITES
    from sre.operators.base import CheckOperator
    from sre.operators.reporting import PublishReportOperator
    from sre.operators.schedule import GuardSlotOperator

    repeatable = (CheckOperator, GuardSlotOperator, PublishReportOperator)
    for task in bag()[name].tasks:
        assert isinstance(task, repeatable) or (task.retries, task.retry_policy) == (0, WRITES), task.task_id


@each_file
def test_af_05_a_time_limit_is_of_a_task_and_never_only_of_the_run(name: str) -> None:
    dag = bag()[name]
    assert not dag.deadline, "a deadline of the run may fire after it has failed: let a task watch the clock"
    assert [task.task_id for task in dag.tasks if time_limit(task) is None] == []


@each_file
def test_what_changes_production_can_be_tried_dry(name: str) -> None:
    dag = bag()[name]
    if "changes-production" in dag.tags:
        assert dag.params.get_param("dry_run").schema["enum"] == ["auto", "yes", "no"]
        assert dag.params["dry_run"] == "auto"


@each_file
def test_no_field_of_a_form_has_the_name_of_a_method_which_a_template_would_find_instead(name: str) -> None:
    assert set(bag()[name].params) & set(dir(dict)) == set()


@each_file
def test_no_last_task_turns_a_blind_run_green(name: str) -> None:
    from airflow.sdk import TriggerRule

    from sre.operators.reporting import PublishReportOperator

    honest = {TriggerRule.ALL_SUCCESS, TriggerRule.NONE_FAILED}
    for task in bag()[name].leaves:
        if task.is_teardown and not task.on_failure_fail_dagrun:
            continue
        assert task.trigger_rule in honest or isinstance(task, PublishReportOperator), task.task_id


@each_file
def test_a_report_hears_of_every_check(name: str) -> None:
    from sre.operators.base import CheckOperator
    from sre.operators.reporting import PublishReportOperator

    dag = bag()[name]
    checks = {task.task_id for task in dag.tasks if isinstance(task, CheckOperator)}
    reported = {key for task in dag.tasks if isinstance(task, PublishReportOperator) for key in task.reports}
    assert checks <= reported


@each_file
def test_reading_the_file_imports_nothing_heavy(name: str, imported: Mapping[str, list[str]]) -> None:
    assert imported[name] == []


@pytest.fixture(scope="module")
def imported() -> Mapping[str, list[str]]:
    """What each file imports of what is heavy: read by a fork of a process that knows `airflow.sdk` and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", f"{HEAVY=}\n{IMPORTS}", *FILES],
        cwd=ROOT,
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}:{ROOT / 'dags'}",
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(line) for line in done.stdout.splitlines())
