"""The window in which ops_restore may log in: opened for an approved recovery, closed by itself, and by us when it is over.

The server holds it (deploy/postgres/orchestrator_window.sql): the role that opens it can do nothing else, and not for longer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from include.backups.login import Login
from include.errors import RefusedError, RunbookError, VerificationError

log = logging.getLogger(__name__)

ROLE = "ops_restore"
OPEN_FOR = timedelta(hours=4) - timedelta(minutes=1)
"""The server lets no window be longer than four hours; ours must still be shorter when it looks."""


@contextmanager
def opened(login: Login) -> Iterator[None]:
    """Let ops_restore log in as long as this process is at work; each process that goes on opens it anew.

    A window that cannot be shut, or whose process dies, is shut by the reaper within the hour, and by the server after four.
    """
    open_window(login, datetime.now(UTC).replace(microsecond=0) + OPEN_FOR)
    try:
        yield
    finally:
        try:
            close_window(login)
        except RunbookError as error:  # what the recovery came to is the news
            log.warning("the window is left to the reaper: %s", error)


def open_window(login: Login, until: datetime) -> None:
    """Let ops_restore log in until a moment within the next four hours; a later call moves the end.

    :param login: as ops_window, at the database `postgres`.
    """
    from psycopg import errors

    with login.session("recovery window") as session:
        try:
            session.execute("select ops_recovery.open_window(%s)", [until])
        except errors.InvalidParameterValue as error:
            raise RefusedError(f"the window of {ROLE} was not opened: {error.diag.message_primary}") from None
    if window(login) != until:
        raise VerificationError(f"the window of {ROLE} was opened, and the server shows another end; close it")


def close_window(login: Login) -> None:
    """Let ops_restore log in no more, and end its sessions; may be called at any time."""
    with login.session("recovery window") as session:
        session.execute("select ops_recovery.close_window()")
    if window(login):
        raise VerificationError(
            f"{ROLE} can still log in at {login.name} though its window was closed; alter role {ROLE} nologin"
        )


def window(login: Login) -> datetime | None:
    """Return until when ops_restore may log in; None if it may not."""
    query = (
        "select rolvaliduntil from pg_roles where rolname = %s and rolcanlogin"
        " and coalesce(rolvaliduntil, 'infinity') > clock_timestamp()"
    )
    with login.session("recovery window") as session:
        found = session.execute(query, [ROLE]).fetchone()
    return found[0] if found else None
