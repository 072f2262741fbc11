"""The steps of `database_recovery`: show the choice, plan, (approve,) recover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import ConfigurationError, RunbookError
from include.findings import Finding, Report, Severity
from include.ops.leases import HeldBackError
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.backups.catalogue import Catalogue
    from include.ops.gate import Plan
    from include.ops.saga import Facts
    from include.recovery.request import Recovery

PAGE = "docs/runbooks/database_recovery.md"
SHOWN = 14


class RecoveryOperator(BackupOperator):
    """A step of the recovery; until it acts its failure is no emergency, and whoever triggered it is there.

    :param limits: of the backups.
    """

    template_fields = ("key", "target", "reason", "stop_first")

    def __init__(
        self,
        *,
        limits: BackupLimits,
        key: str = "",
        target: str = "",
        reason: str = "",
        stop_first: Any = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(limits=limits, **kwargs)
        self.key = key
        self.target = target
        self.reason = reason
        self.stop_first = stop_first

    def recovery(self, context: Context) -> Recovery:
        """Return what was asked for; ConfigurationError names the field of the form that is unusable."""
        from include.recovery.request import Recovery, Request
        from sre.hooks.recovery import access

        runs.refuse_backfill(context)
        ti = context["ti"]
        if self.target != self.limits.database:
            raise ConfigurationError(
                f"target: this runbook recovers {self.limits.database} (backup.database), not {self.target[:63]!r}; nothing was"
                " changed, trigger it again"
            )
        request = Request(
            op_id=runs.op_id(ti.dag_id, ti.run_id),
            reason=self.reason,
            key=self.key,
            stop_first=runs.strictly(self.stop_first, "stop_first"),
        )
        request.refuse()
        return Recovery(request=request, access=access(), chosen=settings.load())

    def _failure(self, error: RunbookError) -> Finding:
        found = super()._failure(error)
        return replace(found, severity=Severity.UNKNOWN, next_step=PAGE)


class ShowChoiceOperator(RecoveryOperator):
    """Show which backups could be restored: age, size, and how long the proof took; changes nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="backups", item="X-00+", failed="choice_shown", **kwargs)

    def look(self, context: Context) -> Report:
        """List the newest good ones."""
        from include.backups import catalogue
        from sre.hooks import backups

        runs.refuse_backfill(context)
        found = catalogue.look(backups.store(settings.load().connections.backup_verifier), self.limits.database)
        table = tuple(lines(found, datetime.now(UTC)))
        newest = found.newest_good
        said = f"the newest good backup is {newest.key}" if newest else "there is no good backup"
        finding = self.found("X-00+", self.failed, said, Severity.OK if newest else Severity.CRITICAL, n=len(table))
        return Report(source=self.source, checked=len(found.backups) or 1, findings=(finding,), table=table)


def lines(found: Catalogue, now: datetime) -> Iterator[str]:
    """Return one line for each of the newest good backups, newest first; what is written after it would be lost."""
    from include.backups.moving import size
    from include.reporting.text import span

    good = [backup for backup in reversed(found.backups) if backup.is_good and backup.manifest and backup.mark]
    for backup in good[:SHOWN]:
        assert backup.manifest
        assert backup.mark
        facts = backup.manifest.facts
        yield (
            f"{backup.at:%Y-%m-%d %H:%M} UTC  loses {span((now - backup.at).total_seconds()):>9}  {facts.rows:>9} rows"
            f"  {size(backup.manifest.stored_bytes):>9}  proved in {backup.mark.rto_s:.0f} s  {backup.key}"
        )


class PlanRecoveryOperator(RecoveryOperator):
    """Look at everything that the recovery would meet, and store the plan that people approve; changes nothing else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="plan", item="X-00+", failed="planned", **kwargs)

    def look(self, context: Context) -> Report:
        """Plan and store."""
        from include.ops import gate
        from sre.hooks.operations import operations

        plan = self.recovery(context).plan()
        self.log.info("%s", plan.text)
        requester = context["dag_run"].triggering_user_name
        number = gate.store(operations(), plan, requester=requester, people=settings.load().gate.recovery_people)
        return Report(
            source=self.source, checked=1, findings=tuple(self._said(plan, number)), table=tuple(plan.text.splitlines())
        )

    def _said(self, plan: Plan, number: int) -> Iterator[Finding]:
        facts = {"plan": number, "hash": plan.hash, "op_id": plan.op_id, **plan.facts}
        said = f"plan {number} of operation {plan.op_id}, {len(plan.steps)} steps: {plan.target}"
        yield self.found("X-00+", self.failed, said, **facts)
        for sentence in plan.seen:
            if sentence.startswith("Would be lost"):
                yield self.found("X-00+", "loss", sentence, Severity.INFO)


class RecoverOperator(RecoveryOperator):
    """Carry the approved plan out, or go on where a try before was killed. It believes the ops database, and nothing of Airflow's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="recovery", item="X-04", failed="recovered", **kwargs)

    def look(self, context: Context) -> Report:
        """Act, unless the run was only to plan."""
        from include.recovery import operation
        from sre.hooks.operations import operations

        if not runs.acts(context):
            said = "only planned: trigger it with dry_run = no to carry it out"
            return Report(source=self.source, checked=1, findings=(self.found("X-04", "dry_run", said, Severity.INFO),))
        ti = context["ti"]
        holder = f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"
        facts = operation.act(self.recovery(context), operations(), holder=holder, wait_s=self.limits.lease_wait_s)
        return Report(source=self.source, checked=1, findings=tuple(self._said(facts)))

    def on_kill(self) -> None:
        """Stand still when somebody marks or clears the task: what is done stays, and a later try goes on."""
        if self.at_work:
            raise HeldBackError(
                "the recovery was ended from outside and stands still; clear the task to go on, or take it back with"
                " `python -m include.recovery rollback`"
            )

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.CRITICAL)

    def _said(self, facts: Facts) -> Iterator[Finding]:
        for item, check, step, said in TOLD:
            left = {name: value for name, value in facts.get(step, {}).items() if name != "recorded"}
            yield self.found(item, check, said.format_map(_Missing(map(_readable, left.items()))), **left)
        for changed in facts.get("start", {}).get("changed", ()):
            yield replace(self.found("X-05", "left_alone", changed, Severity.WARNING), next_step=PAGE)
        for odd in facts.get("smoke", {}).get("oddities", ()):
            yield replace(self.found("X-06", "odd", odd, Severity.WARNING), next_step=PAGE)
        key, lost = (
            facts.get("use the plan", {}).get("key", "the backup"),
            facts.get("count", {}).get("said", "not counted"),
        )
        said = f"recovered from {key}, compared before the swap, tried through the gateway after it; lost: {lost}"
        yield self.found("X-04", self.failed, said)


TOLD = (
    ("X-01", "writers_stopped", "stop", "every writer was stopped in {seconds} s"),
    ("X-02", "kept", "swap", "the database from before stays beside it for a week; swapped at {at} UTC"),
    (
        "X-03",
        "made_alike",
        "check",
        "made with encoding, locale, owner, settings and grants of the backup; space: {space}",
    ),
    ("X-04", "restored", "restore", "restored beside the running one and compared ({seconds})"),
    ("X-04", "lost", "count", "lost: {said}"),
    ("X-05", "writers_started", "start", "every writer runs as it was recorded, ready after {seconds} s"),
    (
        "X-05",
        "set_aside",
        "set aside",
        "{parked} queue items and {sessions} sessions set aside, {caches} caches unlinked",
    ),
    ("X-06", "smoke", "smoke", "healthy after {healthy_s} s, a workflow ran to its end in {finished_s} s"),
)
"""Item, check and step, and what is said of it with what the step left."""


class _Missing(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "-"


def _readable(fact: tuple[str, Any]) -> tuple[str, Any]:
    """`{"restore": 2.703, "analyze": 1.434}` is `restore 2.7 s, analyze 1.4 s`, a moment is its time of day."""
    name, value = fact
    if isinstance(value, Mapping):
        return name, ", ".join(f"{part} {seconds:.1f} s" for part, seconds in value.items())
    return name, datetime.fromisoformat(value).strftime("%H:%M:%S") if name == "at" else value
