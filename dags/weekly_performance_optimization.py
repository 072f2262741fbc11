"""
# Weekly performance optimization

Looks on Monday at what the week cost: the statements that took most of the database's time between two looks, those that became
slower, how each index is used, which foreign keys have none, which indexes do the same, and how the
cache did. Changes nothing: advice comes with the exact statement, and a person decides.

**If it is red** something could not be looked at: the report names what (a Connection, a right, a replica). Mend it and trigger it
again, which is always safe. `docs/runbooks/weekly_performance_optimization.md` has each case.

**A yellow line** is advice for the team that owns the statement or the table. It wakes nobody, and comes back each week.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.cache import CacheEfficiencyOperator
from sre.operators.optimization import IndexesOperator, StatementsOperator
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="weekly_performance_optimization",
    doc_md=__doc__,
    schedule=slots("30 11 * * MON", settings.time_zone),  # Monday 11:30, after the week's other runbooks: items F-07
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    tags=["read-only", "performance", "postgres", "redis"],
):
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="F-07", max_late=timedelta(days=3))

    checks = [
        StatementsOperator(task_id="check_statements", limits=settings.postgres, optimisation=settings.optimisation),
        IndexesOperator(task_id="check_indexes", limits=settings.postgres, optimisation=settings.optimisation),
        CacheEfficiencyOperator(task_id="check_cache", limits=settings.cache),
    ]
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="F-07",
        reports={check.task_id: check.output for check in checks},
        late_s=guard_slot.output,
        headlines=("by_total", "unused_known"),
    )

    chain(guard_slot, checks, publish_report)
