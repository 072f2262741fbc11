"""The zoo: a database that holds everything PostgreSQL has, so that a backup which survives it survives any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

SQL = Path(__file__).parent / "sql"
FILES = (
    "roles",
    "schemas",
    "types",
    "functions",
    "sequences",
    "values",
    "large_objects",
    "tables",
    "partitions",
    "constraints",
    "indexes",
    "views",
    "names",
    "security",
)
"""In this order: what is used comes before what uses it."""

ROLES = ("zoo_owner", "zoo reader", "zoo_writer", "zoo \"o'brien", "zoo_röle.%s $1\nline", "ZOO_Group")
"""The roles that `build` makes and leaves: they are of the whole server, and another zoo may stand on them."""

BATCH = 200
"""Tables made in one transaction: each takes four locks until its end."""

Connection = psycopg.Connection[tuple[Any, ...]]


def make_roles(connection: Connection) -> None:
    """Make the zoo's roles where they do not exist: a server that only restores the zoo needs no more of it."""
    _run(connection, "roles")


def build(connection: Connection, *, superuser_only: bool = False) -> None:
    """Fill a fresh database as the superuser, in autocommit; `superuser_only` adds what only a superuser can restore."""
    for name in (*FILES, *(["superuser_only"] if superuser_only else []), "settings"):
        _run(connection, name)
    connection.execute("analyze")


def small_tables(connection: Connection, n: int) -> None:
    """Make that many small tables in the schema `zoo_small`, committing every few hundred; call it once in a database."""
    _run(connection, "small_tables")
    for first in range(1, n + 1, BATCH):
        connection.execute("select pg_temp.small_tables(%s, %s)", [first, min(first + BATCH - 1, n)])


def _run(connection: Connection, name: str) -> None:
    connection.execute((SQL / f"{name}.sql").read_bytes())
    connection.execute("reset role")
    connection.execute("reset search_path")
