"""Sessions that are watched from a second one: a server that works for us is alive, however long it says nothing.

A line that goes dark is noticed by no time-out of the kernel if something in between goes on acknowledging, and a statement that
computes for an hour is silent too. So another session asks whether the first one's server process works. If nobody can tell for
`backup.stall_s`, we hang up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from include.backups import moving
from include.backups.login import Login, hang_up
from include.backups.moving import Flow, Job
from include.errors import RunbookError
from include.settings import BackupLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

ASKED_EVERY_S = 0.5
BOUNDED_S = 60.0
"""How long a line may be dark under something that takes seconds, while the application is down."""
ENDS_WITHIN_S = 1
"""How long a thread that asks may take to close its session before we hang up for it."""


def lively(what: str, login: Login, session: Session, limits: BackupLimits, deed: Callable[[], Answer]) -> Answer:
    """Do something in a session and return what came of it; TransientError if neither it nor its server shows life."""
    flow = Flow(f"{what} at {login.name}")
    answers: list[Answer] = []
    job = Job(flow, lambda: answers.append(deed()))
    with followed(login, session, flow):
        stop, limit_s, every_s = (lambda: hang_up(session)), limits.stall_s, limits.progress_s
        moving.run([job], stall_s=limit_s, progress_s=every_s, stop=stop)
    return answers[0]


@contextmanager
def bounded(session: Session, within_s: float = BOUNDED_S) -> Iterator[None]:
    """Hang up on a session that takes longer, for what is over in seconds: the server is told to give up earlier by what it does."""
    timer = threading.Timer(within_s, hang_up, [session])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def followed(login: Login, session: Session, flow: Flow) -> Iterator[None]:
    """Let the flow move while the server process of a session works."""

    def ask(other: Session) -> None:
        if other.execute(statement("backend_works"), [session.info.backend_pid]).fetchone() == (True,):
            flow.moved(0)

    with asking(login, ask):
        yield


@contextmanager
def asking(login: Login, ask: Callable[[Session], None]) -> Iterator[None]:
    """Ask something again and again in a session and a thread of their own; while that fails, nobody is told of life."""
    over = threading.Event()
    open_: list[Session] = []

    def keep_asking() -> None:
        while not over.is_set():
            try:
                with login.session("backup progress") as session:
                    open_[:] = [session]
                    _ask_until(over, lambda: ask(session))
            except RunbookError as error:
                if not over.wait(10 * ASKED_EVERY_S):
                    log.info("progress is not seen: %s", error)

    thread = threading.Thread(target=copy_context().run, args=(keep_asking,), name="backup progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        _end(thread, open_)


def _ask_until(over: threading.Event, ask: Callable[[], None]) -> None:
    while not over.wait(ASKED_EVERY_S):
        ask()


def _end(thread: threading.Thread, open_: Sequence[Session]) -> None:
    """Wait until it has closed its session; hang up if it does not. One that is still logging in gives up by itself."""
    thread.join(ENDS_WITHIN_S)
    if thread.is_alive():
        for session in open_:
            hang_up(session)
