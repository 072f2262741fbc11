"""
# Weekly backup verification

Asks on Monday whether the backups of the week are really there: for each of the last seven days a good one, every object in its
version and size, locked. Then restores one older backup, drawn by lot, into a scratch database of its own and compares it. Reads the
bucket and no log; changes nothing but the mark of a backup that turns out to be BAD.

**If it is red** something could not be looked at: the report names what (a Connection, a right, the scratch server). Mend it and
trigger it again, which is always safe. A yellow report says what is not protected and wakes nobody.

**If it pages** a day has no good backup, the newest good one is older than 26 hours, or an older one differs after its restore.
`docs/runbooks/weekly_backup_verification.md` has each case; `python -m include.backups list` shows the bucket without Airflow.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.operators.verification import JudgeWeekOperator, RestoreRandomBackupOperator
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="weekly_backup_verification",
    doc_md=__doc__,
    schedule=slots(
        "30 10 * * MON", settings.time_zone
    ),  # Monday, when somebody is there for what it finds: items W-11, W-12
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS | {"retry_delay": timedelta(minutes=1)},
    tags=["writes-own-data", "backup", "postgres", "s3", "pages"],
):
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="W-11", max_late=timedelta(days=3))

    judge_week = JudgeWeekOperator(task_id="judge_week", limits=settings.backup)

    restore_random_backup = RestoreRandomBackupOperator(
        task_id="restore_random_backup",
        limits=settings.backup,
        execution_timeout=timedelta(hours=6),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="W-11",
        reports={step.task_id: step.output for step in (judge_week, restore_random_backup)},
        late_s=guard_slot.output,
    )

    chain(guard_slot, [judge_week, restore_random_backup], publish_report)
