"""The first task of a scheduled runbook: is this the time that was meant?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include import settings
from include.errors import RunbookError, TransientError
from include.findings import Finding, Severity
from include.ops.evidence import Evidence
from include.reporting import slack, text
from sre import runs
from sre.notifiers.failure import tell_failure

if TYPE_CHECKING:
    from airflow.sdk import Context


class GuardSlotOperator(BaseOperator):
    """Skip the whole run if its slot is long past, refuse backfills, and return how late it is in seconds.

    After an outage Airflow runs the latest missed slot at once, which may be days later and at an hour that nobody chose. A run by
    hand is never late. Every run leaves one row of evidence; a skip is said in Slack too.

    :param max_late: a later start does nothing.
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
        self._remember(started(self.item, context["dag_run"], late), context)
        return late.total_seconds()

    def _skip(self, context: Context, late: timedelta) -> None:
        from airflow.sdk.exceptions import DownstreamTasksSkipped

        finding = missed(self.item, context["dag_run"].run_after, late, self.max_late)
        self.log.warning("%s", finding.summary)
        self._keep(finding, context)
        self._say(finding, context)
        # All of them by name: tasks with the trigger rule ALL_DONE would run after a skip that only spreads.
        raise DownstreamTasksSkipped(tasks=sorted(self.get_flat_relative_ids(upstream=False)))  # type: ignore[no-untyped-call]

    def _remember(self, finding: Finding, context: Context) -> None:
        """Keep the row; without it the run goes on, since looking matters more, and people hear of it."""
        try:
            self._keep(finding, context)
        except RunbookError as error:
            problem = TransientError(f"its start is not in the evidence, and the run goes on: {error}")
            self.log.error("%s", problem)  # noqa: TRY400 - the sentence says it, a traceback would not
            told: Any = {**context, "exception": problem}
            tell_failure(told)

    def _say(self, finding: Finding, context: Context) -> None:
        """Tell the readers of the reports not to wait for one; a Slack that is down changes nothing about the skip."""
        from sre.hooks.slack import ReportSlackHook

        ti, told = context["ti"], settings.load()
        try:
            message = slack.skipped(runs.shown(ti), finding.summary)
            hook = ReportSlackHook(told.connections.slack)
            hook.post(told.reporting.channel, message, op_id=runs.op_id(ti.dag_id, ti.run_id))
        except Exception:  # the watch outside still notices that the run is missing
            self.log.warning("the skip could not be told to Slack", exc_info=True)

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


def started(item: str, run: Any, late: timedelta) -> Finding:
    """Return what is recorded of a run that goes on: a start that is late enough to be said is INFO."""
    limit_s = settings.load().reporting.late_after_s
    if run.run_type != "scheduled":
        return _slot(item, Severity.OK, "started by hand or by another runbook: no slot to be late for")
    severity = Severity.INFO if late.total_seconds() > limit_s else Severity.OK
    said = (
        f"started {text.span(late.total_seconds())} after its slot {_utc(run.run_after)} (limit {text.span(limit_s)})"
    )
    return _slot(item, severity, said, late_s=late.total_seconds(), limit_s=limit_s)


def missed(item: str, slot: datetime, late: timedelta, limit: timedelta) -> Finding:
    """Return what is recorded of a slot that was not run."""
    late_s, limit_s = late.total_seconds(), limit.total_seconds()
    said = f"skipped: missed slot {_utc(slot)}: {text.span(late_s)} late, at most {text.span(limit_s)} is allowed"
    return _slot(item, Severity.INFO, said, late_s=late_s, limit_s=limit_s)


def _slot(
    item: str, severity: Severity, said: str, *, late_s: float | None = None, limit_s: float | None = None
) -> Finding:
    evidence = {"value": None if late_s is None else round(late_s), "unit": "s", "threshold": limit_s}
    return Finding(item=item, check="slot", subject="run", severity=severity, summary=said, evidence=evidence)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
