"""The steps of `backup_retention`: plan, mark, delete, sweep. Each decides anew from the bucket; none trusts an earlier one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RunbookError, VerificationError
from include.findings import Finding, Report, Severity
from include.ops.leases import Mode
from include.settings import BackupLimits, RetentionLimits
from sre import runs
from sre.operators.backup import BackupOperator, SweepBackupsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.backups.store import Store
    from include.plans.retention import Observed, Plan

PAGE = "docs/runbooks/backup_retention.md"


class RetentionOperator(BackupOperator):
    """A step of the retention: its failure is no emergency, since then nothing is deleted; only a deletion that went wrong pages.

    :param limits: of the backups; `retention`: what may go.
    :param kind: of which backups: "database" (B-06) or "configuration" (B-15+), by the same rule.
    """

    def __init__(
        self, *, limits: BackupLimits, retention: RetentionLimits, kind: str = "database", **kwargs: Any
    ) -> None:
        super().__init__(limits=limits, item="B-06" if kind == "database" else "B-15+", **kwargs)
        self.retention = retention
        self.kind = kind

    @property
    def name(self) -> str:
        """Which database, or the configuration of which namespace."""
        return self.limits.database if self.kind == "database" else settings.load().namespace

    @property
    def subject(self) -> str:
        """What all findings are about, and what is leased."""
        return f"{self.kind}/{self.name}"

    def observe(self, context: Context) -> Observed:
        """Look, as the verifier."""
        from include.backups.retire import Observer

        observer = Observer(store=verifier(), database=self.name, limits=self.retention, in_use={}, kind=self.kind)
        return observer.look(good_since(context))

    def decided(self, context: Context) -> Plan:
        """Look, and decide."""
        from include.plans.retention import decide

        return decide(self.observe(context), self.retention)

    def _failure(self, error: RunbookError) -> Finding:
        severity = Severity.CRITICAL if isinstance(error, VerificationError) else Severity.UNKNOWN
        return replace(super()._failure(error), severity=severity, next_step=PAGE)


class PlanRetentionOperator(RetentionOperator):
    """Show what would happen to every backup, and why; changes nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="retention plan", failed="planned", **kwargs)

    def look(self, context: Context) -> Report:
        """Decide, and say it key by key."""
        from include.plans.retention import decide

        observed = self.observe(context)
        plan = decide(observed, self.retention)
        for step in plan.steps:
            self.log.info("%s", step)
        findings = tuple(self._said(plan, observed))
        return Report(source=self.source, checked=len(plan.steps) or 1, findings=findings)

    def _said(self, plan: Plan, observed: Observed) -> Iterator[Finding]:
        steps = [{"key": step.seen.key, "deed": step.deed.value, "reason": step.reason} for step in plan.steps]
        told = {"n": len(steps), "value": plan.remaining_good, "unit": "good", "threshold": self.retention.min_good}
        severity = Severity.WARNING if plan.frozen else Severity.OK
        planned = self.found(self.item, self.failed, str(plan), severity, **told, frozen=plan.frozen, steps=steps)
        yield replace(planned, next_step=PAGE if plan.frozen else "")
        if observed.foreign:
            said = f"{len(observed.foreign)} objects are none of ours and stay: {', '.join(observed.foreign[:3])}"
            yield self.found(
                self.item, "foreign", said, Severity.INFO, n=len(observed.foreign), keys=observed.foreign[:100]
            )
        for step in plan.steps:
            if step.needs_a_person:
                said = f"{step.seen.key}: {step.reason}"
                yield replace(self.found(self.item, "strange", said, Severity.WARNING), next_step=PAGE)


class ActingOperator(RetentionOperator):
    """A step that changes something, unless the run is a dry one or nothing may happen; then it says so, and is skipped."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skipped = ""

    def execute(self, context: Context) -> None:
        """Act, tell, keep; and show by the colour if nothing was to be done."""
        from airflow.sdk.exceptions import AirflowSkipException

        super().execute(context)
        if self.skipped:
            raise AirflowSkipException(self.skipped)

    def look(self, context: Context) -> Report:
        """Decide anew, and act on that."""
        runs.refuse_backfill(context)
        if not runs.acts(context):
            plan = self.decided(context)
            return self._rests(plan.frozen or f"dry run: {self.would(plan)}")
        with self.leased(
            context, Mode.RETENTION
        ) as lease:  # decided under the lease: whoever was waited for changed the bucket
            plan = self.decided(context)
            return self._rests(plan.frozen) if plan.frozen else self.act(plan, lease.guard)

    def _rests(self, why: str) -> Report:
        self.skipped = why
        found = self.found(self.item, self.failed, why, Severity.INFO)
        return Report(source=self.source, checked=1, findings=(found,))

    @abstractmethod
    def would(self, plan: Plan) -> str:
        """Say what `act` would do."""

    @abstractmethod
    def act(self, plan: Plan, guard: Callable[[], None]) -> Report:
        """Do it, and say what was done.

        :param guard: asked before each effect; raises when the lease is lost or operations are stopped.
        """


class MarkBackupsOperator(ActingOperator):
    """Mark what may go, days before it does, and take the mark from what may not go any more."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="retention marks", failed="marked", **kwargs)

    def would(self, plan: Plan) -> str:
        """Return how many."""
        from include.plans.retention import Deed

        return f"{len(plan.of(Deed.MARK))} would be marked and {len(plan.of(Deed.UNMARK))} unmarked"

    def act(self, plan: Plan, guard: Callable[[], None]) -> Report:
        """Write beside the manifests, as the verifier."""
        from include.backups import retire
        from include.plans.retention import Deed

        store, marks, unmarks = verifier(), plan.of(Deed.MARK), plan.of(Deed.UNMARK)
        for seen in marks:
            guard()
            retire.mark(store, seen, plan.at)
        for seen in unmarks:
            guard()
            retire.unmark(store, seen)
        days, marked, unmarked = self.retention.grace_days, [each.key for each in marks], [each.key for each in unmarks]
        said = f"{len(marks)} marked to go in {days} d{listed(marked)}, {len(unmarks)} unmarked{listed(unmarked)}"
        found = self.found(self.item, self.failed, said, n=len(marks) + len(unmarks), marked=marked, unmarked=unmarked)
        return Report(source=self.source, checked=len(plan.steps), findings=(found,))


class DeleteMarkedOperator(ActingOperator):
    """Delete what was marked long enough ago and may still go, as many as one run may.

    Not to be tried again by itself: another try may delete as many once more. The next run takes up what this one left.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="retention deletions", failed="deleted", **kwargs)

    def would(self, plan: Plan) -> str:
        """Return which."""
        from include.plans.retention import Deed

        going = [seen.key for seen in plan.of(Deed.DELETE)]
        return f"{len(going)} would be deleted{listed(going)}"

    def act(self, plan: Plan, guard: Callable[[], None]) -> Report:
        """Delete, as the reaper."""
        from include.backups import retire
        from include.backups.moving import size

        retired = retire.retire(reaper(), plan, guard)
        left = [*retired.left.values()]
        good = plan.remaining_good_without(retired.gone)
        said = f"{len(retired.gone)} deleted, {size(retired.freed_bytes)} freed{listed(retired.gone)}; {good} good ones remain"
        told: dict[str, Any] = {
            "value": retired.freed_bytes,
            "unit": "bytes",
            "n": len(retired.gone),
            "threshold": self.retention.deletes_max,
        }
        found = self.found(
            self.item, self.failed, said, **told, gone=list(retired.gone), left=dict(retired.left), remaining_good=good
        )
        stayed = [self.found(self.item, "stayed", why, Severity.INFO) for why in left]
        return Report(source=self.source, checked=len(plan.steps), findings=(found, *stayed))


class SweepLeftoversOperator(SweepBackupsOperator):
    """Remove what a deletion that was cut off left behind, and what killed takes left; nothing in a dry run.

    :param retention: how far the clocks may be apart.
    """

    def __init__(self, *, retention: RetentionLimits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retention = retention
        self.skipped = ""

    def execute(self, context: Context) -> None:
        """Sweep, tell, keep; and show by the colour if nothing was to be done."""
        from airflow.sdk.exceptions import AirflowSkipException

        super().execute(context)
        if self.skipped:
            raise AirflowSkipException(self.skipped)

    def look(self, context: Context) -> Report:
        """Sweep, as the reaper, if the run acts and an age can be told."""
        self.skipped = self._wrong_clock() if runs.acts(context) else "dry run: nothing is swept"
        if not self.skipped:
            return super().look(context)
        found = self.found("B-05", self.failed, self.skipped, Severity.INFO)
        return Report(source=self.source, checked=1, findings=(found,))

    def _wrong_clock(self) -> str:
        from include.backups.retire import clocks

        ours, theirs = clocks(verifier())
        apart_s, limit_s = abs((ours - theirs).total_seconds()), self.retention.clocks_max_apart_s
        if apart_s <= limit_s:
            return ""
        return f"nothing is swept: this machine's clock and the store's are {apart_s:.0f} s apart (limit {limit_s} s)"


def good_since(context: Context) -> datetime | None:
    """Return since when a good backup is asked for: a scheduled run wants that of its own day (UTC), a run by hand a fresh one."""
    run = context["dag_run"]
    if run.run_type != "scheduled":
        return None
    slot: datetime = run.run_after
    return slot.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def verifier() -> Store:
    """Return the bucket as who reads and marks."""
    from sre.hooks import backups

    return backups.store(settings.load().connections.backup_verifier)


def reaper() -> Store:
    """Return the bucket as who deletes."""
    from sre.hooks import backups

    return backups.store(settings.load().connections.backup_reaper)


def listed(keys: Any) -> str:
    """Return ` (key, key)`, or nothing if there are none."""
    return f" ({', '.join(keys)})" if keys else ""
