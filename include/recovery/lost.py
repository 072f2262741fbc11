"""What a recovery would lose: rows that were written since the backup, counted by when each was committed.

One scan of each table tells three numbers: how many rows there are, how many of them were committed after the backup, and so how many
of the backup's rows are as they were. The rest of those was changed or deleted since, and comes back as it was then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import errors

from include.backups.login import Login
from include.backups.manifest import Facts
from include.settings import RestoreLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.fingerprint import Contents
    from include.backups.login import Session

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Written:
    """Of one table.

    :param rows: written since, as they are now: these are lost.
    :param undone: of the backup, changed or deleted since: these are again as they were.
    """

    rows: int
    undone: int


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Of all tables.

    :param since: commits after this moment are not in the backup.
    :param tables: by name, those alone that lose something.
    :param added: tables that the backup does not know: all of it is lost.
    :param uncounted: tables that could not be counted in time, or whose commits the server does not date.
    :param newest_commit_at: of the server; None if it does not date commits.
    """

    since: datetime
    tables: Mapping[str, Written]
    added: Sequence[str]
    uncounted: Sequence[str]
    newest_commit_at: datetime | None
    seconds: float

    @property
    def rows(self) -> int:
        """Written since, all tables together."""
        return sum(each.rows for each in self.tables.values())

    def __str__(self) -> str:
        worst = sorted(self.tables.items(), key=lambda item: -item[1].rows)[:SHOWN]
        named = ", ".join(f"{name}: {each.rows} written, {each.undone} changed or gone" for name, each in worst)
        said = f"{self.rows} rows in {len(self.tables)} tables were written since {self.since:%Y-%m-%d %H:%M:%SZ}"
        said += f" ({named})" if named else ""
        return f"{said}; not counted: {', '.join(self.uncounted[:SHOWN])}" if self.uncounted else said


def lost(login: Login, facts: Facts, backup: Contents, limits: RestoreLimits) -> Loss:
    """Count what was written since a backup.

    :param login: at the running database, as a role that reads all rows.
    """
    with login.session("recovery count") as session:
        return counted(session, facts, backup, limits)


def counted(session: Session, facts: Facts, backup: Contents, limits: RestoreLimits) -> Loss:
    """Count in a session that is open: after the doors are closed nobody gets another (`close_doors(…, keep=)`)."""
    began = time.monotonic()
    since = facts.last_commit_at or facts.taken_at
    [(dates, newest)] = session.execute(
        "select current_setting('track_commit_timestamp') = 'on',"
        " case when current_setting('track_commit_timestamp') = 'on' then (pg_last_committed_xact()).timestamp end"
    ).fetchall()
    names = session.execute(statement("recovery_tables"), [since]).fetchall()
    found: dict[str, tuple[int, int]] = {}
    uncounted: dict[str, str] = {}
    for name, root, counting in names:
        if not dates or (count := _count(session, counting, began + limits.count_deadline_s)) is None:
            uncounted[name] = root
            continue
        rows, written = found.get(root, (0, 0))
        found[root] = rows + count[0], written + count[1]
    uncounted |= {root: root for root in _undated(found, backup.tables)}
    blind = set(uncounted.values())
    return Loss(
        since=since,
        tables={root: written for root, written in _changed(found, backup.tables) if root not in blind},
        added=sorted(found.keys() - backup.tables.keys()),
        uncounted=list(uncounted),
        newest_commit_at=newest,
        seconds=time.monotonic() - began,
    )


def _count(session: Session, counting: str, until: float) -> tuple[int, int] | None:
    """Return how many rows a table has and how many are newer; None if there is no time left."""
    left_ms = int(1000 * (until - time.monotonic()))
    if left_ms <= 0:
        return None
    try:
        with session.transaction():
            session.execute("select set_config('statement_timeout', %s, true)", [str(left_ms)])
            [(rows, written)] = session.execute(counting.encode()).fetchall()  # the server quoted every name in it
    except (errors.QueryCanceled, errors.UndefinedTable):
        return None
    return rows, written


def _undated(found: Mapping[str, tuple[int, int]], backup: Mapping[str, tuple[int, str]]) -> list[str]:
    """Return where more rows seem untouched than the backup has: some were committed while the server dated no commits."""
    return [root for root, (rows, written) in found.items() if root in backup and rows - written > backup[root][0]]


def _changed(
    found: Mapping[str, tuple[int, int]], backup: Mapping[str, tuple[int, str]]
) -> Iterator[tuple[str, Written]]:
    for name, (rows, written) in sorted(found.items()):
        untouched, before = rows - written, backup.get(name, (0, ""))[0]
        each = Written(rows=written, undone=max(0, before - untouched))
        if each.rows or each.undone:
            yield name, each
    for name in sorted(backup.keys() - found.keys()):
        yield name, Written(rows=0, undone=backup[name][0])
