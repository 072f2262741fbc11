"""Every door of a recovery, by Airflow Connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include import settings
from include.backups.login import Login
from include.recovery.beside import Restorer
from include.recovery.cluster import ApiCluster
from include.recovery.request import Access
from sre.hooks import backups
from sre.hooks.connection import connection
from sre.hooks.http import HttpClientHook
from sre.hooks.kubernetes import api_client
from sre.hooks.postgres import parameters
from sre.hooks.redis import client

if TYPE_CHECKING:
    import httpx
    from redis import Redis

GATEWAY_ANSWERS_WITHIN_S = 15
REDIS_ANSWERS_WITHIN_S = 30


def access() -> Access:
    """Return them; ConfigurationError names the first Connection that is missing or leads nowhere."""
    chosen = settings.load()
    ids = chosen.connections
    return Access(
        restorer=Restorer(
            store=backups.store(ids.backup_verifier),
            login=Login(parameters(ids.recovery_postgres), "connections.recovery_postgres"),
            reader=backups.source(),
            key=backups.private_key(ids.backup_key),
            key_from=f"the Connection {ids.backup_key}",
            backup=chosen.backup,
            limits=chosen.restore,
        ),
        window=Login(parameters(ids.recovery_window), "connections.recovery_window"),
        cluster=ApiCluster(api_client(ids.recovery_kubernetes)),
        redis=_redis,
        gateway=_gateway,
        free_bytes=lambda: None,
    )


def _redis() -> Redis:
    found = client(settings.load().connections.recovery_redis, REDIS_ANSWERS_WITHIN_S)
    found.connection_pool.connection_kwargs["decode_responses"] = True
    return found


def _gateway() -> httpx.Client:
    from include.recovery.gateway import BYPASS_HEADER

    to = settings.load().connections.gateway
    found = HttpClientHook(to, timeout_s=GATEWAY_ANSWERS_WITHIN_S).get_conn()
    del found.headers["Authorization"]  # its token is no bearer's: it passes maintenance mode
    found.headers[BYPASS_HEADER] = connection(to).password or ""
    return found
