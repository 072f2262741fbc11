"""The steps that look at how the platform is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.probes.prometheus import Prometheus
from include.rounds.business import round_business
from include.settings import BusinessLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class BusinessHealthOperator(HealthOperator):
    """Compare users, executions, revenue and API requests with the same weekday (H-13 to H-16); amounts are never told.

    :param limits: how wide the band is, and how old a source may be.
    :param postgres_conn_id: Connection of type postgres; None is the setting.
    :param prometheus_conn_id: Connection of type http that leads to Prometheus; None is the setting.
    """

    def __init__(
        self,
        *,
        limits: BusinessLimits,
        postgres_conn_id: str | None = None,
        prometheus_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(source="business", item="H-13", **kwargs)
        self.limits = limits
        self.postgres_conn_id = postgres_conn_id or settings.load().connections.postgres
        self.prometheus_conn_id = prometheus_conn_id or settings.load().connections.prometheus

    def look(self, context: Context) -> Report:
        """Ask the database and Prometheus."""
        from sre.hooks.http import HttpClientHook
        from sre.hooks.postgres import server

        known = settings.load()
        return round_business(
            server(self.postgres_conn_id, known.postgres.statement_timeout_s),
            Prometheus(HttpClientHook(self.prometheus_conn_id, timeout_s=self.deadline_s).get_conn()),
            namespace=known.namespace,
            limits=self.limits,
            performance=known.performance,
            now=self.now(),
            deadline_s=self.deadline_s,
        )
