"""Swap the restored database in, swap it back, and drop what is no longer needed: each decides from what the server shows.

Both renames, both comments and both doors change in one transaction: whoever is killed leaves all of it or nothing, and whoever is
called again sees which.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import OperationalError, errors, sql

from include.backups import restoring
from include.backups.lively import bounded
from include.backups.login import Login
from include.errors import RefusedError, TransientError, VerificationError
from include.recovery import databases
from include.recovery.databases import Database, Databases, Mark, comment, let_in, look, set_mark
from include.recovery.doors import end, inside
from include.settings import RestoreLimits

if TYPE_CHECKING:
    from include.backups.login import Session

log = logging.getLogger(__name__)

LOCK_TIMEOUT = "2s"
PAUSE_S = 0.1


def swap(login: Login, database: str, op_id: str, limits: RestoreLimits) -> Databases:
    """Make the compared database the running one, and let sessions in; does nothing if that is so.

    RefusedError if it was not compared, if it is not ours, or if the doors of the running one are open (`close_doors`).
    """
    return _exchange(login, Aim(database, op_id, _swapped, lambda seen: seen.is_swapped), limits)


def swap_back(login: Login, database: str, op_id: str, limits: RestoreLimits) -> Databases:
    """Make the old database the running one again, and let sessions in; does nothing if it is.

    What was written since the swap stays in the restored one, which is kept, and which no swap takes again.
    """
    return _exchange(login, Aim(database, op_id, _returned, lambda seen: seen.is_returned), limits)


def drop_restore(login: Login, database: str, op_id: str) -> bool:
    """Drop what was restored and is not the running one; return whether there was anything."""
    with login.session("recovery drop") as session:
        seen = look(session, databases.names(database, op_id), op_id)
        databases.refuse_foreign(seen)
        if not seen.restore:
            return False
        restoring.hold(session, seen.names.restore)
        restoring.drop(session, seen.names.restore)
        return True


def drop_before(login: Login, database: str, op_id: str, limits: RestoreLimits) -> bool:
    """Drop what was swapped away, a week or more after; return whether there was anything. Never by force: who is in it, stays."""
    with login.session("recovery drop") as session:
        seen = look(session, databases.names(database, op_id), op_id)
        databases.refuse_foreign(seen)
        if not seen.before:
            return False
        _refuse_young(seen, seen.before, limits)
        try:
            session.execute(sql.SQL("drop database {}").format(sql.Identifier(seen.names.before)))
        except errors.ObjectInUse:
            who = ", ".join(map(str, inside(session, seen.names.before)))
            raise RefusedError(
                f"somebody is in {seen.names.before}, which was not dropped: {who or 'a slot'}"
            ) from None
        return True


def _refuse_young(seen: Databases, before: Database, limits: RestoreLimits) -> None:
    if not seen.running:
        raise RefusedError(f"{before.name} is all that there is of {seen.names.database}; it was not dropped")
    assert before.mark  # it is not foreign
    if min(seen.now, datetime.now(UTC)) - before.mark.at < timedelta(days=limits.keep_days):
        raise RefusedError(
            f"{before.name} was swapped away at {before.mark.at:%Y-%m-%d %H:%MZ} and stays for {limits.keep_days} days"
            " (restore.keep_days); it was not dropped"
        )


# --- the exchange -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """An exchange, and how to see that it was done."""

    database: str
    op_id: str
    deed: Callable[[Session, Databases], None]
    is_done: Callable[[Databases], bool]


def _exchange(login: Login, aim: Aim, limits: RestoreLimits) -> Databases:
    """Do it unless it is done; if the line breaks in the middle, look whether it was."""
    until = time.monotonic() + limits.swap_deadline_s
    while True:
        try:
            return _once(login, aim)
        except TransientError as error:
            if time.monotonic() > until:
                raise TransientError(
                    f"{error}; the swap of {aim.database} is either whole or has not begun: when the server answers, call it"
                    " again, it looks first"
                ) from None
            log.info("%s is looked at again: %s", aim.database, error)
            time.sleep(PAUSE_S)


def _once(login: Login, aim: Aim) -> Databases:
    with login.session("recovery swap", lock_timeout=LOCK_TIMEOUT) as session, bounded(session):
        seen = look(session, databases.names(aim.database, aim.op_id), aim.op_id)
        if aim.is_done(seen):
            return seen
        _clear(session, seen)
        try:
            with session.transaction():
                aim.deed(session, seen)
        except (errors.ObjectInUse, errors.LockNotAvailable, OperationalError) as error:
            raise TransientError(f"the swap of {aim.database} was cut off ({str(error).splitlines()[0]})") from None
    return _verified(login, aim)


def _clear(session: Session, seen: Databases) -> None:
    databases.refuse_foreign(seen)
    if databases.changeable(seen).allow_connections:
        raise RefusedError(
            f"the doors of {seen.names.database} are open: nothing was renamed; close them first (close_doors)"
        )
    for name in (each.name for each in (seen.running, seen.restore, seen.before) if each):
        end(session, inside(session, name))  # of ours, late ones; a rename waits five seconds for them to go


def _verified(login: Login, aim: Aim) -> Databases:
    seen = databases.observe(login, aim.database, aim.op_id)
    if not aim.is_done(seen) or not seen.running or not seen.running.allow_connections:
        raise VerificationError(
            f"the swap of {aim.database} was committed, and the server shows something else (observe); look at the list of"
            " databases before anything else is done"
        )
    return seen


def _swapped(session: Session, seen: Databases) -> None:
    running, restored = seen.running, seen.restore
    if not restored or not restored.mark or restored.state(seen.op_id) != "compared":
        state = restored.state(seen.op_id) if restored else "missing"
        raise RefusedError(f"{seen.names.restore} is {state}, not compared: nothing was renamed; restore it first")
    if seen.before:
        raise RefusedError(f"there is a {seen.names.before} already beside {seen.names.restore}: nothing was renamed")
    assert running  # it is changeable
    kept = {"comment": running.comment, "replaced_by": restored.mark, "replaced_by_oid": restored.oid}
    _rename(session, running, seen.names.before)
    _rename(session, restored, seen.names.database)
    set_mark(session, seen.names.before, Mark(op_id=seen.op_id, state="before", at=seen.now, **kept))
    comment(session, seen.names.database, restored.mark.comment)
    let_in(session, seen.names.database, allowed=True)


def _returned(session: Session, seen: Databases) -> None:
    running, before = seen.running, seen.before
    if not seen.is_swapped or not running or not before or not before.mark:
        raise RefusedError(f"{seen.names.database} was not swapped by this recovery: there is nothing to swap back")
    kept = before.mark.replaced_by or Mark(op_id=seen.op_id, state="returned", at=seen.now)
    _rename(session, running, seen.names.restore)
    _rename(session, before, seen.names.database)
    returned = kept.model_copy(update={"state": "returned", "at": seen.now, "comment": running.comment})
    set_mark(session, seen.names.restore, returned)
    comment(session, seen.names.database, before.mark.comment)
    let_in(session, seen.names.database, allowed=True)


def _rename(session: Session, database: Database, to: str) -> None:
    """Rename the database that was looked at, and no other that has its name by now."""
    names = sql.Identifier(database.name), sql.Identifier(to)
    session.execute(sql.SQL("alter database {} rename to {}").format(*names))
    query = "select oid::int8, shobj_description(oid, 'pg_database') from pg_database where datname = %s"
    if session.execute(query, [to]).fetchone() != (database.oid, database.comment):
        raise VerificationError(f"{database.name} became another database while it was renamed; nothing was changed")
