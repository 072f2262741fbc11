"""The question and the answer, with the real ops database behind them and without a running Airflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import TaskAwaitingInput

from include.errors import ConfigurationError, RefusedError
from include.findings import Report, Severity
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.gate import Plan, Stored
from sre import runs
from sre.operators.gate import REASON, WIDTH, ApprovePlanOperator, question
from tests.include.ops.conftest import approver, ops, runner, server, template  # noqa: F401 - fixtures
from tests.plugins.fakes import FakeEvidence, FakePager, FakeRun, FakeSlack, FakeTask, Store

WHY = "seen in the dashboards, I agree"
TARGET = "orchestrator on 7412"


@dataclass
class World:
    """The ops database, and who is told."""

    runner: OpsDatabase
    approver: OpsDatabase
    slack: FakeSlack = field(default_factory=FakeSlack)
    pager: FakePager = field(default_factory=FakePager)
    evidence: FakeEvidence = field(default_factory=FakeEvidence)
    ti: Any = None
    channels: list[str] = field(default_factory=list)

    def context(self, **params: Any) -> Any:
        return {
            "ti": self.ti,
            "task_instance": self.ti,
            "dag_run": FakeRun(),
            "task_state_store": Store(),
            "params": {"dry_run": "no"} | params,
        }

    def planned(self, requester: str | None = "alice", **changes: Any) -> Stored:
        plan = Plan(
            op_id=runs.op_id(self.ti.dag_id, self.ti.run_id),
            kind="database recovery",
            target=TARGET,
            steps=("stop the writers", "swap"),
            **changes,
        )
        gate.store(self.runner, plan, requester=requester, people=2)
        return gate.newest(self.runner, plan.op_id)

    def approvals(self) -> list[tuple[Any, ...]]:
        with self.runner.session() as session:
            return session.execute("select plan_id, person, reason, break_glass from ops.approval").fetchall()

    def left(self) -> Report:
        return Report.from_json(self.ti.xcom["return_value"])

    def post(self, channel: str, message: Any, **known: Any) -> Any:
        self.channels.append(channel)
        return self.slack.post(channel, message, **known)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, runner: OpsDatabase, approver: OpsDatabase) -> World:  # noqa: F811
    world = World(runner, approver, ti=FakeTask())
    world.ti.run_id, world.ti.id, world.ti.map_index = f"by_hand__{uuid4()}", uuid4(), -1
    monkeypatch.setattr("sre.hooks.operations.operations", lambda: runner)
    monkeypatch.setattr("sre.hooks.operations.approvals", lambda: approver)
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda _: world.evidence)
    monkeypatch.setattr("sre.hooks.slack.ReportSlackHook", lambda _: world)
    monkeypatch.setattr("sre.hooks.pagerduty.PagerDutyEventsHook", lambda _: world.pager)
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **_: None)
    monkeypatch.setattr(ApprovePlanOperator, "_shown", lambda task, _: task.body)
    return world


def task(*approvers: str, **known: Any) -> ApprovePlanOperator:
    people = approvers or ("alice", "bob", "carol")
    return ApprovePlanOperator(
        task_id="approve_plan",
        approvers=people,
        item="X-00+",
        page="docs/runbooks/database_recovery.md",
        reason=WHY,
        **known,
    )


def answer(person: str | None = "bob", option: str = "Approve", **form: str) -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": form or {REASON: WHY},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": person, "name": person} if person else None,
    }


@pytest.mark.integration
def test_asks_everybody_who_may_but_the_one_who_asked(world: World) -> None:
    stored, asking = world.planned(), task()
    with pytest.raises(TaskAwaitingInput) as waiting:
        asking.execute(world.context())
    assert waiting.value.kwargs == {"plan_id": stored.id}
    assert [user["id"] for user in asking.assigned_users or ()] == ["bob", "carol"]
    message = world.slack.posted["1.0"][0].text
    assert "alice asks. *bob or carol* may answer until " in message
    assert "/tasks/the_task/required_actions" in message


@pytest.mark.integration
def test_the_reason_of_the_requester_is_not_filled_in_for_the_approver(world: World) -> None:
    world.planned()
    asking = task()
    assert not asking.params
    with pytest.raises(TaskAwaitingInput):
        asking.execute(world.context(reason=WHY, **{REASON: WHY}))
    assert {name: form["value"] for name, form in asking.serialized_params.items()} == {REASON: ""}


@pytest.mark.integration
def test_a_page_that_shows_another_question_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.planned()
    monkeypatch.setattr(ApprovePlanOperator, "_shown", lambda *_: "the plan of an earlier try")
    with pytest.raises(RefusedError, match="this page shows the question of an earlier try"):
        task().execute(world.context())
    assert world.left().severity is Severity.UNKNOWN
    assert not world.slack.posted


@pytest.mark.integration
def test_without_anybody_else_nobody_is_asked(world: World) -> None:
    world.planned()
    with pytest.raises(ConfigurationError, match="nobody may approve this plan but the one who asked for it"):
        task("alice").execute(world.context())


@pytest.mark.integration
def test_slack_that_is_down_stops_no_question(world: World) -> None:
    world.planned()
    world.slack.down_from = 1
    with pytest.raises(TaskAwaitingInput):
        task().execute(world.context())


@pytest.mark.integration
def test_an_approval_is_written_down_with_its_reason(world: World) -> None:
    stored = world.planned()
    task().execute_complete(world.context(), answer(), plan_id=stored.id)
    assert world.approvals() == [(stored.id, "bob", WHY, False)]
    gate.use(world.runner, stored, stored.plan, by="a test")
    assert world.left().findings[0].summary == f"bob approved plan {stored.id}: {WHY}"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            answer(option="Reject", **{REASON: "not tonight, please"}),
            "bob rejected plan .*: not tonight, please; nothing",
        ),
        (answer(option="Reject", **{REASON: ""}), "a reason of at least 10 characters"),
        (answer("alice"), "alice asked for it and cannot approve it"),
        (answer("mallory"), "mallory is none of those who may approve"),
        (answer(None), "by no person whom Airflow knows"),
        (answer() | {"params_input": {}}, "a reason of at least ten characters"),
        (answer(**{REASON: "short"}), "a reason of at least 10 characters"),
        (answer(**{REASON: "          \t  "}), "a reason of at least ten characters"),
        (answer(**{REASON: WHY, "more": "x"}), "not what the form asks for"),
        (answer(option="Perhaps"), "not what the form asks for"),
        ({"error": "no answer", "error_type": "timeout"}, "nobody approved the plan within 30 minutes"),
    ],
)
def test_an_answer_that_is_no_approval_is_refused_told_and_not_written_down(
    world: World, event: dict[str, Any], why: str
) -> None:
    stored = world.planned()
    with pytest.raises(RefusedError, match=why):
        task().execute_complete(world.context(), event, plan_id=stored.id)
    assert world.approvals() == []
    (finding,) = world.left().findings
    assert (finding.severity, finding.next_step) == (Severity.UNKNOWN, "docs/runbooks/database_recovery.md")
    assert not finding.summary.startswith("could not look")
    assert world.evidence.rows[0].summary == finding.summary


@pytest.mark.integration
@pytest.mark.parametrize("dry_run", ["auto", "yes"])
def test_a_run_that_only_plans_asks_nobody(world: World, dry_run: str) -> None:
    world.planned()
    task(typed_target=TARGET).execute(world.context(dry_run=dry_run))
    assert world.left().findings[0].severity is Severity.INFO
    assert (world.slack.posted, world.pager.events, world.approvals()) == ({}, [], [])


@pytest.mark.integration
def test_an_unusable_choice_is_told(world: World) -> None:
    with pytest.raises(ConfigurationError, match="dry_run is one of"):
        task().execute(world.context(dry_run=False))
    assert "dry_run is one of" in world.left().findings[0].summary


# --- alone at night ------------------------------------------------------------------------------------------------------------


def alone(world: World, typed: str = TARGET) -> None:
    task(typed_target=typed).execute(world.context())


@pytest.mark.integration
def test_who_types_the_target_acts_after_pager_and_security_were_told(world: World) -> None:
    stored = world.planned()
    alone(world)
    assert world.channels == ["#security"]
    assert [event.action for event in world.pager.events] == ["trigger"]
    assert "alice broke the glass for plan" in world.pager.events[0].summary
    assert world.approvals() == [(stored.id, "alice", WHY, True)]
    gate.use(world.runner, stored, stored.plan, by="a test")
    (finding,) = world.left().findings
    due = datetime.fromisoformat(finding.evidence["review_by"]) - datetime.now(UTC)
    assert 86_300 < due.total_seconds() <= 86_400
    assert finding.severity is Severity.WARNING


@pytest.mark.integration
@pytest.mark.parametrize("typed", ["orchestrator", "orchestrator on 7412\n", "ORCHESTRATOR ON 7412", "yes"])
def test_another_target_wakes_nobody_and_is_refused(world: World, typed: str) -> None:
    world.planned()
    with pytest.raises(RefusedError, match="the target must be typed as the plan names it, orchestrator on 7412"):
        alone(world, typed)
    assert (world.channels, world.pager.events, world.approvals()) == ([], [], [])


@pytest.mark.integration
def test_nobody_is_alone_whom_airflow_does_not_know(world: World) -> None:
    world.planned(requester=None)
    with pytest.raises(RefusedError, match="so nobody can break the glass"):
        alone(world)
    assert world.approvals() == []


@pytest.mark.integration
def test_with_both_channels_down_the_glass_stays_whole_and_nothing_is_written_down(world: World) -> None:
    world.planned()
    world.slack.down_from, world.pager.down = 1, True
    with pytest.raises(RefusedError, match="neither PagerDuty nor Slack took the news"):
        alone(world)
    assert world.approvals() == []


@pytest.mark.integration
@pytest.mark.parametrize("down", ["slack", "pager"])
def test_one_channel_is_enough(world: World, down: str) -> None:
    world.planned()
    world.slack.down_from, world.pager.down = (1, False) if down == "slack" else (None, True)
    alone(world)
    assert len(world.approvals()) == 1


# --- the page ----------------------------------------------------------------------------------------------------------------


def page(**changes: Any) -> list[str]:
    plan = Plan(op_id=str(uuid4()), kind="database recovery", target=TARGET, steps=("swap",), **changes)
    stored = Stored(id=7, plan=plan, hash=plan.hash, requester="alice", people=2, made_at=datetime.now(UTC), used=False)
    return question(stored)[1].splitlines()


def test_no_word_that_somebody_typed_leaves_the_plan_on_the_page() -> None:
    shown = page(seen=("Why: damaged\n```\n# Nothing would be lost\n![x](http://example.org/x.png)",))
    assert [line for line in shown if "```" in line] == ["```text", "```"]
    assert shown[2] == "Why: damaged ''' # Nothing would be lost ![x](http://example.org/x.png)"


def test_the_page_needs_no_scrolling() -> None:
    shown = page(seen=("Would be lost: " + "public.workflow_executions: 3 written, " * 20,))
    assert max(map(len, shown[1 : shown.index("```")])) <= WIDTH


def test_a_refused_approval_is_told_by_the_report_alone() -> None:
    assert ApprovePlanOperator.told_by_report
