"""
# Cache removal

Removes keys of the application's cache that nobody needs, below one prefix that the settings allow: those without a lifetime, or all.
Triggered by hand: the form asks for the prefix, which keys, and why. It plans only, unless `dry_run` is `no`; then another person
approves the plan within 30 minutes on the page of `approve_plan`. Each key is copied, sealed, into the bucket before it goes; work,
sessions and locks are never touched.

**If it is red** before `remove_keys`, nothing was changed: the report says what was in the way. If `remove_keys` is red, what was
removed stays so and has its copy: clear the task, which goes on, or bring all of it back with `python -m include.cache undo <op_id>`.
`docs/runbooks/cache_removal.md` has each case.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.plans.cache_removal import Which
from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.cache import PAGE, ApproveRemovalOperator, PlanRemovalOperator, RemoveKeysOperator
from sre.operators.reporting import PublishReportOperator
from sre.runs import DRY_RUN
from sre.schedules import BY_HAND

settings = load()
form = {"prefix": "{{ params.prefix }}", "which": "{{ params.which }}", "reason": "{{ params.reason }}"}

with DAG(
    dag_id="cache_removal",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    allowed_run_types=BY_HAND,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "prefix": Param(
            "", type="string", maxLength=100, title="Prefix", description=f"Below {', '.join(settings.cache.prefixes)}"
        ),
        "which": Param(Which.WITHOUT_LIFETIME.value, type="string", enum=[*Which], title="Which keys below it"),
        "reason": Param(
            "", type="string", maxLength=500, title="Why", description="At least ten characters; kept as evidence"
        ),
        "dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only plan (auto, yes), or do it (no)"),
    },
    tags=["changes-production", "maintenance", "redis"],
):
    plan_removal = PlanRemovalOperator(task_id="plan_removal", execution_timeout=timedelta(minutes=30), **form)
    approve_plan = ApproveRemovalOperator(
        task_id="approve_plan",
        approvers=settings.gate.recovery_approvers,
        item="R-02",
        page=PAGE,
        reason="{{ params.reason }}",
    )
    # It goes on from its journal, so trying again repeats nothing; see docs/adr/0076.
    remove_keys = RemoveKeysOperator(
        task_id="remove_keys",
        **form,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=4)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="R-02",
        reports={step.task_id: step.output for step in (plan_removal, approve_plan, remove_keys)},
        headlines=("dry_run", "planned", "removed"),
    )

    chain(plan_removal, approve_plan, remove_keys, publish_report)
