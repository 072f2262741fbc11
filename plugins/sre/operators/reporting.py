"""The last word of a run: told in Slack, paged where it is critical, kept as evidence, and shown by the run's colour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator, TriggerRule

from include import settings
from include.errors import PermanentError, RunbookError, TransientError, VerdictError
from include.findings import Blind, Finding, Report, Severity, worst_first
from include.looking import blind
from include.ops.evidence import Earlier, Evidence, Recorded
from include.reporting import pagerduty, slack, text
from include.reporting.changes import STILL_THERE, Changes, compare
from sre import runs

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from sre.hooks.evidence import EvidenceHook
    from sre.hooks.pagerduty import PagerDutyEventsHook
    from sre.hooks.slack import Posted, ReportSlackHook

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

POSTED = "slack_messages"
"""Key in the task's state store: where the messages of this run stand."""

DIED = "left_a_report"
"""The check that a task fails which ended without a report."""


class PublishReportOperator(BaseOperator):
    """Tell what the checks of this run found, then fail if anything is critical or could not be seen.

    Every channel is tried whatever happens to the others; one that is down makes the task try again, and trying again updates the
    message that stands instead of posting a second one. A report that Slack does not take pages, until one is posted.

    :param reports: by task id, the output of each check; a check that died leaves none, which is UNKNOWN.
    :param item: id of the runbook line that asks for the verdict.
    :param late_s: output of the `GuardSlotOperator`.
    :param channel: Slack channel; None is the setting.
    :param headlines: checks whose findings the message says although they are well, since they are what the run was for.
    """

    template_fields = ("reports", "late_s")

    def __init__(
        self,
        *,
        reports: Mapping[str, Any],
        item: str,
        late_s: Any = None,
        channel: str | None = None,
        headlines: Collection[str] = (),
        trigger_rule: str = TriggerRule.ALL_DONE,
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule=trigger_rule, **kwargs)
        self.reports = reports
        self.item = item
        self.late_s = late_s
        self.channel = channel or settings.load().reporting.channel
        self.headlines = frozenset(headlines)

    @cached_property
    def evidence_hook(self) -> EvidenceHook:
        """Where the verdict is kept and the last one is read."""
        from sre.hooks.evidence import EvidenceHook

        return EvidenceHook(settings.load().connections.evidence)

    @cached_property
    def slack_hook(self) -> ReportSlackHook:
        """Where people read it."""
        from sre.hooks.slack import ReportSlackHook

        return ReportSlackHook(settings.load().connections.slack)

    @cached_property
    def pagerduty_hook(self) -> PagerDutyEventsHook:
        """Where people are woken."""
        from sre.hooks.pagerduty import PagerDutyEventsHook

        return PagerDutyEventsHook(settings.load().connections.pagerduty_events)

    def execute(self, context: Context) -> None:
        """Tell on every channel, and only then be red."""
        runs.refuse_backfill(context)
        ti = context["ti"]
        left = {task_id: read(task_id, value, self.item) for task_id, value in self.reports.items()}
        reports = that_began(left, _never_began([name for name in left if self.reports[name] is None], ti))
        for report in reports.values():
            self.log.info("%s", text.render(report))
        problems = self.tell(reports, context, ti)
        if problems:
            raise _worst(problems)
        _show_colour(list(reports.values()))

    def tell(
        self, reports: Mapping[str, Report], context: Context, ti: RuntimeTaskInstanceProtocol
    ) -> list[RunbookError]:
        """Page, keep, post, and return what went wrong on the way: a broken channel is told on the others, Slack on the pager."""
        problems: list[RunbookError] = []
        changes = compare(reports, _tried(lambda: self._earlier(ti), problems))
        if changes.missing:
            found = Report(source="inventory", checked=len(changes.missing), findings=changes.missing)
            reports = {**reports, ti.task_id: found}
        ended = _tried(lambda: self._page(reports, changes, ti), problems) or ()
        _tried(lambda: self._keep(reports, ended, ti), problems)
        news = [each.summary for report in reports.values() for each in report.told if self._is_news(each)]
        notes = (*news, *(f"Not all of this report was delivered: {problem}" for problem in problems))
        run = runs.shown(ti, late_s=self._late(), notes=notes)
        message = slack.render(run, list(reports.values()), changes)
        self.log.info("%s", message.text)
        said = len(problems)
        _tried(lambda: self._post(message, context, ti), problems)
        if refused := problems[said:]:
            event = pagerduty.unposted(ti.dag_id, runs.url(ti.dag_id, ti.run_id), str(refused[0]))
            _tried(lambda: self.pagerduty_hook.send(event), problems)
        else:
            self._is_read_again(ti)
        return problems

    def _is_news(self, finding: Finding) -> bool:
        return finding.check in self.headlines and finding.severity < Severity.WARNING  # what is worse is told anyway

    def _is_read_again(self, ti: RuntimeTaskInstanceProtocol) -> None:
        try:
            self.pagerduty_hook.send(pagerduty.posted(ti.dag_id))
        except Exception:  # it is no news that may redden a run: the next good post ends the page as well
            self.log.warning("PagerDuty was not told that the report is in Slack", exc_info=True)

    def _earlier(self, ti: RuntimeTaskInstanceProtocol) -> Earlier:
        return self.evidence_hook.earlier(ti.dag_id, datetime.now(UTC), ti.run_id)

    def _late(self) -> float | None:
        return self.late_s if self.late_s and self.late_s > settings.load().reporting.late_after_s else None

    def _page(
        self, reports: Mapping[str, Report], changes: Changes, ti: RuntimeTaskInstanceProtocol
    ) -> Sequence[Recorded]:
        """Return whose pages PagerDuty took the end of; none if it took only some, then the next run sends them again."""
        url = runs.url(ti.dag_id, ti.run_id)
        for event in pagerduty.events(ti.dag_id, url, reports.values(), changes):
            self.pagerduty_hook.send(event)
            self.log.info("PagerDuty: %s %s", event.action, event.dedup_key)
        return changes.gone

    def _keep(self, reports: Mapping[str, Report], ended: Sequence[Recorded], ti: RuntimeTaskInstanceProtocol) -> None:
        now, by = datetime.now(UTC), runs.this_try(ti)
        ours = [each for report in reports.values() for each in report.findings if each.check in {DIED, STILL_THERE}]
        findings = [verdict(self.item, list(reports.values()), ended), *ours]
        self.evidence_hook.append(
            [Evidence.of(finding, source="runbook", by=by, observed_at=now) for finding in findings]
        )

    def _post(self, message: slack.Message, context: Context, ti: RuntimeTaskInstanceProtocol) -> None:
        thread = Thread(
            self.slack_hook, self.channel, runs.op_id(ti.dag_id, ti.run_id), context.get("task_state_store")
        )
        thread.publish(message)


class Thread:
    """One message and its replies, posted once: what an earlier try of the task posted is updated, or posted anew if it is gone.

    :param store: remembers where the messages stand, across tries. Without it, or if it fails or forgets, they are posted once more.
    """

    def __init__(self, hook: ReportSlackHook, channel: str, op_id: str, store: Any) -> None:
        self.hook, self.channel, self.op_id, self.store = hook, channel, op_id, store
        self.posted = self._recalled()

    def publish(self, message: slack.Message) -> None:
        """Post or update the message, then its replies below it."""
        head = self._put(0, message, None)
        for number, reply in enumerate(message.replies, 1):
            self._put(number, reply, head.ts)

    def _put(self, number: int, message: slack.Message, thread_ts: str | None) -> Posted:
        if number < len(self.posted) and self._updated(self.posted[number], message):
            return self.posted[number]
        end = number + 1 if number else None  # without its head the whole thread is out of sight
        self.posted[number:end] = [self.hook.post(self.channel, message, op_id=self.op_id, thread_ts=thread_ts)]
        self._remember()
        return self.posted[number]

    def _updated(self, posted: Posted, message: slack.Message) -> bool:
        from sre.hooks.slack import MessageGoneError

        try:
            self.hook.update(posted, message, op_id=self.op_id)
        except MessageGoneError as error:
            log.warning("%s", error)
            return False
        return True

    def _remember(self) -> None:
        if self.store is None:
            return
        try:
            self.store.set(POSTED, [[posted.channel, posted.ts] for posted in self.posted])
        except Exception:
            log.warning("where the messages stand is not remembered: another try would post them again", exc_info=True)

    def _recalled(self) -> list[Posted]:
        from sre.hooks.slack import Posted

        try:
            kept = self.store.get(POSTED) if self.store is not None else None
            return [Posted(channel, ts) for channel, ts in kept or []]
        except Exception:
            log.warning("where an earlier try posted is not known: everything is posted once more", exc_info=True)
            return []


def read(task_id: str, value: Mapping[str, Any] | None, item: str) -> Report:
    """Return the report of a task, or the UNKNOWN that a task without one leaves."""
    reason = f"{task_id} ended without a report; its log says why"
    if value is not None:
        try:
            return Report.from_json(value)
        except (TypeError, KeyError, AttributeError, ValueError):
            reason = f"what {task_id} left is no report of ours: somebody changed its XCom"
    why = Blind(error="NoReport", reason=reason, transient=False)
    return Report(
        source=task_id, checked=0, findings=(Finding.unseen(item=item, check=DIED, subject=task_id, blind=why),)
    )


def that_began(reports: Mapping[str, Report], never_began: Collection[str]) -> Mapping[str, Report]:
    """Leave out the steps that an earlier one kept from beginning, as long as that one is told: one fault is one line."""
    began = {task_id: report for task_id, report in reports.items() if task_id not in never_began}
    return began if any(report.severity >= Severity.UNKNOWN for report in began.values()) else reports


def _never_began(task_ids: list[str], ti: RuntimeTaskInstanceProtocol) -> Collection[str]:
    """Return which of the tasks did not run because one before them failed."""
    if not task_ids:
        return ()
    try:
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=task_ids, run_ids=[ti.run_id])
    except Exception:  # then each of them is told as a fault, which is the safe side
        log.warning("whether these began is not known: %s", task_ids, exc_info=True)
        return ()
    return {task_id for task_id, state in states.get(ti.run_id, {}).items() if state == "upstream_failed"}


def verdict(item: str, reports: list[Report], ended: Sequence[Recorded] = ()) -> Finding:
    """Return the run's own finding: the worst of all, and how many of each there are.

    :param ended: whose pages this run ended; the evidence of the verdict says so to the next one.
    """
    findings = [finding for report in reports for finding in report.findings]
    severity = max((report.severity for report in reports), default=Severity.UNKNOWN)
    return Finding(
        item=item,
        check="verdict",
        subject="run",
        severity=severity,
        summary=text.counts(finding for report in reports for finding in report.told) or "nothing wrong",
        evidence={
            "n": len(findings),
            "checked": sum(report.checked for report in reports),
            "ended": [[record.item, record.subject] for record in ended],
        },
    )


def _show_colour(reports: list[Report]) -> None:
    said = verdict("", reports)
    if said.severity >= Severity.UNKNOWN:
        worst = worst_first(finding for report in reports for finding in report.findings)
        raise VerdictError(f"{said.summary}; worst: {text.line(worst[0]) if worst else 'no check reported'}")


def _tried(deed: Callable[[], Answer], problems: list[RunbookError]) -> Answer | None:
    try:
        return deed()
    except RunbookError as problem:
        problems.append(problem)
    except Exception as error:  # a mistake of ours in one channel must not silence the others
        log.exception("a channel of the report failed in a way that nobody thought of")
        problems.append(PermanentError(blind(error).reason))
    return None


def _worst(problems: list[RunbookError]) -> RunbookError:
    sentence = "; ".join(str(problem) for problem in problems)
    transient = any(isinstance(problem, TransientError) for problem in problems)
    return (TransientError if transient else PermanentError)(f"the report was not delivered everywhere: {sentence}")
