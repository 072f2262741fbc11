"""Looking at several things side by side: each probe has its own deadline, and a failure is an answer like any other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Generic, TypeVar

from include.errors import PermanentError, RunbookError, TransientError
from include.findings import Blind
from include.masking import one_line

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

REASON_LIMIT = 300
"""Characters of an error that reach a report; the rest is in the task's log."""


def look(probes: Mapping[str, Callable[[], Answer]], deadline_s: float) -> dict[str, Answer | Blind]:
    """Run every probe in a thread of its own and return what each answered, in the order given; it never raises.

    A probe that has not answered `deadline_s` after the start is left behind (its thread ends with the process) and counts as a
    transient Blind, so the whole takes as long as the slowest probe and at most the deadline.
    """
    looks = {name: _Look(probe) for name, probe in probes.items()}
    started = time.monotonic()
    for name, each in looks.items():
        # A copy of the context each, so that what the caller bound to its log lines is bound in the thread too.
        Thread(target=copy_context().run, args=(each.run, name), name=f"look-{name}", daemon=True).start()
    return {name: each.wait(name, started, deadline_s) for name, each in looks.items()}


def blind(error: BaseException) -> Blind:
    """Return what may be said of a failed look: masked, one sentence; transient unless the error tree says permanent."""
    reason = one_line(str(error), REASON_LIMIT) or type(error).__name__
    if not isinstance(error, RunbookError):
        reason = f"{type(error).__name__}: {reason}"
    return Blind(error=type(error).__name__, reason=reason, transient=not isinstance(error, PermanentError))


@dataclass
class _Look(Generic[Answer]):
    probe: Callable[[], Answer]
    done: Event = field(default_factory=Event)
    answers: list[Answer | Blind] = field(default_factory=list)

    def run(self, name: str) -> None:
        try:
            self.answers.append(self.probe())
        except Exception as error:
            if not isinstance(error, RunbookError):
                log.warning("probe %s failed", name, exc_info=True)
            self.answers.append(blind(error))
        finally:
            self.done.set()

    def wait(self, name: str, started: float, deadline_s: float) -> Answer | Blind:
        if self.done.wait(max(0.0, started + deadline_s - time.monotonic())) and self.answers:
            return self.answers[0]
        return blind(TransientError(f"{name} did not answer within {deadline_s:g} s"))
