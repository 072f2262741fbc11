"""How busy the platform is at a moment: one curve for the SQL history, the metrics' history and the live simulator."""

from __future__ import annotations

import math
from datetime import UTC, datetime

EXECUTIONS_AT_PEAK_PER_S = 0.04
"""Workflow executions per second where `traffic` is 1: history and simulator keep the same rate, else every day looks odd."""

BY_MORNING_HOUR = (0.16, 0.13, 0.11, 0.10, 0.11, 0.15, 0.24, 0.40, 0.62, 0.84, 0.96, 1.00)
BY_EVENING_HOUR = (0.88, 0.92, 0.98, 0.97, 0.90, 0.76, 0.60, 0.47, 0.38, 0.31, 0.25, 0.20)
BY_HOUR = (*BY_MORNING_HOUR, *BY_EVENING_HOUR)
BY_WEEKDAY = (0.96, 1.00, 1.00, 0.98, 0.90, 0.52, 0.48)  # Monday first
HOUR_S = 3_600
DAY_S = 86_400
WAVE_S = 28 * DAY_S
WAVE = 0.04


def traffic(at: datetime) -> float:
    """Return the share of the highest load, above 0 and at most 1, at a moment that knows its time zone.

    Four weeks make one slow wave, so that the same weekday of the four weeks before always differs by more than the noise
    does: with four points of one wave the band of three median deviations is half as wide again as the wave is high.
    """
    return by_time_of_week(at) * wave(at)


def by_time_of_week(at: datetime) -> float:
    """Return the load by weekday and hour alone, without jumps between one hour, or day, and the next."""
    seconds = at.timestamp() - HOUR_S / 2  # an hour's figure holds in its middle
    hour, part = divmod(seconds, HOUR_S)
    return _of_hour(hour) * (1 - part / HOUR_S) + _of_hour(hour + 1) * part / HOUR_S


def wave(at: datetime) -> float:
    """Return the factor of the four-week wave: between 1 - 2 x WAVE and 1."""
    return 1 - WAVE + WAVE * math.sin(2 * math.pi * at.timestamp() / WAVE_S)


def _of_hour(hours_since_1970: float) -> float:
    at = datetime.fromtimestamp(hours_since_1970 * HOUR_S, tz=UTC)
    return BY_HOUR[at.hour] * BY_WEEKDAY[at.weekday()]
