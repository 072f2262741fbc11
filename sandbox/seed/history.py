"""The past of the orchestrator's database: written once, and continued to this moment at every later start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from sandbox.seed import shape

SQL = Path(__file__).with_name("sql")
SLOT_S = 300
SLOTS_A_WEEK = 7 * shape.DAY_S // SLOT_S
FIRST = ("users", "api_keys", "workflows", "workflow_versions", "active_versions", "audit_exports")
STREAMS: Mapping[str, tuple[str, int]] = {
    "workflow_executions": ("created_at", 95),
    "audit_logs": ("created_at", 400),
    "events": ("ts", 95),
    "billing": ("recorded_at", 95),
}
"""Tables that grow with time: the column that says when, and how many days back the first fill goes."""

OF_PEOPLE = ("audit_logs", "events", "billing")
LIVE = timedelta(minutes=10)
FILES = {"workflow_executions": ("executions.sql", "execution_logs.sql"), "events": ("events.sql", "last_seen.sql")}
ALONE = "select pg_advisory_xact_lock(hashtext('sandbox.seed'))"

VACUUM = """vacuum (analyze) users, api_keys, workflows, workflow_versions, workflow_executions, execution_logs, audit_logs,
    events, billing, "AuditExport" """
ANALYZE = "analyze users, workflow_executions, execution_logs, audit_logs, events, billing"

Connection = psycopg.Connection[tuple[Any, ...]]


def fill(connection: Connection, now: datetime) -> dict[str, int]:
    """Make the schema and its past if they are missing, else add what is missing since the last row, all or nothing.

    A row depends on its moment alone, so it does not matter in how many steps the time was filled.

    :param connection: as the role that owns the schema, in autocommit; the fill is one transaction of its own.
    :return: how many rows each table got.
    """
    with connection.transaction():
        _prepare(connection)
        is_new = not _exists(connection, "users")
        if is_new:
            _create(connection, now)
        added = {
            table: _continue(connection, table, now - timedelta(days=days), now) for table, (_, days) in STREAMS.items()
        }
        if is_new:
            _run(connection, "indexes.sql")
    if is_new or any(added.values()):
        connection.execute(VACUUM if is_new else ANALYZE)
    return added


def keep_up(dsn: str, now: datetime) -> dict[str, int]:
    """Write what people did and were charged in the last minutes, as the live application's role.

    What happened while nobody called this stays empty: an application that is down earns nothing.
    """
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection, connection.transaction():
        _prepare(connection)
        return {table: _continue(connection, table, now - LIVE, now) for table in OF_PEOPLE}


def _prepare(connection: Connection) -> None:
    connection.execute("set local synchronous_commit = off")
    connection.execute(ALONE)
    connection.execute("drop function if exists pg_temp.dice")
    _run(connection, "dice.sql")
    slots = (datetime.fromtimestamp(slot * SLOT_S, tz=UTC) for slot in range(SLOTS_A_WEEK))
    with connection.cursor().copy("copy week_shape (slot, load) from stdin") as copy:
        for slot, at in enumerate(slots):
            copy.write_row((slot, shape.by_time_of_week(at)))


def _create(connection: Connection, now: datetime) -> None:
    _run(connection, "tables.sql")
    for name in FIRST:
        _run(connection, f"{name}.sql", now=now)


def _continue(connection: Connection, table: str, earliest: datetime, now: datetime) -> int:
    newest = sql.SQL("select max({}) from {}").format(sql.Identifier(STREAMS[table][0]), sql.Identifier(table))
    last: datetime | None = _row(connection.execute(newest))[0]
    start = max(last or earliest, earliest)
    if start >= now:
        return 0
    counts = [_run(connection, name, start=start, end=now) for name in FILES.get(table, (f"{table}.sql",))]
    return counts[0]


def _run(connection: Connection, name: str, **values: object) -> int:
    text = (SQL / name).read_text()
    constants = {"per_slot": shape.EXECUTIONS_AT_PEAK_PER_S * SLOT_S, "wave": shape.WAVE, "wave_s": shape.WAVE_S}
    return connection.execute(text, {**constants, **values} if values else None).rowcount


def _exists(connection: Connection, table: str) -> bool:
    return bool(_row(connection.execute("select to_regclass(%s) is not null", [table]))[0])


def _row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the server returned no row")
    return row
