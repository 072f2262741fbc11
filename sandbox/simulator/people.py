"""What the platform's users do day by day, in the same measure as the seeded history: live days must look like past ones."""

from __future__ import annotations

from datetime import datetime

from sandbox.simulator.sessions import Cursor

ACTIVE_SHARE = (0.56, 0.58, 0.58, 0.57, 0.54, 0.40, 0.38)
"""Share of the users that come on a weekday, Monday first. It is habit: always the same people on the same kind of day."""

EVENTS_AT_PEAK_PER_S = 0.026
KINDS = ("view", "view", "view", "edit", "run", "export", "login")
AUDITED = {"login": "login", "edit": "workflow.update"}

_VISIT = """
WITH people AS (
    SELECT id, row_number() OVER (ORDER BY id) AS nth, count(*) OVER () AS many FROM users
), visitor AS (
    SELECT id FROM people WHERE (nth * 7919 % many)::float8 / many < %(share)s ORDER BY random() LIMIT 1
), seen AS (
    UPDATE users SET last_login_at = now() WHERE id = (SELECT id FROM visitor)
)
INSERT INTO events (user_id, kind, ts) SELECT id, %(kind)s, now() FROM visitor RETURNING user_id
"""

_CHARGE = """
INSERT INTO billing (user_id, kind, amount, currency, recorded_at)
SELECT user_id, kind, round(amount * by_weekday[extract(isodow FROM (recorded_at + interval '1 day') AT TIME ZONE 'UTC')::int]
    / by_weekday[extract(isodow FROM recorded_at AT TIME ZONE 'UTC')::int], 2), currency, recorded_at + interval '1 day'
FROM (
    SELECT DISTINCT ON (user_id) * FROM billing
    WHERE kind <> 'refund' AND recorded_at > now() - interval '4 days' ORDER BY user_id, recorded_at DESC
) newest, (SELECT '{0.96, 1, 1, 0.98, 0.90, 0.62, 0.60}'::numeric[] AS by_weekday) factors
WHERE recorded_at <= now() - interval '1 day'
"""

_AUDIT = """
INSERT INTO audit_logs (actor_id, action, target, detail, created_at)
VALUES (%s, %s, %s, jsonb_build_object('ip', %s::text, 'via', 'web'), now())
"""


async def visit(cursor: Cursor, kind: str, now: datetime) -> int | None:
    """Let one of the day's users do something; return who."""
    await cursor.execute(_VISIT, {"share": ACTIVE_SHARE[now.weekday()], "kind": kind})
    row = await cursor.fetchone()
    return row["user_id"] if row else None


async def charge_due(cursor: Cursor) -> int:
    """Charge everybody whose last charge is a day old, for the moment when it fell due; return how many."""
    await cursor.execute(_CHARGE)
    return cursor.rowcount


async def audit(cursor: Cursor, actor_id: int | None, action: str, target: str, address: str) -> None:
    """Record who did what to what."""
    await cursor.execute(_AUDIT, (actor_id, action, target, address))
