"""The gate as tasks: people approve the plan of a run, and what acts believes the ops database alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from include import settings
from include.errors import ConfigurationError, RefusedError, RunbookError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.masking import one_line
from include.ops import gate
from include.ops.evidence import Evidence
from include.reporting import pagerduty, slack
from sre import runs
from sre.defaults import WRITES

if TYPE_CHECKING:
    from uuid import UUID

    from airflow.sdk import Context
    from airflow.sdk.execution_time.hitl import HITLUser

    from include.ops.gate import Stored

REASON = "approvers_reason"
"""Not `reason`, which the form of the run has: Airflow fills in what the requester typed under the same name."""

LETTERS = 10
WIDTH = 90

ONCE: dict[str, Any] = {"retries": 0, "retry_policy": WRITES}
"""A question that is asked again shows its old text, and half an hour becomes one for each try."""


class ApprovePlanOperator(ApprovalOperator):
    """Ask for an approval of the plan that the run stored, and write the answer into the ops database.

    A rejection, a time-out, an answer by the wrong person or without a reason fails the task. What Airflow keeps of the answer is for
    people; the acting task reads the ops database. Somebody alone at night breaks the glass instead: he typed the target's name into
    the form of the run, security is paged at once, and a review is due within a day.

    :param approvers: users of Airflow who may approve; the one who triggered the run never may.
    :param item: id of the runbook line that wants the approval.
    :param page: what tells a person what to do when it was refused: a path of this project.
    :param typed_target: what the run's form holds for breaking the glass, as rendered; empty asks people.
    :param reason: why the run was triggered, as rendered.
    """

    template_fields = ("typed_target", "reason")
    told_by_report = (
        True  # so the failure callback stays silent: a rejection is no emergency, and one fault is one message
    )

    def __init__(
        self,
        *,
        approvers: Sequence[str],
        item: str,
        page: str,
        typed_target: str = "",
        reason: str = "",
        **kwargs: Any,
    ) -> None:
        answer_within = timedelta(seconds=settings.load().gate.answer_within_s)
        fixed = {"subject": "Approve the plan?", "defaults": None, "fail_on_reject": True}
        super().__init__(**{**kwargs, **fixed, **ONCE, "response_timeout": answer_within})
        self.execution_timeout = None  # it would end the wait
        self.approvers = tuple(approvers)
        self.item = item
        self.page = page
        self.typed_target = typed_target
        self.reason = reason

    def execute(self, context: Context) -> Any:
        """Ask, or break the glass."""
        if not self._told(context, lambda: runs.acts(context)):
            return self._left(context, "only planned: nobody is asked", Severity.INFO)
        stored = self._told(context, lambda: self._asked_for(context))
        if self.typed_target:
            return self._told(context, lambda: self._break_glass(stored, context))
        return self._wait(stored, context)

    def execute_complete(self, context: Context, event: dict[str, Any], plan_id: int = 0) -> Any:
        """Write down who answered; RefusedError if that is no approval."""
        self.params = ParamsDict(_form())
        return self._told(context, lambda: self._answered(context, event, plan_id))

    # --- asking ---------------------------------------------------------------------------------------------------------

    def _asked_for(self, context: Context) -> Stored:
        """Read the plan, and ask for exactly it: after a clear Airflow still shows the question of the try before."""
        from sre.hooks.operations import operations

        runs.refuse_backfill(context)
        ti = context["ti"]
        stored = gate.newest(operations(), runs.op_id(ti.dag_id, ti.run_id))
        if self.typed_target:
            return stored
        self.subject, self.body = question(stored)
        self.params = ParamsDict(_form())  # only now: a run's configuration fills in what an operator has at its start
        self.assigned_users = [_user(name) for name in self._may(stored)]
        if self._shown(context["task_instance"].id) != self.body:
            raise RefusedError(
                "this page shows the question of an earlier try, and Airflow keeps it; nothing was changed, trigger a new run"
            )
        return stored

    def _shown(self, ti_id: UUID) -> str | None:
        """Return the text that people really see, which only an internal call of Airflow tells."""
        from airflow.sdk.api.datamodels._generated import HITLUser as AssignedUser
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        question = CreateHITLDetailPayload(
            ti_id=ti_id,
            options=self.options,
            subject=self.subject,
            body=self.body,
            params=self.serialized_params,
            multiple=False,
            assigned_users=[AssignedUser(**user) for user in self.assigned_users or ()],
        )
        stored: Any = SUPERVISOR_COMMS.send(question)
        return stored.body if stored else None

    def _wait(self, stored: Stored, context: Context) -> Any:
        from airflow.sdk.exceptions import TaskAwaitingInput

        try:
            super().execute(context)
        except TaskAwaitingInput as waiting:
            self._say(self._news(stored, context), context)
            # Beside the method to come back to, where nobody but the scheduler writes.
            raise TaskAwaitingInput(
                method_name=waiting.method_name, timeout=waiting.timeout, kwargs={"plan_id": stored.id}
            ) from None
        raise AssertionError("an approval that did not wait for anybody")

    def _news(self, stored: Stored, context: Context) -> slack.Message:
        assert self.response_timeout
        ti = context["ti"]
        return slack.asked(
            runs.shown(ti),
            stored.plan.text,
            self._may(stored),
            requester=stored.requester or "nobody whom Airflow knows",
            page=f"{runs.url(ti.dag_id, ti.run_id)}/tasks/{ti.task_id}/required_actions?map_index=-1",
            until=datetime.now(UTC) + self.response_timeout,
        )

    def _may(self, stored: Stored) -> list[str]:
        may = [name for name in self.approvers if name != stored.requester]
        if not may:
            raise ConfigurationError(
                "nobody may approve this plan but the one who asked for it; name more approvers in the settings, under gate"
            )
        return may

    # --- the answer -----------------------------------------------------------------------------------------------------

    def _answered(self, context: Context, event: Mapping[str, Any], plan_id: int) -> Any:
        from sre.hooks.operations import approvals

        answer = self._answer(context, event)
        person = answer["responded_by_user"]["id"]
        reason = str(answer["params_input"].get(REASON, "")).strip()
        if answer["chosen_options"] != [self.APPROVE]:
            raise RefusedError(f"{person} rejected plan {plan_id}: {reason or 'no reason given'}; nothing was changed")
        if person not in self.approvers:
            raise RefusedError(f"{person} is none of those who may approve plan {plan_id}; nothing was changed")
        gate.approve(approvals(), plan_id, person=person, reason=reason, answered_at=answer["responded_at"])
        return self._left(context, f"{person} approved plan {plan_id}: {reason}", plan=plan_id, person=person)

    def _answer(self, context: Context, event: Mapping[str, Any]) -> Mapping[str, Any]:
        within = settings.load().gate.answer_within_s / 60
        try:
            answer: Mapping[str, Any] = super(ApprovalOperator, self).execute_complete(context, dict(event))
        except HITLTimeoutError:
            raise RefusedError(
                f"nobody approved the plan within {within:g} minutes; nothing was changed, trigger the runbook again"
            ) from None
        except ValueError:  # its form would have refused it, its API took it
            raise RefusedError(
                f"the answer is not what the form asks for, a reason of at least {LETTERS} characters; nothing was changed,"
                " trigger the runbook again"
            ) from None
        if not answer.get("responded_by_user"):
            raise RefusedError("the plan was approved by no person whom Airflow knows; nothing was changed")
        return answer

    # --- alone at night -------------------------------------------------------------------------------------------------

    def _break_glass(self, stored: Stored, context: Context) -> Any:
        """Tell first: what nobody was told of must not stand in the ops database, where a later try would find it."""
        from sre.hooks.operations import approvals

        person = self._alone(stored)
        review = datetime.now(UTC) + timedelta(seconds=settings.load().gate.review_within_s)
        said = (
            f"{person} broke the glass for plan {stored.id} ({stored.plan.target}): {one_line(self.reason, 500)};"
            f" review it by {review:%Y-%m-%d %H:%M} UTC"
        )
        self._alarm(said, context)
        typed = {"reason": self.reason, "typed_target": self.typed_target}
        gate.break_glass(approvals(), stored.id, person=person, answered_at=datetime.now(UTC), **typed)
        facts = {"plan": stored.id, "person": person, "break_glass": True, "review_by": review.isoformat()}
        return self._left(context, said, Severity.WARNING, **facts)

    def _alone(self, stored: Stored) -> str:
        """Return who breaks the glass; RefusedError before anybody is woken if that would not count."""
        if not stored.requester:
            raise RefusedError(
                "nobody whom Airflow knows triggered this run, so nobody can break the glass; nothing was changed"
            )
        if self.typed_target != stored.plan.target:
            raise RefusedError(
                f"the glass of plan {stored.id} stays whole: the target must be typed as the plan names it,"
                f" {stored.plan.target}, not {self.typed_target[:100]!r}; nothing was changed, trigger the runbook again"
            )
        return stored.requester

    def _alarm(self, said: str, context: Context) -> None:
        """Page, and tell the security channel; only one of the two may be down."""
        from sre.hooks.pagerduty import PagerDutyEventsHook

        ti = context["ti"]
        event = pagerduty.glass(ti.dag_id, ti.run_id, runs.url(ti.dag_id, ti.run_id), said)
        pager = PagerDutyEventsHook(settings.load().connections.pagerduty_events)
        told = [
            self._tried("PagerDuty", lambda: pager.send(event)),
            self._say(slack.glass(runs.shown(ti), said), context, settings.load().gate.security_channel),
        ]
        if not any(told):
            raise RefusedError(
                "neither PagerDuty nor Slack took the news that the glass was broken; nothing was changed"
            )

    # --- telling --------------------------------------------------------------------------------------------------------

    def _say(self, message: slack.Message, context: Context, channel: str = "") -> bool:
        from sre.hooks.slack import ReportSlackHook

        ti, chosen = context["ti"], settings.load()
        hook = ReportSlackHook(chosen.connections.slack)
        to = channel or chosen.reporting.channel
        return self._tried("Slack", lambda: hook.post(to, message, op_id=runs.op_id(ti.dag_id, ti.run_id)))

    def _tried(self, name: str, deed: Callable[[], object]) -> bool:
        try:
            deed()
        except Exception:  # the page in Airflow still asks
            self.log.warning("%s could not be told", name, exc_info=True)
            return False
        return True

    def _told(self, context: Context, deed: Callable[[], Any]) -> Any:
        """Do it; what goes wrong is left for the report of the run before it fails the task."""
        try:
            return deed()
        except RunbookError as error:
            why = blind(error)
            finding = Finding(
                item=self.item,
                check="approved",
                subject="approval",
                severity=Severity.UNKNOWN,
                summary=why.reason,
                next_step=self.page,
                blind=why,
            )
            self._leave(context, finding)
            raise

    def _left(self, context: Context, said: str, severity: Severity = Severity.OK, **evidence: Any) -> Any:
        finding = Finding(
            item=self.item, check="approved", subject="approval", severity=severity, summary=said, evidence=evidence
        )
        return self._leave(context, finding)

    def _leave(self, context: Context, finding: Finding) -> Any:
        from sre.hooks.evidence import EvidenceHook

        report = Report(source="approval", checked=1, findings=(finding,))
        context["ti"].xcom_push(key="return_value", value=report.to_json())
        by = runs.this_try(context["ti"])
        row = Evidence.of(finding, source="approval", by=by, observed_at=datetime.now(UTC))
        EvidenceHook(settings.load().connections.evidence).append([row])
        return report.to_json()


def question(stored: Stored) -> tuple[str, str]:
    """Return the headline and the text of the page: the plan, inert whatever somebody typed into it, in lines of one width."""
    plan = _wrapped(stored.plan.text).replace("`", "'")
    who = stored.requester or "nobody whom Airflow knows"
    asked = f"Plan {stored.id} of operation {stored.plan.op_id}, asked for by {who}, hash {stored.hash[:12]}."
    return f"Approve the {stored.plan.kind} of {stored.plan.target}?", f"```text\n{plan}\n```\n\n{asked}"


def _wrapped(text: str) -> str:
    wrapper = textwrap.TextWrapper(width=WIDTH, subsequent_indent="   ", break_on_hyphens=False)
    return "\n".join(line for each in text.splitlines() for line in wrapper.wrap(each))


def _form() -> dict[str, Param]:
    return {
        REASON: Param(
            "",
            type="string",
            minLength=LETTERS,
            maxLength=500,
            title="Your reason",
            description="Why you approve or reject it, in at least ten characters; it is kept as evidence.",
        )
    }


def _user(name: str) -> HITLUser:
    return {"id": name, "name": name}
