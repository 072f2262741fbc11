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
    from redis import Redis


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
        return round_redis(
            self.client(),
            limits=self.limits,
            previous=lambda: self.counters_of_yesterday("H-05"),
            now=self.now(),
            deadline_s=self.deadline_s,
        )

    def client(self) -> Redis:
        """Return the provider's client, which waits for ever, and tries a refused login again, unless told otherwise."""
        from sre.hooks.connection import connection

        connection(self.conn_id)
        from airflow.providers.redis.hooks.redis import RedisHook
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client: Redis = RedisHook(redis_conn_id=self.conn_id).get_conn()  # type: ignore[no-untyped-call]
        bounded = {"socket_timeout": self.deadline_s, "socket_connect_timeout": self.deadline_s / 2}
        client.connection_pool.connection_kwargs.update(bounded, retry=Retry(NoBackoff(), 0))
        return client
