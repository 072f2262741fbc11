"""The steps of `weekly_database_maintenance`: wait for the backup, measure and plan, do it. The acting one measures anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from include import settings
from include.errors import RunbookError
from include.findings import Finding, Report, Severity
from include.ops.leases import HeldBackError, Mode
from include.settings import BackupLimits, MaintenanceLimits
from sre import runs
from sre.operators.backup import BackupOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.backups.catalogue import Backup
    from include.maintenance.target import Target
    from include.plans.maintenance import Observed, Plan

PAGE = "docs/runbooks/weekly_database_maintenance.md"
BACKUP_AT = 2
"""The hour (UTC) of `daily_database_backup`."""
LOOKED_EVERY_S = 120


class AwaitBackupOperator(BaseSensorOperator):
    """Wait, without a worker, until tonight's backup is GOOD or the wait is over; what comes next judges which it was.

    :param limits: of the backups.
    :param wait_s: after the slot; nothing begins later.
    """

    def __init__(self, *, limits: BackupLimits, wait_s: float, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=LOOKED_EVERY_S, timeout=wait_s + 3600, **kwargs)
        self.limits = limits
        self.wait_s = wait_s

    def poke(self, context: Context) -> bool:
        """Look into the bucket; a run by hand does not wait."""
        run = context["dag_run"]
        if run.run_type != "scheduled" or datetime.now(UTC) - run.run_after > timedelta(seconds=self.wait_s):
            return True
        try:
            newest = newest_good(self.limits)
        except RunbookError as error:
            self.log.warning("%s", error)
            return False
        return newest is not None and newest.at >= wanted_since(context, self.limits)


class MaintenanceOperator(BackupOperator):
    """A step of the maintenance; its failure is no emergency: the database is as good as last week.

    :param limits: of the backups; `maintenance`: what is needed, and what ends it.
    """

    def __init__(self, *, limits: BackupLimits, maintenance: MaintenanceLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, **kwargs)
        self.maintenance = maintenance

    def backup_first(self, context: Context, newest: Backup | None) -> Finding:
        """Say whether the backup is there that must come first."""
        from include.checks.maintenance import judge_backup

        since = wanted_since(context, self.limits)
        return judge_backup(newest.key if newest else "", newest.at if newest else None, since, self.subject)

    def proved(self, newest: Backup | None) -> Target:
        """Return where the login arrives; raises if that is not the primary of the database that is backed up."""
        from include.maintenance import target
        from sre.hooks.maintenance import login

        known = newest.manifest.facts.system_identifier if newest and newest.manifest else ""
        with login().session("maintenance") as session:
            found = target.look(session)
        identifier = self.limits.system_identifier or known
        target.refuse(found, database=self.limits.database, system_identifier=identifier)
        return found

    def measured(self, context: Context) -> Observed:
        """Measure what is needed; changes nothing."""
        from include.maintenance import need, operation
        from sre.hooks.maintenance import login
        from sre.hooks.operations import operations

        ti = context["ti"]
        return need.measure(
            login(),
            self.maintenance,
            application=operation.application(runs.op_id(ti.dag_id, ti.run_id)),
            ours=operation.begun(operations(), login()),
            free_bytes=free_bytes(),
        )

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.UNKNOWN, next_step=PAGE)


class PlanMaintenanceOperator(MaintenanceOperator):
    """Prove the target, measure, and say what each table and index would get; changes nothing (D-01 to D-06)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="maintenance plan", item="D-02", failed="target", **kwargs)

    def look(self, context: Context) -> Report:
        """Look, and decide."""
        from include.plans.maintenance import decide

        runs.refuse_backfill(context)
        newest = newest_good(self.limits)
        target = self.proved(newest)
        observed = self.measured(context)
        plan = decide(observed, self.maintenance)
        for step in plan.steps:
            self.log.info("%s", step)
        findings = (self.backup_first(context, newest), *self._said(target, plan, observed))
        return Report(source=self.source, checked=len(observed.tables) + len(observed.indexes) or 1, findings=findings)

    def _said(self, target: Target, plan: Plan, observed: Observed) -> Iterator[Finding]:
        from include.checks.maintenance import judge_need

        said = f"{target.name}, its primary, as {target.role}"
        yield self.found("D-02", self.failed, said, system_identifier=target.system_identifier, role=target.role)
        yield self.found("D-02", "planned", str(plan), n=len(plan.steps), left=len(plan.left))
        yield from judge_need(observed, plan, self.maintenance, self.subject)


class MaintainDatabaseOperator(MaintenanceOperator):
    """Vacuum, rebuild and analyze what needs it, one by one; goes on from its journal where a try before was killed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="maintenance", item="D-06", failed="maintained", **kwargs)
        self.skipped = ""

    def execute(self, context: Context) -> None:
        """Act, tell, keep; and show by the colour if nothing was to be done."""
        from airflow.sdk.exceptions import AirflowSkipException

        super().execute(context)
        if self.skipped:
            raise AirflowSkipException(self.skipped)

    def look(self, context: Context) -> Report:
        """Act, unless the run is a dry one or tonight's backup is not GOOD."""
        runs.refuse_backfill(context)
        if not runs.acts(context):
            return self._rests("dry run: nothing was changed, the plan says what would be")
        newest = newest_good(self.limits)
        first = self.backup_first(context, newest)
        if first.severity > Severity.OK:
            return self._rests(f"nothing is maintained: {first.summary}")
        return self._act(context, newest)

    def _act(self, context: Context, newest: Backup | None) -> Report:
        from include.checks.maintenance import judge_done, judge_left
        from include.maintenance.operation import Maintenance
        from include.ops.journal import Journal
        from include.plans.maintenance import decide
        from sre.hooks.maintenance import login
        from sre.hooks.operations import operations

        ops = operations()
        with self.leased(context, Mode.MAINTENANCE) as lease:
            self.proved(newest)
            plan = decide(self.measured(context), self.maintenance)
            at_work = Maintenance(
                login=login(),
                limits=self.maintenance,
                ops=ops,
                journal=Journal(ops, lease.wanted.op_id, lease.wanted.holder, lease.token),
                lease=lease,
                free_bytes=free_bytes,
            )
            result = at_work.run(plan)
        found = self.found("D-06", self.failed, str(plan), n=len(result.outcomes))
        after = self.measured(context)
        findings = (found, *judge_done(result, after, self.maintenance, self.subject), *judge_left(plan))
        return Report(source=self.source, checked=len(result.outcomes) or 1, findings=findings)

    def on_kill(self) -> None:
        """Stand still when somebody marks or clears the task: what is done stays, and a later try goes on."""
        if self.at_work:
            raise HeldBackError("the maintenance was ended from outside and stands still; clear the task to go on")

    def _rests(self, why: str) -> Report:
        self.skipped = why
        found = self.found("D-06", self.failed, why, Severity.INFO)
        return Report(source=self.source, checked=1, findings=(found,))


def wanted_since(context: Context, limits: BackupLimits) -> datetime:
    """Return since when a good backup is asked for: the last 02:00 UTC before a slot; by hand, one that is not too old."""
    run = context["dag_run"]
    if run.run_type != "scheduled":
        return datetime.now(UTC) - timedelta(seconds=limits.newest_critical_s)
    slot: datetime = run.run_after.astimezone(UTC)
    night = slot.replace(hour=BACKUP_AT, minute=0, second=0, microsecond=0)
    return night if night <= slot else night - timedelta(days=1)


def newest_good(limits: BackupLimits) -> Backup | None:
    """Return the newest backup that counts, as the verifier sees the bucket."""
    from include.backups import catalogue
    from sre.hooks import backups

    return catalogue.look(backups.store(settings.load().connections.backup_verifier), limits.database).newest_good


def free_bytes() -> int | None:
    """Return what is free on the disk of the database's server; None if nobody can see it."""
    from sre.hooks import recovery

    return recovery.free_bytes()
