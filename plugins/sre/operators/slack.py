"""The Slack steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import ConfigurationError
from include.findings import Report
from include.rounds.alerts import round_slack
from include.settings import AlertLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from slack_sdk import WebClient


class SlackAlertsOperator(HealthOperator):
    """Read what was posted to the alerts channel and who has answered (H-02).

    :param limits: thresholds, and which channel.
    :param conn_id: Connection of type slack whose token may read the channel; None is the setting.
    """

    def __init__(self, *, limits: AlertLimits, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(source="slack", item="H-02", **kwargs)
        self.limits = limits
        self.conn_id = conn_id or settings.load().connections.slack

    def look(self, context: Context) -> Report:
        """Ask Slack."""
        return round_slack(
            self.client(),
            limits=self.limits,
            last=lambda: self.last_seen("H-02"),
            now=self.now(),
            deadline_s=self.deadline_s,
        )

    def client(self) -> WebClient:
        """Return the provider's client; it waits when Slack says so, and the deadline bounds the waiting."""
        from sre.hooks.connection import connection

        if not connection(self.conn_id).password:
            raise ConfigurationError(
                f"the Airflow Connection {self.conn_id!r} holds no Slack token; put the bot's token into its password"
            )
        from airflow.providers.slack.hooks.slack import SlackHook
        from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler, ServerErrorRetryHandler

        handlers = [RateLimitErrorRetryHandler(max_retry_count=2), ServerErrorRetryHandler(max_retry_count=1)]
        hook = SlackHook(slack_conn_id=self.conn_id, timeout=round(self.deadline_s), retry_handlers=handlers)
        client: WebClient = hook.client
        return client
