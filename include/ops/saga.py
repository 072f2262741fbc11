"""An operation of several steps, each of which can be done again and undone: killed anywhere, it goes on from its journal.

Every step is written down before it begins and after it ended. Whoever runs the operation next skips what ended and does once more
what only began, so a step must bear that. If a step fails for good, all that began is undone in reverse, and once it is going back it
goes all the way back. A step that failed for now (TransientError), a lost lease and a stop order leave everything where it is, to go
on later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.errors import RefusedError, RunbookError, TransientError, VerificationError
from include.ops import journal
from include.ops.journal import Entry, Journal, Phase
from include.ops.leases import HeldBackError, Lease

log = logging.getLogger(__name__)

DONE, UNDONE, BACK = "done", "undone", "going back"
"""Steps of the journal that say how the whole operation ended, and that it turned round."""

Facts = dict[str, Mapping[str, Any]]
"""What each step that ended left behind, by its name."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    :param do: what it does; returns the facts to keep, JSON values. It may have been done before, wholly or in part.
    :param undo: what takes it back, also if it only began; None if there is nothing to take back.
    """

    name: str
    do: Callable[[], Mapping[str, Any] | None]
    undo: Callable[[], None] | None = None


@dataclass(frozen=True)
class Saga:
    """An operation at work.

    :param lease: asked before every step.
    :param subject: what it is, for people: `recovery 1f0c9a2e of orchestrator`.
    :param facts: filled from the journal and by every step that ends; the steps read them there.
    :param undone: how everything is when it was undone, for people.
    """

    journal: Journal
    lease: Lease
    steps: Sequence[Step]
    subject: str
    facts: Facts = field(default_factory=dict)
    undone: str = "everything is as it was before"

    def run(self) -> Facts:
        """Go on to the end and return the facts; VerificationError when it had to be undone, RefusedError when it was undone before.

        One that is done changes nothing more: a process may die after its last step, and the scheduler tries again.
        """
        lines = self._remember()
        if DONE in self.facts:
            log.info("%s is done already; nothing was changed", self.subject)
            return self.facts
        if back := journal.last(lines, BACK, Phase.INTENT):
            self._go_back(str(back.detail.get("why", "")))
        for step in self.steps:
            if step.name not in self.facts:
                self._do(step)
        self.journal.record(DONE)
        return self.facts

    def undo(self, why: str) -> None:
        """Take all of it back, also after it was done; returns when it is undone."""
        lines = self._remember()
        if not journal.last(lines, BACK, Phase.INTENT):
            self._turn_round(why)
        self._undo_all()

    def _remember(self) -> Sequence[Entry]:
        lines = self.journal.entries()
        self.facts.update({each.step: each.detail for each in lines if each.phase is Phase.OUTCOME})
        if UNDONE in self.facts:
            raise RefusedError(f"{self.subject} is undone already; nothing was changed, begin a new one")
        return lines

    def _do(self, step: Step) -> None:
        self.lease.guard()
        self.journal.intend(step.name)
        log.info("%s: %s", self.subject, step.name)
        try:
            facts = step.do() or {}
        except (TransientError, HeldBackError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the way back is the safe one
            said = str(error) if isinstance(error, RunbookError) else f"{type(error).__name__}: {error}"
            why = f"{step.name}: {said}"
            self._turn_round(why)
            self._go_back(why, error)
        self.journal.record(step.name, **facts)
        self.facts[step.name] = facts

    def _turn_round(self, why: str) -> None:
        self.lease.guard()
        self.journal.intend(BACK, why=why)
        log.warning("%s goes back: %s", self.subject, why)

    def _go_back(self, why: str, cause: Exception | None = None) -> None:
        self._undo_all()
        raise VerificationError(
            f"{self.subject} was undone, {self.undone}: {why}; mend that and begin a new one"
        ) from cause

    def _undo_all(self) -> None:
        began = {each.step for each in self.journal.entries() if each.phase is Phase.INTENT}
        for step in reversed(self.steps):
            name = f"undo {step.name}"
            if step.undo and step.name in began and name not in self.facts:
                self.lease.guard()
                self.journal.intend(name)
                log.info("%s: %s", self.subject, name)
                step.undo()
                self.journal.record(name)
        self.journal.record(UNDONE)
