"""The PagerDuty steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.rounds.alerts import round_pagerduty
from include.settings import AlertLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

SCHEME = "Token token="
"""What PagerDuty's REST API wants before the token."""


class PagerDutyIncidentsOperator(HealthOperator):
    """Read the incidents since the last look and all that are still open (H-03).

    :param limits: thresholds, and which services.
    :param conn_id: Connection of type http with a token that may read the REST API; None is the setting.
    """

    def __init__(self, *, limits: AlertLimits, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(source="pagerduty", item="H-03", **kwargs)
        self.limits = limits
        self.conn_id = conn_id or settings.load().connections.pagerduty_api

    def look(self, context: Context) -> Report:
        """Ask PagerDuty."""
        from sre.hooks.http import HttpClientHook

        return round_pagerduty(
            HttpClientHook(self.conn_id, timeout_s=self.deadline_s, token_scheme=SCHEME).get_conn(),
            limits=self.limits,
            own=f"{self.dag_id}/",
            last=lambda: self.last_seen("H-03"),
            now=self.now(),
            deadline_s=self.deadline_s,
        )
