"""The steps of `monthly_disaster_recovery_test`: restore with what a disaster leaves, judge the targets, write the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import PermanentError, RunbookError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.ops.leases import Mode
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator, evidence_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.ops.evidence import Earlier
    from include.reporting.disaster import Exercise

PAGE = "docs/runbooks/monthly_disaster_recovery_test.md"


class DisasterOperator(BackupOperator):
    """A step that pages when a person would have had to do something, and is only red when the same step may go well in a minute."""

    def _failure(self, error: RunbookError) -> Finding:
        why = blind(error)
        unseen = Finding.unseen(
            item=self.item,
            check=self.failed,
            subject=self.subject,
            blind=why,
            next_step=f"{PAGE}, then trigger it again",
        )
        by_hand = isinstance(error, PermanentError)
        return replace(unseen, severity=Severity.CRITICAL, summary=why.reason) if by_hand else unseen

    def said(self, *findings: Finding, table: tuple[str, ...] = ()) -> Report:
        """Return the report of the step."""
        return Report(source=self.source, checked=1, findings=findings, table=table)


class RestoreNewestOperator(DisasterOperator):
    """Restore the newest good backup into an empty server with nothing but the key and credentials of disaster recovery (M-03).

    The clock of the RTO starts with the task, and stands while another operation holds the database: in a disaster none does.
    """

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="newest backup", item="M-03", failed="restored_newest", **kwargs)

    def look(self, context: Context) -> Report:
        """Look what is missing; if nothing is, restore and compare."""
        decided = time.monotonic()
        from include.checks.disaster import judge_newest, lacking
        from include.disaster.drill import restore_newest
        from sre.hooks import disaster

        runs.refuse_backfill(context)
        prover, missing = disaster.kit(self.limits)
        if not prover:
            return self.said(lacking(missing, self.limits))
        waiting = time.monotonic()
        with self.leased(context, Mode.VERIFY):
            outcome = restore_newest(prover, decided=decided + time.monotonic() - waiting)
        return self.said(*judge_newest(outcome, self.limits))


class RestoreOlderOperator(DisasterOperator):
    """Restore one older good backup, by the lot of this run, in the same way (M-03).

    :param newest: report of `RestoreNewestOperator`; what was missing there is missing here.
    """

    template_fields = ("newest",)

    def __init__(self, *, limits: BackupLimits, newest: Any, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="older backup", item="M-03", failed="restored_older", **kwargs)
        self.newest = newest

    def look(self, context: Context) -> Report:
        """Draw, restore, compare; a damaged one is named, and the next one is drawn."""
        from include.backups import again, standing
        from include.checks.disaster import judge_older, not_tried
        from sre.hooks import disaster

        runs.refuse_backfill(context)
        prover, missing = disaster.kit(self.limits)
        if not prover or missing or evidence_of(self.newest, "pieces").get("missing"):
            return self.said(not_tried(self.limits))
        now = datetime.now(UTC)
        with self.leased(context, Mode.VERIFY):
            found = standing.look(prover.store, self.limits.database, now)
            began = context["dag_run"].start_date or now
            outcome = again.restore_one(prover, found, run_id=context["ti"].run_id, began=began)
        return self.said(*judge_older(outcome, self.limits))


class RestoreConfigurationOperator(DisasterOperator):
    """Restore the newest good configuration bundle into an empty namespace, compare, and remove it (M-03).

    Nothing of it works there, and only the key and credentials of disaster recovery are used.
    """

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="configuration", item="M-03", failed="restored_configuration", **kwargs)

    def look(self, context: Context) -> Report:
        """Open, make, compare, remove."""
        from include.checks.disaster import judge_configuration
        from include.disaster.configuration import restore_into_empty
        from sre.hooks import disaster

        runs.refuse_backfill(context)
        decided = time.monotonic()
        chosen = disaster.shelf().open("")
        restored = restore_into_empty(disaster.empty_namespace(), chosen.bundle)
        return self.said(judge_configuration(restored, chosen.key, time.monotonic() - decided, self.limits))


class JudgeRecoveryOperator(DisasterOperator):
    """Hold what the restore took and lost against the targets, the tests before, and the month (M-04, M-05).

    :param newest: report of `RestoreNewestOperator`.
    """

    template_fields = ("newest",)

    def __init__(self, *, limits: BackupLimits, newest: Any, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="recovery targets", item="M-04", failed="rto", **kwargs)
        self.newest = newest

    def look(self, context: Context) -> Report:
        """Read what earlier tests and this month's proofs recorded, and judge."""
        from include.checks import recovery
        from sre.hooks.evidence import EvidenceHook

        test, now = settings.load().disaster, datetime.now(UTC)
        restored = evidence_of(self.newest, "restored_newest")
        hook = EvidenceHook(self.evidence_conn_id)
        earlier, month = now - timedelta(days=test.trend_days), now - timedelta(days=test.month_days)
        proofs = hook.measured("B-16+", "rpo", self.subject, since=month, before=now)
        before = [
            hook.measured(*what, self.subject, since=earlier, before=now) for what in (("M-04", "rto"), ("M-05", "rpo"))
        ]
        others = [[each for each in rows if each.run_id != context["ti"].run_id] for rows in before]
        tests = [*recovery.points(*others), *recovery.this_one(restored, now)]
        findings = (
            *recovery.judge_recovery_time(restored, tests, self.limits, test),
            *recovery.judge_data_loss(restored, proofs, self.limits, test, now),
        )
        return self.said(*findings, table=recovery.table(tests))


class WriteReportOperator(DisasterOperator):
    """Write the report that a person signs, as Markdown and as PDF, beside the backups and out of their way (M-12+).

    :param reports: by task id, the output of each step.
    """

    template_fields = ("reports",)

    def __init__(self, *, limits: BackupLimits, reports: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(limits=limits, source="report", item="M-12+", failed="report_kept", **kwargs)
        self.reports = reports

    def look(self, context: Context) -> Report:
        """Compose, compare with the test before, store under a key that nothing had before."""
        from include.disaster.report import keep, key
        from include.reporting.disaster import compose, differences
        from sre.hooks import disaster

        ti, now = context["ti"], datetime.now(UTC)
        test = self._test(context, now)
        place = key(now, runs.op_id(ti.dag_id, ti.run_id), ti.try_number)
        kept = keep(disaster.reports(), place, compose(test))
        said = f"{test.verdict}: {kept.said}"
        return self.said(
            self.found("M-12+", self.failed, said, n=len(kept.objects), **kept.evidence),
            self.found("M-12+", "compared", differences(test)),
        )

    def _test(self, context: Context, now: datetime) -> Exercise:
        from include.reporting.changes import compare
        from include.reporting.disaster import Exercise
        from sre.operators.reporting import read

        chosen, ti, run = settings.load(), context["ti"], context["dag_run"]
        reports = {task_id: read(task_id, value, self.item) for task_id, value in self.reports.items()}
        earlier = self._earlier(context, now)
        return Exercise(
            reports=reports,
            changes=compare(reports, earlier),
            before=earlier.previous if earlier else (),
            run_id=ti.run_id,
            url=runs.url(ti.dag_id, ti.run_id),
            at=now,
            by="its schedule" if run.run_type == "scheduled" else run.triggering_user_name or "hand",
            environment=chosen.environment,
            database=self.limits.database,
            code_version=chosen.code_version,
            off_site=chosen.disaster.bucket,
        )

    def _earlier(self, context: Context, now: datetime) -> Earlier | None:
        """What the test before recorded; None if that cannot be read, which the report then says."""
        from sre.hooks.evidence import EvidenceHook

        ti = context["ti"]
        try:
            return EvidenceHook(self.evidence_conn_id).earlier(ti.dag_id, now, ti.run_id)
        except RunbookError:
            self.log.warning("what earlier tests recorded could not be read", exc_info=True)
            return None
