"""
# Backup retention

Lets old backups of the database and of the configuration go at 05:00 UTC, one of each a day as a rule: older than 30 days, a week
after they were marked for everybody to see, and only while enough newer proved ones stay. Age alone is never a reason. The two kinds
are decided apart, by the same rule. A run by hand only shows what would happen, unless `dry_run` is `no`.

**If it is red** a step could not look or act; whatever it could not do is still there, and nothing else depends on it. The report
says what to mend; the next day's run takes it up, or trigger it by hand with `dry_run` = `no`. Safe to re-run at any time: every step
decides anew. `docs/runbooks/backup_retention.md` has each case.

**If it says that nothing is marked or deleted** it is right not to: today's backup is not GOOD, the newest one is BAD, or a clock is
wrong. Mend that; the bucket only grows meanwhile.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.reporting import PublishReportOperator
from sre.operators.retention import (
    DeleteMarkedOperator,
    MarkBackupsOperator,
    PlanRetentionOperator,
    SweepLeftoversOperator,
)
from sre.operators.schedule import GuardSlotOperator
from sre.runs import DRY_RUN
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="backup_retention",
    doc_md=__doc__,
    schedule=slots("0 5 * * *", "UTC"),  # 05:00 UTC, when both backups are proved: items B-06, B-15+
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    params={"dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only show what would happen")},
    tags=["writes-own-data", "backup", "s3"],
):
    # Nothing is lost by a day: a slot that is hours past is left to the next one, whose backup is proved.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="B-06", max_late=timedelta(hours=6))

    plan_retention = PlanRetentionOperator(
        task_id="plan_retention", limits=settings.backup, retention=settings.retention
    )
    mark_backups = MarkBackupsOperator(task_id="mark_backups", limits=settings.backup, retention=settings.retention)
    delete_marked = DeleteMarkedOperator(
        task_id="delete_marked",
        limits=settings.backup,
        retention=settings.retention,
        trigger_rule=TriggerRule.NONE_FAILED,  # marking is skipped when nothing may happen; this step says why, too
        **WRITING_DEFAULTS,
    )
    of_configuration = {"limits": settings.backup, "retention": settings.retention, "kind": "configuration"}
    plan_configuration = PlanRetentionOperator(task_id="plan_configuration", **of_configuration)
    mark_configuration = MarkBackupsOperator(task_id="mark_configuration", **of_configuration)
    delete_configuration = DeleteMarkedOperator(
        task_id="delete_configuration",
        trigger_rule=TriggerRule.NONE_FAILED,
        **of_configuration,
        **WRITING_DEFAULTS,
    )
    sweep_leftovers = SweepLeftoversOperator(
        task_id="sweep_leftovers",
        limits=settings.backup,
        retention=settings.retention,
        trigger_rule=TriggerRule.ALL_DONE,  # what a deletion that died left behind
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="B-06",
        reports={
            step.task_id: step.output
            for step in (
                plan_retention,
                mark_backups,
                delete_marked,
                plan_configuration,
                mark_configuration,
                delete_configuration,
                sweep_leftovers,
            )
        },
        late_s=guard_slot.output,
    )

    chain(guard_slot, plan_retention, mark_backups, delete_marked, sweep_leftovers, publish_report)
    chain(guard_slot, plan_configuration, mark_configuration, delete_configuration, sweep_leftovers)
