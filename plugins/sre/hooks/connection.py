"""Airflow Connections, with an error that says what to do when one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def placed(conn_id: str) -> Connection:
    """Return the Connection of a server; ConfigurationError if it has no host: every client then falls back to this machine."""
    to = connection(conn_id)
    if not to.host:
        raise ConfigurationError(f"the Airflow Connection {conn_id!r} has no host; give it the server's address")
    return to


def connection(conn_id: str) -> Connection:
    """Return the Connection; ConfigurationError names the id and where ids are set."""
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"there is no Airflow Connection {conn_id!r}; add it, or change its id under connections in the settings"
        ) from None
