"""Which rows may go, in what pieces, at what pace, and when people are asked first (D-07 to D-10): decided purely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from include.settings import CleanupLimits


class Subject(StrEnum):
    """A table that is cleaned."""

    LOGS = "execution_logs"
    AUDIT = "audit_logs"
    VERSIONS = "workflow_versions"


ITEMS: Mapping[Subject, str] = {Subject.LOGS: "D-08", Subject.AUDIT: "D-09", Subject.VERSIONS: "D-10"}
"""The line of the runbook that asks for each."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What was found of one table.

    :param rows: that may go.
    :param total: rows of the table, by the server's estimate.
    :param kept: why others that are as old stay: `{"active": 3}`.
    """

    subject: Subject
    rows: int
    total: int
    oldest: datetime | None = None
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """Share of the table that would go."""
        return 100 * self.rows / max(self.total, self.rows, 1)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to one table.

    :param rests: why nothing does; "" if rows go.
    :param over: why people are asked first; "" if they are not.
    """

    counted: Counted
    rests: str
    over: str

    @property
    def subject(self) -> Subject:
        """The table."""
        return self.counted.subject

    def __str__(self) -> str:
        """`execution_logs: 8123 of 152000 rows (5.3 %) are older than …`, or why nothing happens."""
        if self.rests:
            return f"{self.subject}: {self.rests}"
        found = self.counted
        kept = ", ".join(f"{n} kept, {why}" for why, n in sorted(found.kept.items()))
        said = f"{self.subject}: {found.rows} of about {found.total} rows go ({found.percent:.1f} %)"
        return f"{said}; {kept}" if kept else said


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Rows of one day that go into one object of the archive.

    :param number: within its table and run.
    :param ids: as `ranges` writes them.
    """

    subject: Subject
    day: date
    number: int
    ids: str

    @property
    def name(self) -> str:
        """`execution_logs/2026-08-20/0001`."""
        return f"{self.subject}/{self.day}/{self.number:04d}"

    def to_json(self) -> Mapping[str, Any]:
        """Return JSON values for the journal."""
        return {"day": self.day.isoformat(), "number": self.number, "ids": self.ids}

    @classmethod
    def from_json(cls, subject: Subject, value: Mapping[str, Any]) -> Chunk:
        """Read back what `to_json` wrote."""
        return cls(
            subject=subject, day=date.fromisoformat(value["day"]), number=int(value["number"]), ids=str(value["ids"])
        )


def cutoff(subject: Subject, now: datetime, limits: CleanupLimits) -> datetime:
    """Return before when a log is old; `now` is the database's clock, read once per run (BUG-56)."""
    days = {Subject.LOGS: limits.execution_logs_days, Subject.AUDIT: limits.audit_logs_days}[subject]
    return now.astimezone(UTC) - timedelta(days=days)


def decide(found: Iterable[Counted], limits: CleanupLimits) -> Sequence[Decision]:
    """Return what happens to each table."""
    return [Decision(counted=each, rests=_rests(each, limits), over=_over(each, limits)) for each in found]


def _rests(found: Counted, limits: CleanupLimits) -> str:
    held = {str(table): reason for table, reason in limits.held.items()}
    if found.subject in held:
        return f"held: {held[found.subject] or 'no reason was given'} (setting cleanup.held)"
    if found.subject is Subject.AUDIT and not limits.audit_policy:
        return "nothing is deleted without a policy; name the decision that allows it in cleanup.audit_policy"
    return "" if found.rows else "nothing is old enough to go"


def _over(found: Counted, limits: CleanupLimits) -> str:
    if _rests(found, limits):
        return ""
    if found.rows > limits.rows_max:
        return f"{found.rows} rows of {found.subject} would go (limit {limits.rows_max})"
    if found.rows > limits.share_from_rows and found.percent > limits.share_max_percent:
        return f"{found.percent:.1f} % of {found.subject} would go (limit {limits.share_max_percent:g} %)"
    return ""


def going(decisions: Iterable[Decision]) -> list[Decision]:
    """Return those of which rows go."""
    return [each for each in decisions if not each.rests]


def over(decisions: Iterable[Decision]) -> str:
    """Return why people are asked first; "" if they are not."""
    return "; ".join(each.over for each in decisions if each.over)


def grown(planned: Mapping[str, int], decisions: Iterable[Decision]) -> str:
    """Return which table holds more to delete than what was approved; "" if none does."""
    more = [each for each in going(decisions) if each.counted.rows > planned.get(each.subject, 0)]
    return "; ".join(f"{each.counted.rows} rows of {each.subject}, not {planned.get(each.subject, 0)}" for each in more)


def chunks(subject: Subject, rows: Iterable[tuple[date, int]], at_most: int) -> Iterator[Chunk]:
    """Cut rows, given as day and id in the order of the day, into pieces of one day."""
    number = 0
    for day, each in groupby(rows, key=lambda row: row[0]):
        ids = sorted(row[1] for row in each)
        for start in range(0, len(ids), at_most):
            number += 1
            yield Chunk(subject=subject, day=day, number=number, ids=ranges(ids[start : start + at_most]))


def ranges(ids: Sequence[int]) -> str:
    """Write sorted ids as ranges: `1-3,7`; those of one day mostly follow each other."""
    runs: list[list[int]] = []
    for each in ids:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def ids_of(text: str) -> list[int]:
    """Read back what `ranges` wrote."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def pause_s(busy_s: float, wal_bytes: int, limits: CleanupLimits) -> float:
    """Return how long to rest after a piece of work, so that neither its share of the time nor its log grows too large."""
    by_share = busy_s * (100 / limits.busy_percent - 1)
    by_log = wal_bytes / limits.wal_bytes_per_s - busy_s
    return max(by_share, by_log, 0.0)
