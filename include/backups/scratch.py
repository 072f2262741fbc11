"""The scratch server: a database for one restore, made and dropped by a role that can do nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from include.backups import restoring
from include.backups.lively import lively
from include.backups.login import Login
from include.backups.programs import Programs
from include.errors import ConfigurationError, RunbookError, VerificationError
from include.settings import BackupLimits

if TYPE_CHECKING:
    from include.backups.login import Session

log = logging.getLogger(__name__)

PREFIX = "verify_"
WITHOUT = (
    "--no-owner",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
)
LEFT_OUT = ("COMMENT - EXTENSION ", "EVENT TRIGGER ", "COMMENT - EVENT TRIGGER ", "DEFAULT ACL ")
"""Entries of an archive that only a superuser, or the owner whom they name, can restore."""
NOT_COMPARED = frozenset({"default privileges", "owner"})
"""Kinds of the inventory that a restore here lacks therefore; they are in the archive, and in the fingerprint for a recovery."""


@contextmanager
def database(server: Login, name: str, like: Mapping[str, Any], limits: BackupLimits) -> Iterator[Login]:
    """Make a database and drop it, whatever happens; one that cannot be dropped is left to the sweep.

    :param server: login at any other database of the scratch server.
    :param like: encoding and locale of the original.
    """
    with server.session("backup scratch") as session:
        lively("making a database", server, session, limits, lambda: _make(session, name, like))
        try:
            yield server.to(name)
        finally:
            try:
                lively("dropping a database", server, session, limits, lambda: restoring.drop(session, name))
            except RunbookError as error:
                log.warning("%s is left for the sweep: %s", name, error)


def _make(session: Session, name: str, like: Mapping[str, Any]) -> None:
    restoring.hold(session, name)
    try:
        restoring.create(session, name, like)
    except restoring.WRONG_TEMPLATE as error:
        raise ConfigurationError(
            f"the scratch server cannot hold a database like the original ({error.diag.message_primary}); initialise it with"
            f" --encoding={like['encoding']} --locale={like['collate']}"
        ) from None


def sweep(server: Login) -> list[str]:
    """Drop the databases whose process is dead, and return their names."""
    with server.session("backup sweep") as session:
        found = session.execute(
            "select datname from pg_database where starts_with(datname, %s) and pg_try_advisory_lock(hashtext(datname))",
            [PREFIX],
        ).fetchall()
        for (name,) in found:
            restoring.drop(session, name)
    return [str(name) for (name,) in found]


def make_roles(server: Login, names: Iterable[str], limits: BackupLimits) -> None:
    """Make the roles that the backup's grants and policies name, without a login; those that exist stay as they are.

    They stay: the next restore needs the same ones, and of two at once none may take them from the other.
    """
    with server.session("backup roles") as session:
        lively("making roles", server, session, limits, lambda: _make_roles(session, names))


def _make_roles(session: Session, names: Iterable[str]) -> None:
    for name in names:
        with suppress(
            errors.DuplicateObject, errors.UniqueViolation
        ):  # it is there, or another proof makes it right now
            session.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))


def restore(archive: Path, target: Login, programs: Programs, limits: BackupLimits) -> None:
    """Restore all of an archive but LEFT_OUT; the first error ends it, as VerificationError if it is the archive's."""
    restoring.restore(archive, target, programs, limits, left_out=_is_left_out, options=WITHOUT)


def _is_left_out(what: str) -> bool:
    return what.startswith(LEFT_OUT)


def check_extensions(target: Login, wanted: Mapping[str, str], limits: BackupLimits) -> None:
    """Refuse if the server lacks an extension that only a superuser can bring: that says nothing about the backup."""
    with target.session("backup extensions") as session:
        here = lively("listing extensions", target, session, limits, lambda: extensions(session))
    if missing := sorted(wanted.keys() - here):
        raise ConfigurationError(
            f"the scratch server lacks the extension {', '.join(missing)}; install it there and create it in template1"
            " (deploy/postgres/extensions.sql), or no backup can be proved"
        )


def extensions(session: Session) -> set[str]:
    """Return which of them are there, or can be made by who is no superuser."""
    found = session.execute(
        "select name from pg_available_extension_versions where installed or trusted or not superuser"
    )
    return {name for (name,) in found}


def check_indexes(session: Session, most: int) -> int:
    """Let amcheck look into the largest B-tree indexes, and return how many; VerificationError if one is broken."""
    names = session.execute(
        """
        select c.oid::regclass::text from pg_class c join pg_am a on a.oid = c.relam join pg_index i on i.indexrelid = c.oid
        where a.amname = 'btree' and c.relkind = 'i' and i.indisvalid and i.indisready
            and exists (select from pg_extension where extname = 'amcheck')
        order by pg_relation_size(c.oid) desc, c.oid limit %s
        """,
        [most],
    ).fetchall()
    for (name,) in names:
        try:
            session.execute("select public.bt_index_check(%s::regclass, true)", [name])
        except (errors.IndexCorrupted, errors.DataCorrupted) as error:
            raise VerificationError(
                f"index {name} is broken after the restore ({error.diag.message_primary})"
            ) from None
    return len(names)
