"""The steps of `hourly_operations_reaper`: what dead operations left, and what recoveries keep for a week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RunbookError
from include.findings import Finding, Report, Severity
from sre import runs
from sre.operators.backup import BackupOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.ops.standing import Standing
    from include.recovery.reap import Kept

PAGE = "docs/runbooks/hourly_operations_reaper.md"
TAKEN_BACK_BY = {
    "database recovery": "include.recovery rollback",
    "configuration recovery": "include.configuration rollback",
    "cache removal": "include.cache undo",
}
"""What takes an operation back by hand, by the kind of its plan; any other only goes on."""


class ReaperOperator(BackupOperator):
    """A step of the reaper; that it could not look is no emergency, what it finds may be one."""

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.UNKNOWN, next_step=PAGE)


class ReapOperationsOperator(ReaperOperator):
    """Remove leases that ran out, name operations that stand still, and say when everything is ordered to stop."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="operations", item="X-05", failed="reaped", **kwargs)

    def look(self, context: Context) -> Report:
        """Look into the ops database alone."""
        from include.ops import standing
        from sre.hooks.operations import operations

        runs.refuse_backfill(context)
        ops = operations()
        gone, still, stopped = standing.reap_leases(ops), standing.standing(ops), ops.ask("stopped")
        return Report(source=self.source, checked=1, findings=tuple(self._said(gone, still, stopped)))

    def _said(self, gone: Any, still: Any, stopped: str | None) -> Iterator[Finding]:
        said = "; ".join(f"{each.mode} of {each.resource} by {each.holder}" for each in gone)
        yield self.found(
            "X-05",
            self.failed,
            f"{len(gone)} leases had run out and were removed: {said}" if gone else "no lease had run out",
            Severity.INFO if gone else Severity.OK,
            leases=[{**asdict(each), "expired_at": each.expired_at.isoformat()} for each in gone],
        )
        for each in still:
            yield Finding(
                item="X-05",
                check="stands_still",
                subject=f"operation/{each.op_id}",
                severity=Severity.CRITICAL,
                summary=str(each),
                next_step=f"{_way_out(each)}; {PAGE}",
            )
        if stopped:
            summary = f"nothing that changes production runs, by order: {stopped}"
            yield replace(self.found("X-05", "stop_order", summary, Severity.WARNING), next_step="make go lifts it")


class ReapWindowOperator(ReaperOperator):
    """Shut the window of the configuration recovery if none is at work and it was left open."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="window", item="X-07", failed="window", **kwargs)

    def look(self, context: Context) -> Report:
        """Look, and shut."""
        from include.configuration.window import shut_forgotten
        from sre.hooks.configuration_recovery import window
        from sre.hooks.operations import operations

        runs.refuse_backfill(context)
        held = shut_forgotten(window(), operations())
        said = f"ops-recover-config could have written for operation {held}, and no recovery runs: its window was shut"
        severity = Severity.WARNING if held else Severity.OK
        finding = self.found("X-07", self.failed, said if held else "no window was left open", severity)
        return Report(source=self.source, checked=1, findings=(finding,))


class ReapRecoveriesOperator(ReaperOperator):
    """Shut a window that was left open, and drop what a recovery kept once it is a week old and a good backup was taken since."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="recoveries", item="X-02", failed="kept", **kwargs)

    def look(self, context: Context) -> Report:
        """Look, and drop unless the run is only to show."""
        from include.backups import catalogue
        from include.recovery import reap
        from sre.hooks.operations import operations
        from sre.hooks.recovery import access

        runs.refuse_backfill(context)
        doors, limits = access(), settings.load().restore
        ops = operations()
        shut = reap.shut_forgotten_window(doors, ops)
        found = catalogue.look(doors.restorer.store, self.limits.database)
        old = reap.kept(doors.restorer.reader, self.limits.database, limits, found)
        dropped = reap.drop(doors, ops, self.limits.database, old, limits) if runs.acts(context) else []
        return Report(source=self.source, checked=1, findings=tuple(self._said(shut, old, dropped)))

    def _said(self, shut: Any, old: Sequence[Kept], dropped: list[str]) -> Iterator[Finding]:
        if shut:
            said = (
                f"ops_restore could have logged in until {shut:%H:%M} UTC though no recovery runs: its window was shut"
            )
            yield self.found("X-02", "window", said, Severity.WARNING)
        told = "; ".join(map(str, old)) or "no recovery keeps a database"
        yield self.found("X-02", self.failed, told, n=len(old), dropped=dropped)


def _way_out(each: Standing) -> str:
    on, back = "clear its task to go on", TAKEN_BACK_BY.get(each.kind)
    return f"{on}, or python -m {back} {each.op_id}" if back else on
