"""What is different from the runs before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from include.findings import Finding, Report, Severity
from include.ops.evidence import Earlier, Recorded

CENSUS = ("workloads_ready", "nodes_ready", "panels", "latency_")
"""How the checks begin that name, each day and well or not, what does not come and go by itself: workloads, nodes, panels, services.

Who is missing there did not become well. Pods, jobs, incidents and alerts end, and their successors have other names.
"""

STILL_THERE = "still_there"
"""The check that fails for what was there and is not."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Against the last run that came to a verdict, and for pages against whichever run saw the subject last.

    :param since: when that run looked; None if there was none.
    :param worse: what is a fault now and was not, or was a smaller one.
    :param better: what was a fault and is none now, or a smaller one.
    :param gone: what may be called over: it was critical, and it is seen not to be. What cannot be seen, or is missing, is not gone.
    :param missing: what was there when it was last looked for, and is not there now; told once.
    :param unread: what earlier runs recorded could not be read, so all of the above is unknown.
    """

    since: datetime | None = None
    worse: tuple[Finding, ...] = ()
    better: tuple[Recorded, ...] = ()
    gone: tuple[Recorded, ...] = ()
    missing: tuple[Finding, ...] = ()
    unread: bool = False


def compare(reports: Mapping[str, Report], earlier: Earlier | None) -> Changes:
    """Compare the reports, by the id of the task that made each, with what was recorded; None could not be read."""
    if earlier is None:
        return Changes(unread=True)
    now = {_key(finding): finding for report in reports.values() for finding in report.findings}
    before = {_key(record): record for record in earlier.previous if record.check != "verdict"}
    absent = _absent(earlier.last, {finding.subject for finding in now.values()})
    missing = tuple(_missing(reports, earlier.last, absent))
    worse = [finding for key, finding in now.items() if _is_worse(finding, before.get(key))]
    return Changes(
        since=max((record.observed_at for record in earlier.previous), default=None),
        worse=(*worse, *missing) if earlier.previous else (),
        better=tuple(each for key, each in before.items() if _is_better(each, now.get(key), reports, absent)),
        gone=tuple(_gone(earlier.last, now, reports, absent)),
        missing=missing,
    )


def _key(of: Finding | Recorded) -> tuple[str, str, str]:
    return of.item, of.check, of.subject


def _is_worse(finding: Finding, before: Recorded | None) -> bool:
    return finding.severity >= Severity.WARNING and finding.severity > (before.severity if before else Severity.OK)


def _is_better(record: Recorded, now: Finding | None, reports: Mapping[str, Report], absent: Collection[str]) -> bool:
    if record.severity < Severity.WARNING:
        return False
    if now:
        return now.severity < record.severity and now.severity is not Severity.UNKNOWN  # dark is not better
    return _has_ended(record, reports, absent)


def _has_ended(record: Recorded, reports: Mapping[str, Report], absent: Collection[str]) -> bool:
    """Whether nothing said of it means that nothing is wrong: all of its source was seen, and it can be there no more."""
    report = reports.get(record.task_id)
    seen = report is not None and not report.blind and report.severity is not Severity.UNKNOWN
    return seen and not any(_is_of(record.subject, thing) for thing in absent)


def _gone(
    last: Sequence[Recorded],
    now: Mapping[tuple[str, str, str], Finding],
    reports: Mapping[str, Report],
    absent: Collection[str],
) -> Iterator[Recorded]:
    """A page stands for all checks of its item and subject: it ends when each of them has ended."""
    paged = [record for record in last if record.paged]
    ended = {_key(record): _has_gone(record, now.get(_key(record)), reports, absent) for record in paged}
    held = {(item, subject) for (item, _, subject), is_over in ended.items() if not is_over}
    held |= {(each.item, each.subject) for each in now.values() if each.severity is Severity.CRITICAL}
    yield from (record for record in paged if (record.item, record.subject) not in held)


def _has_gone(record: Recorded, now: Finding | None, reports: Mapping[str, Report], absent: Collection[str]) -> bool:
    return now.severity < Severity.UNKNOWN if now else _has_ended(record, reports, absent)


def _absent(last: Iterable[Recorded], present: Collection[str]) -> frozenset[str]:
    """Return what a census named within the time that is remembered and nothing names today."""
    things = {record.subject for record in last if record.check.startswith(CENSUS)}
    return frozenset(thing for thing in things if not any(_is_of(subject, thing) for subject in present))


def _is_of(subject: str, thing: str) -> bool:
    return subject == thing or subject.startswith(f"{thing}/")


def _missing(reports: Mapping[str, Report], last: Sequence[Recorded], absent: Collection[str]) -> Iterator[Finding]:
    newest: dict[tuple[str, str, str], Recorded] = {}
    for record in sorted(last, key=lambda each: each.observed_at):
        newest[record.task_id, record.item, record.check] = record
    told: set[str] = set()
    for record in last:
        latest = record.run_id == newest[record.task_id, record.item, record.check].run_id
        named = record.subject in absent and record.check.startswith(CENSUS)
        if named and latest and record.subject not in told and _was_looked_for(record, reports.get(record.task_id)):
            told.add(record.subject)
            yield _not_there(record)


def _was_looked_for(record: Recorded, report: Report | None) -> bool:
    """Whether the same census could count today, though other looks of its source may have failed."""
    if report is None:
        return False
    counted = [each for each in report.findings if (each.item, each.check) == (record.item, record.check)]
    whole = not report.blind and report.severity is not Severity.UNKNOWN
    return whole or any(finding.severity is not Severity.UNKNOWN for finding in counted)


def _not_there(record: Recorded) -> Finding:
    return Finding(
        item=record.item,
        check=STILL_THERE,
        subject=record.subject,
        severity=Severity.WARNING,
        summary=f"was there on {record.observed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, is not there today",
        next_step="if nobody removed it on purpose, find out what did; a page of it stays open until you resolve it",
    )
