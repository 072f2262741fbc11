"""What the maintenance does to a real database: what needs it, nothing else, and nobody is in its way."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from include.checks.maintenance import judge_done
from include.errors import ConfigurationError, RefusedError
from include.maintenance import target
from include.maintenance.operation import Ended, Result
from include.ops import journal, leases
from include.ops.leases import HeldBackError, Mode, Wanted
from include.ops.saga import DONE
from include.plans.maintenance import Verb
from include.sql import statement
from tests.include.maintenance.scene import FLUSH, Scene, limits

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@contextmanager
def open_transaction(here: Scene, statement: str) -> Iterator[None]:
    with here.superuser() as session:
        session.execute(b"begin")
        session.execute(statement.encode())
        yield
        session.execute(b"rollback")


def counters(here: Scene) -> list[tuple[object, ...]]:
    """What any vacuum, analyze or rebuild changes."""
    return here.sql(
        "select relid::regclass::text, vacuum_count, analyze_count, pg_relation_filenode(relid) from pg_stat_user_tables"
        " union all select indexrelid::regclass::text, 0, 0, pg_relation_filenode(indexrelid) from pg_index order by 1"
    )


def test_d_04_d_06_bug_49_what_needs_it_gets_it_in_order_and_the_gain_is_measured(here: Scene) -> None:
    here.bloated()
    here.dirty()
    steps = here.plan().steps
    assert [(step.verb, step.full_name) for step in steps] == [
        (Verb.VACUUM, "public.dirty"),
        (Verb.ANALYZE, "public.dirty"),
        (Verb.REINDEX, "public.busy_pkey"),
    ]
    vacuumed, analyzed, rebuilt = here.run().outcomes
    assert (vacuumed.ended, vacuumed.before["dead"], vacuumed.after["dead"]) == (Ended.DONE, 5000, 0)
    assert (analyzed.ended, rebuilt.ended) == (Ended.DONE, Ended.DONE)
    assert rebuilt.after["bytes"] < rebuilt.before["bytes"] / 3
    assert here.invalid == []


def test_nothing_to_do_is_a_good_result_that_says_so_and_changes_nothing(here: Scene) -> None:
    here.bloated()
    here.run()
    before = counters(here)
    assert str(here.plan()) == "nothing to do: no table and no index needs anything"
    assert here.run().outcomes == []
    assert counters(here) == before


def test_a_look_changes_nothing(here: Scene) -> None:
    here.bloated()
    here.dirty()
    before = counters(here)
    assert len(here.plan().steps) == 3
    assert counters(here) == before


def test_bug_44_writers_and_readers_go_on_while_an_index_is_rebuilt(here: Scene) -> None:
    here.bloated(rows=60_000)
    with open_transaction(here, "lock table busy in access share mode"):  # so that the rebuild lasts until it gives up
        here.limits = limits(rebuild_wait_s=1)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(here.run)
            waits = written_meanwhile(here, running)
            outcome = running.result().outcomes[0]
    assert len(waits) > 5
    assert max(waits) < here.limits.lock_timeout_s
    assert outcome.ended is Ended.POSTPONED


def written_meanwhile(here: Scene, running: Future[Result]) -> list[float]:
    """How long each write and read took while it ran."""
    waits = []
    with here.superuser() as session:
        while not running.done():
            began = time.monotonic()
            session.execute("insert into busy select coalesce(max(id), 0) + 1, 'x' from busy")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
    return waits


def test_bug_45_bug_50_one_that_must_wait_too_long_is_postponed_and_leaves_no_invalid_index(here: Scene) -> None:
    here.limits = limits(rebuild_wait_s=0.2)
    here.bloated()
    with open_transaction(here, "lock table busy in row exclusive mode"):
        (outcome,) = here.run().outcomes
        assert outcome.ended is Ended.POSTPONED
        assert here.invalid == ["busy_pkey_ccnew"], "whoever holds the table keeps it from being dropped, too"
    result = here.run()
    assert (result.swept.dropped, result.outcomes[0].ended) == (("public.busy_pkey_ccnew",), Ended.DONE)
    assert here.invalid == []


def test_bug_50_a_vacuum_does_not_wait_for_a_lock_for_longer_than_the_time_out(here: Scene) -> None:
    here.limits = limits(lock_timeout_s=1)
    here.dirty()
    with open_transaction(here, "lock table dirty in share update exclusive mode"):
        outcomes = here.run().outcomes
    assert [outcome.ended for outcome in outcomes] == [Ended.POSTPONED, Ended.POSTPONED]
    assert all("lock timeout" in outcome.why for outcome in outcomes)
    assert all(0 < outcome.seconds < 1 for outcome in outcomes), "a wait is no work, after which the server is rested"


SLOW = {"vacuum_cost_delay_ms": 100}
"""So that a vacuum of some thousand rows lasts for seconds, after a checkpoint: a page that is dirty already costs nothing."""
MIGRATION = "alter table {} add column more int"


def until(here: Scene, running: Future[Any], seen: str) -> None:
    """Wait until the server shows a row of this database there."""
    while not here.sql(f"select 1 from {seen} and datname = current_database()"):
        assert not running.done(), running.result()
        time.sleep(0.02)


def test_a_vacuum_gives_way_to_a_migration_before_readers_queue_behind_it(here: Scene) -> None:
    here.dirty(rows=60_000)
    here.sql("checkpoint")
    here.limits = limits(**SLOW)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(here.run)
        until(here, running, "pg_stat_progress_vacuum where true")
        began = time.monotonic()
        here.sql("set application_name to 'a migration'", MIGRATION.format("dirty"))
        waited_s = time.monotonic() - began
        vacuumed, analyzed = running.result().outcomes
    assert (vacuumed.ended, analyzed.ended) == (Ended.POSTPONED, Ended.DONE)
    assert re.match(r"ended before its time: pid \d+ of postgres \(a migration\) waits for it since 1\.", vacuumed.why)
    assert 1 < waited_s < 4


def test_a_vacuum_goes_on_beside_waits_that_are_short_or_that_nobody_queues_behind(here: Scene) -> None:
    here.dirty(rows=30_000)
    here.sql("checkpoint")
    here.limits = limits(**SLOW)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(here.run)
        until(here, running, "pg_stat_progress_vacuum where true")
        pool.submit(here.sql, "analyze dirty")
        for _ in range(4):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                here.sql("set lock_timeout to '500ms'", MIGRATION.format("dirty"))
        assert not running.done()
        assert running.result().outcomes[0].ended is Ended.DONE


def test_a_rebuild_that_waits_gives_way_too_and_its_leftover_is_swept(here: Scene) -> None:
    here.bloated()
    with ThreadPoolExecutor(2) as pool:
        with open_transaction(here, "lock table busy in access share mode"):
            running = pool.submit(here.run)
            until(here, running, "pg_stat_progress_create_index where true")
            migrating = pool.submit(here.sql, MIGRATION.format("busy"))
            while here.sql("select 1 from pg_stat_progress_create_index where datname = current_database()"):
                time.sleep(0.02)
        migrating.result(timeout=5)
        (outcome,) = running.result().outcomes
    assert outcome.ended is Ended.POSTPONED
    assert "waits for it since" in outcome.why
    here.run()
    assert here.invalid == []


def test_a_measurement_gives_way_too_and_is_not_called_well(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    here.dirty()
    here.sql("grant select on dirty to ops_maint")
    slow = "select 1 as bytes, 0 as dead_bytes, 0 as free_bytes, pg_sleep(20) from dirty where %(oid)s > 0 limit 1"
    chosen = {"maintenance_table_bloat": slow}
    monkeypatch.setattr("include.maintenance.need.statement", lambda name: chosen.get(name) or statement(name))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(here.observed)
        until(here, running, "pg_stat_activity where wait_event = 'PgSleep'")
        began = time.monotonic()
        here.sql(MIGRATION.format("dirty"))
        assert time.monotonic() - began < 6
        (table,) = running.result().tables
    assert table.bloat is None


def test_d_06_who_holds_cleaning_back_is_named(here: Scene) -> None:
    with here.superuser() as session:
        session.execute("begin isolation level repeatable read")
        session.execute("set application_name to 'a forgotten psql'")
        session.execute("select 1 from pg_class")
        here.dirty()
        result, after = here.run(), here.observed()
    found = {finding.check: finding for finding in judge_done(result, after, here.limits, "database/x")}
    assert "5000 of 5000 dead rows stayed" in found["held_back"].summary
    assert "a forgotten psql" in found["held_back"].summary


def test_d_06_a_vacuum_that_could_not_freeze_says_who_was_in_its_way(here: Scene) -> None:
    here.limits = limits(index_min_bytes=1 << 40).model_copy(update={"freeze_age": 200})
    here.dirty("old")
    here.sql("vacuum (freeze, analyze) old", FLUSH)
    with here.superuser() as session:
        session.execute("begin isolation level repeatable read")
        session.execute("set application_name to 'a forgotten psql'")
        session.execute("select 1 from pg_class")
        here.sql(*300 * ["select pg_current_xact_id()"])
        held, after = here.run(), here.observed()
    assert [(each.key, each.ended) for each in held.outcomes] == [("vacuum public.old", Ended.DONE)]
    found = {finding.check: finding for finding in judge_done(held, after, here.limits, "database/x")}
    assert "held back by session pid" in found["not_frozen"].summary
    assert "a forgotten psql" in found["not_frozen"].summary
    freed = judge_done(here.run(), here.observed(), here.limits, "database/x")
    assert "not_frozen" not in {finding.check for finding in freed}


def test_bug_43_bug_47_names_of_any_kind_in_any_schema_are_addressed(here: Scene) -> None:
    odd = 'Odd "name"; drop table x'
    here.bloated(odd)
    here.sql('create schema "Other Schema" authorization orchestrator_owner')
    here.sql('alter table "Odd ""name""; drop table x" set schema "Other Schema"')
    plan = here.plan()
    assert [left.advice for left in plan.left][-1].startswith('REINDEX INDEX CONCURRENTLY "Other Schema".')
    here.sql('grant usage on schema "Other Schema" to ops_maint')
    assert [each.ended for each in here.run().outcomes] == [Ended.DONE]
    assert here.plan().steps == []


def test_an_invalid_unique_index_that_cannot_be_made_is_told_and_leaves_no_second_one(here: Scene) -> None:
    here.sql(
        "create table twins (id int)",
        "insert into twins values (1), (1)",
        "analyze twins",
        "alter table twins owner to orchestrator_owner",
    )
    with here.superuser() as session, suppress(psycopg.errors.UniqueViolation):
        session.execute("create unique index concurrently twins_idx on twins (id)")
    assert here.invalid == ["twins_idx"]
    (outcome,) = here.run().outcomes
    assert (outcome.ended, outcome.why) == (Ended.FAILED, 'could not create unique index "twins_idx_ccnew"')
    assert here.invalid == ["twins_idx"]


def test_bug_45_a_leftover_of_somebody_else_is_left_to_them(here: Scene) -> None:
    here.bloated("theirs", keep=1)
    with here.superuser() as session, open_transaction(here, "lock table theirs in row exclusive mode"):
        session.execute("set lock_timeout to '100ms'")
        with suppress(psycopg.errors.LockNotAvailable):
            session.execute("reindex index concurrently theirs_pkey")
    assert here.invalid == ["theirs_pkey_ccnew"]
    result = here.run()
    assert (result.outcomes, result.swept.dropped) == ([], ())
    assert here.invalid == ["theirs_pkey_ccnew"]
    assert [left.name for left in here.plan().left] == ["public.theirs_pkey_ccnew"]


def test_one_that_is_no_leftover_is_not_dropped_by_the_function_whoever_asks(here: Scene) -> None:
    here.bloated("busy")
    with here.login.session("a test") as session:
        (why,) = session.execute("select ops_maintenance.drop_leftover('busy_pkey'::regclass)").fetchone() or ("",)
    assert why == "busy_pkey has not the name of a leftover"


def test_after_the_window_nothing_begins_and_it_ends_well(here: Scene) -> None:
    here.limits = limits(window_s=1e-6)
    here.bloated()
    op_id = str(uuid.uuid4())
    (outcome,) = here.run(op_id).outcomes
    assert (outcome.ended, outcome.why) == (Ended.POSTPONED, "the maintenance window is over")
    assert journal.last(journal.entries(here.ops, op_id), DONE)


def test_full_disks_and_replicas_that_do_not_tell_postpone_a_rebuild(here: Scene) -> None:
    here.bloated()
    plan = here.plan()
    here.free_bytes = lambda: 1000
    assert "1000 bytes are free on the disk" in here.plan().left[0].why
    at_work = here.at_work(str(uuid.uuid4()))
    with leases.keep(at_work.lease):
        (outcome,) = at_work.run(plan).outcomes
    assert outcome.ended is Ended.POSTPONED
    assert "1000 bytes are free on the disk" in outcome.why


def test_two_do_not_maintain_at_once_and_a_backup_is_waited_for(here: Scene) -> None:
    backup = Wanted(resource=f"database/{here.database}", mode=Mode.BACKUP, op_id=str(uuid.uuid4()), holder="a backup")
    with (
        leases.keep(leases.acquire(here.ops, backup)),
        pytest.raises(RefusedError, match="is held: backup by a backup"),
    ):
        here.run()


def test_a_stop_order_ends_it_before_the_next_step_and_it_goes_on_later(here: Scene) -> None:
    here.bloated()
    here.dirty()
    op_id = str(uuid.uuid4())
    at_work = here.at_work(op_id)
    with leases.keep(at_work.lease):
        plan = here.plan()
        at_work.ops.ask("order_stop", "a test", "the test")
        try:
            with pytest.raises(HeldBackError, match="ordered to stop"):
                at_work.run(plan)
        finally:
            at_work.ops.ask("lift_stop", "the test")
    assert [outcome.ended for outcome in here.run(op_id).outcomes] == 3 * [Ended.DONE]


def test_a_process_whose_lease_is_taken_ends_its_statement_and_the_newer_one_goes_on(here: Scene) -> None:
    here.bloated()
    op_id = str(uuid.uuid4())
    with open_transaction(here, "lock table busy in row exclusive mode"), ThreadPoolExecutor(1) as pool:
        running = pool.submit(here.run, op_id)
        while not here.sql("select pid from pg_stat_progress_create_index"):
            time.sleep(0.05)
        newer = here.at_work(op_id)
        with pytest.raises(HeldBackError, match="is lost"):
            running.result(timeout=10)
        assert here.sql("select pid from pg_stat_progress_create_index") == []
    assert here.invalid == ["busy_pkey_ccnew"]
    with leases.keep(newer.lease):
        result = newer.run(here.plan())
    assert (result.swept.dropped, [each.ended for each in result.outcomes]) == (
        ("public.busy_pkey_ccnew",),
        [Ended.DONE],
    )
    assert here.invalid == []


def test_bug_41_bug_42_the_wrong_database_is_refused_before_anything(here: Scene) -> None:
    with here.login.session("a test") as session:
        found = target.look(session)
    target.refuse(found, database=here.database, system_identifier=found.system_identifier)
    with pytest.raises(ConfigurationError, match=f"leads into database '{here.database}', not 'orchestrator'"):
        target.refuse(found, database="orchestrator", system_identifier="")
    with pytest.raises(RefusedError, match=f"is cluster {found.system_identifier}, the backups are of 1"):
        target.refuse(found, database=here.database, system_identifier="1")
