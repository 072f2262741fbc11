"""A statement that gives way, as autovacuum's own does: behind whoever waits for its lock, readers and writers queue."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from include.errors import RefusedError
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

Answer = TypeVar("Answer")

LOOKS_EVERY_S = 2.0
"""With the second that a wait must last, nobody queues for much longer than three. What is over before opens no second connection."""


class PostponedError(RefusedError):
    """It was not done, or not to the end, since something was in its way; the next week tries again.

    :param waited_s: how long it waited, at its end, for a lock that never came.
    """

    def __init__(self, said: str, *, waited_s: float = 0.0) -> None:
        super().__init__(said)
        self.waited_s = waited_s


def watched(session: Session, work: Callable[[], Answer], watch: Callable[[Future[Answer]], None]) -> Answer:
    """Do the work of a session while `watch` looks on; what that raises cancels the statement."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            watch(running)
        except BaseException:
            with suppress(Exception):
                session.cancel_safe()
            raise
        return running.result()


def give_way(beside: Session, pid: int) -> None:
    """Raise PostponedError if somebody waits for a lock of that session with others behind."""
    if found := beside.execute(statement("maintenance_waiting"), {"pid": pid}).fetchone():
        who, waited_s = found
        raise PostponedError(
            f"ended before its time: {who} waits for it since {waited_s:.1f} s, and readers and writers would queue behind"
        )
