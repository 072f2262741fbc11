"""The rows that may go, read as the role that reads everything and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RefusedError
from include.plans.cleanup import Chunk, Counted, Subject
from include.sql import statement

if TYPE_CHECKING:
    from psycopg import sql

    from include.backups.login import Session

AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Rows of one moment.

    :param states: by which transaction each row got its present state, as text; another state is another row.
    :param columns: name and type of each.
    :param text: the rows as COPY writes them, a line each, in the order of the ids.
    """

    ids: Sequence[int]
    states: Sequence[str]
    columns: Sequence[tuple[str, str]]
    text: bytes
    at: datetime


def now(session: Session) -> datetime:
    """Return the database's clock."""
    [(moment,)] = session.execute("select clock_timestamp()").fetchall()
    found: datetime = moment
    return found


def refuse_wrong(session: Session, database: str, who: str) -> str:
    """Return the cluster's identifier; ConfigurationError if the login leads elsewhere, or to a standby."""
    [(found, standby, identifier)] = session.execute(
        "select current_database(), pg_is_in_recovery(), system_identifier::text from pg_control_system()"
    ).fetchall()
    if found != database:
        raise ConfigurationError(
            f"{who} leads into database {found!r}, not {database!r}; nothing was changed, correct the schema of its Connection"
        )
    if standby:
        raise ConfigurationError(
            f"{who} leads to a standby, where nothing can be deleted; nothing was changed, let it lead to the primary"
        )
    return str(identifier)


def refuse_linked(session: Session, subject: Subject) -> None:
    """RefusedError if another table refers to this one: its rows would go with ours without a copy, or keep them."""
    if subject is Subject.VERSIONS:  # whatever refers to one of these keeps it
        return
    if holders := session.execute(statement("cleanup_links"), {"table": str(subject)}).fetchall():
        raise RefusedError(
            f"{holders[0][0]} refers to {subject}, so that its rows would keep ours or go with them uncopied; none is"
            " deleted, archive that table first or drop its foreign key"
        )


def count(session: Session, subject: Subject, before: datetime) -> Counted:
    """Count the logs from before a moment."""
    old = _text("select count(*), min(created_at) from {} where created_at < %s", subject)
    [(rows, oldest)] = session.execute(old, [before]).fetchall()
    return Counted(subject=subject, rows=rows, total=total(session, subject), oldest=oldest)


def total(session: Session, subject: Subject) -> int:
    """Return how many rows the server thinks a table has; counted if it was never analyzed."""
    estimate = (
        "select sum(greatest(reltuples, 0))::bigint, bool_and(reltuples >= 0)"
        " from pg_class where relkind = 'r' and oid in (select relid from pg_partition_tree(%s) union all select to_regclass(%s))"
    )
    [(rows, known)] = session.execute(estimate, [f"public.{subject}"] * 2).fetchall()
    if known:
        return int(rows)
    [(counted,)] = session.execute(_text("select count(*) from {}", subject)).fetchall()
    return int(counted)


def old(session: Session, subject: Subject, before: datetime) -> Iterator[tuple[date, int]]:
    """Return day (UTC) and id of each log from before a moment, by day."""
    query = _text(
        "select (created_at at time zone 'UTC')::date, id from {} where created_at < %s order by 1, 2", subject
    )
    with session.transaction(), session.cursor("old rows") as cursor:
        cursor.itersize = AT_ONCE
        yield from cursor.execute(query, [before])


def present(session: Session, chunk: Chunk, ids: Sequence[int]) -> list[int]:
    """Return which of these rows of a piece are there."""
    which, values = _of(chunk, ids)
    found = session.execute(_text("select id from {} where {} order by id", chunk.subject, which), values)
    return [each for (each,) in found]


def take(session: Session, chunk: Chunk, ids: Sequence[int], at_most: int) -> Taken | None:
    """Read these rows of a piece at one moment, those that are there; None as soon as their text is beyond so many bytes.

    RefusedError if one of them could not be told from another.
    """
    which, values = _of(chunk, ids)
    with _one_moment(session):
        columns = columns_of(session, chunk.subject)
        query = _text("select id, xmin::text from {} where {} order by id", chunk.subject, which)
        found = session.execute(query, values).fetchall()
        _refuse_twice(chunk, [each for each, _ in found])
        text = _copied(session, chunk, [name for name, _ in columns], ids, at_most)
        if text is None:
            return None
        return Taken(
            ids=[each for each, _ in found],
            states=[state for _, state in found],
            columns=columns,
            text=text,
            at=now(session),
        )


def _of(chunk: Chunk, ids: Sequence[int]) -> tuple[Any, list[Any]]:
    """Return the condition for rows of a piece, and its values: a partitioned table may have an id on several days."""
    from psycopg import sql

    if chunk.subject is Subject.VERSIONS:  # they lie under the day of the clean-up, not under their own
        return sql.SQL("id = any(%s)"), [list(ids)]
    midnight = datetime.combine(chunk.day, time.min, UTC)
    day = [midnight, midnight + timedelta(days=1)]
    return sql.SQL("id = any(%s) and created_at >= %s and created_at < %s"), [list(ids), *day]


def _refuse_twice(chunk: Chunk, ids: Sequence[int]) -> None:
    if twice := [each for each, following in pairwise(ids) if each == following]:
        raise RefusedError(
            f"{chunk.subject} has id {twice[0]} twice on {chunk.day}, and the archive could not tell one row from the other; neither"
            " was deleted and the clean-up stands still: give one of the two another id, then clear the task"
        )


def columns_of(session: Session, subject: Subject) -> list[tuple[str, str]]:
    """Return name and type of each column that holds something of its own."""
    return session.execute(statement("cleanup_columns"), {"table": str(subject)}).fetchall()


def _copied(session: Session, chunk: Chunk, columns: Sequence[str], ids: Sequence[int], at_most: int) -> bytes | None:
    from psycopg import sql

    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    which, values = _of(chunk, ids)
    query = sql.SQL("copy (select {} from {} where {} order by id) to stdout").format(
        named, place(chunk.subject), which
    )
    text = bytearray()
    with suppress(_TooLargeError), session.cursor().copy(query, values) as copy:
        for piece in copy:
            text += piece
            if len(text) > at_most:
                raise _TooLargeError  # by which the server, too, is told to stop
        return bytes(text)
    return None


class _TooLargeError(Exception):
    """More than one object of the archive holds."""


@contextmanager
def _one_moment(session: Session) -> Iterator[None]:
    session.execute("begin isolation level repeatable read read only")
    try:
        yield
    finally:
        session.execute("rollback")


def place(subject: Subject) -> sql.Identifier:
    """Return the quoted name of a table."""
    from psycopg import sql

    return sql.Identifier("public", str(subject))


def _text(query: str, subject: Subject, *parts: Any) -> Any:
    from psycopg import sql

    return sql.SQL(query).format(place(subject), *parts)
