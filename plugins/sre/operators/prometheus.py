"""The Prometheus steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.probes.prometheus import Prometheus
from include.rounds.performance import round_performance
from include.settings import PerformanceLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PerformanceHealthOperator(HealthOperator):
    """Look at latency, errors, API use and the day's peaks (H-06, H-07, H-09, H-10, H-12, H-16, F-02, F-03, F-06).

    :param limits: thresholds, and the names of metrics and labels.
    :param namespace: of the platform; None is the setting.
    :param conn_id: Connection of type http that leads to Prometheus; None is the setting.
    """

    def __init__(
        self, *, limits: PerformanceLimits, namespace: str | None = None, conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(source="performance", item="H-09", **kwargs)
        self.limits = limits
        self.namespace = namespace or settings.load().namespace
        self.conn_id = conn_id or settings.load().connections.prometheus

    def look(self, context: Context) -> Report:
        """Ask Prometheus."""
        from sre.hooks.http import HttpClientHook

        return round_performance(
            Prometheus(HttpClientHook(self.conn_id, timeout_s=self.deadline_s).get_conn()),
            namespace=self.namespace,
            limits=self.limits,
            now=self.now(),
            deadline_s=self.deadline_s,
        )
