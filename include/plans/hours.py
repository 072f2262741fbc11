"""When people are at work: what only they can answer is asked then, and not at night."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from include.settings import GateLimits


def at_work(moment: datetime, zone: ZoneInfo, limits: GateLimits) -> bool:
    """Whether people are there to be asked."""
    local = moment.astimezone(zone)
    return local.weekday() in limits.working_days and limits.working_from_h <= local.hour < limits.working_until_h


def next_at_work(moment: datetime, zone: ZoneInfo, limits: GateLimits) -> datetime:
    """Return the moment itself if people are at work, else the beginning of their next working day."""
    if at_work(moment, zone, limits):
        return moment
    local = moment.astimezone(zone)
    begins = local.replace(hour=limits.working_from_h, minute=0, second=0, microsecond=0)
    days = (begins + timedelta(days=day) for day in range(9))
    return next(day for day in days if day > local and at_work(day, zone, limits))
