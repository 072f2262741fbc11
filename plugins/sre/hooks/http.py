"""HTTP clients by Airflow Connection: Prometheus, Grafana and PagerDuty's REST API, which no provider offers to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from include.errors import ConfigurationError
from sre.hooks.connection import connection

if TYPE_CHECKING:
    import httpx
    from airflow.sdk import Connection

BEARER = "Bearer "
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 50
"""All queries of a round are sent at once; the server has its own queue."""


class HttpClientHook(BaseHook):
    """Hand out a client that knows address and login.

    :param conn_id: Connection of type http: `host` with or without scheme and path, token in its password, or login and password.
    :param timeout_s: of reading an answer.
    :param token_scheme: what the server wants before the token: `Bearer`, or `Token token=` for PagerDuty.
    """

    def __init__(self, conn_id: str, *, timeout_s: float, token_scheme: str = BEARER) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.timeout_s = timeout_s
        self.token_scheme = token_scheme

    def get_conn(self) -> httpx.Client:
        """Return a client; ConfigurationError if the Connection has no host."""
        import httpx

        to = connection(self.conn_id)
        return httpx.Client(
            base_url=address(to),
            auth=(to.login, to.password or "") if to.login else None,
            headers={"Authorization": f"{self.token_scheme}{to.password}"} if to.password and not to.login else {},
            timeout=httpx.Timeout(self.timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,  # a proxy of the worker's environment must not see the token
        )


def address(to: Connection) -> str:
    """Return the base address: the host as it is if it names its scheme, else put together from its parts."""
    if not to.host:
        raise ConfigurationError(f"the Airflow Connection {to.conn_id!r} has no host; give it the server's address")
    if "://" in to.host:
        return to.host
    port = f":{to.port}" if to.port else ""
    return f"{to.schema or 'http'}://{to.host}{port}"
