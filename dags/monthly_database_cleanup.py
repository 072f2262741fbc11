"""
# Monthly database clean-up

Moves old rows into the archive on the first of the month at 04:30, after the night's backups: execution logs of more than 90 days,
audit logs of more than a year, workflow versions beyond the last ten that nothing uses. Each day is stored sealed, read back by
another identity and compared; then exactly these rows are deleted, in small paced batches. A run by hand only shows what would go,
unless `dry_run` is `no`. More than a fifth of a table, or more rows than the limit, waits for an approval in working hours.

**If it is red** rows that were not archived are still there, and what was deleted lies in the archive. The report says what was in
the way. Clear the task `clean_up`: it goes on where it stopped, with the same limit of age.
`docs/runbooks/monthly_database_cleanup.md` has each case.

**If it says that rows stayed** they were changed or locked whenever they were tried; the next month takes them.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.cleanup import (
    ApproveCleanupOperator,
    CleanUpOperator,
    PlanCleanupOperator,
    RequestCleanupApprovalOperator,
)
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.runs import DRY_RUN
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="monthly_database_cleanup",
    doc_md=__doc__,
    schedule=slots("30 4 1 * *", settings.maintenance_time_zone),  # between the backups and the day: items D-07
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    params={"dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only show what would go")},
    tags=["changes-production", "maintenance", "postgres", "s3"],
):
    # What is a month old can wait for the next: a slot that is hours past is in the middle of the day.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="D-07", max_late=timedelta(hours=2))

    plan_cleanup = PlanCleanupOperator(
        task_id="plan_cleanup", limits=settings.backup, execution_timeout=timedelta(minutes=30)
    )
    request_approval = RequestCleanupApprovalOperator(
        task_id="request_approval", limits=settings.backup, execution_timeout=timedelta(minutes=30)
    )
    approve_plan = ApproveCleanupOperator(
        task_id="approve_plan",
        approvers=settings.gate.cleanup_approvers,
        item="D-07",
        page="docs/runbooks/monthly_database_cleanup.md",
    )
    # It goes on from its journal, so trying again repeats nothing.
    clean_up = CleanUpOperator(
        task_id="clean_up",
        limits=settings.backup,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=20)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="D-07",
        reports={step.task_id: step.output for step in (plan_cleanup, request_approval, approve_plan, clean_up)},
        headlines=("dry_run", "cleaned"),
        late_s=guard_slot.output,
    )

    chain(guard_slot, plan_cleanup, request_approval, approve_plan, clean_up, publish_report)
