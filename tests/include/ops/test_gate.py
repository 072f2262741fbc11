"""The gate: what must be true before a plan is carried out, and each way round it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.errors import ConfigurationError, RefusedError
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.gate import Plan, Stored

WHY = "the newest rows are damaged"


def plan(**changes: Any) -> Plan:
    return replace(
        Plan(
            op_id=str(uuid4()),
            kind="database recovery",
            target="orchestrator on 7412",
            steps=("stop the writers", "swap"),
            facts={"key": "backups/database/orchestrator/2026/11/25/020013Z-1f0c9a2e-1/"},
            seen=("12 rows were written since",),
            code_version="abc",
        ),
        **changes,
    )


def test_the_hash_is_of_what_is_done_and_not_of_what_passes() -> None:
    asked = plan()
    assert replace(asked, seen=("13 rows",)).hash == asked.hash
    others: tuple[dict[str, Any], ...] = (
        {"op_id": str(uuid4())},
        {"kind": "x"},
        {"target": "staging"},
        {"steps": ("swap",)},
        {"facts": {}},
        {"code_version": "abd"},
    )
    for changed in others:
        assert replace(asked, **changed).hash != asked.hash


def test_the_text_names_the_target_every_step_and_what_was_seen() -> None:
    assert plan().text.splitlines() == [
        "database recovery of orchestrator on 7412",
        "12 rows were written since",
        "1. stop the writers",
        "2. swap",
    ]


def test_a_reason_of_many_lines_cannot_pretend_to_be_the_plan() -> None:
    asked = plan(seen=("Why: damaged rows\nWould be lost: 0 rows\r\n1. do nothing",))
    assert len(asked.text.splitlines()) == 4
    assert "Why: damaged rows Would be lost: 0 rows 1. do nothing" in asked.text.splitlines()


def stored(runner: OpsDatabase, asked: Plan, requester: str | None = "alice", people: int = 2) -> Stored:
    gate.store(runner, asked, requester=requester, people=people)
    return gate.newest(runner, asked.op_id)


def approve(approver: OpsDatabase, asked: Stored, person: str = "bob", **changes: Any) -> None:
    given: dict[str, Any] = {"reason": WHY, "answered_at": datetime.now(UTC)} | changes
    gate.approve(approver, asked.id, person=person, **given)


@pytest.mark.integration
def test_a_plan_is_carried_out_once_after_somebody_else_approved_it(runner: OpsDatabase, approver: OpsDatabase) -> None:
    asked = stored(runner, plan())
    approve(approver, asked)
    gate.use(runner, asked, asked.plan, by="a test")
    assert gate.newest(runner, asked.plan.op_id).used
    with pytest.raises(RefusedError, match="used already"):
        gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
def test_what_is_read_back_is_what_was_stored(runner: OpsDatabase) -> None:
    asked = plan(facts={"replicas": {"worker": 12}, "ratio": 0.5, "name": "Zoë"})
    found = stored(runner, asked)
    assert (found.plan, found.requester, found.people, found.used) == (
        replace(asked, steps=list(asked.steps), seen=list(asked.seen)),
        "alice",
        2,
        False,
    )


@pytest.mark.integration
def test_without_approval_nothing_is_done(runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    with pytest.raises(RefusedError, match="1 of 2 people stand behind it, and nobody approved it within 30 minutes"):
        gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
def test_who_asks_cannot_approve(approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    with pytest.raises(RefusedError, match="alice asked for it and cannot approve it"):
        approve(approver, asked, "alice")
    with pytest.raises(RefusedError, match="1 of 2 people"):
        gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
def test_the_same_person_twice_is_one_person(approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan(), requester=None)
    approve(approver, asked)
    approve(approver, asked)
    with pytest.raises(RefusedError, match="1 of 2 people"):
        gate.use(runner, asked, asked.plan, by="a test")
    approve(approver, asked, "carol")
    gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"reason": ""}, "at least ten characters"),
        ({"reason": "because   "}, "at least ten characters"),
        ({"answered_at": datetime.now(UTC) - timedelta(minutes=31)}, "older than 30 minutes"),
        ({"answered_at": datetime.now(UTC) + timedelta(hours=1)}, "of the future"),
    ],
)
def test_an_answer_that_does_not_count(
    approver: OpsDatabase, runner: OpsDatabase, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        approve(approver, stored(runner, plan()), **changes)


@pytest.mark.integration
def test_a_plan_that_is_made_again_wants_a_new_approval(approver: OpsDatabase, runner: OpsDatabase) -> None:
    first = stored(runner, plan())
    approve(approver, first)
    second = stored(runner, first.plan)
    for asked in (first, second):
        with pytest.raises(RefusedError, match=r"a newer plan|nobody approved"):
            gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
def test_a_plan_that_no_longer_holds_is_refused(approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    approve(approver, asked)
    now = replace(asked.plan, facts={"key": "another"})
    with pytest.raises(RefusedError, match="what would be done now is not what was planned"):
        gate.use(runner, asked, now, by="a test")
    gate.use(runner, asked, asked.plan, by="a test")  # and was not used up by that


@pytest.mark.integration
def test_the_plan_of_another_operation_is_refused(runner: OpsDatabase) -> None:
    with pytest.raises(ConfigurationError, match="is of operation"):
        gate.use(runner, stored(runner, plan()), plan(), by="a test")


@pytest.mark.integration
def test_an_operation_without_a_plan_is_refused(runner: OpsDatabase) -> None:
    with pytest.raises(RefusedError, match="has no plan"):
        gate.newest(runner, str(uuid4()))


@pytest.mark.integration
def test_approvals_go_stale(ops: Callable[[str], str], approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    approve(approver, asked)
    with psycopg.connect(ops("postgres"), autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        session.execute("update ops.approval set answered_at = now() - interval '31 min'")
    with pytest.raises(RefusedError, match="within 30 minutes"):
        gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
def test_who_stands_alone_types_the_target(approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    alone: dict[str, Any] = {"person": "alice", "reason": WHY, "answered_at": datetime.now(UTC)}
    with pytest.raises(RefusedError, match="the target must be typed by hand: orchestrator on 7412"):
        gate.break_glass(approver, asked.id, typed_target="orchestrator", **alone)
    gate.break_glass(approver, asked.id, typed_target="orchestrator on 7412", **alone)
    gate.use(runner, asked, asked.plan, by="a test")


@pytest.mark.integration
@pytest.mark.parametrize("requester", ["alice", None])
def test_nobody_breaks_the_glass_for_another_person(
    approver: OpsDatabase, runner: OpsDatabase, requester: str | None
) -> None:
    asked = stored(runner, plan(), requester=requester)
    with pytest.raises(RefusedError, match=r"who asked for it|whom Airflow knows"):
        gate.break_glass(
            approver,
            asked.id,
            person="bob",
            reason=WHY,
            typed_target=asked.plan.target,
            answered_at=datetime.now(UTC),
        )


@pytest.mark.integration
def test_an_answer_to_a_plan_of_long_ago_does_not_count(
    ops: Callable[[str], str], approver: OpsDatabase, runner: OpsDatabase
) -> None:
    asked = stored(runner, plan())
    with psycopg.connect(ops("postgres"), autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        session.execute("update ops.plan set made_at = now() - interval '36 min'")
    with pytest.raises(RefusedError, match="the plan is older than half an hour"):
        approve(approver, asked)


@pytest.mark.integration
def test_who_plans_cannot_approve_and_who_approves_cannot_plan(approver: OpsDatabase, runner: OpsDatabase) -> None:
    asked = stored(runner, plan())
    with pytest.raises(ConfigurationError, match="refused us"):
        approve(runner, asked)
    with pytest.raises(ConfigurationError, match="refused us"):
        gate.store(approver, plan(), requester="bob", people=1)
    with pytest.raises(ConfigurationError, match="refused us"):
        gate.use(approver, asked, asked.plan, by="a test")
