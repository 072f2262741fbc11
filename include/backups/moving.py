"""Jobs that move bytes, side by side, watched: who stands still is stopped, and a line of the log says how far each is."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Thread

from include.backups.sealing import Source
from include.errors import TransientError

log = logging.getLogger(__name__)

LOOKS_PER_S = 5
LEFT_BEHIND_AFTER_S = 10
"""How long a stopped job may take to notice; then its thread, a daemon, is left to end with the process."""


@dataclass
class Flow:
    """Something that moves.

    :param what: `the dump`, for sentences.
    :param total: bytes to expect, 0 if nobody knows.
    """

    what: str
    total: int = 0
    done: int = 0
    moved_at: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.monotonic)

    def moved(self, count: int) -> None:
        """Count bytes, and remember when."""
        self.done += count
        self.moved_at = time.monotonic()

    @property
    def still_s(self) -> float:
        """Seconds since it moved last."""
        return time.monotonic() - self.moved_at

    def __str__(self) -> str:
        """Return `the dump: 1.20 GB of about 3.10 GB (39 %), 85 MB/s, about 22 s left`."""
        if not self.done:
            return f"{self.what}: at it for {time.monotonic() - self.began_at:.0f} s"
        rate = self.done / max(0.001, time.monotonic() - self.began_at)
        said = f"{self.what}: {size(self.done)}"
        if self.total > self.done and rate:
            said += f" of about {size(self.total)} ({100 * self.done // self.total} %)"
        said += f", {rate / 1e6:.0f} MB/s"
        return (
            f"{said}, about {(self.total - self.done) / rate:.0f} s left" if self.total > self.done and rate else said
        )


class Job:
    """A deed in a thread of its own, and the flow by which it shows that it lives."""

    def __init__(self, flow: Flow, deed: Callable[[], None]) -> None:
        self.flow, self.deed = flow, deed
        self.error: BaseException | None = None
        self.failed_at = 0.0
        # A copy of the context, so that what the caller bound to its log lines is bound in the thread too.
        self.thread = Thread(target=copy_context().run, args=(self._run,), name=flow.what, daemon=True)

    def _run(self) -> None:
        try:
            self.deed()
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            self.error, self.failed_at = error, time.monotonic()

    @property
    def runs(self) -> bool:
        """Whether it is at it."""
        return self.thread.is_alive()


def run(jobs: Sequence[Job], *, stall_s: float, progress_s: float, stop: Callable[[], None]) -> None:
    """Run the jobs to their end; raise the first error of any, or TransientError for one that stood still.

    :param stop: ends all of them from outside; called on any error, one of the caller's own thread included.
    """
    for job in jobs:
        job.thread.start()
    try:
        _watch(jobs, stall_s, progress_s)
    except BaseException:
        try:
            stop()
        finally:
            for job in jobs:
                job.thread.join(LEFT_BEHIND_AFTER_S)
        raise


def _watch(jobs: Sequence[Job], stall_s: float, progress_s: float) -> None:
    said_at = time.monotonic()
    while running := [job for job in jobs if job.runs]:
        running[0].thread.join(1 / LOOKS_PER_S)
        _raise_first(jobs)
        for job in running:
            if job.runs and job.flow.still_s > stall_s:
                raise TransientError(
                    f"{job.flow.what} stood still for {stall_s:g} s after {size(job.flow.done)} and was ended; look at the"
                    " network and at locks, then try again"
                )
        if time.monotonic() - said_at > progress_s:
            said_at = time.monotonic()
            log.info("%s", "; ".join(dict.fromkeys(str(job.flow) for job in jobs)))
    _raise_first(jobs)


def _raise_first(jobs: Sequence[Job]) -> None:
    for job in sorted(jobs, key=lambda job: job.failed_at):
        if job.error:
            raise job.error


class Tap:
    """A source that counts and hashes what is read from it."""

    def __init__(self, source: Source, flow: Flow) -> None:
        self.source, self.flow = source, flow
        self.digest = hashlib.sha256()
        self.bytes = 0

    def read(self, length: int = -1) -> bytes:
        """Return up to `length` bytes."""
        data = self.source.read(length)
        self.digest.update(data)
        self.bytes += len(data)
        self.flow.moved(len(data))
        return data


def size(count: float) -> str:
    """Return `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
