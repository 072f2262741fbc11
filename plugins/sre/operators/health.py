"""What the morning's checks share: the clock, and what the evidence remembers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.errors import RunbookError
from include.ops.evidence import Recorded
from sre.operators.base import CheckOperator

YESTERDAY = timedelta(hours=20)
"""A value at least this old is yesterday's: a second run this morning compares with the same one as the first."""


class HealthOperator(CheckOperator):
    """A check that compares with what was recorded before."""

    def now(self) -> datetime:
        """The moment of the look; one for all of it."""
        return datetime.now(UTC)

    def counters_of_yesterday(self, item: str) -> dict[str, float]:
        """Return the last values of an item by subject; nothing if there are none, or if they cannot be read."""
        recorded = self._recorded(item, before=self.now() - YESTERDAY)
        return {subject: float(row.value) for subject, row in recorded.items() if row.value is not None}

    def last_seen(self, item: str) -> datetime | None:
        """Return when an item was recorded last with a verdict that rests on a look; None if it never was."""
        seen = [
            row.observed_at
            for row in self._recorded(item, before=self.now()).values()
            if row.severity.name != "UNKNOWN"
        ]
        return max(seen, default=None)

    def _recorded(self, item: str, *, before: datetime) -> dict[str, Recorded]:
        from sre.hooks.evidence import EvidenceHook

        try:
            return EvidenceHook(self.evidence_conn_id).last_values(item, before)
        except RunbookError as error:
            # Not this check's subject, and its report says so anyway: it cannot be kept as evidence either.
            self.log.warning("no earlier values of %s: %s", item, error)
            return {}
