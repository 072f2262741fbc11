"""What the statements of the application cost, as pg_stat_statements counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.errors import ConfigurationError
from include.probes.postgres import Server
from include.sql import statement

NEEDED = (1, 9)
"""Version of the extension from which on it tells whole statements from those inside functions (PostgreSQL 14)."""
COUNTS_SINCE = (1, 11)
"""Version from which on each statement has its own beginning (PostgreSQL 17)."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement and what it cost since it is counted.

    :param query: as the server normalised it, without its values.
    :param counted_since: None before PostgreSQL 17.
    """

    queryid: str
    role: str
    query: str
    calls: int
    total_ms: float
    max_ms: float
    rows: int
    blocks_read: int
    temp_blocks: int
    counted_since: datetime | None = None

    @property
    def key(self) -> str:
        """What it is recognised by at the next look."""
        return f"{self.queryid}/{self.role}"


@dataclass(frozen=True, kw_only=True)
class Statements:
    """All of them at one moment.

    :param thrown_out: how often the server made room by forgetting the rarest.
    """

    at: datetime
    database: str
    major: int
    reset_at: datetime
    thrown_out: int
    found: Sequence[Statement]


def statements(server: Server, own_roles: Sequence[str]) -> Statements:
    """Read the counters; ConfigurationError if the extension is missing or too old.

    :param own_roles: whose statements are ours and not the application's.
    """
    with server.session() as connection:
        row = connection.execute(statement("statements_server")).fetchone() or {}
        name = _statement_for(row.pop("extension", ""))
        found = connection.execute(statement(name), {"own_roles": list(own_roles)}).fetchall()
    return Statements(**row, found=[Statement(**_numbers(each)) for each in found])


def _statement_for(extension: str) -> str:
    version = tuple(int(part) for part in extension.split(".") if part.isdigit())
    if version < NEEDED:
        raise ConfigurationError(
            f"pg_stat_statements {extension or 'is missing'}: as a superuser, in the database that is looked at, run"
            " CREATE EXTENSION or ALTER EXTENSION pg_stat_statements UPDATE (1.9 or newer is needed)"
        )
    return "statements_17" if version >= COUNTS_SINCE else "statements_14"


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "total_ms": float(row["total_ms"]), "max_ms": float(row["max_ms"])}
