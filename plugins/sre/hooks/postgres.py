"""How to log in to PostgreSQL, by Airflow Connection; the provider's hook opens sessions without time limits."""

from __future__ import annotations

from typing import Any

from include.errors import ConfigurationError
from include.probes.postgres import Server
from sre.hooks.connection import placed

FROM_EXTRA = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")


def server(conn_id: str, statement_timeout_s: float) -> Server:
    """Return the server that a Connection of type postgres names."""
    return Server(parameters(conn_id), statement_timeout_s)


def parameters(conn_id: str) -> dict[str, Any]:
    """Return what `psycopg.connect` needs, how to verify the server included; the database is the Connection's schema."""
    to = placed(conn_id)
    if not to.schema:
        raise ConfigurationError(f"the Airflow Connection {conn_id!r} names no database; write it into its schema")
    named = {"host": to.host, "port": to.port, "user": to.login, "password": to.password, "dbname": to.schema}
    extra = {name: to.extra_dejson[name] for name in FROM_EXTRA if name in to.extra_dejson}
    return {name: value for name, value in (named | extra).items() if value}
