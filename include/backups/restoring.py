"""Fill a new database from an archive: on the scratch server for a proof, beside the running database for a recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import errors, sql

from include.backups import moving
from include.backups.lively import asking
from include.backups.login import Login
from include.backups.moving import Flow, Job
from include.backups.programs import Programs, Running, running
from include.errors import ConfigurationError, PermanentError, RefusedError, TransientError, VerificationError
from include.settings import BackupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "128MB", "max_parallel_maintenance_workers": "0"}
"""Of the restoring sessions: a restore that is cut off is thrown away, and indexes are most of the work."""
_RULES = ("encoding", "collate", "ctype")
_PROVIDERS: Mapping[str, LiteralString] = {
    "i": "locale_provider icu icu_locale {}",
    "b": "locale_provider builtin builtin_locale {}",
}


def hold(session: Session, name: str) -> None:
    """Hold a lock that the server gives back when this process dies, however it does."""
    held = session.execute("select pg_try_advisory_lock(hashtext(%s))", [name]).fetchone()
    if held != (True,):
        raise TransientError(f"another process restores into {name}; it goes on when that one has ended")


def create(
    session: Session,
    name: str,
    like: Mapping[str, Any],
    *,
    template: str = "",
    owner: str = "",
    closed: int | None = None,
) -> None:
    """Make a database with the encoding and locale of the original; one of WRONG_TEMPLATE if the template does not allow it.

    :param closed: let nobody in yet, and carry this connection limit, by which its maker knows it.
    """
    choices = [sql.SQL("encoding {} lc_collate {} lc_ctype {}").format(*(sql.Literal(like[key]) for key in _RULES))]
    if like.get("locale") and like["provider"] in _PROVIDERS:
        choices.append(sql.SQL(_PROVIDERS[like["provider"]]).format(sql.Literal(like["locale"])))
    if template:
        choices.append(sql.SQL("template {}").format(sql.Identifier(template)))
    if owner:
        choices.append(sql.SQL("owner {}").format(sql.Identifier(owner)))
    if closed is not None:
        choices.append(sql.SQL("allow_connections false connection limit {}").format(sql.Literal(closed)))
    session.execute(sql.SQL("create database {} {}").format(sql.Identifier(name), sql.SQL(" ").join(choices)))


def drop(session: Session, name: str) -> None:
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


def entries(archive: Path, programs: Programs) -> list[str]:
    """Return the lines of an archive's table of contents: `2; 3079 16385 COMMENT - EXTENSION amcheck `."""
    with running([programs.path("pg_restore"), "--list", str(archive)]) as program:
        said = program.output.read()
        program.check()
    return said.decode(errors="surrogateescape").splitlines()


def what(line: str) -> str:
    """Return what an entry is, after its numbers: `COMMENT - EXTENSION amcheck `, `TABLE public users orchestrator_owner`."""
    return " ".join(line.partition("; ")[2].split(" ")[2:])


def restore(
    archive: Path,
    target: Login,
    programs: Programs,
    limits: BackupLimits,
    *,
    left_out: Callable[[str], bool],
    options: Sequence[str] = (),
) -> None:
    """Restore an archive; the first error ends it, as VerificationError if it is the archive's.

    :param left_out: says of an entry (`what`) that it is not restored.
    """
    chosen = archive.with_suffix(".list")
    kept = "\n".join(line for line in entries(archive, programs) if not left_out(what(line)))
    chosen.write_bytes(kept.encode(errors="surrogateescape"))
    command = [programs.path("pg_restore"), "--exit-on-error", "--no-password", *options]
    command += [f"--jobs={limits.restore_jobs}", f"--use-list={chosen}", f"--dbname={target.conninfo}", str(archive)]
    with running(command, target, application="backup restore", **SETTINGS) as program:
        flow = Flow(f"the restore into {target.name}")
        with asking(target, lambda session: _grow(flow, session)):
            stall_s, progress_s = limits.stall_s, limits.progress_s
            moving.run([Job(flow, lambda: _wait(program))], stall_s=stall_s, progress_s=progress_s, stop=program.kill)


def _wait(program: Running) -> None:
    program.output.read()
    try:
        program.check()
    except (TransientError, RefusedError, ConfigurationError):
        raise
    except PermanentError as error:
        raise VerificationError(str(error)) from None


def _grow(flow: Flow, session: Session) -> None:
    """Let the flow grow with the database; a session that computes moves too, though nothing grows while it sorts."""
    [(bytes_, works)] = session.execute(statement("restore_progress")).fetchall()
    if works or bytes_ > flow.done:
        flow.moved(max(0, bytes_ - flow.done))


WRONG_TEMPLATE = (errors.InvalidParameterValue, errors.WrongObjectType)
"""How the server says that no database like the original can be made of the template."""
