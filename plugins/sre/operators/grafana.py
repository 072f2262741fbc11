"""The Grafana steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.rounds.alerts import round_grafana
from include.settings import GrafanaLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class GrafanaHealthOperator(HealthOperator):
    """Look at the dashboards as a person would: rules, alerts, and the named panels' own queries (H-04).

    :param limits: thresholds, and which panels.
    :param conn_id: Connection of type http with a service account's token; None is the setting.
    """

    def __init__(self, *, limits: GrafanaLimits, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(source="grafana", item="H-04", **kwargs)
        self.limits = limits
        self.conn_id = conn_id or settings.load().connections.grafana

    def look(self, context: Context) -> Report:
        """Ask Grafana."""
        from sre.hooks.http import HttpClientHook

        client = HttpClientHook(self.conn_id, timeout_s=self.deadline_s).get_conn()
        return round_grafana(client, limits=self.limits, now=self.now(), deadline_s=self.deadline_s)
