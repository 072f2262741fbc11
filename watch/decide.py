"""Which run is due, and by how much it is late: pure, the clock included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from include.backups import keys
from include.backups.catalogue import Backup, Verdict
from watch.expected import ExpectedRun

AHEAD = timedelta(hours=3)
"""More than any zone puts its clocks forward or back: a slot of the wall clock is looked for from here backwards."""

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass(frozen=True)
class Span:
    """When a DAG came to its first and to its newest verdict."""

    first: datetime
    newest: datetime


@dataclass(frozen=True)
class Judgement:
    """How late one expected run is.

    :param due: its last slot.
    :param overdue_s: seconds since its grace ended with no evidence newer than the slot; 0 when all is well.
    """

    dag_id: str
    due: datetime
    newest: datetime | None
    overdue_s: float


def last_slot(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """Return the newest slot at or before `now`, in UTC.

    A wall-clock time that a daylight-saving day leaves out is the same instant an hour later by the wall; one that it
    has twice counts the first time. So each slot is due exactly once.
    """
    slots = croniter(cron, now.astimezone(zone).replace(tzinfo=None) + AHEAD)
    while True:
        slot: datetime = slots.get_prev(datetime)
        instant = slot.replace(tzinfo=zone).astimezone(UTC)
        if instant <= now:
            return instant


def judge(run: ExpectedRun, evidence: Span | None, *, expected_since: datetime, now: datetime) -> Judgement:
    """Judge one run. What was due before it was first expected, and had never run until then, is not missed."""
    due = last_slot(run.cron, run.tz, now)
    newest = evidence.newest if evidence else None
    since = min(expected_since, evidence.first) if evidence else expected_since
    proved = newest is not None and newest >= due
    deadline = due + timedelta(minutes=run.grace_minutes)
    late_s = 0.0 if proved or due < since else max(0.0, (now - deadline).total_seconds())
    return Judgement(run.dag_id, due, newest, late_s)


def judge_all(
    runs: Iterable[ExpectedRun], evidence: Mapping[str, Span], *, expected_since: Mapping[str, datetime], now: datetime
) -> list[Judgement]:
    """Judge each run by its own evidence."""
    return [judge(run, evidence.get(run.dag_id), expected_since=expected_since[run.dag_id], now=now) for run in runs]


def newest_good(backups: Iterable[Backup], *, until: datetime) -> Backup | None:
    """Return the good backup with the newest snapshot; one from later than `until` has a wrong clock and proves nothing."""
    return max((each for each in backups if each.is_good and each.at <= until), key=lambda each: each.at, default=None)


def count_bad(backups: Iterable[Backup]) -> int:
    """Count those that were compared and differ, or whose manifest is torn; one that nobody looked at is neither."""
    return sum(each.verdict is Verdict.BAD for each in backups)


def keys_since(database: str, moment: datetime, kind: str = keys.KIND) -> str:
    """Return what sorts before the keys of all backups from that moment on, and behind those before it."""
    return f"{keys.prefix(database, kind)}{moment.astimezone(UTC):%Y/%m/%d/%H%M%S}"


def components_up(health: Mapping[str, Any] | None) -> dict[str, bool]:
    """Read `GET /api/v2/monitor/health`; None means that the API server did not answer, which hides all the others.

    A component that reports nothing, such as a triggerer that never started, is down.
    """
    if health is None:
        return {"api_server": False}
    up = {name: (health.get(name) or {}).get("status") == "healthy" for name in COMPONENTS}
    return {"api_server": True, **up}
