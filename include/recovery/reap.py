"""What a recovery keeps for a week, and what one that died left open: dropped and shut when nobody needs it any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from include.backups.catalogue import Catalogue
from include.backups.login import Login
from include.errors import RefusedError
from include.ops.database import OpsDatabase
from include.recovery import databases, swap, window
from include.recovery.databases import Mark
from include.recovery.request import Access
from include.settings import RestoreLimits

WINDOW = timedelta(minutes=10)
"""How long the window is open for the drops."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A database that a recovery left beside the running one.

    :param op_id: of the recovery.
    :param since: when it was swapped away, or came back.
    :param why: why it must stay; empty if it may go.
    """

    name: str
    op_id: str
    since: datetime
    why: str

    def __str__(self) -> str:
        return f"{self.name} of {self.since:%Y-%m-%d %H:%M} UTC: {self.why or 'may go'}"


def kept(reader: Login, database: str, limits: RestoreLimits, found: Catalogue) -> Sequence[Kept]:
    """Return every database that a recovery keeps, and whether it may go: a week old, and a good backup taken since."""
    with reader.session("recovery reap") as session:
        rows = session.execute(
            "select datname::text, shobj_description(oid, 'pg_database'), clock_timestamp() from pg_database"
            " where starts_with(datname, %s) or starts_with(datname, %s) order by 1",
            [f"{database}_before_", f"{database}_restore_"],
        ).fetchall()
    ours = datetime.now(UTC)
    return [judged(name, mark, min(now, ours), limits, found) for name, mark, now in _ours(rows)]


def _ours(rows: Sequence[tuple[str, str | None, datetime]]) -> Iterator[tuple[str, Mark, datetime]]:
    for name, comment, now in rows:
        mark = Mark.read(comment)
        if mark and mark.state in {"before", "returned"}:
            yield name, mark, now


def judged(name: str, mark: Mark, now: datetime, limits: RestoreLimits, found: Catalogue) -> Kept:
    """Decide about one.

    :param now: by the earlier of two clocks: a server whose clock has jumped ahead makes nothing old.
    """
    age, newest = now - mark.at, found.newest_good
    if age < timedelta(days=limits.keep_days):
        why = f"stays until {mark.at + timedelta(days=limits.keep_days):%Y-%m-%d %H:%M} UTC"
    elif not newest or newest.at <= mark.at:
        why = "stays until a good backup was taken after it: it is the way back of last resort"
    else:
        why = ""
    return Kept(name=name, op_id=mark.op_id, since=mark.at, why=why)


def drop(access: Access, ops: OpsDatabase, database: str, old: Sequence[Kept], limits: RestoreLimits) -> list[str]:
    """Drop those that may go, through a window of its own; return their names. RefusedError if somebody is in one of them.

    Nothing is dropped while a recovery is at work: shutting the window would end its sessions.
    """
    going = [each for each in old if not each.why]
    if not going or _restoring(ops):
        return []
    window.open_for(access.window, WINDOW)
    try:
        return [each.name for each in going if _dropped(access.restorer.login, database, each, limits)]
    finally:
        shut_forgotten_window(access, ops)


def _dropped(login: Login, database: str, old: Kept, limits: RestoreLimits) -> bool:
    called = databases.names(database, old.op_id)
    if old.name == called.before:
        return swap.drop_before(login, database, old.op_id, limits)
    if old.name == called.restore:
        return swap.drop_restore(login, database, old.op_id)
    raise RefusedError(
        f"{old.name} carries the mark of {old.op_id}, which would have called it otherwise: it was not dropped"
    )


def shut_forgotten_window(access: Access, ops: OpsDatabase) -> datetime | None:
    """Shut the window of the restoring role if no recovery holds a lease; return until when it would have been open."""
    until = window.window(access.window)
    if until is None or _restoring(ops):
        return None
    window.close_window(access.window)
    return until


def _restoring(ops: OpsDatabase) -> bool:
    with ops.session() as session:
        query = "select from ops.lease where mode = 'restore' and expires_at > clock_timestamp()"
        return session.execute(query).rowcount > 0
