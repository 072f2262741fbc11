"""The PostgreSQL steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.rounds.postgres import round_postgres
from include.settings import PostgresLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PostgresHealthOperator(HealthOperator):
    """Log in, write, count sessions, measure replication and the success of workflows (H-08, H-11).

    :param limits: thresholds.
    :param conn_id: Connection of type postgres whose role is in `pg_monitor`; None is the setting.
    """

    def __init__(self, *, limits: PostgresLimits, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(source="postgres", item="H-08", **kwargs)
        self.limits = limits
        self.conn_id = conn_id or settings.load().connections.postgres

    def look(self, context: Context) -> Report:
        """Ask the database."""
        from sre.hooks.postgres import server

        asked = server(self.conn_id, self.limits.statement_timeout_s)
        return round_postgres(asked, limits=self.limits, now=self.now(), deadline_s=self.deadline_s)
