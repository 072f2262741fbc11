"""A clean-up against real servers: what was listed is archived, what is archived is deleted, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from include.backups.store import Store
from include.cleanup import deletes, operation, pace, rows
from include.cleanup.archive import Archive, Kept
from include.cleanup.rows import Taken
from include.errors import ConfigurationError, PermanentError, RefusedError, TransientError, VerificationError
from include.ops import gate, journal, leases
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Mode, Wanted
from include.plans.cleanup import Chunk, Subject
from sandbox.components.postgres import Connection, dsn
from tests.include.cleanup.yard import OLD, Yard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize("subject", [Subject.LOGS, Subject.AUDIT])
def test_bug_53_bug_58_exactly_what_was_listed_is_archived_and_then_deleted(yard: Yard, subject: Subject) -> None:
    old, before = yard.ids(subject, OLD[subject]), yard.rows(subject)
    done = yard.act()[subject]
    assert old
    assert yard.planned(subject) == yard.archived_ids(subject) == old
    assert yard.rows(subject) == {number: row for number, row in before.items() if number not in old}
    assert (done.planned, done.archived, done.deleted, done.left, done.vanished) == (len(old),) * 3 + (0, 0)


def test_bug_55_a_version_that_anything_refers_to_stays(yard: Yard) -> None:
    done = yard.act()[Subject.VERSIONS]
    kept = yard.ask(
        "select w.name, v.version from workflow_versions v join workflows w on w.id = v.workflow_id order by 1, 2"
    )
    newest = [(flow, n) for flow in ("flow-1", "flow-2", "flow-3") for n in range(6, 16)]
    assert kept == sorted([*newest, ("flow-1", 2), ("flow-2", 1), ("flow-3", 1)])
    assert (done.planned, done.deleted) == (12, 12)


def test_bug_54_one_run_cleans_every_workflow_and_leaves_each_ten(yard: Yard) -> None:
    with yard.superuser() as session:
        session.execute("update workflows set active_version_id = null, pinned_version_id = null")
        session.execute("delete from execution_logs; delete from workflow_executions")
    yard.act()
    assert (
        yard.ask("select count(*), min(version), max(version) from workflow_versions group by workflow_id")
        == [(10, 6, 15)] * 3
    )


def test_a_table_that_nobody_thought_of_keeps_the_version_that_it_refers_to(yard: Yard) -> None:
    with yard.superuser() as session:
        session.execute('create table "Odd Table" (v bigint references workflow_versions on delete cascade)')
        session.execute('insert into "Odd Table" select min(id) from workflow_versions')
        session.execute('alter table "Odd Table" owner to orchestrator_owner')
    first = min(yard.ids(Subject.VERSIONS))
    yard.act()
    assert first in yard.ids(Subject.VERSIONS)
    assert first not in yard.archived_ids(Subject.VERSIONS)


@pytest.mark.parametrize("action", ["cascade", "no action"])
def test_a_version_that_is_referred_to_by_its_flow_and_number_stays(yard: Yard, action: str) -> None:
    with yard.superuser() as session:
        session.execute(
            b"alter table workflow_versions add unique (workflow_id, version);"
            b"create table releases (flow bigint, nth integer, said text,"
            b" foreign key (nth, flow) references workflow_versions (version, workflow_id) on delete %s);"
            b"insert into releases select workflow_id, version, 'old' from workflow_versions where version < 4;"
            b"alter table releases owner to orchestrator_owner" % action.encode()
        )
    released = yard.ids(Subject.VERSIONS, "version < 4")
    done = yard.act()[Subject.VERSIONS]
    assert released <= yard.ids(Subject.VERSIONS)
    assert yard.ask("select count(*) from releases") == [(9,)]
    assert (done.planned, done.left) == (6, 0)
    kept = yard.ask("select distinct kept_by from ops_cleanup.old_versions(10) where kept_by like '%releases%'")
    assert {"referenced by public.releases", "active, referenced by public.releases"} < {why for (why,) in kept}


def test_a_second_clean_up_finds_nothing_and_says_so(yard: Yard) -> None:
    yard.act()
    before = {subject: yard.rows(subject) for subject in Subject}
    again = yard.again()
    assert again.act() == {}
    assert {subject: again.rows(subject) for subject in Subject} == before


def test_the_same_clean_up_once_more_changes_nothing(yard: Yard) -> None:
    done = yard.act()
    objects = len(yard.archived(Subject.LOGS))
    assert yard.act() == done
    assert len(yard.archived(Subject.LOGS)) == objects


def test_bug_56_the_limit_of_age_is_that_of_the_first_look_even_days_later(yard: Yard) -> None:
    first = yard.cleanup().now(yard.ops, "the test")
    assert yard.cleanup().now(yard.ops, "another process") == first
    assert yard.again().cleanup().now(yard.ops, "the test") > first


def test_bug_58_rows_that_arrive_or_change_while_it_runs_are_not_lost(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is inserted with an old date, and one is changed, each after the listing and again after it was archived."""
    real, late = Archive.keep, set[int]()
    changed = max(yard.ids(Subject.LOGS, OLD[Subject.LOGS]))

    def keep(self: Archive, chunk: Chunk, taken: Taken, op_id: str, name: str) -> Kept:
        kept = real(self, chunk, taken, op_id, name)
        with yard.superuser() as session:
            [(new,)] = session.execute(
                "insert into execution_logs (execution_id, level, message, created_at)"
                " select execution_id, level, 'late', created_at from execution_logs where id = %s returning id",
                [min(yard.ids(Subject.LOGS))],
            ).fetchall()
            late.add(new)
            if changed in taken.ids and len(late) < 20:
                session.execute("update execution_logs set message = message || '!' where id = %s", [changed])
        return kept

    monkeypatch.setattr(Archive, "keep", keep)
    done = yard.act(rounds=20)[Subject.LOGS]
    assert late <= yard.ids(Subject.LOGS)
    assert late.isdisjoint(yard.archived_ids(Subject.LOGS))
    assert (done.left, done.deleted) == (0, done.planned)
    newest = next(each for each in yard.archived(Subject.LOGS) if changed in each.ids)
    assert newest.lines[newest.ids.index(changed)].split(b"\t")[3].endswith(b"!")


def test_bug_51_no_deletion_is_larger_than_a_batch_and_each_is_a_transaction_of_its_own(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = deletes.delete, list[int]()

    def delete(session: Connection, receipt: int, first: int, last: int) -> int:
        before = len(yard.ids(Subject.LOGS))
        number = real(session, receipt, first, last)
        assert session.info.transaction_status == TransactionStatus.IDLE
        assert before - len(yard.ids(Subject.LOGS)) in {
            number,
            0,
        }  # others see it at once; 0 if it was of another table
        gone.append(number)
        return number

    monkeypatch.setattr(deletes, "delete", delete)
    done = yard.act(rows_per_batch=9)
    assert sum(gone) == sum(each.deleted for each in done.values())
    assert max(gone) == 9


def test_rows_that_are_too_large_for_one_object_are_not_read_further(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, row, read = 40_000, 3000, list[int]()
    with yard.superuser() as session:
        session.execute("update execution_logs set message = repeat('x', %s)", [row])
    monkeypatch.setattr(operation, "TEXT_MAX", limit)
    real = psycopg.Copy.__iter__

    def counting(self: psycopg.Copy) -> Iterator[bytes | bytearray | memoryview]:
        read.append(0)
        for piece in real(self):
            read[-1] += len(piece)
            yield piece

    monkeypatch.setattr(psycopg.Copy, "__iter__", counting)
    old = yard.ids(Subject.LOGS, OLD[Subject.LOGS])
    done = yard.act()[Subject.LOGS]
    assert limit < max(read) < limit + 2 * row
    assert (done.deleted, done.left, yard.archived_ids(Subject.LOGS)) == (len(old), 0, old)
    assert all(len(b"".join(each.lines)) < limit for each in yard.archived(Subject.LOGS))


def test_one_row_that_is_too_large_is_named_and_stays(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    large = max(yard.ids(Subject.LOGS, OLD[Subject.LOGS]))
    with yard.superuser() as session:
        session.execute("update execution_logs set message = repeat('x', 50000) where id = %s", [large])
    monkeypatch.setattr(operation, "TEXT_MAX", 40_000)
    with pytest.raises(PermanentError, match=f"row {large} of execution_logs is larger than"):
        yard.act()
    assert large in yard.ids(Subject.LOGS)


def test_a_row_that_somebody_holds_stays_and_is_told(yard: Yard) -> None:
    held = min(yard.ids(Subject.LOGS, OLD[Subject.LOGS]))
    with yard.superuser() as other:
        other.execute("begin; select from execution_logs where id = %d for update" % held)  # noqa: UP031 - no parameters in several
        done = yard.act(rounds=2)[Subject.LOGS]
        other.execute("rollback")
    assert done.left == 1
    assert done.deleted == done.planned - 1
    assert held in yard.ids(Subject.LOGS)


def test_an_archive_that_is_not_what_was_sent_stops_everything(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Store.get

    def get(self: Store, key: str, version_id: str, **limit: int) -> bytes:
        return real(self, key, version_id, **limit)[:-1]

    monkeypatch.setattr(Store, "get", get)
    before = yard.rows(Subject.LOGS)
    with pytest.raises(VerificationError, match="damaged or cut short"):
        yard.act()
    assert yard.rows(Subject.LOGS) == before


def test_bug_52_the_archive_of_audit_logs_is_locked_and_that_of_others_is_not(yard: Yard) -> None:
    yard.act()
    verifier = yard.archive().verifier
    audit = [*verifier.versions(f"archive/{yard.database}/audit_logs/")]
    logs = [*verifier.versions(f"archive/{yard.database}/execution_logs/")]
    assert audit
    assert all(verifier.locked_until(each.key, each.id) for each in audit)
    assert not any(verifier.locked_until(each.key, each.id) for each in logs)


def test_bug_52_without_a_policy_no_audit_log_is_touched(yard: Yard) -> None:
    before = yard.rows(Subject.AUDIT)
    assert Subject.AUDIT not in yard.act(audit_policy="")
    assert yard.rows(Subject.AUDIT) == before
    assert yard.archived(Subject.AUDIT) == []


def test_what_needs_an_approval_is_not_done_without_one(yard: Yard) -> None:
    before = {subject: yard.rows(subject) for subject in Subject}
    with pytest.raises(RefusedError, match="has no plan"):
        yard.act(rows_max=10)
    stored(yard, rows_max=10)
    with pytest.raises(RefusedError, match="nobody approved it"):
        yard.act(rows_max=10)
    assert {subject: yard.rows(subject) for subject in Subject} == before
    assert yard.archived(Subject.LOGS) == []


def stored(yard: Yard, *, rows_max: int) -> int:
    wanted = yard.cleanup(rows_max=rows_max)
    seen = wanted.look(wanted.now(yard.ops, "the test"))
    return gate.store(yard.ops, wanted.plan(seen), requester="operator_one", people=2)


def approved(yard: Yard, plan: int) -> None:
    approver = OpsDatabase({"conninfo": dsn(yard.site, "ops_approver", "ops", "postgres_ops")})
    gate.approve(approver, plan, person="another", reason="agreed in the meeting", answered_at=datetime.now(UTC))


def test_what_was_approved_is_done_once_and_no_more_than_that(yard: Yard) -> None:
    approved(yard, stored(yard, rows_max=10))
    with yard.superuser() as session:
        session.execute(
            "insert into execution_logs (execution_id, level, message, created_at)"
            " select execution_id, level, message, created_at from execution_logs"
        )
    with pytest.raises(RefusedError, match="more would be deleted now than was approved"):
        yard.act(rows_max=10)
    with yard.superuser() as session:
        session.execute("delete from execution_logs where id % 2 = 0")
    done = yard.act(rows_max=10)[Subject.LOGS]
    assert done.deleted == done.planned > 10


def test_what_was_changed_or_held_since_it_began_lets_it_stand_still(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(yard, monkeypatch)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"execution_logs_days": 91}, "cleanup.execution_logs_days was changed since clean-up"),
        ({"audit_policy": "another"}, "cleanup.audit_policy was changed"),
        ({"held": {"audit_logs": "case 4711"}}, "audit_logs is held since"),
    ]
    for other, said in changes:
        with pytest.raises(RefusedError, match=said):
            yard.act(None, **other)
    assert yard.act()[Subject.LOGS].left == 0


def test_another_database_or_an_old_backup_is_refused_before_anything_is_done(yard: Yard) -> None:
    elsewhere = replace(yard, database="yard_template")
    astray = yard.access(deleter=elsewhere.login("ops_cleanup", "connections.cleanup_postgres"))
    with yard.superuser() as session:
        session.execute("grant connect on database yard_template to ops_cleanup")
    with pytest.raises(ConfigurationError, match=r"connections.cleanup_postgres leads into database 'yard_template'"):
        yard.act(astray)
    for good in (None, datetime.now(UTC) - timedelta(hours=27)):
        with pytest.raises(RefusedError, match="mend the backup first"):
            yard.act(yard.access(newest_good=lambda good=good: good))
    assert yard.archived(Subject.LOGS) == []


def test_a_backup_that_became_too_old_before_the_answer_came_is_refused(yard: Yard) -> None:
    """The run's moment is that of its rows: on Monday nothing is deleted after Saturday's backup."""
    saturday = datetime.now(UTC) - timedelta(hours=53)
    Journal(yard.ops, yard.op_id, "the test").record(journal.CLOCK, now=saturday.isoformat())
    with pytest.raises(RefusedError, match="mend the backup first; nothing was changed"):
        yard.act(yard.access(newest_good=lambda: saturday - timedelta(hours=2)))
    assert yard.act()[Subject.LOGS].left == 0


def test_what_stands_against_a_deletion_is_asked_for_again_when_it_goes_on(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(yard, monkeypatch)
    before = {subject: yard.rows(subject) for subject in Subject}
    with pytest.raises(RefusedError, match="mend the backup first, then clear the task; until then clean-up "):
        yard.act(yard.access(newest_good=lambda: datetime.now(UTC) - timedelta(hours=27)))
    with yard.superuser() as session:
        session.execute("grant connect on database yard_template to ops_cleanup, ops_backup")
    elsewhere = replace(yard, database="yard_template")
    for door, role in (("reader", "ops_backup"), ("deleter", "ops_cleanup")):
        with pytest.raises(ConfigurationError, match="the door leads into database 'yard_template'"):
            yard.act(yard.access(**{door: elsewhere.login(role, "the door")}))
    with monkeypatch.context() as moved:
        moved.setattr(rows, "refuse_wrong", lambda *_: "another cluster")
        with pytest.raises(RefusedError, match="is on another server than clean-up"):
            yard.act()
    with yard.superuser() as session:
        session.execute("create table notes (log_id bigint references execution_logs on delete cascade)")
    with pytest.raises(RefusedError, match="notes refers to execution_logs"):
        yard.act()
    assert {subject: yard.rows(subject) for subject in Subject} == before
    with yard.superuser() as session:
        session.execute("drop table notes")
    assert yard.act()[Subject.LOGS].left == 0


def begin(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it list what goes and stand still before the first row."""

    def no(*_: object) -> None:
        raise TransientError("the store said 503, later")

    with monkeypatch.context() as broken:
        broken.setattr(Archive, "keep", no)
        with pytest.raises(TransientError):
            yard.act()


def test_a_table_that_refers_to_the_logs_keeps_all_of_them(yard: Yard) -> None:
    with yard.superuser() as session:
        session.execute("create table notes (log_id bigint references execution_logs on delete cascade)")
    with pytest.raises(RefusedError, match="notes refers to execution_logs"):
        yard.act()


@pytest.mark.parametrize("subject", [Subject.LOGS, Subject.AUDIT])
def test_a_foreign_key_that_is_made_while_it_runs_stops_the_deletion_itself(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, subject: Subject
) -> None:
    real = deletes.record

    def record(session: Connection, op_id: str, chunk: Chunk, taken: Taken, kept: Kept) -> int:
        with yard.superuser() as other:
            made = f"create table if not exists notes (log_id bigint references {subject} on delete cascade);"
            other.execute(f"{made} insert into notes select min(id) from {subject}".encode())
        return real(session, op_id, chunk, taken, kept)

    monkeypatch.setattr(deletes, "record", record)
    before = yard.rows(subject)
    with pytest.raises(RefusedError, match=f"notes refers to {subject} .* clear the task"):
        yard.act()
    assert yard.rows(subject) == before


def test_a_backup_at_work_is_waited_for_and_a_restore_keeps_it_out(yard: Yard) -> None:
    wanted = Wanted(resource=f"database/{yard.database}", mode=Mode.BACKUP, op_id=yard.again().op_id, holder="backup")
    with leases.keep(leases.acquire(yard.ops, wanted)), pytest.raises(RefusedError, match="is held: backup by backup"):
        yard.act()


def test_a_replica_that_is_behind_makes_it_stand_still(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "statement", lambda _: "select 0::bigint, 31.0::float8")
    with pytest.raises(TransientError, match=r"a replica is 31 s behind \(limit 30 s\)"):
        yard.act(lag_wait_s=0.01)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("old_versions(9)", "at least the 10 newest versions stay"),
        ("old_versions(null)", "at least the 10 newest versions stay"),
        ("delete_archived(0, 1, 10)", "there is no open receipt 0"),
    ],
)
def test_the_database_itself_holds_the_floors(yard: Yard, call: str, said: str) -> None:
    with yard.world.login("ops_cleanup").session("test") as session, pytest.raises(psycopg.Error, match=said):
        session.execute(f"select ops_cleanup.{call}".encode())


def test_bug_56_a_receipt_for_young_rows_deletes_none_of_them(yard: Yard) -> None:
    """Whatever a runbook or its settings ask for: rows above the floor stay."""
    young = {subject: yard.ids(subject, f"not ({old})") for subject, old in OLD.items()}
    receipt = (
        "select ops_cleanup.delete_archived(ops_cleanup.record_receipt(%s, %s, %s, 'k', 'v', %s, %s, %s), 1, 100000)"
    )
    for subject in Subject:
        days = "select (created_at at time zone 'UTC')::date, array_agg(id), array_agg(xmin::text) from {} group by 1"
        for day, *listed in yard.ask(days.format(subject)):
            with yard.world.login("ops_cleanup").session("test") as session:
                arguments = [yard.op_id, f"{subject}/{day}/0001", str(subject), "0" * 64, *listed]
                session.execute(receipt, arguments)
    assert not any(yard.ids(subject, old) for subject, old in OLD.items())
    assert {subject: yard.ids(subject) for subject in OLD} == young
    assert len(yard.ids(Subject.VERSIONS)) == 33


def partitions(yard: Yard) -> list[str]:
    return [
        name
        for (name,) in yard.ask(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'execution_logs'::regclass"
        )
    ]


def test_a_partition_that_is_old_as_a_whole_is_archived_emptied_at_once_and_dropped(
    partitioned: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, called = deletes.delete, list[int]()

    def delete(session: Connection, receipt: int, first: int, last: int) -> int:
        called.append(receipt)
        return real(session, receipt, first, last)

    monkeypatch.setattr(deletes, "delete", delete)
    old, was = partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]), partitioned.rows(Subject.LOGS)
    whole = {number for (number,) in partitioned.ask("select id from logs_old")}
    done = partitioned.act()[Subject.LOGS]
    assert partitioned.planned(Subject.LOGS) == partitioned.archived_ids(Subject.LOGS) == old
    assert partitioned.rows(Subject.LOGS) == {number: row for number, row in was.items() if number not in old}
    assert (done.deleted, done.left, done.vanished) == (len(old), 0, 0)
    assert partitions(partitioned) == ['"Logs, new"']
    assert whole
    assert len(called) < len(old - whole) + 20  # nothing of the old partition went row by row


def test_a_partition_into_which_a_row_came_late_stays_and_so_does_that_row(
    partitioned: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletes.empty_partition

    def empty(session: Connection, op_id: str, subject: Subject, name: str) -> bool:
        with partitioned.superuser() as other:
            other.execute(
                "insert into logs_old (id, execution_id, level, message, created_at)"
                " select 10000000, execution_id, level, 'late', created_at from logs_old limit 1"
            )
        return real(session, op_id, subject, name)

    monkeypatch.setattr(deletes, "empty_partition", empty)
    old = partitioned.ids(Subject.LOGS, OLD[Subject.LOGS])
    done = partitioned.act()[Subject.LOGS]
    assert (done.deleted, done.left) == (len(old), 0)
    assert partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]) == {10_000_000}
    assert partitions(partitioned) == ["logs_old", '"Logs, new"']


def test_a_row_of_a_partition_that_changed_after_it_was_archived_is_archived_once_more(
    partitioned: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletes.empty_partition
    changed = min(partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]))

    def empty(session: Connection, op_id: str, subject: Subject, name: str) -> bool:
        with partitioned.superuser() as other:
            other.execute("update execution_logs set message = 'changed late' where id = %s", [changed])
        return real(session, op_id, subject, name)

    monkeypatch.setattr(deletes, "empty_partition", empty)
    partitioned.act()
    assert partitions(partitioned) == ['"Logs, new"']
    newest = next(each for each in partitioned.archived(Subject.LOGS) if changed in each.ids)
    assert b"changed late" in newest.lines[newest.ids.index(changed)]
