"""The database's steps of `weekly_performance_optimization`: what statements cost, how indexes are used. They change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import RefusedError
from include.findings import Report
from include.settings import OptimisationLimits, PostgresLimits
from sre import runs
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

    from include.checks.statements import Snapshot
    from include.probes.postgres import Server


class OptimizationOperator(HealthOperator):
    """A look at the application's database as who may read its counters and nothing else.

    :param limits: of the database; `optimisation`: what is worth a line.
    """

    def __init__(self, *, limits: PostgresLimits, optimisation: OptimisationLimits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits
        self.optimisation = optimisation

    @property
    def subject(self) -> str:
        """What all findings are about."""
        return f"database/{self.limits.database}"

    def server(self, conn_id: str = "") -> Server:
        """Return the primary, or who a Connection names."""
        from sre.hooks.postgres import server

        return server(conn_id or settings.load().connections.postgres, self.limits.statement_timeout_s)

    def refuse_other(self, database: str) -> None:
        """Refuse a login that leads elsewhere: its counters are of something else."""
        if database != self.limits.database:
            raise RefusedError(
                f"the login leads into database {database!r}, not {self.limits.database!r}; correct the schema of the Connection"
                " in connections.postgres"
            )


class StatementsOperator(OptimizationOperator):
    """Name the statements that cost most since the last look, those that became slower, and the new ones (F-08, W-08)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="statements", item="F-08", **kwargs)

    def look(self, context: Context) -> Report:
        """Read the counters, and compare them with those of the last look."""
        from include.checks.statements import Snapshot, between, judge_statements
        from include.probes.statements import statements

        runs.refuse_backfill(context)
        now = statements(self.server(), self.optimisation.own_roles)
        self.refuse_other(now.database)
        interval = between(self._last(now.at), now)
        findings = tuple(judge_statements(interval, Snapshot.of(now), self.optimisation, self.subject))
        return Report(source=self.source, checked=len(now.found) or 1, findings=findings)

    def _last(self, now: datetime) -> Snapshot | None:
        from include.checks.statements import SNAPSHOT, Snapshot
        from sre.hooks.evidence import EvidenceHook

        since = now - timedelta(days=self.optimisation.remembered_days)
        hook = EvidenceHook(self.evidence_conn_id)
        kept = hook.measured("W-08", SNAPSHOT, self.subject, since=since, before=now)
        return Snapshot.from_json(kept[-1].detail["snapshot"]) if kept else None


class IndexesOperator(OptimizationOperator):
    """Say how each index is used, and advise which to add and to drop, with the exact statement (F-09, W-10)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="indexes", item="F-09", **kwargs)

    def look(self, context: Context) -> Report:
        """Ask the primary and each replica."""
        from include.checks.indexes import judge_indexes
        from include.probes.indexes import indexes

        runs.refuse_backfill(context)
        seen = indexes(self.server(), [self.server(conn_id) for conn_id in self.optimisation.replicas])
        self.refuse_other(seen.counters.database)
        findings = tuple(judge_indexes(seen, self.optimisation, self.subject))
        return Report(source=self.source, checked=len(seen.found) or 1, findings=findings)
