"""The steps of `weekly_backup_verification`: the week as a matrix, and one older backup restored. Both act as the verifier."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RunbookError
from include.findings import Finding, Report
from include.looking import blind
from include.ops.leases import Mode
from include.settings import BackupLimits
from sre import runs
from sre.operators.backup import BackupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from include.checks.week import Cell, Column


class VerificationOperator(BackupOperator):
    """A step that is red and does not page when it could not look: what it looks at was good when it was taken."""

    def _failure(self, error: RunbookError) -> Finding:
        return Finding.unseen(
            item=self.item,
            check=self.failed,
            subject=self.subject,
            blind=blind(error),
            next_step="docs/runbooks/weekly_backup_verification.md, then trigger the runbook again",
        )

    def now(self) -> datetime:
        """The moment of the look; one for all of it."""
        return datetime.now(UTC)


class JudgeWeekOperator(VerificationOperator):
    """Is there a good backup of each of the last seven days, whole and locked? Read from the bucket, never from logs (W-11)."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="week", item="W-11", failed="gaps", **kwargs)

    def look(self, context: Context) -> Report:
        """List manifests, objects and locks, kind by kind; one that cannot be read leaves a week of UNKNOWN."""
        from include.checks import week

        now = self.now()
        columns = [self._column(column, now) for column in self._columns()]
        cells = [column for column, _ in columns]
        findings = [finding for _, told in columns for finding in told]
        rows = [row for column in cells for row in week.judge_cells(column)]
        return Report(
            source=self.source,
            checked=sum(map(len, cells)),
            findings=(*findings, *rows),
            table=week.table(*cells),
        )

    def _columns(self) -> list[Column]:
        from include.checks.week import CONFIGURATION, DATABASE, Column

        return [Column(DATABASE, self.limits.database), Column(CONFIGURATION, settings.load().namespace)]

    def _column(self, column: Column, now: datetime) -> tuple[Sequence[Cell], Sequence[Finding]]:
        """Return the week of one kind, and what is to be told of it as a whole."""
        from include.backups import standing
        from include.checks import week
        from sre.hooks import backups

        try:
            store = backups.store(settings.load().connections.backup_verifier)
            found = standing.look(store, column.name, now - timedelta(days=week.DAYS + 1), column.kind)
        except RunbookError as error:
            cells = week.unseen_cells(column.kind, blind(error).reason, self.limits, now)
            return cells, [replace(self._failure(error), subject=column.subject)]
        if column.kind == week.CONFIGURATION and not found and not self.limits.configuration_expected:
            cells = week.unseen_cells(column.kind, week.NO_CONFIGURATION, self.limits, now, excused=True)
            return cells, [week.nothing_expected()]
        cells = week.cells_of(column.kind, found, self.limits, now)
        return cells, list(week.judge_column(column, found, cells, self.limits, now))


class RestoreRandomBackupOperator(VerificationOperator):
    """Restore one older good backup by the lot of this run and compare it; one that differs is BAD, and the next is tried (W-12)."""

    def __init__(self, *, limits: BackupLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="restore", item="W-12", failed="restored", **kwargs)

    def look(self, context: Context) -> Report:
        """Draw, restore into a scratch database of its own, compare."""
        from include.backups import again, standing
        from include.checks.week import judge_restore
        from sre.hooks import backups

        runs.refuse_backfill(context)
        prover = backups.prover(self.limits)
        found = standing.look(prover.store, self.limits.database, self.now())
        began = context["dag_run"].start_date or self.now()
        with self.leased(context, Mode.VERIFY):
            outcome = again.restore_one(prover, found, run_id=context["ti"].run_id, began=began)
        findings = tuple(judge_restore(outcome, self.limits, self.now()))
        return Report(source=self.source, checked=outcome.candidates or 1, findings=findings)
