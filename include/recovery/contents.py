"""What of an archive a role without superuser can restore, with every owner as it was, and what a superuser must have prepared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from include.backups import compare, restoring, source
from include.backups.fingerprint import Fingerprint
from include.backups.login import Login
from include.backups.programs import Programs
from include.errors import ConfigurationError, VerificationError
from include.settings import BackupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

Beyond = Mapping[tuple[str, str], "Thing"]

PREPARED = (
    "ACL ",
    "DEFAULT ACL ",
    "EVENT TRIGGER ",
    "COMMENT ",
    "PUBLICATION ",
    "PUBLICATION TABLE ",
    "SECURITY LABEL ",
)
"""Entries that a template can hold instead; of another kind whose owner we cannot be there must be none."""


def refuse(archive: Path, programs: Programs, login: Login, wanted: Fingerprint) -> None:
    """Raise ConfigurationError if something belongs to a role as which the restore may not act."""
    with login.session("recovery owners") as session:
        beyond = _beyond_us(session, wanted.roles)
    lines = map(restoring.what, restoring.entries(archive, programs))
    theirs = [line for line in lines if _owner(line, wanted.roles) in beyond and not line.startswith(PREPARED)]
    if theirs:
        raise ConfigurationError(
            f"a restore may not give to their owners: {compare.told(theirs)}; nothing was made: grant those roles to the one that"
            " recovers, or let orchestrator_owner own what is a superuser's (in the running database, before the next backup)"
        )


def restore(archive: Path, target: Login, programs: Programs, limits: BackupLimits) -> None:
    """Restore all that the template does not hold already; the first error ends it."""
    with target.session("recovery owners") as session:
        names = session.execute("select rolname from pg_roles").fetchall()
        known = [name for (name,) in names]
        beyond = _beyond_us(session, known)
        there = session.execute("select extname from pg_extension").fetchall()
    comments = tuple(f"COMMENT - EXTENSION {name} " for (name,) in there)

    def left_out(what: str) -> bool:
        return what.startswith(comments) or (what.startswith(PREPARED) and _owner(what, known) in beyond)

    restoring.restore(archive, target, programs, limits, left_out=left_out)


def _beyond_us(session: Session, roles: Collection[str]) -> set[str]:
    """Return those as which this login may not act."""
    query = "select rolname from pg_roles where rolname = any(%s) and not pg_has_role(oid, 'set')"
    return {name for (name,) in session.execute(query, [list(roles)])}


def _owner(what: str, roles: Collection[str]) -> str:
    """Return the role at the end of an entry: names may hold spaces, so it is the longest that fits."""
    found = [role for role in roles if what.endswith(f" {role.replace(chr(10), ' ')}")]
    return max(found, key=len, default="")


def give_away(session: Session, owner: str) -> None:
    """Let what has no owner in an archive, such as extensions, belong to the owner of the database, not to who restored it."""
    session.execute(sql.SQL("reassign owned by current_user to {}").format(sql.Identifier(owner)))


def analyze(session: Session) -> None:
    """Analyze every table; those that autovacuum is at come last, and alone.

    Whoever waits for autovacuum waits a second until it gives way, and then for the next table, which it has gone on to.
    """
    session.execute("analyze (skip_locked)")
    for (name,) in session.execute(statement("recovery_unanalyzed")).fetchall():
        session.execute(f"analyze {name}".encode())  # the server quoted it
    if left := session.execute(statement("recovery_unanalyzed")).fetchall():
        raise VerificationError(f"table {left[0][0]} was not analyzed, and {len(left) - 1} others")


@dataclass(frozen=True)
class Thing:
    """Something that no archive holds, or that only a superuser can restore from one.

    :param comes_back: whether a restore without superuser makes it all the same.
    """

    definition: str
    comes_back: bool


def beyond(session: Session) -> dict[tuple[str, str], Thing]:
    """Return all of it in the database that the session is in, by kind and name."""
    source.settle(session)
    rows = session.execute(statement("recovery_beyond")).fetchall()
    return {(kind, name): Thing(definition or "", comes_back) for kind, name, definition, comes_back in rows}


def foreseen(running: Beyond, template: Beyond) -> list[str]:
    """Return what a database made of the template will lack, whatever is restored into it."""
    mine = {place: thing for place, thing in running.items() if not thing.comes_back or place in template}
    return lacking(mine, template)


def lacking(running: Beyond, restored: Beyond) -> list[str]:
    """Return what the running database holds beyond an archive and the restored one does not, or holds otherwise."""
    missing, added = sorted(running.keys() - restored.keys()), sorted(restored.keys() - running.keys())
    both = sorted(running.keys() & restored.keys())
    return [
        *(f"{kind} {name}" for kind, name in missing),
        *(f"{kind} {name} (was not there)" for kind, name in added),
        *(f"{kind} {name} (otherwise)" for kind, name in both if running[kind, name] != restored[kind, name]),
    ]
