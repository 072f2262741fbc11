"""
# Database recovery

Restores a proved backup beside the running database, compares it, and only then swaps it in; the database from before stays for a
week. Triggered by hand: the form asks for the backup (empty: the newest GOOD one; `show_choice` lists them), why, and whether to stop
the application before the restore (for data that goes on being damaged). It plans only, unless `dry_run` is `no`; then another person
approves the plan within 30 minutes on the page of `approve_plan`.

**If it is red** before `recover`, nothing was changed: the report says what was in the way. If `recover` is red, its error says in
which state everything is: either all of it was undone, or it stands still; then clear the task `recover`, which goes on, or undo it
without Airflow: `python -m include.recovery rollback <op_id>`. `docs/runbooks/database_recovery.md` has each case.

**If it pages** a recovery did not end well; the page says what stands.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.gate import ApprovePlanOperator
from sre.operators.recovery import PlanRecoveryOperator, RecoverOperator, ShowChoiceOperator
from sre.operators.reporting import PublishReportOperator
from sre.runs import DRY_RUN
from sre.schedules import BY_HAND

settings = load()
form = {
    "key": "{{ params.backup }}",
    "target": "{{ params.target }}",
    "reason": "{{ params.reason }}",
    "stop_first": "{{ params.stop_first }}",
}

with DAG(
    dag_id="database_recovery",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    allowed_run_types=BY_HAND,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "backup": Param(
            "", type="string", maxLength=200, title="Backup", description="Its key; empty: the newest GOOD one"
        ),
        "target": Param(settings.backup.database, type="string", minLength=1, title="Database that is recovered"),
        "reason": Param(
            "", type="string", maxLength=500, title="Why", description="At least ten characters; kept as evidence"
        ),
        "stop_first": Param(False, type="boolean", title="Stop the application before the restore"),
        "dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only plan (auto, yes), or do it (no)"),
        "break_glass": Param(
            "",
            type="string",
            maxLength=100,
            title="Break the glass",
            description="Alone at night: type the target as the plan names it; security is paged, and a review is due in a day",
        ),
    },
    tags=["changes-production", "recovery", "postgres", "kubernetes", "pages"],
):
    show_choice = ShowChoiceOperator(task_id="show_choice", limits=settings.backup)
    plan_recovery = PlanRecoveryOperator(
        task_id="plan_recovery", limits=settings.backup, execution_timeout=timedelta(minutes=30), **form
    )
    approve_plan = ApprovePlanOperator(
        task_id="approve_plan",
        approvers=settings.gate.recovery_approvers,
        item="X-00+",
        page="docs/runbooks/database_recovery.md",
        typed_target="{{ params.break_glass }}",
        reason="{{ params.reason }}",
    )
    # It goes on from its journal, so trying again repeats nothing; see docs/adr/0040.
    recover = RecoverOperator(
        task_id="recover",
        limits=settings.backup,
        **form,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=8)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="X-06",
        reports={step.task_id: step.output for step in (show_choice, plan_recovery, approve_plan, recover)},
        headlines=("dry_run", "loss", "recovered"),
    )

    chain(show_choice, plan_recovery, approve_plan, recover, publish_report)
