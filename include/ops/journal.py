"""The journal of an operation: what it was about to do, and what came of it, so that whoever comes after can go on or go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from include.ops.database import OpsDatabase

CLOCK = "clock"
"""The line with the moment that a run judges by; nothing was touched yet."""


class Phase(StrEnum):
    """Before an effect, and after it."""

    INTENT = "intent"
    OUTCOME = "outcome"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the journal; `detail` holds JSON values."""

    step: str
    phase: Phase
    at: datetime
    by: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Journal:
    """The journal of one operation, written by one process.

    :param token: of its lease; once a newer one has written, this process writes nothing more.
    :param by: who writes, for people.
    """

    ops: OpsDatabase
    op_id: str
    by: str
    token: int | None = None

    def intend(self, step: str, **detail: Any) -> None:
        """Write what is about to be done; RefusedError if a newer process of the operation goes on."""
        self._write(step, Phase.INTENT, detail)

    def record(self, step: str, **detail: Any) -> None:
        """Write what came of it."""
        self._write(step, Phase.OUTCOME, detail)

    def entries(self) -> Sequence[Entry]:
        """Return all lines of the operation, oldest first."""
        return entries(self.ops, self.op_id)

    def _write(self, step: str, phase: Phase, detail: Mapping[str, Any]) -> None:
        from psycopg.types.json import Jsonb

        self.ops.ask("write_journal", self.op_id, step, phase.value, self.token, self.by, Jsonb(dict(detail)))


def entries(ops: OpsDatabase, op_id: str) -> Sequence[Entry]:
    """Return all lines of an operation, oldest first; none if it is not known."""
    with ops.session() as session:
        rows = session.execute(
            "select step, phase, at, by, detail from ops.journal where op_id = %s order by id", [op_id]
        ).fetchall()
    return [Entry(step=step, phase=Phase(phase), at=at, by=by, detail=detail) for step, phase, at, by, detail in rows]


def last(lines: Sequence[Entry], step: str, phase: Phase = Phase.OUTCOME) -> Entry | None:
    """Return the newest line of a step in a phase."""
    return next((each for each in reversed(lines) if (each.step, each.phase) == (step, phase)), None)
