"""Who is in the database, and how it is emptied: no new session is let in, those that are there are ended, until nobody is left.

Whoever only ends sessions loses to a pool that comes back faster (BUG-27); whoever only closes the doors leaves those who are in.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.backups.lively import BOUNDED_S, bounded
from include.backups.login import Login
from include.errors import ConfigurationError, RefusedError, TransientError
from include.recovery.databases import let_in
from include.settings import RestoreLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session as Open

LOOKS_PER_S = 20
LOOKS_EMPTY = 2
"""How often in a row nobody is seen: one who had passed the door when it closed appears a moment later."""
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Session:
    """Somebody in the database."""

    pid: int
    user: str
    application: str
    address: str
    state: str
    is_superuser: bool

    def __str__(self) -> str:
        return f"{self.user} ({self.application or 'unnamed'} from {self.address or 'the server'}, pid {self.pid})"


@dataclass(frozen=True, kw_only=True)
class Closed:
    """How a database was emptied.

    :param was_open: whether new sessions were let in before; for `open_doors`.
    :param ended: sessions that were ended.
    :param seconds: from the closing to the last one's end.
    """

    was_open: bool
    ended: int
    seconds: float


def sessions(login: Login, database: str) -> list[Session]:
    """List who is in a database, parallel workers and replication of single tables included."""
    with login.session("recovery sessions") as session:
        return inside(session, database)


def inside(session: Open, database: str) -> list[Session]:
    """List them in a session that is open."""
    from psycopg.rows import dict_row

    rows = session.cursor(row_factory=dict_row).execute(statement("recovery_sessions"), [database]).fetchall()
    return [Session(**row) for row in rows]


def close_doors(login: Login, database: str, limits: RestoreLimits, keep: Collection[int] = ()) -> Closed:
    """Let nobody in, end everybody, and return when nobody has been there for two looks.

    If somebody stays beyond the deadline the doors are as they were, and the error names who it is.

    :param keep: server processes of sessions of our own that still have to count there; the swap ends them.
    """
    within_s = limits.sessions_deadline_s + BOUNDED_S
    with login.session("recovery doors") as session, bounded(session, within_s):
        _refuse_prepared(session, database)
        was_open = _is_open(session, database)
        let_in(session, database, allowed=False)
        try:
            ended, seconds = empty(session, database, limits.sessions_deadline_s, keep)
        except BaseException:
            let_in(session, database, allowed=was_open)
            raise
        return Closed(was_open=was_open, ended=ended, seconds=seconds)


def open_doors(login: Login, database: str, *, was_open: bool = True) -> None:
    """Let sessions in again, or leave them shut out if they were before; may be called at any time."""
    with login.session("recovery doors") as session, bounded(session):
        if _is_open(session, database) != was_open:
            let_in(session, database, allowed=was_open)


def empty(session: Open, database: str, deadline_s: float, keep: Collection[int] = ()) -> tuple[int, float]:
    """End all sessions of a closed database; return how many, and the seconds it took."""
    began, seen_empty, ended = time.monotonic(), 0, set[int]()
    while True:
        there = [each for each in inside(session, database) if each.pid not in keep]
        ended |= {each.pid for each in there}
        seen_empty = 0 if there else seen_empty + 1
        if seen_empty == LOOKS_EMPTY:
            return len(ended), time.monotonic() - began
        end(session, there)
        if there and time.monotonic() - began > deadline_s:
            raise _stayed(database, there, deadline_s)
        time.sleep(1 / LOOKS_PER_S)


def end(session: Open, there: Sequence[Session]) -> None:
    """Tell those who are no superusers to go, and do not wait for it."""
    mortal = [each.pid for each in there if not each.is_superuser]
    session.execute("select pg_terminate_backend(pid) from unnest(%s::int[]) as pid", [mortal])


def _stayed(database: str, there: Sequence[Session], deadline_s: float) -> RefusedError | TransientError:
    who = ", ".join(map(str, there[:SHOWN]))
    text = f"after {deadline_s:g} s there are still {len(there)} sessions in {database}: {who}; its doors are as they were;"
    if all(each.is_superuser for each in there):
        return RefusedError(f"{text} a superuser's session is ended by a superuser only: ask whose it is")
    return TransientError(f"{text} find out what holds them, then try again")


def _is_open(session: Open, database: str) -> bool:
    found = session.execute("select datallowconn from pg_database where datname = %s", [database]).fetchone()
    if not found:
        raise ConfigurationError(f"there is no database {database}, whose doors could be opened or closed")
    return bool(found[0])


def _refuse_prepared(session: Open, database: str) -> None:
    query = "select gid, owner::text from pg_prepared_xacts where database = %s order by prepared limit 1"
    if found := session.execute(query, [database]).fetchone():
        raise RefusedError(
            f"in {database} a prepared transaction of {found[1]} is open ({found[0][:60]!r}), with which it cannot be renamed:"
            " nothing was changed; commit it or roll it back"
        )
