"""The steps of `monthly_database_cleanup` and `restore_archive`: plan, (wait for people, ask,) clean up; bring a day back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import ConfigurationError, RunbookError, VerificationError
from include.findings import Finding, Report, Severity
from include.ops.leases import HeldBackError
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator
from sre.operators.gate import ApprovePlanOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.cleanup.operation import Result
    from include.cleanup.request import Cleanup, Seen

PAGE = "docs/runbooks/monthly_database_cleanup.md"
RESTORE_PAGE = "docs/runbooks/restore_archive.md"
REASON_LETTERS = 10


class CleanupOperator(BackupOperator):
    """A step of the clean-up. Its failure is no emergency, since then rows only stay; an archive that is not what was sent pages.

    :param limits: of the backups, whose keys and bucket the archive shares.
    :param page: what tells a person what to do.
    """

    def __init__(self, *, limits: BackupLimits, page: str = PAGE, **kwargs: Any) -> None:
        super().__init__(limits=limits, **kwargs)
        self.page = page

    def cleanup(self, context: Context) -> Cleanup:
        """Return the clean-up of this run."""
        from sre.hooks.cleanup import cleanup

        runs.refuse_backfill(context)
        ti = context["ti"]
        return cleanup(runs.op_id(ti.dag_id, ti.run_id))

    def seen(self, context: Context) -> tuple[Cleanup, Seen]:
        """Look, at the run's own moment."""
        from sre.hooks.operations import operations

        wanted = self.cleanup(context)
        return wanted, wanted.look(wanted.now(operations(), self.holder(context)))

    def holder(self, context: Context) -> str:
        """Who works, for people."""
        ti = context["ti"]
        return f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"

    def on_kill(self) -> None:
        """Stand still when somebody marks or clears the task: a later try goes on."""
        if self.at_work:
            raise HeldBackError(f"{self.task_id} was ended from outside and stands still; clear the task to go on")

    def _failure(self, error: RunbookError) -> Finding:
        severity = Severity.CRITICAL if isinstance(error, VerificationError) else Severity.UNKNOWN
        return replace(super()._failure(error), severity=severity, next_step=self.page)


class PlanCleanupOperator(CleanupOperator):
    """Count what is old enough to go, table by table, and say whether people are asked first; changes nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="clean-up plan", item="D-07", failed="planned", **kwargs)

    def look(self, context: Context) -> Report:
        """Look and decide."""
        wanted, seen = self.seen(context)
        for decision in seen.decisions:
            self.log.info("%s", decision)
        findings = tuple(self._said(wanted, seen))
        return Report(source=self.source, checked=len(seen.decisions), findings=findings)

    def _said(self, wanted: Cleanup, seen: Seen) -> Iterator[Finding]:
        from include.plans.cleanup import ITEMS

        moment = f"of {seen.now:%Y-%m-%d %H:%M:%S} UTC by the database's clock, for the whole run"
        asked = f"; people are asked first: {seen.over}" if seen.over else ""
        yield self.found("D-07", self.failed, f"{moment}{asked}", over=seen.over, **wanted.facts(seen))
        if why := wanted.unsafe(seen.server.clock):
            yield replace(self.found("D-07", "backup_first", why, Severity.WARNING), next_step=self.page)
        for each in seen.decisions:
            told = {"n": each.counted.rows, "value": round(each.counted.percent, 2), "unit": "% of the table"}
            severity = Severity.INFO if each.rests else Severity.OK
            yield self.found(ITEMS[each.subject], f"{each.subject}_planned", str(each), severity, **told)


class RequestCleanupApprovalOperator(CleanupOperator):
    """Store the plan that people approve, if they are to be asked at all; a scheduled run waits until they are at work.

    What is asked is planned anew then: an answer counts for half an hour, and half an hour at night is nobody's.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="clean-up question", item="D-07", failed="asked", **kwargs)

    def execute(self, context: Context) -> None:
        """Wait for the morning first, if there is something to ask."""
        from include.plans.hours import next_at_work

        chosen, now = settings.load(), datetime.now(UTC)
        morning = next_at_work(now, chosen.zone, chosen.gate)
        if context["dag_run"].run_type == "scheduled" and morning > now and self._must_ask(context):
            self._wait(morning)
        super().execute(context)

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Ask, now that people are there."""
        super().execute(context)

    def _wait(self, morning: datetime) -> None:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        self.log.info("people are asked when they are at work: %s", morning)
        self.defer(
            trigger=DateTimeTrigger(morning),
            method_name="execute_complete",
            timeout=morning - datetime.now(UTC) + timedelta(hours=1),
        )

    def _must_ask(self, context: Context) -> bool:
        try:
            return bool(self.seen(context)[1].over)
        except RunbookError:
            return False  # `look` says it in a moment, with its reason

    def look(self, context: Context) -> Report:
        """Store the plan."""
        from include.ops import gate
        from sre.hooks.operations import operations

        wanted, seen = self.seen(context)
        if not seen.over:
            return self._told("nobody is asked: it is no larger than usual", Severity.INFO)
        plan = wanted.plan(seen)
        requester = context["dag_run"].triggering_user_name
        people = 2 if requester else 1  # who asked for it counts as one of them, and never as the one who approves
        number = gate.store(operations(), plan, requester=requester, people=people)
        return self._told(f"plan {number} of operation {plan.op_id}: {seen.over}", Severity.INFO, hash=plan.hash)

    def _told(self, said: str, severity: Severity, **evidence: Any) -> Report:
        return Report(
            source=self.source, checked=1, findings=(self.found("D-07", self.failed, said, severity, **evidence),)
        )


class ApproveCleanupOperator(ApprovePlanOperator):
    """Ask for an approval if the run stored a plan; what acts counts anew, and believes nothing that stands here."""

    def execute(self, context: Context) -> Any:
        """Ask, or say that nothing is to be asked."""
        if runs.acts(context) and not self._told(context, lambda: self._stored(context)):
            return self._left(context, "no approval is needed: it is no larger than usual", Severity.INFO)
        return super().execute(context)

    def _stored(self, context: Context) -> bool:
        from sre.hooks.operations import operations

        ti = context["ti"]
        with operations().session() as session:
            found = session.execute("select from ops.plan where op_id = %s", [runs.op_id(ti.dag_id, ti.run_id)])
            return bool(found.rowcount)


class CleanUpOperator(CleanupOperator):
    """Archive, read back, delete; or go on where a try before was killed. It decides anew whether people must have approved."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="clean-up", item="D-08", failed="cleaned", **kwargs)

    def look(self, context: Context) -> Report:
        """Act, unless the run was only to plan."""
        from include.cleanup import operation
        from include.plans.cleanup import ITEMS
        from sre.hooks.operations import operations

        if not runs.acts(context):
            decisions = self.seen(context)[1].decisions
            said = [self.found(ITEMS[d.subject], "dry_run", f"only planned: {d}", Severity.INFO) for d in decisions]
            return Report(source=self.source, checked=len(said), findings=tuple(said))
        done = operation.act(
            self.cleanup(context), operations(), holder=self.holder(context), wait_s=self.limits.lease_wait_s
        )
        return Report(source=self.source, checked=max(len(done), 1), findings=tuple(self._said(done)))

    def _said(self, done: Result) -> Iterator[Finding]:
        from include.plans.cleanup import ITEMS, Subject

        for subject in Subject:
            if each := done.get(subject):
                said = (
                    f"{subject}: {each.deleted} of {each.planned} rows went, {each.archived} lie in {each.objects} objects of the"
                    f" archive, read back and compared; {each.left} stayed, {each.vanished} were gone before"
                )
                severity = Severity.WARNING if each.left else Severity.OK
                found = self.found(ITEMS[subject], self.failed, said, severity, n=each.planned, **asdict(each))
                yield replace(found, subject=f"table/{subject}", next_step=self.page if each.left else "")
            else:
                yield self.found(ITEMS[subject], self.failed, f"{subject}: nothing went", Severity.INFO)


class RestoreArchiveOperator(CleanupOperator):
    """Bring a day of the archive back into its table, row by row, and compare; a dry run only says what lies there.

    :param table: `day`: what is brought back, as typed into the form.
    :param reason: why, kept as evidence.
    """

    template_fields = ("table", "day", "reason")

    def __init__(self, *, table: str, day: str, reason: str, **kwargs: Any) -> None:
        super().__init__(source="restored archive", item="D-08", failed="restored", page=RESTORE_PAGE, **kwargs)
        self.table = table
        self.day = day
        self.reason = reason

    def look(self, context: Context) -> Report:
        """Fetch, and put back what is missing."""
        from include.cleanup import archive, restore
        from sre.hooks.operations import operations

        subject, day = archive.subject_of(self.table), archive.day_of(self.day)
        self._refuse_without_reason()
        wanted = self.cleanup(context)
        if not runs.acts(context):
            objects = restore.found(wanted, subject, day)
            rows, n = sum(len(lines) for _, lines in restore.newest(wanted, objects)), len(objects)
            said = f"{rows} rows of {subject} of {day} lie in {n} objects; nothing was changed, dry_run = no brings them back"
            return self._told(said, Severity.INFO, n=rows, objects=n)
        done = restore.act(
            wanted, operations(), subject, day, holder=self.holder(context), wait_s=self.limits.lease_wait_s
        )
        said = (
            f"{done.brought} of {done.rows} rows of {subject} of {day} came back, {done.there} were there before,"
            f" {done.other} are there, differ and stayed"
        )
        return self._told(said, Severity.WARNING if done.other else Severity.OK, n=done.rows, **asdict(done))

    def _refuse_without_reason(self) -> None:
        if len(self.reason.strip()) < REASON_LETTERS:
            raise ConfigurationError(
                f"reason: at least {REASON_LETTERS} characters say why the day comes back, not {self.reason.strip()[:40]!r};"
                " nothing was changed, trigger it again"
            )

    def _told(self, said: str, severity: Severity, **evidence: Any) -> Report:
        found = self.found("D-08", self.failed, said, severity, reason=self.reason, **evidence)
        return Report(source=self.source, checked=1, findings=(found,))
