"""The steps of `configuration_recovery`: show the choice, plan, (approve,) recover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RunbookError
from include.findings import Finding, Report, Severity
from include.ops.leases import HeldBackError
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.backups.catalogue import Catalogue
    from include.configuration.request import Recovery
    from include.configuration.survey import Entry
    from include.ops.gate import Plan
    from include.ops.saga import Facts

PAGE = "docs/runbooks/configuration_recovery.md"
SHOWN = 14


class ConfigurationRecoveryOperator(BackupOperator):
    """A step of the recovery; until it acts its failure is no emergency, and whoever triggered it is there.

    :param limits: of the backups, for how long it waits for its lease.
    :param key: of the bundle, the newest GOOD one if empty; all of these as rendered.
    :param kinds: the subset, with `names` and `selector`.
    """

    template_fields = ("key", "kinds", "names", "selector", "reason")

    def __init__(
        self,
        *,
        limits: BackupLimits,
        key: str = "",
        kinds: str = "",
        names: str = "",
        selector: str = "",
        reason: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(limits=limits, **kwargs)
        self.key = key
        self.kinds = kinds
        self.names = names
        self.selector = selector
        self.reason = reason

    @property
    def subject(self) -> str:
        """What all findings are about."""
        return f"configuration/{settings.load().namespace}"

    def recovery(self, context: Context) -> Recovery:
        """Return what was asked for; ConfigurationError names the field of the form that is unusable."""
        from include.configuration.choice import Choice
        from include.configuration.request import Recovery, Request
        from sre.hooks.configuration_recovery import access

        runs.refuse_backfill(context)
        ti = context["ti"]
        request = Request(
            op_id=runs.op_id(ti.dag_id, ti.run_id),
            reason=self.reason,
            key=self.key.strip(),
            choice=Choice(kinds=self.kinds, names=self.names, selector=self.selector),
        )
        request.refuse()
        return Recovery(request=request, access=access(), chosen=settings.load())

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.UNKNOWN, next_step=PAGE)


class ShowBundlesOperator(ConfigurationRecoveryOperator):
    """Show which bundles could be restored, and how old they are; changes nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="bundles", item="X-07", failed="choice_shown", **kwargs)

    def look(self, context: Context) -> Report:
        """List the newest good ones."""
        from sre.hooks.configuration_recovery import shelf

        runs.refuse_backfill(context)
        found = shelf().catalogue()
        table = tuple(lines(found, datetime.now(UTC)))
        newest = found.newest_good
        said = f"the newest good bundle is {newest.key}" if newest else "there is no good bundle"
        finding = self.found("X-07", self.failed, said, Severity.OK if newest else Severity.CRITICAL, n=len(table))
        return Report(source=self.source, checked=len(found.backups) or 1, findings=(finding,), table=table)


def lines(found: Catalogue[Any], now: datetime) -> Iterator[str]:
    """Return one line for each of the newest good bundles, newest first."""
    from include.reporting.text import span

    good = [backup for backup in reversed(found.backups) if backup.is_good]
    for backup in good[:SHOWN]:
        yield f"{backup.at:%Y-%m-%d %H:%M} UTC  {span((now - backup.at).total_seconds()):>9} old  {backup.key}"


class PlanConfigurationOperator(ConfigurationRecoveryOperator):
    """Try every object on the server's side without changing it, and store the plan that people approve (X-07)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="plan", item="X-07", failed="planned", **kwargs)

    def look(self, context: Context) -> Report:
        """Plan and store."""
        from include.configuration.request import table
        from include.ops import gate
        from sre.hooks.operations import operations

        plan, entries = self.recovery(context).planned()
        self.log.info("%s", plan.text)
        requester = context["dag_run"].triggering_user_name
        number = gate.store(operations(), plan, requester=requester, people=settings.load().gate.recovery_people)
        shown = (*plan.text.splitlines(), *table(entries))
        return Report(
            source=self.source, checked=len(entries), findings=tuple(self._said(plan, number, entries)), table=shown
        )

    def _said(self, plan: Plan, number: int, entries: list[Entry]) -> Iterator[Finding]:
        facts = {"plan": number, "hash": plan.hash, "op_id": plan.op_id, **plan.facts}
        said = f"plan {number} of operation {plan.op_id}, {len(plan.steps)} steps: {plan.target}; {plan.seen[2]}"
        yield self.found("X-07", self.failed, said, **facts)
        for each in entries:
            if each.why:
                said = f"{each.subject} {each.deed.value}: {each.why}"
                found = self.found("X-07", "for_a_decision_of_its_own", said, Severity.WARNING)
                yield replace(found, subject=each.subject, next_step=PAGE)


class RecoverConfigurationOperator(ConfigurationRecoveryOperator):
    """Carry the approved plan out, or go on where a try before was killed (X-07 to X-10).

    It believes the ops database, and nothing of Airflow's.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="recovery", item="X-07", failed="recovered", **kwargs)

    def look(self, context: Context) -> Report:
        """Act, unless the run was only to plan."""
        from include.configuration import operation
        from sre.hooks.operations import operations

        if not runs.acts(context):
            said = "only planned: trigger it with dry_run = no to carry it out"
            return Report(source=self.source, checked=1, findings=(self.found("X-07", "dry_run", said, Severity.INFO),))
        ti = context["ti"]
        holder = f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"
        facts = operation.act(self.recovery(context), operations(), holder=holder, wait_s=self.limits.lease_wait_s)
        table = tuple(operation.told(facts))
        return Report(source=self.source, checked=1, findings=tuple(self._said(facts)), table=table)

    def on_kill(self) -> None:
        """Stand still when somebody marks or clears the task: what is done stays, and a later try goes on."""
        if self.at_work:
            raise HeldBackError(
                "the recovery was ended from outside and stands still; clear the task to go on, or take it back with"
                " `python -m include.configuration rollback`"
            )

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.CRITICAL)

    def _said(self, facts: Facts) -> Iterator[Finding]:
        from include.configuration import operation

        used, applied = facts["use the plan"], facts["apply"]["applied"]
        yield from (self._counted(item, check, kind, applied) for item, check, kind in COUNTED)
        yield self._restarted(facts["restart"].get("restarted", {}))
        wrong = list(operation.problems(facts))
        for said in wrong:
            yield replace(self.found("X-10", "problem", said, Severity.CRITICAL), next_step=PAGE)
        said = (
            f"{len(applied)} objects of {used['key']} applied, {facts['compare']['compared']} compared with it;"
            f" the way back: python -m include.configuration rollback"
        )
        severity = Severity.CRITICAL if wrong else Severity.OK
        yield self.found("X-07", self.failed, said, severity, n=len(applied), kept=dict(facts["keep"]))

    def _counted(self, item: str, check: str, kind: str, applied: list[str]) -> Finding:
        names = [each for each in applied if each.startswith(kind)]
        said = f"{len(names)} {kind.rstrip('/') or 'object'}s applied, by the server, in their order"
        return self.found(item, check, said, n=len(names), names=names)

    def _restarted(self, seconds: Mapping[str, float]) -> Finding:
        said = (
            f"{len(seconds)} workloads restarted one by one, each ready before the next: {', '.join(seconds) or 'none'}"
        )
        return self.found("X-10", "restarted", said, n=len(seconds), seconds=dict(seconds))


COUNTED = (
    ("X-07", "applied", ""),
    ("X-08", "config_maps", "configmap/"),
    ("X-09", "secrets", "secret/"),
)
"""Item, check, and what its objects are called."""
