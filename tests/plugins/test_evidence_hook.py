from __future__ import annotations

from typing import Any

import psycopg
import pytest
from airflow.sdk import BaseHook, Connection

from include.errors import ConfigurationError, TransientError
from sre.hooks.evidence import EvidenceHook


def asked(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """What psycopg is asked for by a hook whose Connection says this."""
    fields: dict[str, Any] = {"host": "ops.example", "port": 6432, "login": "writer", "password": "s", "schema": "ops"}
    found = Connection(conn_id="evidence", conn_type="postgres", **(fields | changes))
    seen: dict[str, Any] = {}

    def connect(**given: Any) -> None:
        seen.update(given)
        raise psycopg.OperationalError("nobody is there")

    monkeypatch.setattr(BaseHook, "get_connection", lambda conn_id: found)
    monkeypatch.setattr(psycopg, "connect", connect)
    with pytest.raises(TransientError, match="nobody is there"):
        EvidenceHook("evidence").append([])
    return seen


def test_the_servers_name_and_certificate_are_verified_where_the_connection_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = asked(monkeypatch, extra='{"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}')
    assert (seen["sslmode"], seen["sslrootcert"]) == ("verify-full", "/etc/ca.pem")
    assert (seen["host"], seen["port"], seen["user"], seen["dbname"]) == ("ops.example", 6432, "writer", "ops")


def test_every_statement_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asked(monkeypatch)
    assert (seen["connect_timeout"], seen["options"]) == (5, "-c statement_timeout=10s")


def test_a_connection_without_a_host_does_not_mean_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="has no host"):
        asked(monkeypatch, host=None)
