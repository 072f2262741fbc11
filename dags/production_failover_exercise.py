"""
# Production failover exercise

Switches the production PostgreSQL over to its standby by Patroni, and back, while a client writes every 50 ms, and counts the seconds
without an acknowledged write and the writes that were lost. Triggered by hand in a quiet hour: the form asks why. It plans only,
unless `dry_run` is `no`; then another person approves the plan within 30 minutes on the page of `approve_plan`. Production must be
marked for it first, and its cluster named in the settings: until then the plan is refused. Staging is exercised every month.

**If it is red** before `exercise`, nothing was changed. If `exercise` is red, its error says who leads: unless it was undone, clear
the task, which brings the lead home and exercises again. `docs/runbooks/production_failover_exercise.md` has each case.

**If it pages** writes were lost, it took longer than its target, or the lead is not where it was.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.gate import ApprovePlanOperator
from sre.operators.production_failover import ExerciseProductionFailoverOperator, PlanProductionFailoverOperator
from sre.operators.reporting import PublishReportOperator
from sre.runs import DRY_RUN
from sre.schedules import BY_HAND

settings = load()
REASON = "{{ params.reason }}"

with DAG(
    dag_id="production_failover_exercise",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    allowed_run_types=BY_HAND,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "reason": Param(
            "", type="string", maxLength=500, title="Why", description="At least ten characters; kept as evidence"
        ),
        "dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only plan (auto, yes), or do it (no)"),
    },
    tags=["changes-production", "recovery", "postgres", "pages"],
):
    plan_exercise = PlanProductionFailoverOperator(
        task_id="plan_exercise", limits=settings.failover, reason=REASON, execution_timeout=timedelta(minutes=5)
    )
    approve_plan = ApprovePlanOperator(
        task_id="approve_plan",
        approvers=settings.gate.recovery_approvers,
        item="M-02",
        page="docs/runbooks/production_failover_exercise.md",
        reason=REASON,
    )
    # Killed in the middle it brings the lead home first, so trying again is safe; see docs/adr/0050.
    exercise = ExerciseProductionFailoverOperator(
        task_id="exercise",
        limits=settings.failover,
        reason=REASON,
        **(
            WRITING_DEFAULTS
            | {"retries": 3, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=2)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="M-02",
        reports={step.task_id: step.output for step in (plan_exercise, approve_plan, exercise)},
        headlines=("dry_run", "unavailable", "lost_writes"),
    )

    chain(plan_exercise, approve_plan, exercise, publish_report)
