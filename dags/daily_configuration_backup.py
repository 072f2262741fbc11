"""
# Daily configuration backup

Takes one backup of the namespace's configuration at 03:00 UTC and proves it: what was stored is fetched, opened, and the API server
takes all of it as a dry run in the scratch namespace. Only then it is GOOD, and locked in the bucket for 30 days. It also says what
drifted since the last good one, by whom and when. Secrets leave the worker's memory sealed only. Changes nothing in the cluster.

**If it is red** there may be no good backup of tonight, or a kind or a folder could not be read: it is named, and counts as UNKNOWN,
not as empty. Mend what the report names and trigger it again: every try has a key of its own, so trying again is always safe.
`docs/runbooks/daily_configuration_backup.md` has each case.

**If it pages** no backup was taken, or it is not proved; the page ends with the next good one. A yellow report names objects that
somebody changed: nobody is woken for it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.backup import NextAttemptOperator
from sre.operators.configuration import (
    CompareConfigurationOperator,
    ListConfigurationBackupsOperator,
    ProveConfigurationOperator,
    TakeConfigurationOperator,
)
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.schedules import AGAIN_BY_ITSELF, NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="daily_configuration_backup",
    doc_md=__doc__,
    schedule=slots(
        "0 3 * * *", "UTC"
    ),  # 03:00 UTC, an hour after the database's, and whatever became of that: items B-07
    catchup=False,
    max_active_runs=1,
    allowed_run_types=(*NOT_FOR_THE_PAST, AGAIN_BY_ITSELF),
    default_args=RUNBOOK_DEFAULTS | {"retry_delay": timedelta(minutes=1)},
    params={"attempt": Param(1, type="integer", minimum=1, maximum=settings.backup.attempts, title="Attempt in a row")},
    tags=["writes-own-data", "backup", "kubernetes", "s3", "pages"],
):
    # A backup that is late is better than none: the slot is run whenever Airflow is back within a day.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="B-07", max_late=timedelta(hours=24))

    list_backups = ListConfigurationBackupsOperator(task_id="list_backups", limits=settings.backup)

    take_configuration = TakeConfigurationOperator(
        task_id="take_configuration",
        limits=settings.backup,
        before=list_backups.output,
        trigger_rule=TriggerRule.ALL_DONE,  # a bucket that cannot be listed must not keep a backup from being taken
        execution_timeout=timedelta(minutes=30),
    )
    prove_configuration = ProveConfigurationOperator(
        task_id="prove_configuration",
        limits=settings.backup,
        taken=take_configuration.output,
        trigger_rule=TriggerRule.ALL_DONE,  # a kind that could not be read leaves the take red, and a backup that is whole otherwise
        execution_timeout=timedelta(minutes=30),
    )
    compare_configuration = CompareConfigurationOperator(
        task_id="compare_configuration",
        limits=settings.backup,
        taken=take_configuration.output,
        trigger_rule=TriggerRule.ALL_DONE,
        execution_timeout=timedelta(minutes=10),
    )
    next_attempt = NextAttemptOperator(
        task_id="next_attempt",
        trigger_dag_id="daily_configuration_backup",
        proof=prove_configuration.output,
        attempt="{{ params.attempt }}",
        attempts=settings.backup.attempts,
        trigger_rule=TriggerRule.ALL_DONE,
        **WRITING_DEFAULTS,
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="B-07",
        reports={
            step.task_id: step.output
            for step in (list_backups, take_configuration, prove_configuration, compare_configuration)
        },
        late_s=guard_slot.output,
    )

    chain(guard_slot, list_backups, take_configuration, [prove_configuration, compare_configuration])
    chain(prove_configuration, next_attempt, publish_report)
    chain(compare_configuration, publish_report)
