"""
# Configuration recovery

Puts objects of a namespace back as a proved bundle has them: tried by the server first, applied in their order, secrets from memory
only. Then restarts the workloads that read what changed, one by one. Deletes nothing. Triggered by hand: the form asks for the bundle
(empty: the newest GOOD one; `show_choice` lists them), which part of it, and why. It plans only, unless `dry_run` is `no`; then
another person approves the plan within 30 minutes on the page of `approve_plan`.

**If it is red** before `recover`, nothing was changed: the report says what was in the way. If `recover` is red, its error says in
which state everything is: it was put back, or one workload did not come back and the rest was left alone, or it stands still; then
clear the task `recover`, which goes on. The whole way back, without Airflow: `python -m include.configuration rollback <op_id>`.
`docs/runbooks/configuration_recovery.md` has each case.

**If it pages** a recovery did not end well; the page says what stands.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.configuration_recovery import (
    PlanConfigurationOperator,
    RecoverConfigurationOperator,
    ShowBundlesOperator,
)
from sre.operators.gate import ApprovePlanOperator
from sre.operators.reporting import PublishReportOperator
from sre.runs import DRY_RUN
from sre.schedules import BY_HAND

settings = load()
form = {
    "key": "{{ params.bundle }}",
    "kinds": "{{ params.kinds }}",
    "names": "{{ params.names }}",
    "selector": "{{ params.selector }}",
    "reason": "{{ params.reason }}",
}

with DAG(
    dag_id="configuration_recovery",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    allowed_run_types=BY_HAND,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "bundle": Param(
            "", type="string", maxLength=200, title="Bundle", description="Its key; empty: the newest GOOD one"
        ),
        "kinds": Param("", type="string", maxLength=500, title="Kinds", description="ConfigMap, Secret; empty: all"),
        "names": Param(
            "",
            type="string",
            maxLength=1000,
            title="Names",
            description="api-config, deployment/worker, auth-*; empty: all",
        ),
        "selector": Param(
            "", type="string", maxLength=500, title="Labels", description="app=worker,tier!=front; empty: all"
        ),
        "reason": Param(
            "", type="string", maxLength=500, title="Why", description="At least ten characters; kept as evidence"
        ),
        "dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only plan (auto, yes), or do it (no)"),
        "break_glass": Param(
            "",
            type="string",
            maxLength=100,
            title="Break the glass",
            description="Alone at night: type the target as the plan names it; security is paged, and a review is due in a day",
        ),
    },
    tags=["changes-production", "recovery", "kubernetes", "pages"],
):
    show_choice = ShowBundlesOperator(task_id="show_choice", limits=settings.backup)
    plan_recovery = PlanConfigurationOperator(
        task_id="plan_recovery", limits=settings.backup, execution_timeout=timedelta(minutes=30), **form
    )
    approve_plan = ApprovePlanOperator(
        task_id="approve_plan",
        approvers=settings.gate.recovery_approvers,
        item="X-07",
        page="docs/runbooks/configuration_recovery.md",
        typed_target="{{ params.break_glass }}",
        reason="{{ params.reason }}",
    )
    # It goes on from its journal, so trying again repeats nothing; see docs/adr/0040.
    recover = RecoverConfigurationOperator(
        task_id="recover",
        limits=settings.backup,
        **form,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=4)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="X-07",
        reports={step.task_id: step.output for step in (show_choice, plan_recovery, approve_plan, recover)},
        headlines=("dry_run", "planned", "recovered"),
    )

    chain(show_choice, plan_recovery, approve_plan, recover, publish_report)
