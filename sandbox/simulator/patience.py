"""Waiting, as every loop here needs it: for a while, until told to stop, or longer after each failure."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

log = logging.getLogger("simulator")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait that long, or until `stop` is set; say whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


class Outage:
    """Says once that something does not answer and once that it does again, and how long to wait in between."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.failures = 0

    def failed(self, error: BaseException) -> float:
        """Note a failure; return the pause before the next try."""
        if not self.failures:
            log.warning("%s does not answer, trying on: %s", self.what, _one_line(error))
        self.failures += 1
        return float(min(FIRST_PAUSE_S * 2 ** min(self.failures - 1, 8), LONGEST_PAUSE_S))

    def over(self) -> None:
        """Note that it answered."""
        if self.failures:
            log.warning("%s answers again after %d tries", self.what, self.failures)
        self.failures = 0


async def beside(deed: Callable[[], object]) -> None:
    """Do something that blocks, in a thread that does not hold the process back if it never ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def work() -> None:
        error: BaseException | None = None
        try:
            deed()
        except Exception as raised:  # noqa: BLE001 - it is raised again where somebody waits
            error = raised
        with suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=work, daemon=True).start()
    await done


async def keep_on(
    outage: Outage, deed: Callable[[], Awaitable[None]], stop: asyncio.Event, errors: tuple[type[BaseException], ...]
) -> None:
    """Do it again and again until told to stop; after one of these errors wait longer each time."""
    while not stop.is_set():
        try:
            await deed()
            outage.over()
        except errors as error:
            await stopped_within(stop, outage.failed(error))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
