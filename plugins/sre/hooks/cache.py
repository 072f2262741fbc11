"""The application's cache, by Airflow Connection: every node of it, and who removes keys from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include import settings
from include.cache.copies import Keeper
from include.errors import ConfigurationError
from include.probes.cache import Connect, Nodes, Place, nodes
from sre.hooks import backups
from sre.hooks import redis as redis_hook
from sre.hooks.connection import placed

if TYPE_CHECKING:
    from redis import Redis

ANSWERS_WITHIN_S = 30


def look(deadline_s: float) -> Nodes:
    """Look at every node, as who measures."""
    to = placed(settings.load().connections.cache_reader)
    named = [_place(to.conn_id, each) for each in to.extra_dejson.get("nodes", [])]
    first = (str(to.host), to.port or redis_hook.USUAL_PORT)
    return nodes(connect(deadline_s), first, named, deadline_s=deadline_s)


def connect(deadline_s: float) -> Connect:
    """Return what makes a client of one node, as who measures; the Connection is asked for once, and not by each thread."""
    from redis import ConnectionPool, Redis

    pool = redis_hook.client(settings.load().connections.cache_reader, deadline_s).connection_pool

    def made(place: Place) -> Redis:
        host, port = place
        how = {**pool.connection_kwargs, "host": host, "port": port}
        return Redis.from_pool(ConnectionPool(connection_class=pool.connection_class, **how))  # which closes it, too

    return made


def remover() -> Redis:
    """Return a client of the primary, as who removes cache keys."""
    return redis_hook.client(settings.load().connections.cache_remover, ANSWERS_WITHIN_S)


def keeper() -> Keeper:
    """Return who puts copies away, and cannot read them."""
    chosen = settings.load()
    return Keeper(backups.store(chosen.connections.backup_writer), chosen.backup.recipients)


def _place(conn_id: str, address: object) -> Place:
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"the Airflow Connection {conn_id!r} names a node {str(address)[:60]!r}; write each as host:port into nodes of its extra"
        )
    return host, int(port)
