"""Every door of a recovery, by Airflow Connection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from include import settings
from include.backups.login import Login
from include.probes.prometheus import Prometheus
from include.recovery import preflight
from include.recovery.beside import Restorer
from include.recovery.cluster import ApiCluster
from include.recovery.request import Access
from sre.hooks import backups
from sre.hooks import redis as redis_hook
from sre.hooks.connection import connection
from sre.hooks.http import HttpClientHook
from sre.hooks.kubernetes import api_client
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    import httpx
    from redis import Redis

GATEWAY_ANSWERS_WITHIN_S = 15
REDIS_ANSWERS_WITHIN_S = 30
PROMETHEUS_ANSWERS_WITHIN_S = 10


def access() -> Access:
    """Return them; ConfigurationError names the first Connection that is missing or leads nowhere."""
    chosen = settings.load()
    ids = chosen.connections
    return Access(
        restorer=Restorer(
            store=backups.store(ids.backup_verifier),
            login=restorer(),
            reader=backups.source(),
            key=backups.private_key(ids.backup_key),
            key_from=f"the Connection {ids.backup_key}",
            backup=chosen.backup,
            limits=chosen.restore,
        ),
        window=keeper(),
        cluster=cluster(),
        redis=redis,
        gateway=gateway,
        free_bytes=free_bytes,
    )


def free_bytes() -> int | None:
    """Return what is free on the disk of the database's server; None if nobody can see it."""
    chosen = settings.load()
    hook = HttpClientHook(chosen.connections.prometheus, timeout_s=PROMETHEUS_ANSWERS_WITHIN_S)
    with hook.get_conn() as client:
        return preflight.free_bytes(Prometheus(client), chosen.restore.free_bytes_query, datetime.now(UTC))


def restorer() -> Login:
    """Return the login that makes and renames databases, while its window is open."""
    return Login(parameters(settings.load().connections.recovery_postgres), "connections.recovery_postgres")


def keeper() -> Login:
    """Return the login that opens and shuts that window."""
    return Login(parameters(settings.load().connections.recovery_window), "connections.recovery_window")


def cluster() -> ApiCluster:
    """Return the cluster as who stops and starts the named writers."""
    return ApiCluster(api_client(settings.load().connections.recovery_kubernetes))


def redis() -> Redis:
    """Return a client of the application's Redis that answers in text."""
    found = redis_hook.client(settings.load().connections.recovery_redis, REDIS_ANSWERS_WITHIN_S)
    found.connection_pool.connection_kwargs["decode_responses"] = True
    return found


def gateway() -> httpx.Client:
    """Return a client of the application's front door that passes maintenance mode."""
    from include.recovery.gateway import BYPASS_HEADER

    to = settings.load().connections.gateway
    found = HttpClientHook(to, timeout_s=GATEWAY_ANSWERS_WITHIN_S).get_conn()
    found.headers.pop("Authorization", None)  # its token is no bearer's: it passes maintenance mode
    found.headers[BYPASS_HEADER] = connection(to).password or ""
    return found
