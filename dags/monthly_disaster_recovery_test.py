"""
# Monthly disaster-recovery test

Acts on the first Monday as if nothing were left but the bucket, one key and an empty server: restores the newest good backup and an
older one with the key and the credentials of disaster recovery alone, compares every table, makes and compares the newest
configuration in an empty namespace, and holds the time that it took and the data that would be lost against the targets.
Then switches the staging database and Redis over and back, and drains a staging node.
Writes a report to sign, as Markdown and PDF. Changes nothing in production.

**If it is red** the report says what was in the way: a piece that was missing, a damaged backup, a target that was not met, or a step
that could not look. Mend that and trigger it again, which is always safe: each run restores anew and has a report of its own.
`docs/runbooks/monthly_disaster_recovery_test.md` has each case.

**If it pages** we could not have recovered today, or not in time. It is no incident of the platform; it is one of ours.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.disaster import (
    JudgeRecoveryOperator,
    RestoreConfigurationOperator,
    RestoreNewestOperator,
    RestoreOlderOperator,
    WriteReportOperator,
)
from sre.operators.failover import (
    ExerciseNodeDrainOperator,
    ExercisePostgresFailoverOperator,
    ExerciseRedisFailoverOperator,
)
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="monthly_disaster_recovery_test",
    doc_md=__doc__,
    schedule=slots(
        "0 13 * * MON#1", settings.time_zone
    ),  # the first Monday, when the weekly runs are over; `1-7 * 1` would be all of those days: item M-01
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS | {"retry_delay": timedelta(minutes=1)},
    tags=["writes-own-data", "recovery", "backup", "postgres", "s3", "pages"],
):
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="M-01", max_late=timedelta(days=3))

    restore_newest = RestoreNewestOperator(
        task_id="restore_newest", limits=settings.backup, execution_timeout=timedelta(hours=6)
    )
    restore_older = RestoreOlderOperator(
        task_id="restore_older",
        limits=settings.backup,
        newest=restore_newest.output,
        execution_timeout=timedelta(hours=6),
    )
    restore_configuration = RestoreConfigurationOperator(
        task_id="restore_configuration",
        limits=settings.backup,
        trigger_rule=TriggerRule.ALL_DONE,  # it needs nothing of the database
        execution_timeout=timedelta(minutes=30),
    )
    judge_recovery = JudgeRecoveryOperator(
        task_id="judge_recovery",
        limits=settings.backup,
        newest=restore_newest.output,
        trigger_rule=TriggerRule.ALL_DONE,  # that nothing was restored is a verdict on the targets, too
    )
    # One after the other, and after the restores: each measures an outage, which a busy machine makes longer.
    exercise_postgres_failover = ExercisePostgresFailoverOperator(
        task_id="exercise_postgres_failover",
        limits=settings.failover,
        trigger_rule=TriggerRule.ALL_DONE,  # a restore that failed says nothing about failover
        execution_timeout=timedelta(minutes=20),
    )
    exercise_redis_failover = ExerciseRedisFailoverOperator(
        task_id="exercise_redis_failover",
        limits=settings.failover,
        trigger_rule=TriggerRule.ALL_DONE,
        execution_timeout=timedelta(minutes=20),
    )
    exercise_node_drain = ExerciseNodeDrainOperator(
        task_id="exercise_node_drain",
        limits=settings.failover,
        trigger_rule=TriggerRule.ALL_DONE,
        execution_timeout=timedelta(minutes=20),
    )
    restores = (restore_newest, restore_older, restore_configuration, judge_recovery)
    failovers = (exercise_postgres_failover, exercise_redis_failover, exercise_node_drain)
    steps = (*restores, *failovers)

    write_report = WriteReportOperator(
        task_id="write_report",
        limits=settings.backup,
        reports={step.task_id: step.output for step in steps},
        trigger_rule=TriggerRule.ALL_DONE,
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="M-12+",
        reports={step.task_id: step.output for step in (*steps, write_report)},
        late_s=guard_slot.output,
    )

    chain(guard_slot, *steps, write_report, publish_report)
