"""What every check does around its look: a deadline, evidence, a report, and red if it could not see."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include import looking, settings
from include.errors import PermanentError, TransientError
from include.findings import Blind, Finding, Report, Severity
from include.ops.evidence import Evidence
from include.reporting import text
from sre.runs import this_try

if TYPE_CHECKING:
    from airflow.sdk import Context

RETURN_VALUE = "return_value"


class CheckOperator(BaseOperator):
    """Look at one source, judge what is there, leave a report for the run and a row of evidence for every finding.

    A bad finding does not fail the task: it is news, and the report task tells it. Being unable to look does, after the report and
    the evidence are safe, so that the scheduler tries again and the run is not green.

    :param source: what is looked at, `postgres`; the report's name.
    :param item: id of the runbook line that stands for the source as a whole, `H-08`.
    :param deadline_s: of each probe, to be handed to `include.looking.look`; None is the setting.
    :param evidence_conn_id: Connection of the evidence database; None is the setting.
    """

    told_by_report = True  # so the failure callback stays silent: one fault, one message

    def __init__(
        self,
        *,
        source: str,
        item: str,
        deadline_s: float | None = None,
        evidence_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.item = item
        self.deadline_s = deadline_s or settings.load().looking.deadline_s
        self.evidence_conn_id = evidence_conn_id or settings.load().connections.evidence

    @abstractmethod
    def look(self, context: Context) -> Report:
        """Look and judge; what could not be seen is a `Finding.unseen`, and raising means that nothing could."""

    def execute(self, context: Context) -> None:
        """Look, tell, keep, and only then complain."""
        report = self.report(context)
        self.log.info("%s", text.render(report))
        # Pushed by hand: a task that fails pushes no return value, and a report of blindness is a report.
        context["ti"].xcom_push(key=RETURN_VALUE, value=report.to_json())
        try:
            self.keep(report, context)
        except Exception as error:
            # Our failure is told by the report alone, so the report must not read as if all were well.
            unkept = _unkept(report, self.item, looking.blind(error))
            context["ti"].xcom_push(key=RETURN_VALUE, value=unkept.to_json())
            raise
        complain(report)

    def report(self, context: Context) -> Report:
        """Return what `look` says, or the one finding that it says nothing."""
        limit_s = self.deadline_s + settings.load().looking.grace_s
        answer = looking.look({self.source: lambda: self.look(context)}, limit_s)[self.source]
        if isinstance(answer, Blind):
            unseen = Finding.unseen(item=self.item, check=self.task_id, subject=self.source, blind=answer)
            return Report(source=self.source, checked=0, findings=(unseen,))
        return answer if answer.findings or answer.checked else _nothing(answer, self.item, self.task_id)

    def keep(self, report: Report, context: Context) -> None:
        """Append the evidence; TransientError if its database does not answer."""
        from sre.hooks.evidence import EvidenceHook

        by, now = this_try(context["ti"]), datetime.now(UTC)
        rows = [Evidence.of(finding, source=report.source, by=by, observed_at=now) for finding in report.findings]
        EvidenceHook(self.evidence_conn_id).append(rows)


def complain(report: Report) -> None:
    """Raise if anything could not be seen: TransientError if another try may help, else PermanentError."""
    if not report.blind:
        return
    reasons = "; ".join(f"{finding.subject}: {finding.blind.reason}" for finding in report.blind if finding.blind)
    transient = any(finding.blind.transient for finding in report.blind if finding.blind)
    raise (TransientError if transient else PermanentError)(f"could not look at all of {report.source}: {reasons}")


def _unkept(report: Report, item: str, why: Blind) -> Report:
    """Add that nobody will be able to look it up."""
    finding = Finding.unseen(item=item, check="evidence_kept", subject=report.source, blind=why)
    said = replace(finding, summary=f"what was found is not in the evidence: {why.reason}")
    return replace(report, findings=(*report.findings, said))


def _nothing(report: Report, item: str, check: str) -> Report:
    finding = Finding(
        item=item,
        check=check,
        subject=report.source,
        severity=Severity.UNKNOWN,
        summary="nothing was there to look at, which is not the same as healthy",
        next_step="check that the settings name what exists",
    )
    return Report(source=report.source, checked=0, findings=(finding,))
