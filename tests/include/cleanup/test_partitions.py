"""What a partitioned table of logs allows and a plain one does not: an id on several days, foreign keys and locks of a part alone."""

from __future__ import annotations

import pytest

from include.cleanup import deletes
from include.errors import RefusedError
from include.plans.cleanup import Subject
from sandbox.components.postgres import Connection
from tests.include.cleanup.yard import OLD, Yard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TWIN = """
    insert into execution_logs (id, execution_id, level, message, created_at)
    select id, execution_id, level, 'twin', {} from execution_logs as t where id = {}
"""


def twin(yard: Yard, number: int, made: str) -> None:
    """Write a second row with the id of a first, and both in one transaction."""
    with yard.superuser() as session, session.transaction():
        session.execute(b"update execution_logs set message = 'first' where id = %d" % number)
        session.execute(TWIN.format(made, number).encode())


def both(yard: Yard, number: int) -> list[str]:
    return sorted(text for (text,) in yard.ask(f"select message from execution_logs where id = {number}"))


def test_a_young_row_with_the_id_of_an_old_one_stays_and_the_old_one_comes_back(partitioned: Yard) -> None:
    number = min(partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]))
    twin(partitioned, number, "now() - interval '1 day'")
    done = partitioned.act()[Subject.LOGS]
    assert done.left == 0
    assert both(partitioned, number) == ["twin"]
    [day] = {each.header.day for each in partitioned.archived(Subject.LOGS) if number in each.ids}
    with partitioned.superuser() as session:
        session.execute(b"create table again partition of execution_logs default")
    restored = partitioned.again().restore(Subject.LOGS, day)
    assert (restored.rows, restored.other) == (restored.brought, 0)
    assert both(partitioned, number) == ["first", "twin"]


def test_an_id_on_two_old_days_is_archived_and_deleted_with_each(partitioned: Yard) -> None:
    number = min(partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]))
    twin(partitioned, number, "t.created_at - interval '1 day'")
    old, was = (
        partitioned.ask(f"select count(*) from execution_logs where {OLD[Subject.LOGS]}"),
        both(partitioned, number),
    )
    done = partitioned.act()[Subject.LOGS]
    kept = [each for each in partitioned.archived(Subject.LOGS) if number in each.ids]
    assert [(len(each.ids), each.ids.count(number)) for each in kept] == [(len(set(each.ids)), 1) for each in kept]
    assert (len(kept), [(done.deleted,)], was) == (2, old, ["first", "twin"])
    assert both(partitioned, number) == []


def test_a_row_of_another_day_from_the_same_transaction_is_not_deleted_before_it_is_archived(partitioned: Yard) -> None:
    """By the receipt of the one day, which names the same id and the same transaction."""
    number = min(partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]))
    twin(partitioned, number, "t.created_at - interval '1 day'")
    [(day, state)] = partitioned.ask(
        f"select (created_at at time zone 'UTC')::date, xmin::text from execution_logs where id = {number} and message = 'first'"
    )
    with partitioned.world.login("ops_cleanup").session("test") as session:
        session.execute(
            "select ops_cleanup.delete_archived(ops_cleanup.record_receipt(%s, %s, 'execution_logs', 'k', 'v', %s, %s, %s), 1, 1)",
            [partitioned.op_id, f"execution_logs/{day}/0001", "0" * 64, [number], [state]],
        )
    assert both(partitioned, number) == ["twin"]


def test_an_id_that_is_twice_on_one_day_is_named_and_none_of_that_piece_goes(partitioned: Yard) -> None:
    number = max(partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]))
    twin(partitioned, number, "t.created_at + interval '1 ms'")
    with pytest.raises(RefusedError, match=rf"execution_logs has id {number} twice on 20\d\d-"):
        partitioned.act()
    assert both(partitioned, number) == ["first", "twin"]
    with partitioned.superuser() as session:
        session.execute(b"update execution_logs set id = 10000000 where message = 'twin'")
    assert partitioned.act()[Subject.LOGS].left == 0
    assert both(partitioned, number) == []


def test_a_foreign_key_to_one_partition_keeps_the_logs(partitioned: Yard) -> None:
    with partitioned.superuser() as session:
        session.execute(
            b"create table notes (n bigint, at timestamptz, foreign key (n, at) references logs_old (id, created_at))"
        )
    with pytest.raises(RefusedError, match="notes refers to execution_logs"):
        partitioned.act()


def test_a_foreign_key_that_is_made_while_it_runs_keeps_a_partition(
    partitioned: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletes.empty_partition

    def empty(session: Connection, op_id: str, subject: Subject, name: str) -> bool:
        with partitioned.superuser() as other:
            other.execute(
                "create table notes (n bigint, at timestamptz, foreign key (n, at) references execution_logs)"
            )
        return real(session, op_id, subject, name)

    monkeypatch.setattr(deletes, "empty_partition", empty)
    before = partitioned.rows(Subject.LOGS)
    with pytest.raises(RefusedError, match="notes refers to execution_logs"):
        partitioned.act()
    assert partitioned.rows(Subject.LOGS) == before
