"""What a partitioned table of logs allows and a plain one does not: an id on several days, foreign keys and locks of a part alone."""

from __future__ import annotations

from typing import Any

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


LOOKS = """
create table looks (place text, held text, scans bigint);
create function look(place text) returns boolean language sql security definer as $$
    insert into public.looks
    select place, min(mode) filter (where mode <> 'AccessShareLock'), pg_stat_get_xact_numscans(to_regclass('public.logs_old'))
    from pg_locks where pid = pg_backend_pid() and relation = to_regclass('public.logs_old')
    returning true
$$;
alter table ops_cleanup.receipt rename to kept;
create view ops_cleanup.receipt as select * from ops_cleanup.kept where public.look('receipts');
alter view ops_cleanup.receipt owner to orchestrator_owner;
create function looked() returns event_trigger language plpgsql security definer set search_path = public as $$
begin
    if to_regclass('logs_old') is not null then
        perform look(tg_tag);
    end if;
end
$$;
create event trigger looks on ddl_command_start when tag in ('ALTER TABLE', 'DROP TABLE') execute function looked()
"""
"""Write down what lock the session has on a partition, and how often it read it, where receipts are read and before it is detached."""


def test_a_partition_is_compared_under_a_lock_that_lets_others_read_and_never_read_while_they_wait(
    partitioned: Yard,
) -> None:
    with partitioned.superuser() as session:
        session.execute(LOOKS.encode())
    assert partitioned.act()[Subject.LOGS].left == 0
    assert partitions(partitioned) == ['"Logs, new"']
    looks = partitioned.ask("select place, held, scans from looks where held is not null")
    assert [each[:2] for each in looks] == [
        ("receipts", "ShareLock"),
        ("ALTER TABLE", "ShareLock"),
        ("DROP TABLE", "AccessExclusiveLock"),
    ]
    assert looks[1][2] == looks[2][2]


def partitions(yard: Yard) -> list[str]:
    query = "select inhrelid::regclass::text from pg_inherits where inhparent = 'execution_logs'::regclass"
    return [name for (name,) in yard.ask(query)]


@pytest.mark.parametrize("done", ["empty_partition", "drop_partition"])
def test_a_partition_that_somebody_reads_is_given_up_at_once_and_goes_later(
    partitioned: Yard, monkeypatch: pytest.MonkeyPatch, done: str
) -> None:
    real, said = getattr(deletes, done), list[bool]()

    def tried(*given: Any) -> bool:
        with partitioned.superuser() as other:
            other.execute("begin; select from execution_logs limit 1")
            said.append(real(*given))
            other.execute("rollback; insert into looks values ('written at once')")
        return said[-1]

    with partitioned.superuser() as session:
        session.execute("create table looks (place text)")
    monkeypatch.setattr(deletes, done, tried)
    old = partitioned.ids(Subject.LOGS, OLD[Subject.LOGS])
    result = partitioned.act()[Subject.LOGS]
    assert (said, result.deleted, result.left) == ([False], len(old), 0)
    monkeypatch.setattr(deletes, done, real)
    with partitioned.world.login("ops_cleanup").session("test") as session:
        dropped = session.execute("select ops_cleanup.drop_partition('execution_logs', 'public.logs_old')").fetchall()
    assert dropped == [(done == "drop_partition",)]


def test_a_row_that_comes_while_a_partition_is_dropped_is_kept(partitioned: Yard) -> None:
    """It waits for the lock and finds no partition any more, or it was first and nothing is dropped."""
    with partitioned.superuser() as other, partitioned.world.login("ops_cleanup").session("test") as session:
        other.execute("truncate logs_old; begin")
        other.execute(
            "insert into execution_logs (execution_id, level, message, created_at)"
            " select min(id), 'info', 'late', date_trunc('day', now(), 'UTC') - interval '150 days' from workflow_executions"
        )
        drop = "select ops_cleanup.drop_partition('execution_logs', 'public.logs_old')"
        assert session.execute(drop).fetchall() == [(False,)]
        other.execute("commit")
        assert session.execute(drop).fetchall() == [(False,)]
    assert partitioned.ask("select message from logs_old") == [("late",)]


def test_a_partition_is_compared_in_seconds_however_many_rows_it_has(partitioned: Yard) -> None:
    yard = partitioned
    with yard.superuser() as session:
        session.execute(
            "insert into execution_logs (id, execution_id, level, message, created_at)"
            " select 1000 + row_number() over (), execution_id, level, 'many', created_at from logs_old, generate_series(1, 400)"
        )
        session.execute("analyze execution_logs")
        session.execute(
            "select ops_cleanup.record_receipt(%s, 'execution_logs/' || day || '/0001', 'execution_logs', 'k', 'v', %s, ids, states)"
            " from (select (created_at at time zone 'UTC')::date as day, array_agg(id) as ids, array_agg(xmin::text) as states"
            " from logs_old group by 1) as listed",
            [yard.op_id, "0" * 64],
        )
    with yard.world.login("ops_cleanup").session("test", statement_timeout="5s") as session:
        query = "select ops_cleanup.empty_partition(%s, 'execution_logs', 'public.logs_old')"
        assert session.execute(query, [yard.op_id]).fetchall() == [(True,)]
