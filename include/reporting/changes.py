"""What is different from the run before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.findings import Finding, Report, Severity
from include.ops.evidence import Recorded


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Against the last run that came to a verdict.

    :param since: when that run looked; None if there was none.
    :param worse: what is a fault now and was not, or was a smaller one.
    :param better: what was a fault and is none now, or a smaller one.
    :param gone: what may be called over: it was critical or unknown, and it is seen to be neither. What cannot be seen is not gone.
    """

    since: datetime | None = None
    worse: tuple[Finding, ...] = ()
    better: tuple[Recorded, ...] = ()
    gone: tuple[Recorded, ...] = ()


def compare(reports: Mapping[str, Report], previous: Sequence[Recorded]) -> Changes:
    """Compare the reports, by the id of the task that made each, with what was recorded last time."""
    now = {_key(finding): finding for report in reports.values() for finding in report.findings}
    before = {_key(record): record for record in previous if record.check != "verdict"}
    better = [record for key, record in before.items() if _is_better(record, now.get(key), reports.get(record.task_id))]
    return Changes(
        since=max((record.observed_at for record in previous), default=None),
        worse=tuple(finding for key, finding in now.items() if _is_worse(finding, before.get(key))) if previous else (),
        better=tuple(better),
        gone=tuple(record for record in better if _is_gone(record, now.get(_key(record)))),
    )


def _key(of: Finding | Recorded) -> tuple[str, str, str]:
    return of.item, of.check, of.subject


def _is_worse(finding: Finding, before: Recorded | None) -> bool:
    return finding.severity >= Severity.WARNING and finding.severity > (before.severity if before else Severity.OK)


def _is_better(record: Recorded, now: Finding | None, report: Report | None) -> bool:
    if record.severity < Severity.WARNING:
        return False
    if now:
        return now.severity < record.severity
    return report is not None and not report.blind and report.severity is not Severity.UNKNOWN


def _is_gone(record: Recorded, now: Finding | None) -> bool:
    return record.severity >= Severity.UNKNOWN and (now is None or now.severity < Severity.UNKNOWN)
