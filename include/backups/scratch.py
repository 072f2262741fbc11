"""The scratch server: a database for one restore, made and dropped by a role that can do nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from include.backups import moving
from include.backups.lively import asking, lively
from include.backups.login import Login
from include.backups.moving import Flow, Job
from include.backups.programs import Programs, Running, running
from include.errors import (
    ConfigurationError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from include.settings import BackupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

log = logging.getLogger(__name__)

PREFIX = "verify_"
RESTORE_SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}
"""Of the restoring sessions: the database is thrown away, and indexes are most of the work."""
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
                lively("dropping a database", server, session, limits, lambda: _drop(session, name))
            except RunbookError as error:
                log.warning("%s is left for the sweep: %s", name, error)


def _make(session: Session, name: str, like: Mapping[str, Any]) -> None:
    _hold(session, name)
    made = sql.SQL("create database {} encoding {} lc_collate {} lc_ctype {}").format(
        sql.Identifier(name), *(sql.Literal(like[key]) for key in ("encoding", "collate", "ctype"))
    )
    try:
        session.execute(made)
    except (errors.InvalidParameterValue, errors.WrongObjectType) as error:
        raise ConfigurationError(
            f"the scratch server cannot hold a database like the original ({error.diag.message_primary}); initialise it with"
            f" --encoding={like['encoding']} --locale={like['collate']}"
        ) from None


def _drop(session: Session, name: str) -> None:
    """End our own sessions in it, then drop it. FORCE is refused where autovacuum is at work, which a plain drop ends by itself."""
    place = sql.Identifier(name)
    if _lets_in(session, name):  # a dead process' child may come back
        session.execute(sql.SQL("alter database {} connection limit 0").format(place))
    session.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s and usename = current_user",
        [name],
    )
    session.execute(sql.SQL("drop database if exists {}").format(place))


def _lets_in(session: Session, name: str) -> bool:
    """Whether it is there and whole: to alter one that is half dropped (-2) is FATAL, and ends our session."""
    found = session.execute("select from pg_database where datname = %s and datconnlimit <> -2", [name])
    return found.rowcount > 0


def _hold(session: Session, name: str) -> None:
    """Hold a lock that the server gives back when this process dies, however it does."""
    held = session.execute("select pg_try_advisory_lock(hashtext(%s))", [name]).fetchone()
    if held != (True,):
        raise RefusedError(f"another process restores into {name}; let it end")


def sweep(server: Login) -> list[str]:
    """Drop the databases whose process is dead, and return their names."""
    with server.session("backup sweep") as session:
        found = session.execute(
            "select datname from pg_database where starts_with(datname, %s) and pg_try_advisory_lock(hashtext(datname))",
            [PREFIX],
        ).fetchall()
        for (name,) in found:
            _drop(session, name)
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
    """Restore all of an archive; the first error ends it, as VerificationError if it is the archive's."""
    chosen = archive.with_suffix(".list")
    chosen.write_bytes(b"\n".join(line for line in _entries(archive, programs) if not _is_left_out(line)))
    command = [programs.path("pg_restore"), "--exit-on-error", "--no-owner", "--no-tablespaces", "--no-publications"]
    command += ["--no-subscriptions", "--no-security-labels", "--no-password", f"--jobs={limits.restore_jobs}"]
    command += [f"--use-list={chosen}", f"--dbname={target.conninfo}", str(archive)]
    with running(command, target, application="backup restore", **RESTORE_SETTINGS) as program:
        flow = Flow(f"the restore into {target.name}")
        with asking(target, lambda session: _grow(flow, session)):
            stall_s, progress_s = limits.stall_s, limits.progress_s
            moving.run([Job(flow, lambda: _wait(program))], stall_s=stall_s, progress_s=progress_s, stop=program.kill)


def _wait(program: Running) -> None:
    program.output.read()
    try:
        program.check()
    except (TransientError, RefusedError):
        raise
    except PermanentError as error:
        raise VerificationError(str(error)) from None


def _grow(flow: Flow, session: Session) -> None:
    """Let the flow grow with the database; a session that computes moves too, though nothing grows while it sorts."""
    [(bytes_, works)] = session.execute(statement("restore_progress")).fetchall()
    if works or bytes_ > flow.done:
        flow.moved(max(0, bytes_ - flow.done))


def _entries(archive: Path, programs: Programs) -> list[bytes]:
    with running([programs.path("pg_restore"), "--list", str(archive)]) as program:
        said = program.output.read()
        program.check()
    return said.splitlines()


def _is_left_out(line: bytes) -> bool:
    # `2; 3079 16385 COMMENT - EXTENSION amcheck `: after the two numbers comes what it is
    _, _, what = line.partition(b"; ")
    return b" ".join(what.split(b" ")[2:]).decode(errors="replace").startswith(LEFT_OUT)


def check_extensions(target: Login, wanted: Mapping[str, str], limits: BackupLimits) -> None:
    """Refuse if the server lacks an extension that only a superuser can bring: that says nothing about the backup."""
    with target.session("backup extensions") as session:
        here = lively("listing extensions", target, session, limits, lambda: _extensions(session))
    if missing := sorted(wanted.keys() - here):
        raise ConfigurationError(
            f"the scratch server lacks the extension {', '.join(missing)}; install it there and create it in template1"
            " (deploy/postgres/extensions.sql), or no backup can be proved"
        )


def _extensions(session: Session) -> set[str]:
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
