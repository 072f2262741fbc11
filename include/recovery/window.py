"""The window in which ops_restore may log in: opened for an approved recovery, closed by itself, and by us when it is over.

The server holds it (deploy/postgres/orchestrator_window.sql): the role that opens it can do nothing else, and not for longer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from include.backups.login import Login
from include.errors import RefusedError, RunbookError, VerificationError
from include.ops.leases import Lease

log = logging.getLogger(__name__)

ROLE = "ops_restore"
OPEN_FOR = timedelta(hours=4) - timedelta(minutes=1)
"""The server lets no window be longer than four hours; ours must still be shorter when it looks."""
RENEWED_EVERY_S = 1800.0
"""How often a restore that takes longer lengthens it."""


@contextmanager
def opened(login: Login, lease: Lease, *, every_s: float = RENEWED_EVERY_S) -> Iterator[None]:
    """Let ops_restore log in as long as this process is at work; each process that goes on opens it anew.

    What an earlier process left behind is ended first: a session on a host that is gone would hold its locks for hours. A window that
    cannot be shut, or whose process dies, is shut by the reaper within the hour, and by the server after four.

    :param lease: of the operation; who has lost it neither lengthens the window nor shuts it: it is another's.
    """
    close_window(login)
    open_for(login, OPEN_FOR)
    over = threading.Event()
    keeping = threading.Thread(target=_keep_open, args=(login, lease, over, every_s), name="window", daemon=True)
    keeping.start()
    try:
        yield
    finally:
        over.set()
        keeping.join()
        try:
            lease.renew()
            close_window(login)
        except RunbookError as error:  # what the recovery came to is the news
            log.warning("the window is left to the reaper: %s", error)


def _keep_open(login: Login, lease: Lease, over: threading.Event, every_s: float) -> None:
    while not over.wait(every_s):
        try:
            lease.renew()
            open_for(login, OPEN_FOR)
        except RunbookError as error:  # the operation finds out at its next login
            log.warning("the window was not lengthened: %s", error)


def open_for(login: Login, span: timedelta) -> None:
    """Let ops_restore log in for a time from now, by the server's clock."""
    with login.session("recovery window") as session:
        [(now,)] = session.execute("select date_trunc('second', clock_timestamp())").fetchall()
    open_window(login, now + span)


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
