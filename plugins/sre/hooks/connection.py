"""Airflow Connections, with an error that says what to do when one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def connection(conn_id: str) -> Connection:
    """Return the Connection; ConfigurationError names the id and where ids are set."""
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"there is no Airflow Connection {conn_id!r}; add it, or change its id under connections in the settings"
        ) from None
