"""
# Weekly database maintenance

Measures on Sunday night what the database needs, after that night's backup is proved: dead rows, statistics, bloat, invalid indexes,
transaction age, and who holds cleaning back. Then vacuums, rebuilds indexes (`CONCURRENTLY`) and analyzes exactly that, one by one,
with time-outs, and measures what it brought. Nothing to do is a good result. By hand it only shows the plan, unless `dry_run` is `no`.

**If it is red** something could not be looked at, or it stands still: the report says where. The application is not touched by that.
Mend it and clear `maintain_database`: it goes on from its journal, within three hours of its begin, and sweeps what it left.
`docs/runbooks/weekly_database_maintenance.md` has each case.

**If it is skipped** tonight's backup is not GOOD, or the slot was missed: the next Sunday takes it up. Yellow lines say what was
postponed or is left to a person, with the exact statement.

**If it pages** the database nears the age at which it refuses to write: act on it the same day.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.maintenance import AwaitBackupOperator, MaintainDatabaseOperator, PlanMaintenanceOperator
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.runs import DRY_RUN
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="weekly_database_maintenance",
    doc_md=__doc__,
    schedule=slots("0 2 * * SUN", settings.maintenance_time_zone),  # Sunday 02:00 of the customers' night: items D-01
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    params={"dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only show what would be done")},
    tags=["changes-production", "maintenance", "postgres", "pages"],
):
    # The window is the night: what could not begin in it waits for the next one.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="D-01", max_late=timedelta(hours=1))

    await_backup = AwaitBackupOperator(
        task_id="await_backup",
        limits=settings.backup,
        wait_s=settings.maintenance.backup_wait_s,
        **WRITING_DEFAULTS,
    )
    plan_maintenance = PlanMaintenanceOperator(
        task_id="plan_maintenance",
        limits=settings.backup,
        maintenance=settings.maintenance,
        execution_timeout=timedelta(hours=1),
    )
    # It goes on from its journal, so trying again repeats nothing; see docs/adr/0070.
    maintain_database = MaintainDatabaseOperator(
        task_id="maintain_database",
        limits=settings.backup,
        maintenance=settings.maintenance,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=6)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="D-01",
        reports={step.task_id: step.output for step in (plan_maintenance, maintain_database)},
        late_s=guard_slot.output,
        headlines=("planned", "maintained"),
    )

    chain(guard_slot, await_backup, plan_maintenance, maintain_database, publish_report)
