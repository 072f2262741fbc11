from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from include.ops import gate, leases, saga, standing
from include.ops.database import OpsDatabase
from include.ops.journal import CLOCK, Journal
from include.ops.leases import Mode, Wanted

pytestmark = pytest.mark.integration


def begun(runner: OpsDatabase, *, token: int = 1) -> Journal:
    journal = Journal(runner, str(uuid4()), "a test", token)
    journal.intend("stop")
    return journal


def test_an_operation_that_died_is_named_with_its_last_step(runner: OpsDatabase) -> None:
    dead, back, done = begun(runner), begun(runner), begun(runner)
    dead.record("stop")
    back.intend(saga.BACK, why="broken")
    back.intend("undo stop")
    done.record(saga.DONE)
    found = {each.op_id: each for each in standing.standing(runner)}
    assert set(found) == {dead.op_id, back.op_id}
    assert (found[dead.op_id].step, found[dead.op_id].ended, found[dead.op_id].going_back) == ("stop", True, False)
    assert "stands still on its way back in 'undo stop'" in str(found[back.op_id])


def test_one_that_is_at_work_is_not(runner: OpsDatabase) -> None:
    journal = begun(runner)
    leases.acquire(runner, Wanted(resource="database/x", mode=Mode.RESTORE, op_id=journal.op_id, holder="a test"))
    assert standing.standing(runner) == []


def test_one_whose_plan_was_refused_touched_nothing_and_is_not(runner: OpsDatabase) -> None:
    refused = Journal(runner, str(uuid4()), "a test", 1)
    refused.intend(gate.USE)
    assert standing.standing(runner) == []
    refused.record(gate.USE)
    assert [each.op_id for each in standing.standing(runner)] == [refused.op_id]


def test_one_that_has_only_asked_for_the_time_touched_nothing_and_is_not(runner: OpsDatabase) -> None:
    planned = Journal(runner, str(uuid4()), "a test", 1)
    planned.record(CLOCK, now="2026-11-26T00:00:00Z")
    planned.intend(gate.USE)
    assert standing.standing(runner) == []
    planned.intend("chunk 1")
    assert [each.op_id for each in standing.standing(runner)] == [planned.op_id]


def test_leases_that_ran_out_are_removed_and_named(ops: Callable[[str], str], runner: OpsDatabase) -> None:
    dead, alive = (
        leases.acquire(runner, Wanted(resource=f"database/{name}", mode=Mode.BACKUP, op_id=str(uuid4()), holder=name))
        for name in ("dead", "alive")
    )
    with psycopg.connect(ops("postgres"), autocommit=True) as session:
        session.execute("update ops.lease set expires_at = now() - interval '1 s' where token = %s", [dead.token])
    assert [each.holder for each in standing.reap_leases(runner)] == ["dead"]
    assert standing.reap_leases(runner) == []
    alive.guard()
