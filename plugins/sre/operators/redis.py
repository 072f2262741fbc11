"""The Redis steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.rounds.redis import round_redis
from include.settings import RedisLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RedisHealthOperator(HealthOperator):
    """Look at the cache and broker (H-05) and at the work queue itself (H-12).

    :param limits: thresholds.
    :param conn_id: Connection of type redis whose user may ask and not write; None is the setting.
    """

    def __init__(self, *, limits: RedisLimits, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(source="redis", item="H-12", **kwargs)
        self.limits = limits
        self.conn_id = conn_id or settings.load().connections.redis

    def look(self, context: Context) -> Report:
        """Ask the broker."""
        from sre.hooks.redis import client

        return round_redis(
            client(self.conn_id, self.deadline_s),
            limits=self.limits,
            previous=lambda: self.counters_of_yesterday("H-05"),
            now=self.now(),
            deadline_s=self.deadline_s,
        )
