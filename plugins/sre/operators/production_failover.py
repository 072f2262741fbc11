"""The steps of `production_failover_exercise`: plan, (approve,) exercise (M-02)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from include import settings
from include.checks import failover as checks
from include.errors import RunbookError
from include.findings import Finding, Report, Severity
from sre import runs
from sre.operators.failover import ExercisePostgresFailoverOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.failover.production import ProductionExercise

PAGE = "docs/runbooks/production_failover_exercise.md"


class ProductionFailoverOperator(ExercisePostgresFailoverOperator):
    """A step of the exercise on production.

    :param reason: why production is switched over, as rendered.
    """

    template_fields = ("reason",)

    def __init__(self, *, reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason

    @property
    def subject(self) -> str:
        """What the findings are about."""
        return f"postgres/{self.limits.production_scope}"

    def asked(self, context: Context) -> ProductionExercise:
        """Return what was asked for."""
        from include.failover.production import ProductionExercise
        from sre.hooks import failover

        runs.refuse_backfill(context)
        ti, chosen = context["ti"], settings.load()
        op_id = runs.op_id(ti.dag_id, ti.run_id)
        pair, writer = failover.production(self.limits, f"{op_id}-{ti.try_number}")
        return ProductionExercise(
            op_id=op_id,
            reason=self.reason,
            database=chosen.backup.database,
            pair=pair,
            writer=writer,
            limits=self.limits,
            code_version=chosen.code_version,
        )

    def told(self, *findings: Finding, table: tuple[str, ...] = ()) -> Report:
        """Return them as this step's report."""
        return Report(source=self.source, checked=1, findings=findings, table=table)


class PlanProductionFailoverOperator(ProductionFailoverOperator):
    """Look who leads and who would take over, and store the plan that people approve; changes nothing else."""

    def look(self, context: Context) -> Report:
        """Plan and store."""
        from include.ops import gate
        from sre.hooks.operations import operations

        plan = self.asked(context).plan()
        requester, people = context["dag_run"].triggering_user_name, settings.load().gate.recovery_people
        number = gate.store(operations(), plan, requester=requester, people=people)
        said = f"plan {number} of operation {plan.op_id}: {plan.facts['home']} would hand over to {plan.facts['away']} and take back"
        planned = Finding(
            item=self.item,
            check="planned",
            subject=self.subject,
            severity=Severity.OK,
            summary=said,
            evidence={"plan": number, "hash": plan.hash, "op_id": plan.op_id, **plan.facts},
        )
        return self.told(planned, table=tuple(plan.text.splitlines()))

    def _failure(self, error: RunbookError) -> Finding:
        """Nothing was changed, and whoever triggered it is there: no emergency."""
        return replace(super()._failure(error), severity=Severity.UNKNOWN, next_step=PAGE)


class ExerciseProductionFailoverOperator(ProductionFailoverOperator):
    """Carry the approved plan out, or go on where a try before was killed; it believes the ops database, and nothing of Airflow's."""

    def look(self, context: Context) -> Report:
        """Exercise, unless the run was only to plan."""
        from sre.hooks.operations import operations

        if not runs.acts(context):
            said = "only planned: trigger it with dry_run = no to carry it out"
            return self.told(
                Finding(item=self.item, check="dry_run", subject=self.subject, severity=Severity.INFO, summary=said)
            )
        ti = context["ti"]
        holder = f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"
        done = self.asked(context).act(operations(), holder=holder, wait_s=settings.load().backup.lease_wait_s)
        return self.told(*checks.judge_exercise(done, self.subject, self.target_s), self._well())
