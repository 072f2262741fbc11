"""
# Hourly operations reaper

Looks every hour for what dead operations left: leases that ran out, operations that stand still half done, a login window that was
left open, scratch databases, spools and unfinished uploads. Drops the database that a recovery swapped away, a week later, and only
if a good backup was taken since. By hand it drops no database unless `dry_run` is `no`.

**If it is red** something could not be looked at; the report names it. Safe to re-run at any time.

**If it pages** an operation stands still half done: the report has its id and both ways out, to go on or to take it back.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.backup import SweepBackupsOperator
from sre.operators.reaper import ReapOperationsOperator, ReapRecoveriesOperator, ReapWindowOperator
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.runs import DRY_RUN
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="hourly_operations_reaper",
    doc_md=__doc__,
    schedule=slots("20 * * * *", "UTC"),  # beside the full hours, at which runbooks begin
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    params={"dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only show what would be dropped")},
    tags=["changes-production", "recovery", "postgres", "s3", "pages"],
):
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="X-05", max_late=timedelta(minutes=50))
    reap_operations = ReapOperationsOperator(task_id="reap_operations", limits=settings.backup)
    reap_recoveries = ReapRecoveriesOperator(
        task_id="reap_recoveries", limits=settings.backup, trigger_rule=TriggerRule.ALL_DONE
    )
    reap_window = ReapWindowOperator(task_id="reap_window", limits=settings.backup, trigger_rule=TriggerRule.ALL_DONE)
    sweep_leftovers = SweepBackupsOperator(
        task_id="sweep_leftovers", limits=settings.backup, trigger_rule=TriggerRule.ALL_DONE
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="X-05",
        reports={
            step.task_id: step.output for step in (reap_operations, reap_recoveries, reap_window, sweep_leftovers)
        },
        late_s=guard_slot.output,
    )

    chain(guard_slot, reap_operations, reap_recoveries, reap_window, sweep_leftovers, publish_report)
