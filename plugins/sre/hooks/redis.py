"""Redis by Airflow Connection: the provider's client waits for ever, and tries a refused login again, unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sre.hooks.connection import placed

if TYPE_CHECKING:
    from redis import Redis

USUAL_PORT = 6379


def client(conn_id: str, deadline_s: float) -> Redis:
    """Return a client that gives up; ConfigurationError if the Connection has no host."""
    to = placed(conn_id)
    from airflow.providers.redis.hooks.redis import RedisHook
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    found: Redis = RedisHook(redis_conn_id=conn_id).get_conn()  # type: ignore[no-untyped-call]
    bounded = {"socket_timeout": deadline_s, "socket_connect_timeout": deadline_s / 2}
    found.connection_pool.connection_kwargs.update(bounded, port=to.port or USUAL_PORT, retry=Retry(NoBackoff(), 0))
    return found
