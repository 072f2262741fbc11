"""What a recovery needs beside the backup, and what of it is not there: all of it at once, before anything is restored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from include.backups.moving import size


class Piece(StrEnum):
    """What can be missing on the day when it is needed."""

    STORE = "credentials of the store"
    KEY = "key"
    TARGET = "target server"
    EMPTY = "empty target"
    VERSION = "version"
    PROGRAM = "programs"
    RIGHTS = "rights"
    ROLES = "roles"
    EXTENSIONS = "extensions"
    LOCALE = "locale"
    SPACE = "space"
    OTHER = "something nobody had thought of"


ALL = tuple(piece for piece in Piece if piece is not Piece.OTHER)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """One piece that is not there, and what a person would have to do: each of them is a manual step, and so a failed test."""

    piece: Piece
    said: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server that is to be recovered into, before anything is done there.

    :param major: version of PostgreSQL; `restore_major` that of pg_restore on the worker.
    :param databases: whatever lies there already; `tables` counts those in the database that the login leads to.
    :param roles: all that exist.
    :param extensions: that are there in a new database, or can be made by who is no superuser.
    :param locale: why no database like the original can be made; "" if one can.
    :param spool_free: bytes where the opened dump will lie.
    """

    name: str
    major: int
    restore_major: int
    databases: Sequence[str]
    tables: int
    roles: frozenset[str]
    makes_databases: bool
    makes_roles: bool
    extensions: frozenset[str]
    locale: str
    spool_free: int


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one backup asks of a server.

    :param spool_bytes: of the opened dump, and the reserve that must stay free beside it.
    """

    major: int
    roles: frozenset[str]
    extensions: frozenset[str]
    spool_bytes: int


def lacking(target: Target, needs: Needs) -> Iterator[Missing]:
    """Everything that stands between an empty server and a restored database."""
    yield from _not_empty(target)
    yield from _too_old(target, needs)
    yield from _not_allowed(target, needs)
    yield from _not_there(target, needs)


def _not_empty(target: Target) -> Iterator[Missing]:
    there = [f"database {name}" for name in target.databases]
    if target.tables:
        there.append(f"{target.tables} tables in the database that the login leads to")
    if there:
        said = f"{target.name} is not empty: it holds {', '.join(there[:5])}; name an empty server in connections.dr_target"
        yield Missing(piece=Piece.EMPTY, said=said)


def _too_old(target: Target, needs: Needs) -> Iterator[Missing]:
    if target.major < needs.major:
        said = f"{target.name} is PostgreSQL {target.major} and the backup is of {needs.major}: install {needs.major} or newer"
        yield Missing(piece=Piece.VERSION, said=said)
    if target.restore_major < needs.major:
        said = f"pg_restore is {target.restore_major} and the backup is of {needs.major}: install the clients of {needs.major}"
        yield Missing(piece=Piece.PROGRAM, said=said)


def _not_allowed(target: Target, needs: Needs) -> Iterator[Missing]:
    if not target.makes_databases:
        yield Missing(
            piece=Piece.RIGHTS,
            said=f"the login at {target.name} may not make databases: alter role … createdb, as its superuser",
        )
    absent = sorted(needs.roles - target.roles)
    if absent and not target.makes_roles:
        yield Missing(
            piece=Piece.ROLES,
            said=f"{target.name} lacks the roles {', '.join(absent[:10])}, and the login may not make them: make them as its"
            " superuser (python -m include.backups roles)",
        )


def _not_there(target: Target, needs: Needs) -> Iterator[Missing]:
    if target.locale:
        yield Missing(piece=Piece.LOCALE, said=target.locale)
    elif absent := sorted(needs.extensions - target.extensions) if target.makes_databases else []:
        yield Missing(
            piece=Piece.EXTENSIONS,
            said=f"{target.name} lacks the extensions {', '.join(absent)}: install them there, and create those that only a"
            " superuser may in template1 (deploy/postgres/extensions.sql)",
        )
    if target.spool_free < needs.spool_bytes:
        yield Missing(
            piece=Piece.SPACE,
            said=f"the spool has {size(target.spool_free)} free and the opened dump needs {size(needs.spool_bytes)} with the"
            " reserve: free some space, or set backup.spool to another disk",
        )
