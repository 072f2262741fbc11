"""What all checks share: at the limit is over the limit, intervals of shares, bands of days, and windows of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import median

from include.findings import Severity

Z_95 = 1.959964
"""Of a two-sided 95 % interval."""
MAD_TO_SIGMA = 1.4826
"""Of a normal distribution (Rousseeuw and Croux 1993)."""


def level(value: float, *, warning: float | None = None, critical: float | None = None) -> Severity:
    """Return how bad a value is that should be small; a value equal to a limit has reached it."""
    if critical is not None and value >= critical:
        return Severity.CRITICAL
    return Severity.WARNING if warning is not None and value >= warning else Severity.OK


def window(now: datetime, seconds: float) -> dict[str, str]:
    """Return the evidence columns of a window that ends now."""
    return {"window_start": (now - timedelta(seconds=seconds)).isoformat(), "window_end": now.isoformat()}


def span(seconds: float) -> str:
    """Return `24 h`, `15 min` or `40 s`."""
    if seconds >= 7200:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 120 else f"{seconds:.3g} s"


@dataclass(frozen=True)
class Share:
    """`hits` out of `n`, with the interval of Wilson (1927), 95 % unless told otherwise, which holds for small n and near 0 or 1."""

    hits: float
    n: float
    z: float = Z_95

    @property
    def value(self) -> float:
        """The share itself; 0 when there was nothing to share."""
        return self.hits / self.n if self.n else 0.0

    @property
    def low(self) -> float:
        """Lower end of the interval; 0 when there was nothing to share."""
        return max(0.0, self._centre() - self._spread()) if self.n else 0.0

    @property
    def high(self) -> float:
        """Upper end of the interval; 1 when there was nothing to share."""
        return min(1.0, self._centre() + self._spread()) if self.n else 1.0

    def _centre(self) -> float:
        return (self.value + self.z**2 / (2 * self.n)) / (1 + self.z**2 / self.n)

    def _spread(self) -> float:
        # Extrapolated counts of Prometheus can leave a share a hair outside 0..1.
        inside = min(max(self.value, 0.0), 1.0)
        return self.z / (1 + self.z**2 / self.n) * sqrt(inside * (1 - inside) / self.n + self.z**2 / (4 * self.n**2))

    def evidence(self) -> dict[str, float]:
        """Return interval ends in percent, for `detail`."""
        return {"low_percent": round(100 * self.low, 4), "high_percent": round(100 * self.high, 4)}


@dataclass(frozen=True, kw_only=True)
class Band:
    """What a day may look like, from the same weekdays before it."""

    low: float
    middle: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], *, deviations: float, floor_percent: float) -> Band:
        """Return median ± so many median absolute deviations, at least `floor_percent` of the median wide on each side."""
        middle = median(values)
        deviation = MAD_TO_SIGMA * median(abs(value - middle) for value in values)
        reach = max(deviations * deviation, floor_percent / 100 * abs(middle))
        return cls(low=middle - reach, middle=middle, high=middle + reach)

    def __contains__(self, value: float) -> bool:
        """Whether a value lies inside, ends included."""
        return self.low <= value <= self.high
