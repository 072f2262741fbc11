"""The time as the watch sees it: the machine's, or in tests one that starts elsewhere and runs faster."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """A clock that was `start` when it was made and runs `speed` times as fast as the machine's."""

    start: datetime | None = None
    speed: float = 1.0
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """Return the time in UTC; the machine's own, corrections included, unless a start was given."""
        if self.start is None:
            return datetime.now(UTC)
        return self.start.astimezone(UTC) + timedelta(seconds=(time.monotonic() - self._began) * self.speed)
