"""The targets of the failover exercise, by Airflow Connection; each names its members in `members` of its extra."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from include import settings
from include.errors import ConfigurationError
from include.failover.node import ApiDrainer
from include.failover.patroni import Patroni
from include.failover.postgres import PostgresPair
from include.failover.probe import ANSWER_WITHIN_S, PostgresWriter, RedisWriter
from include.failover.redis import RedisPair
from sre.hooks.connection import connection
from sre.hooks.kubernetes import api_client
from sre.hooks.postgres import FROM_EXTRA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from airflow.sdk import Connection
    from redis import Redis

    from include.settings import FailoverLimits

CONTROL_ANSWERS_WITHIN_S = 5.0
MEMBERS_NEEDED = 2


def postgres(limits: FailoverLimits, run: str) -> tuple[PostgresPair, PostgresWriter]:
    """Return the staging pair under Patroni and a client that writes to it; ConfigurationError if a Connection is wrong."""
    known = settings.load().connections
    pair, writer = _postgres(known.failover_postgres, known.failover_patroni, limits, run)
    return replace(pair, scope=limits.postgres_scope, system_identifier=limits.postgres_system_identifier), writer


def production(limits: FailoverLimits, run: str) -> tuple[PostgresPair, PostgresWriter]:
    """Return the same of production."""
    known = settings.load().connections
    pair, writer = _postgres(known.production_failover_postgres, known.production_failover_patroni, limits, run)
    pinned = limits.production_system_identifier
    return replace(pair, scope=limits.production_scope, system_identifier=pinned, environment="production"), writer


def _postgres(conn_id: str, patroni_id: str, limits: FailoverLimits, run: str) -> tuple[PostgresPair, PostgresWriter]:
    parameters = primary(conn_id)
    pair = PostgresPair(
        patroni=_patroni(patroni_id),
        parameters={**parameters, "connect_timeout": int(CONTROL_ANSWERS_WITHIN_S), "tcp_user_timeout": 9000},
        scope="",
        switch_within_s=limits.switch_within_s,
    )
    return pair, PostgresWriter(parameters, run)


def redis(limits: FailoverLimits, run: str) -> tuple[RedisPair, RedisWriter]:
    """Return the Redis pair and a client that writes to it."""
    to = connection(settings.load().connections.failover_redis)
    control = {member: _redis(to, member, CONTROL_ANSWERS_WITHIN_S) for member in members(to)}
    writing = {member: _redis(to, member, ANSWER_WITHIN_S) for member in members(to)}
    return RedisPair(members=control, switch_within_s=limits.switch_within_s), RedisWriter(writing, run)


def drainer() -> ApiDrainer:
    """Return who cordons and evicts on staging."""
    return ApiDrainer(api_client(settings.load().connections.failover_kubernetes))


def members(to: Connection) -> Sequence[str]:
    """Return the addresses of a pair; ConfigurationError if there are fewer than two."""
    found = to.extra_dejson.get("members", [])
    if not isinstance(found, list) or len(found) < MEMBERS_NEEDED or not all(_is_address(each) for each in found):
        raise ConfigurationError(
            f'the Airflow Connection {to.conn_id!r} names no pair; write {{"members": ["host:port", "host:port"]}} into its extra'
        )
    return found


def _is_address(text: object) -> bool:
    return isinstance(text, str) and text.rpartition(":")[2].isdecimal()


def primary(conn_id: str) -> dict[str, Any]:
    """Return what `psycopg.connect` needs to reach whichever member accepts writes."""
    to = connection(conn_id)
    places = [address.rpartition(":") for address in members(to)]
    named = {
        "host": ",".join(host for host, _, _ in places),
        "port": ",".join(port for _, _, port in places),
        "user": to.login,
        "password": to.password,
        "dbname": to.schema,
        "target_session_attrs": "read-write",
    }
    extra = {name: to.extra_dejson[name] for name in FROM_EXTRA if name in to.extra_dejson}
    return {name: value for name, value in (extra | named).items() if value}


def _patroni(conn_id: str) -> Patroni:
    import httpx

    to = connection(conn_id)
    authority = to.extra_dejson.get("authority")
    try:
        trust = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ConfigurationError(
            f"the Airflow Connection {conn_id!r} names as its authority {authority}, which cannot be read: {error.strerror}"
        ) from None
    client = httpx.Client(
        verify=trust, auth=(to.login or "", to.password or ""), timeout=CONTROL_ANSWERS_WITHIN_S, trust_env=False
    )
    return Patroni(members=[f"https://{member}" for member in members(to)], client=client)


def _redis(to: Connection, member: str, deadline_s: float) -> Redis:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    host, _, port = member.rpartition(":")
    return Redis(
        host=host,
        port=int(port),
        username=to.login,
        password=to.password,
        ssl=bool(to.extra_dejson.get("ssl", False)),
        socket_timeout=deadline_s,
        socket_connect_timeout=min(deadline_s, 2.0),
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
