"""The steps of `daily_configuration_backup`: list, take, prove, compare. Each acts as an account and a user of its own."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RunbookError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.ops.leases import Mode
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator, evidence_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.backups.catalogue import Backup
    from include.backups.manifest import ConfigurationManifest
    from include.checks.configuration import Judge
    from include.configuration.take import Request
    from include.ops.leases import Lease

PAGE = "docs/runbooks/daily_configuration_backup.md"


class ConfigurationOperator(BackupOperator):
    """A step about the configuration of the namespace."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, **kwargs)
        self.namespace = settings.load().namespace

    @property
    def subject(self) -> str:
        """What all findings are about, and what is leased."""
        return f"configuration/{self.namespace}"

    def judge(self) -> Judge:
        """Return who judges, with the clock of now."""
        from include.checks.configuration import Judge

        return Judge(namespace=self.namespace, limits=settings.load().configuration, now=datetime.now(UTC))

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), next_step=f"{PAGE}, then trigger the runbook again")


class ListConfigurationBackupsOperator(ConfigurationOperator):
    """Read the bucket: how old is the newest good backup, which nights have none, was an old manifest changed? (B-07)"""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="backups before", item="B-07", failed="listed", **kwargs)

    def look(self, context: Context) -> Report:
        """List, as the verifier."""
        from include.checks.backups import Of, judge_catalogue
        from include.configuration import reading
        from sre.hooks import configuration

        found = reading.backups(configuration.verifier(), self.namespace)
        findings = tuple(judge_catalogue(found, self.limits, datetime.now(UTC), Of("B-07", self.subject)))
        return Report(source=self.source, checked=len(found.backups) or 1, findings=findings)


class TakeConfigurationOperator(ConfigurationOperator):
    """Take a backup of the configuration: a fresh key each try, so that trying again repeats nothing (B-08, B-09, B-11 to B-14).

    :param before: report of `ListConfigurationBackupsOperator`; without it the backup stands alone.
    """

    template_fields = ("before",)

    def __init__(self, *, limits: BackupLimits, before: Any, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="configuration", item="B-09", failed="taken", **kwargs)
        self.before = before

    def look(self, context: Context) -> Report:
        """Take it, as the account that reads and the user who writes."""
        from sre.hooks import configuration

        runs.refuse_backfill(context)
        taker = configuration.taker()
        with self.leased(context, Mode.CONFIG_BACKUP):
            taken = taker.take(self._request(context))
        return Report(source=self.source, checked=len(taken.bundle.objects), findings=tuple(self.judge().taken(taken)))

    def _request(self, context: Context) -> Request:
        from include.backups.manifest import Previous
        from include.configuration.take import Request

        ti, last = context["ti"], evidence_of(self.before, "chain").get("last")
        return Request(
            op_id=runs.op_id(ti.dag_id, ti.run_id),
            attempt=ti.try_number,
            code_version=settings.load().code_version,
            previous=Previous(**last) if last else None,
        )


class AfterTakenOperator(ConfigurationOperator):
    """A step about what was taken.

    :param taken: report of `TakeConfigurationOperator`.
    """

    template_fields = ("taken",)

    def __init__(self, *, taken: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taken = taken

    def execute(self, context: Context) -> None:
        """Be skipped if nothing was taken, which the take has told."""
        from airflow.sdk.exceptions import AirflowSkipException

        if not evidence_of(self.taken, "uploaded"):
            raise AirflowSkipException("nothing was taken")
        super().execute(context)

    def look(self, context: Context) -> Report:
        """Do the step."""
        taken = evidence_of(self.taken, "uploaded")
        return self.about(context, taken["key"], taken["manifest"])

    @abstractmethod
    def about(self, context: Context, key: str, sha256: str) -> Report:
        """Do the step about the backup at a key, whose manifest has that hash."""

    def usual(self, key: str) -> Backup[ConfigurationManifest] | None:
        """Return the newest good backup before one."""
        from include.configuration import reading
        from sre.hooks import configuration

        return reading.backups(configuration.verifier(), self.namespace).good_before(key)


class ProveConfigurationOperator(AfterTakenOperator):
    """Fetch, open, and let the API server take all of it as a dry run; only then is it GOOD, and locked (B-14)."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="proof", item="B-14", failed="proved", **kwargs)

    def about(self, context: Context, key: str, sha256: str) -> Report:
        """Prove it, as the verifier and the account of the scratch namespace, and exactly it."""
        from sre.hooks import configuration

        with self._held(context):
            proof = configuration.prover().prove(key, sha256=sha256, usual=self.usual(key))
        return Report(source=self.source, checked=proof.applied or 1, findings=tuple(self.judge().proved(proof)))

    def _held(self, context: Context) -> AbstractContextManager[Lease]:
        return self.leased(context, Mode.VERIFY)


class CompareConfigurationOperator(AfterTakenOperator):
    """What drifted since the last good backup, by whom and when (B-10); reads the clear part alone, without a private key."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="drift", item="B-10", failed="drift", **kwargs)

    def about(self, context: Context, key: str, sha256: str) -> Report:
        """Compare, and ask the live objects who wrote what differs."""
        from include.configuration import drift, reading, writers
        from sre.hooks import configuration

        store, before = configuration.verifier(), self.usual(key)
        if before is None:
            said = "nothing to compare with: no good backup is older than this one"
            return Report(source=self.source, checked=1, findings=(self.found("B-10", "drift", said, Severity.INFO),))
        this = reading.find(store, key, sha256)
        was, now = reading.read_sealed(store, before), reading.read_sealed(store, this)
        found = drift.differences(was, now)
        judge, by = self.judge(), writers.of(configuration.reader(), now, found)
        assert before.manifest  # it is good
        assert this.manifest  # it was read by it
        findings = (*judge.lost(before.manifest.facts, this.manifest.facts), *judge.drift(found, by))
        return Report(source=self.source, checked=len(now.objects), findings=findings)

    def _failure(self, error: RunbookError) -> Finding:
        return Finding.unseen(
            item=self.item, check=self.failed, subject=self.subject, blind=blind(error), next_step=PAGE
        )
