"""How to log in to PostgreSQL, by Airflow Connection; the provider's hook opens sessions without time limits."""

from __future__ import annotations

from include.probes.postgres import Server
from sre.hooks.connection import connection

FROM_EXTRA = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")


def server(conn_id: str, statement_timeout_s: float) -> Server:
    """Return the server that a Connection of type postgres names; its database is the Connection's schema."""
    to = connection(conn_id)
    named = {"host": to.host, "port": to.port, "user": to.login, "password": to.password, "dbname": to.schema}
    extra = {name: to.extra_dejson[name] for name in FROM_EXTRA if name in to.extra_dejson}
    return Server({name: value for name, value in (named | extra).items() if value}, statement_timeout_s)
