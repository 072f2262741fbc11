"""
# Daily database backup

Takes one backup of the database at 02:00 UTC and proves it: what was stored is fetched, opened, restored into the scratch server and
compared, table by table. Only then it is GOOD, and locked in the bucket for 30 days. Changes nothing in the database.

**If it is red** there may be no good backup of tonight; the report says what was in the way, in which state the bucket is, and what
to change. Mend that and trigger it again: every try has a key of its own, so trying again is always safe. A backup that was
compared and differs (BAD) is followed by one more attempt at once, as a run of its own. `docs/runbooks/daily_database_backup.md`
has each case.

**If it pages** no backup was taken, or it is not proved; the page ends with the next good one. What is there, and what is good, says
`python -m include.backups list`, without Airflow.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.backup import (
    ListBackupsOperator,
    NextAttemptOperator,
    ProveBackupOperator,
    SweepBackupsOperator,
    TakeBackupOperator,
)
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.schedules import AGAIN_BY_ITSELF, NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="daily_database_backup",
    doc_md=__doc__,
    schedule=slots("0 2 * * *", "UTC"),  # 02:00 UTC, where no clock changes: items B-01
    catchup=False,
    max_active_runs=1,
    allowed_run_types=(*NOT_FOR_THE_PAST, AGAIN_BY_ITSELF),
    default_args=RUNBOOK_DEFAULTS | {"retry_delay": timedelta(minutes=1)},
    params={"attempt": Param(1, type="integer", minimum=1, maximum=settings.backup.attempts, title="Attempt in a row")},
    tags=["writes-own-data", "backup", "postgres", "s3", "pages"],
):
    # A backup that is late is better than none: the slot is run whenever Airflow is back within a day.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="B-01", max_late=timedelta(hours=24))

    list_backups = ListBackupsOperator(task_id="list_backups", limits=settings.backup)

    take_backup = TakeBackupOperator(
        task_id="take_backup",
        limits=settings.backup,
        before=list_backups.output,
        trigger_rule=TriggerRule.ALL_DONE,  # a bucket that cannot be listed must not keep a backup from being taken
        execution_timeout=timedelta(hours=4),
    )
    prove_backup = ProveBackupOperator(
        task_id="prove_backup",
        limits=settings.backup,
        taken=take_backup.output,
        execution_timeout=timedelta(hours=6),
    )
    sweep_backups = SweepBackupsOperator(
        task_id="sweep_backups", limits=settings.backup, trigger_rule=TriggerRule.ALL_DONE
    )
    next_attempt = NextAttemptOperator(
        task_id="next_attempt",
        trigger_dag_id="daily_database_backup",
        proof=prove_backup.output,
        attempt="{{ params.attempt }}",
        attempts=settings.backup.attempts,
        trigger_rule=TriggerRule.ALL_DONE,
        **WRITING_DEFAULTS,
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="B-16+",
        reports={step.task_id: step.output for step in (list_backups, take_backup, prove_backup, sweep_backups)},
        late_s=guard_slot.output,
    )

    chain(guard_slot, list_backups, take_backup, prove_backup, [sweep_backups, next_attempt], publish_report)
