"""What the application reads and writes in its database; every function works inside a transaction of its caller."""

from __future__ import annotations

import secrets
from typing import Any

from psycopg.types.json import Jsonb

from sandbox.simulator.sessions import Cursor

Row = dict[str, Any]

LOST_AFTER = "10 minutes"  # no execution takes that long: its worker died without a word
STRAY_AFTER = "2 minutes"


async def create_workflow(cursor: Cursor, name: str, definition: Row) -> Row:
    """Insert a workflow with its first version, owned by the first user."""
    workflow = await _one(
        cursor,
        "INSERT INTO workflows (name, owner_id, created_at) SELECT %s, min(id), now() FROM users RETURNING id, owner_id",
        name,
    )
    version = await _one(
        cursor,
        "INSERT INTO workflow_versions (workflow_id, version, definition, created_at)"
        " VALUES (%s, 1, %s, now()) RETURNING id",
        workflow["id"],
        Jsonb(definition),
    )
    await cursor.execute("UPDATE workflows SET active_version_id = %s WHERE id = %s", (version["id"], workflow["id"]))
    return {"id": workflow["id"], "name": name, "owner_id": workflow["owner_id"], "version_id": version["id"]}


async def workflow(cursor: Cursor, workflow_id: int) -> Row | None:
    """Return a workflow with the definition of its active version."""
    return await _maybe(
        cursor,
        "SELECT w.id, w.name, w.owner_id, w.active_version_id AS version_id, v.version, v.definition, w.created_at"
        " FROM workflows w LEFT JOIN workflow_versions v ON v.id = w.active_version_id WHERE w.id = %s",
        workflow_id,
    )


async def delete_workflow(cursor: Cursor, workflow_id: int) -> bool:
    """Delete a workflow with its versions, executions and their logs; False when there is none."""
    if not await _maybe(cursor, "SELECT id FROM workflows WHERE id = %s FOR UPDATE", workflow_id):
        return False
    await cursor.execute(
        "UPDATE workflows SET active_version_id = NULL, pinned_version_id = NULL WHERE id = %s", (workflow_id,)
    )
    for statement in _DELETIONS:
        await cursor.execute(statement, (workflow_id,))
    return True


_DELETIONS = (
    "DELETE FROM execution_logs WHERE execution_id IN (SELECT id FROM workflow_executions WHERE workflow_id = %s)",
    "DELETE FROM workflow_executions WHERE workflow_id = %s",
    "DELETE FROM workflow_versions WHERE workflow_id = %s",
    "DELETE FROM workflows WHERE id = %s",
)


async def queue_execution(cursor: Cursor, workflow_id: int) -> int | None:
    """Insert a queued execution of a workflow's active version; None when there is no such workflow."""
    row = await _maybe(
        cursor,
        "INSERT INTO workflow_executions (workflow_id, workflow_version_id, user_id, status, created_at)"
        " SELECT id, coalesce(pinned_version_id, active_version_id), owner_id, 'queued', now()"
        " FROM workflows WHERE id = %s AND active_version_id IS NOT NULL RETURNING id",
        workflow_id,
    )
    return row["id"] if row else None


async def execution(cursor: Cursor, execution_id: int) -> Row | None:
    """Return an execution."""
    return await _maybe(
        cursor,
        "SELECT id, workflow_id, status, error_class, created_at, started_at, finished_at"
        " FROM workflow_executions WHERE id = %s",
        execution_id,
    )


async def some_workflows(cursor: Cursor, count: int) -> list[int]:
    """Return workflows that can run, drawn at random, some of them twice."""
    await cursor.execute("SELECT id FROM workflows WHERE active_version_id IS NOT NULL ORDER BY random() LIMIT 50")
    found = [row["id"] for row in await cursor.fetchall()]
    return [secrets.choice(found) for _ in range(count)] if found else []


async def start(cursor: Cursor, execution_id: int) -> Row | None:
    """Mark a queued execution as running; None when somebody else has it or it is gone."""
    return await _maybe(
        cursor,
        "UPDATE workflow_executions SET status = 'running', started_at = now()"
        " WHERE id = %s AND status = 'queued' RETURNING id, user_id",
        execution_id,
    )


async def put_back(cursor: Cursor, execution_id: int) -> None:
    """Mark a running execution as queued again."""
    await cursor.execute(
        "UPDATE workflow_executions SET status = 'queued', started_at = NULL WHERE id = %s AND status = 'running'",
        (execution_id,),
    )


async def finish(cursor: Cursor, execution_id: int, error_class: str | None) -> bool:
    """Mark a running execution as ended; False when it is not running any more."""
    row = await _maybe(
        cursor,
        "UPDATE workflow_executions SET status = %s, error_class = %s, finished_at = now()"
        " WHERE id = %s AND status = 'running' RETURNING id",
        "failed" if error_class else "succeeded",
        error_class,
        execution_id,
    )
    return row is not None


async def add_log(cursor: Cursor, execution_id: int, level: str, message: str) -> None:
    """Add a line to an execution's log."""
    await cursor.execute(
        "INSERT INTO execution_logs (execution_id, level, message, created_at) VALUES (%s, %s, %s, now())",
        (execution_id, level, message),
    )


async def audit(cursor: Cursor, actor_id: int | None, action: str, target: str, address: str) -> None:
    """Record who did what to what."""
    await cursor.execute(
        "INSERT INTO audit_logs (actor_id, action, target, detail, created_at) VALUES (%s, %s, %s, %s, now())",
        (actor_id, action, target, Jsonb({"ip": address, "via": "api"})),
    )


async def fail_lost(cursor: Cursor) -> int:
    """Fail executions whose worker died; return how many."""
    await cursor.execute(
        "UPDATE workflow_executions SET status = 'failed', error_class = 'WorkerLost', finished_at = now()"
        " WHERE status = 'running' AND started_at < now() - %s::interval",
        (LOST_AFTER,),
    )
    return cursor.rowcount


async def stray_executions(cursor: Cursor) -> list[int]:
    """Return queued executions of the last day that have waited for a while."""
    await cursor.execute(
        "SELECT id FROM workflow_executions WHERE status = 'queued'"
        " AND created_at BETWEEN now() - interval '1 day' AND now() - %s::interval ORDER BY id LIMIT 200",
        (STRAY_AFTER,),
    )
    return [row["id"] for row in await cursor.fetchall()]


async def _one(cursor: Cursor, statement: str, *values: object) -> Row:
    row = await _maybe(cursor, statement, *values)
    if row is None:
        raise LookupError(f"no row came back from: {statement}")
    return row


async def _maybe(cursor: Cursor, statement: str, *values: object) -> Row | None:
    await cursor.execute(statement.encode(), values)
    return await cursor.fetchone()
