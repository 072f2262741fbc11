from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from include.errors import RefusedError
from include.ops import journal
from include.ops.database import OpsDatabase
from include.ops.journal import Journal, Phase

pytestmark = pytest.mark.integration


def test_it_reads_as_it_was_written(runner: OpsDatabase) -> None:
    mine, other = (Journal(runner, str(uuid4()), "a test", token=7) for _ in range(2))
    mine.intend("swap", to="orchestrator_restore_1")
    other.intend("swap")
    mine.record("swap", oid=4711, took_s=0.5)
    lines = mine.entries()
    assert [(each.step, each.phase) for each in lines] == [("swap", Phase.INTENT), ("swap", Phase.OUTCOME)]
    last = journal.last(lines, "swap")
    assert last
    assert last.detail == {"oid": 4711, "took_s": 0.5}
    assert journal.last(lines, "drop") is None


def test_an_overtaken_process_writes_nothing_more(runner: OpsDatabase) -> None:
    op_id = str(uuid4())
    older, newer = Journal(runner, op_id, "older", token=1), Journal(runner, op_id, "newer", token=2)
    older.intend("stop")
    newer.intend("stop")
    with pytest.raises(RefusedError, match="goes on in a newer process"):
        older.record("stop")
    newer.record("stop")
    assert [each.by for each in newer.entries()] == ["older", "newer", "newer"]


@pytest.mark.parametrize("table", ["journal", "plan", "approval", "plan_use"])
@pytest.mark.parametrize("role", ["ops_owner", "postgres"])
def test_what_is_written_stays(ops: Callable[[str], str], runner: OpsDatabase, role: str, table: str) -> None:
    Journal(runner, str(uuid4()), "a test").intend("swap")
    with psycopg.connect(ops(role), autocommit=True) as session:
        for statement in (f"delete from ops.{table}", f"truncate ops.{table} cascade"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                session.execute(statement)
