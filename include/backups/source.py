"""The database that is backed up: is it the one that is meant, can it be read, and one moment of it held still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from include.backups.lively import lively
from include.backups.login import Login
from include.errors import ConfigurationError, TransientError
from include.settings import BackupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

Thing = TypeVar("Thing")

BLOCK_BYTES = 8192
LOCKED_AT_ONCE = 500
TRIES = 3
"""How often the list of tables may change under us before we ask to come back later."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where the login arrived."""

    database: str
    system_identifier: str
    server_version: str
    major: int
    in_recovery: bool
    offers_tls: bool
    uses_tls: bool
    now: datetime
    lag_s: float
    database_bytes: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: how many blocks it had when it was listed, and the statement that counts and hashes its rows.

    :param root: quoted name of the table whose partition it is; its own if it is none.
    """

    oid: int
    name: str
    root: str
    has_rows: bool
    blocks: int
    hashing: str

    @property
    def bytes(self) -> int:
        """Size of its rows, what lies outside of them not counted."""
        return BLOCK_BYTES * self.blocks


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of the database, held as long as its session lives; no table can change its shape meanwhile."""

    session: Session
    name: str
    taken_at: datetime
    lsn: str
    last_commit_at: datetime | None
    tables: Sequence[Table]


def look(session: Session) -> Server:
    """Ask the server who it is."""
    return Server(**one(session, "backup_source"))


def refuse(server: Server, limits: BackupLimits, *, dump_major: int, known_identifier: str = "") -> None:
    """Raise ConfigurationError with the setting to change if this is not the database to back up, or not from here.

    :param known_identifier: of the cluster that the newest good backup came from; "" if there is none.
    """
    if server.database != limits.database:
        raise ConfigurationError(
            f"the login leads into database {server.database!r}, not {limits.database!r}; correct the schema of the"
            " Connection in connections.backup_source, or backup.database"
        )
    expected = limits.system_identifier or known_identifier
    if expected and server.system_identifier != expected:
        raise ConfigurationError(
            f"the server is cluster {server.system_identifier}, the backups are of {expected}; correct the Connection in"
            " connections.backup_source, or set backup.system_identifier to the new one if the cluster was replaced on purpose"
        )
    if dump_major < server.major:
        raise ConfigurationError(
            f"pg_dump is of PostgreSQL {dump_major} and the server of {server.major}: a client must not be older; install a"
            " newer one and name its folder in backup.programs"
        )
    if server.offers_tls and not server.uses_tls:
        raise ConfigurationError(
            "the server offers TLS and the login does not use it: a bit that flips on a plain line is a wrong row; set"
            " sslmode to verify-full or require in the extra of the Connection in connections.backup_source"
        )
    if server.lag_s > limits.standby_lag_max_s:
        behind = f"{server.lag_s:.0f} s behind" if isfinite(server.lag_s) else "behind by nobody knows how much"
        raise ConfigurationError(
            f"the standby is {behind} (limit {limits.standby_lag_max_s:.0f} s): its backup would already be old; let"
            " connections.backup_source lead to the primary, or raise backup.standby_lag_max_s"
        )


@contextmanager
def snapshot(login: Login, limits: BackupLimits) -> Iterator[Snapshot]:
    """Hold one moment of the database still.

    Every table is locked (against a change of shape, not against writing) before the moment is taken: a table that is truncated or
    rewritten between the two would look empty in it.
    """
    with login.session("backup snapshot") as session:
        taken = lively("the snapshot", login, session, limits, lambda: _within_tries(session))
        if taken is None:
            raise TransientError(
                f"tables of {login.name} came or went {TRIES} times between being listed and being locked; nothing was read"
            )
        yield taken


def _within_tries(session: Session) -> Snapshot | None:
    settle(session)
    return next((taken for taken in (_taken(session) for _ in range(TRIES)) if taken), None)


def settle(session: Session) -> None:
    """Fix everything by which two sessions could write the same value differently."""
    session.execute(statement("backup_settle"))


def _taken(session: Session) -> Snapshot | None:
    from psycopg import errors

    before = tables(session)
    session.execute("begin isolation level repeatable read read only")
    try:
        _lock(session, before)
    except errors.UndefinedTable:
        session.execute("rollback")
        return None
    moment = one(session, "backup_snapshot")
    held = tables(session)
    if {table.oid for table in held} == {table.oid for table in before}:
        name = moment.pop("snapshot")
        return Snapshot(session=session, name=name, tables=held, **moment)
    session.execute("rollback")
    return None


def _lock(session: Session, listed: Sequence[Table]) -> None:
    for batch in batches(listed, LOCKED_AT_ONCE):
        names = ", ".join(f"only {table.name}" for table in batch)
        session.execute(f"lock table {names} in access share mode".encode())  # the server quoted the names


def tables(session: Session) -> list[Table]:
    """List the tables that a dump reads."""
    return [Table(**row) for row in rows(session, "backup_tables")]


def rows(session: Session, name: str) -> list[dict[str, Any]]:
    """Return the rows of a statement of ours."""
    from psycopg.rows import dict_row

    return session.cursor(row_factory=dict_row).execute(statement(name)).fetchall()


def one(session: Session, name: str) -> dict[str, Any]:
    """Return the only row of a statement of ours."""
    (row,) = rows(session, name)
    return row


def batches(things: Sequence[Thing], size: int) -> Iterator[Sequence[Thing]]:
    """Cut a sequence into pieces of at most `size`."""
    return (things[start : start + size] for start in range(0, len(things), size))
