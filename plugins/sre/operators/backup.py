"""The steps of `daily_database_backup`: list, take, prove, sweep. Each acts as a user of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from include import settings
from include.errors import RefusedError, RunbookError, VerificationError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.ops.leases import Mode
from include.settings import BackupLimits
from sre import runs
from sre.operators.base import CheckOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from include.backups.take import Request
    from include.ops.leases import Lease


def evidence_of(report: Mapping[str, Any] | None, check: str) -> Mapping[str, Any]:
    """Return what the report of an earlier step found under a check; nothing if it left none, or did not get that far."""
    findings = Report.from_json(report).findings if report else ()
    return next((finding.evidence for finding in findings if finding.check == check), {})


class BackupOperator(CheckOperator):
    """A step that leaves findings like a check, and whose failure is one: critical, so that it pages.

    :param limits: of the backups.
    :param failed: the check that a failure fails; the same one is OK when the step went well, so that its page ends.
    """

    def __init__(self, *, limits: BackupLimits, item: str, failed: str, **kwargs: Any) -> None:
        super().__init__(item=item, **kwargs)
        self.limits = limits
        self.failed = failed
        self.at_work = False

    @property
    def subject(self) -> str:
        """What all findings are about."""
        return f"database/{self.limits.database}"

    def report(self, context: Context) -> Report:
        """Do it; there is no deadline here but the task's own, since a backup takes as long as it takes."""
        self.at_work = True
        try:
            return self.look(context)
        except RunbookError as error:
            return Report(source=self.source, checked=1, findings=(self._failure(error),))
        finally:
            self.at_work = False

    def leased(self, context: Context, mode: Mode) -> AbstractContextManager[Lease]:
        """Hold the database against what excludes this step; RefusedError if that does not end in time."""
        from sre.hooks.operations import leased

        return leased(context["ti"], self.subject, mode, wait_s=self.limits.lease_wait_s)

    def on_kill(self) -> None:
        """End the step when somebody marks or clears the task: Airflow only says so, and would let us go on until it kills us."""
        if self.at_work:
            raise RefusedError(
                f"{self.task_id} was ended from outside; what it had begun is removed, trigger the runbook again"
            )

    def _failure(self, error: RunbookError) -> Finding:
        why = blind(error)
        return Finding(
            item=self.item,
            check=self.failed,
            subject=self.subject,
            severity=Severity.CRITICAL,
            summary=why.reason,
            next_step="docs/runbooks/daily_database_backup.md, then trigger the runbook again",
            blind=why,
        )

    def found(self, item: str, check: str, summary: str, severity: Severity = Severity.OK, **evidence: Any) -> Finding:
        """Return a finding about the database."""
        return Finding(
            item=item, check=check, subject=self.subject, severity=severity, summary=summary, evidence=evidence
        )

    @abstractmethod
    def look(self, context: Context) -> Report:
        """Do the step; a RunbookError fails it."""


class ListBackupsOperator(BackupOperator):
    """Read the bucket: how old is the newest good backup, which nights have none, was an old manifest changed? (B-01)

    A bucket that cannot be listed does not keep the next one from being taken.
    """

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="backups before", item="B-01", failed="listed", **kwargs)

    def look(self, context: Context) -> Report:
        """List, as the verifier."""
        from include.backups import catalogue
        from include.checks.backups import judge_catalogue
        from sre.hooks import backups

        found = catalogue.look(backups.store(settings.load().connections.backup_verifier), self.limits.database)
        findings = tuple(judge_catalogue(found, self.limits, datetime.now(UTC)))
        return Report(source=self.source, checked=len(found.backups) or 1, findings=findings)


class TakeBackupOperator(BackupOperator):
    """Take a backup: a fresh key each try, so that trying again repeats nothing (B-02, B-04, B-05).

    :param before: report of `ListBackupsOperator`; without it the backup stands alone.
    """

    template_fields = ("before",)

    def __init__(self, *, limits: BackupLimits, before: Any, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="backup", item="B-04", failed="taken", **kwargs)
        self.before = before

    def look(self, context: Context) -> Report:
        """Take it, as the role that reads and the user who writes."""
        from include.backups.take import Taker
        from sre.hooks import backups

        runs.refuse_backfill(context)
        writer = backups.store(settings.load().connections.backup_writer)
        taker = Taker(login=backups.source(), store=writer, limits=self.limits)
        with self.leased(context, Mode.BACKUP):
            taken = taker.take(self._request(context["ti"]))
        return Report(source=self.source, checked=1, findings=tuple(self._said(taken)))

    def _request(self, ti: RuntimeTaskInstanceProtocol) -> Request:
        from include.backups.manifest import Previous
        from include.backups.take import Request

        known = evidence_of(self.before, "newest_good")
        last = evidence_of(self.before, "chain").get("last")
        return Request(
            op_id=runs.op_id(ti.dag_id, ti.run_id),
            attempt=ti.try_number,
            code_version=settings.load().code_version,
            previous=Previous(**last) if last else None,
            known_identifier=known.get("system_identifier", ""),
            usual_bytes=known.get("dump_bytes", 0),
        )

    def _said(self, taken: Any) -> Iterator[Finding]:
        from include.backups.moving import size

        manifest = taken.manifest
        facts = manifest.facts
        yield self.found("B-02", "stored_under", f"a key of its own: {facts.key}")
        yield self.found(
            "B-04",
            self.failed,
            f"{facts.tables} tables, {facts.rows} rows of one snapshot at {facts.taken_at:%H:%M:%S} UTC, sealed to"
            f" {', '.join(sorted(facts.recipients))} in {facts.took_s:.1f} s",
            value=round(facts.took_s, 2),
            unit="s",
            n=facts.rows,
            **facts.model_dump(mode="json"),
        )
        yield self.found(
            "B-05",
            "uploaded",
            f"{size(manifest.stored_bytes)}, the dump in parts of {size(facts.part_bytes)}, each checked by the store;"
            f" manifest {taken.sha256[:12]}",
            value=manifest.stored_bytes,
            unit="bytes",
            key=facts.key,
            manifest=taken.sha256,
            objects={name: stored.model_dump() for name, stored in manifest.objects.items()},
        )


class ProveBackupOperator(BackupOperator):
    """Fetch, open, restore and compare; only then is it GOOD, and locked (B-03, B-05, B-16+).

    :param taken: report of `TakeBackupOperator`.
    """

    template_fields = ("taken",)

    def __init__(self, *, limits: BackupLimits, taken: Any, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="proof", item="B-16+", failed="proved", **kwargs)
        self.taken = taken

    def look(self, context: Context) -> Report:
        """Prove it, as the verifier, and exactly it: another manifest at its key is not what was taken."""
        from include.backups import catalogue
        from sre.hooks import backups

        prover, taken = backups.prover(self.limits), evidence_of(self.taken, "uploaded")
        if not taken:
            raise RefusedError("the report of the take names no backup: trigger the runbook again")
        usual = catalogue.look(prover.store, self.limits.database).good_before(taken["key"])
        with self.leased(context, Mode.VERIFY):
            proof = prover.prove(taken["key"], sha256=taken["manifest"], usual=usual)
        return Report(source=self.source, checked=1, findings=tuple(self._said(proof)))

    def _said(self, proof: Any) -> Iterator[Finding]:
        from include.backups.prove import told
        from include.checks.backups import judge_objectives

        key = proof.backup.key
        yield self.found(
            "B-05",
            "read_back",
            f"every stored byte was fetched and compared, locked until {proof.locked_until:%Y-%m-%d}",
        )
        yield self.found(
            "B-03",
            "plain_sql",
            f"plain SQL comes from this archive: python -m include.backups sql {key}",
            value=proof.schema_bytes,
            unit="bytes of schema",
        )
        yield self.found(
            "B-16+",
            self.failed,
            f"GOOD: {told(proof)}",
            value=round(proof.rto_s, 2),
            unit="s",
            key=key,
            indexes_checked=proof.indexes,
        )
        if proof.in_flux:
            said = f"defined anew while the backup was taken, and not compared: {', '.join(proof.in_flux[:3])}"
            yield self.found("B-16+", "in_flux", said, Severity.INFO, n=len(proof.in_flux), things=list(proof.in_flux))
        yield from judge_objectives(proof, self.subject, self.limits)


class SweepBackupsOperator(BackupOperator):
    """Remove what a killed take or proof left behind: uploads, objects without a manifest, scratch databases, spools."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="sweep", item="B-05", failed="swept", **kwargs)

    def look(self, context: Context) -> Report:
        """Sweep, as the reaper."""
        from dataclasses import asdict

        from include.backups.sweep import sweep
        from sre.hooks import backups

        runs.refuse_backfill(context)
        reaper = backups.store(settings.load().connections.backup_reaper)
        swept = sweep(reaper, backups.scratch(), self.limits, datetime.now(UTC), settings.load().namespace)
        return Report(
            source=self.source, checked=1, findings=(self.found("B-05", self.failed, str(swept), **asdict(swept)),)
        )


class NextAttemptOperator(TriggerDagRunOperator):
    """Start the runbook once more if the backup was compared and differs; a run of its own, so that each backup has its report.

    :param proof: report of `ProveBackupOperator`.
    :param attempt: which one this run is, as rendered by `params.attempt`.
    :param attempts: how many there may be in a row.
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "proof", "attempt")

    def __init__(self, *, proof: Any, attempt: Any, attempts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.proof = proof
        self.attempt = attempt
        self.attempts = attempts

    def execute(self, context: Context) -> None:
        """Trigger, or be skipped."""
        from airflow.sdk.exceptions import AirflowSkipException

        this = int(self.attempt)
        if not is_bad(self.proof):
            raise AirflowSkipException("the backup is not bad: there is nothing to make up for")
        if this >= self.attempts:
            raise AirflowSkipException(f"attempt {this} of {self.attempts} was bad too: somebody must look")
        self.conf = {"attempt": this + 1}
        self.trigger_run_id = f"{context['ti'].run_id}__attempt_{this + 1}"
        super().execute(context)


def is_bad(proof: Mapping[str, Any] | None) -> bool:
    """Return whether a backup was compared and differs; one that could not be compared says nothing about itself."""
    findings = Report.from_json(proof).findings if proof else ()
    return any(finding.blind and finding.blind.error == VerificationError.__name__ for finding in findings)
