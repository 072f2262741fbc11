"""When runbooks run by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable

NOT_FOR_THE_PAST: Any = ("scheduled", "manual")  # of a type that the SDK keeps to itself
"""`allowed_run_types` of runbooks: they mean the platform as it is now, so nobody can backfill them."""


BY_HAND: Any = ("manual",)
"""`allowed_run_types` of runbooks that a person triggers: no schedule, no backfill, no other task."""


def slots(cron: str, zone: str) -> CronTriggerTimetable:
    """Return the schedule that begins with the next slot, never with a past one; see docs/adr/0001-unpausing-starts-nothing.md."""
    # Not `run_immediately=False`: that still runs a slot which is past by less than a tenth of the period, three days of a month.
    return CronTriggerTimetable(cron, timezone=zone, run_immediately=timedelta(0))


AGAIN_BY_ITSELF: Any = "operator_triggered"
"""One more of `allowed_run_types`, for a runbook that starts itself again."""
