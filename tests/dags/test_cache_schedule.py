"""When the cache is cared for, by whom, and within which limits."""

from __future__ import annotations

from datetime import timedelta

from include import settings
from sre.operators.schedule import GuardSlotOperator
from tests.dags.test_first_monday import listed
from tests.dags.test_promises import bag


def test_bug_67_cache_maintenance_has_a_weekly_time_limits_and_an_owner() -> None:
    dag = bag()["weekly_cache_maintenance"]
    assert listed()["weekly_cache_maintenance"] == "0 4 * * SUN"  # which a test of the watch holds against the DAG
    (guard,) = dag.roots
    assert isinstance(guard, GuardSlotOperator)
    assert guard.max_late == timedelta(hours=1)  # after it the next window is meant
    assert {task.owner for task in dag.tasks} == {"sre"}
    budget = dag.params.get_param("budget_s").schema
    assert (budget["minimum"], budget["maximum"]) == (1, 1800)
    assert settings.load().cache.busy_percent <= 50
