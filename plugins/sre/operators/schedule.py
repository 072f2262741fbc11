"""The first task of a scheduled runbook: is this the time that was meant?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include import settings
from include.findings import Finding, Severity
from include.ops.evidence import Evidence
from include.reporting import text
from sre import runs

if TYPE_CHECKING:
    from airflow.sdk import Context


class GuardSlotOperator(BaseOperator):
    """Skip the whole run if its slot is long past, refuse backfills, and return how late it is in seconds.

    After an outage Airflow runs the latest missed slot at once, which may be days later and at an hour that nobody chose. A run by
    hand is never late.

    :param max_late: a later start does nothing and leaves one row of evidence.
    :param item: id of the runbook line that asks for the schedule.
    """

    def __init__(self, *, max_late: timedelta, item: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_late = max_late
        self.item = item

    def execute(self, context: Context) -> float:
        """Return the lateness, or skip everything after this task."""
        runs.refuse_backfill(context)
        late = lateness(context["dag_run"], datetime.now(UTC))
        if late > self.max_late:
            self._skip(context, late)
        return late.total_seconds()

    def _skip(self, context: Context, late: timedelta) -> None:
        from airflow.sdk.exceptions import DownstreamTasksSkipped

        finding = missed(self.item, context["dag_run"].run_after, late, self.max_late)
        self.log.warning("%s", finding.summary)
        self._keep(finding, context)
        # All of them by name: tasks with the trigger rule ALL_DONE would run after a skip that only spreads.
        raise DownstreamTasksSkipped(tasks=sorted(self.get_flat_relative_ids(upstream=False)))  # type: ignore[no-untyped-call]

    def _keep(self, finding: Finding, context: Context) -> None:
        from sre.hooks.evidence import EvidenceHook

        row = Evidence.of(finding, source="airflow", by=runs.this_try(context["ti"]), observed_at=datetime.now(UTC))
        EvidenceHook(settings.load().connections.evidence).append([row])


def lateness(run: Any, now: datetime) -> timedelta:
    """Return how long after its slot a scheduled run looks; nothing for a run by hand."""
    if run.run_type != "scheduled":
        return timedelta()
    slot: datetime = run.run_after
    return max(now - slot, timedelta())


def missed(item: str, slot: datetime, late: timedelta, limit: timedelta) -> Finding:
    """Return what is recorded of a slot that was not run."""
    said = f"skipped: missed slot {slot.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    limit_said = text.span(limit.total_seconds())
    return Finding(
        item=item,
        check="slot",
        subject="run",
        severity=Severity.INFO,
        summary=f"{said}: {text.span(late.total_seconds())} late, at most {limit_said} is allowed",
        evidence={"value": round(late.total_seconds()), "unit": "s", "threshold": limit.total_seconds()},
    )
