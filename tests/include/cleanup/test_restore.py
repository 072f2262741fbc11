"""A day of the archive comes back: every type, every odd character, once, and nothing that is there is changed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date

import psycopg
import pytest

from include.backups.store import Store, Version
from include.cleanup import archive
from include.cleanup.archive import Archive, Opened
from include.errors import ConfigurationError, RefusedError, VerificationError
from include.plans.cleanup import Subject
from tests.include.cleanup.yard import OLD, Yard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ODD = """
alter table execution_logs
    add b bytea, add n numeric, add f float8, add a text[], add r tstzrange, add j json, add i interval, add u uuid,
    add g text generated always as (upper(level)) stored, add "Odd, Name" inet;
update execution_logs set b = '\\x00ff0a5c', n = 'NaN', f = '-0', a = array['a,b', null, '"', E'\\\\', ''],
    r = '[2026-01-01,infinity)', j = '{"a":  1, "a": 2}', i = '1 mon 2 d -03:00', u = gen_random_uuid(), "Odd, Name" = '::1/64'
where id % 2 = 0;
"""


def oldest(yard: Yard, subject: Subject) -> date:
    """The first day that goes, or for versions the day of the clean-up."""
    if subject is Subject.VERSIONS:
        return yard.cleanup().now(yard.ops, "the test").date()
    [(day,)] = yard.ask(f"select min((created_at at time zone 'UTC')::date) from {subject}")
    found: date = day
    return found


@pytest.mark.parametrize("subject", [*Subject])
def test_a_day_comes_back_equal_row_by_row_and_only_once(yard: Yard, subject: Subject) -> None:
    was, day = yard.rows(subject), oldest(yard, subject)
    yard.act()
    gone = was.keys() - yard.ids(subject)
    of_day = yard.restore(subject, day)
    back = yard.ids(subject) & gone
    assert back
    assert (of_day.brought, of_day.rows, of_day.there, of_day.other) == (len(back), len(back), 0, 0)
    assert {number: row for number, row in yard.rows(subject).items() if number in back} == {
        number: was[number] for number in back
    }
    again = yard.again().restore(subject, day)
    assert (again.brought, again.there, again.other) == (0, len(back), 0)


def test_every_type_survives(yard: Yard) -> None:
    with yard.superuser() as session:
        session.execute(ODD.encode())
    was = yard.rows(Subject.LOGS)
    yard.act()
    assert len(yard.rows(Subject.LOGS)) < len(was)
    for day in {each.header.day for each in yard.archived(Subject.LOGS)}:
        yard.again().restore(Subject.LOGS, day)
    assert yard.rows(Subject.LOGS) == was


SETTINGS = {
    "extra_float_digits": "0",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "client_encoding": "latin1",
    "search_path": "elsewhere",
}
FINE = """
create type mood as enum ('good', 'bad');
alter table execution_logs add b bytea, add f float8, add i interval, add m mood;
update execution_logs set b = '\\x00ff0a5c', f = 0.1::float8 + 0.2::float8, i = '-1 day -02:03:04', m = 'good' where id % 2 = 0;
"""


@contextmanager
def setting(yard: Yard, name: str) -> Iterator[None]:
    """Let every new session of the database have an odd setting."""
    with yard.superuser() as session:
        session.execute(f"alter database {yard.database} set {name} = {SETTINGS[name]}".encode())
    yield
    with yard.superuser() as session:
        session.execute(f"alter database {yard.database} reset {name}".encode())


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("when", ["archived", "restored"])
def test_what_the_server_sets_for_its_sessions_changes_no_value(yard: Yard, name: str, when: str) -> None:
    with yard.superuser() as session:
        session.execute(FINE.encode())
    was = yard.rows(Subject.LOGS)
    with setting(yard, name) if when == "archived" else nullcontext():
        yard.act()
    days = {each.header.day for each in yard.archived(Subject.LOGS)}
    with setting(yard, name) if when == "restored" else nullcontext():
        for day in days:
            assert yard.again().restore(Subject.LOGS, day).other == 0
    assert yard.rows(Subject.LOGS) == was


def test_a_number_that_differs_in_its_last_digit_is_another(yard: Yard) -> None:
    with yard.superuser() as session:
        session.execute(FINE.encode())
    day = oldest(yard, Subject.LOGS)
    yard.act()
    yard.restore(Subject.LOGS, day)
    with yard.superuser() as session:
        session.execute(
            "update execution_logs set f = 0.3 where id in (select min(id) from execution_logs where f > 0)"
        )
    with setting(yard, "extra_float_digits"):
        assert yard.again().restore(Subject.LOGS, day).other == 1


def test_a_row_that_is_there_and_differs_stays_as_it_is(yard: Yard) -> None:
    day = oldest(yard, Subject.LOGS)
    yard.act()
    yard.restore(Subject.LOGS, day)
    changed = min(yard.ids(Subject.LOGS, OLD[Subject.LOGS]))
    with yard.superuser() as session:
        session.execute("update execution_logs set message = 'changed by hand' where id = %s", [changed])
    found = yard.again().restore(Subject.LOGS, day)
    assert (found.brought, found.other) == (0, 1)
    assert yard.ask(f"select message from execution_logs where id = {changed}") == [("changed by hand",)]


def test_what_does_not_fit_any_more_is_refused_and_nothing_is_left_behind(yard: Yard) -> None:
    day = oldest(yard, Subject.LOGS)
    yard.act()
    with yard.superuser() as session:
        session.execute("delete from execution_logs; delete from workflow_executions")
    with pytest.raises(RefusedError, match="execution_logs_execution_id_fkey"):
        yard.again().restore(Subject.LOGS, day)
    with yard.superuser() as session:
        session.execute("alter table execution_logs drop column level")
    with pytest.raises(RefusedError, match="execution_logs has no column level text any more"):
        yard.again().restore(Subject.LOGS, day)
    assert yard.ids(Subject.LOGS) == set()
    assert yard.ask("select relname from pg_class where relname like 'stage%'") == []


def test_a_day_that_is_not_there_is_said(yard: Yard) -> None:
    with pytest.raises(RefusedError, match="the archive holds nothing of audit_logs of 2020-01-01"):
        yard.restore(Subject.AUDIT, date(2020, 1, 1))


def test_a_damaged_object_is_named_and_nothing_comes_back(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    day = oldest(yard, Subject.LOGS)
    yard.act()
    before = yard.rows(Subject.LOGS)
    real = Store.get
    monkeypatch.setattr(Store, "get", lambda self, *where: real(self, *where)[:-20])
    with pytest.raises(VerificationError, match=r"archive/yard_.*\.copy\.zst\.age: it does not decrypt"):
        yard.again().restore(Subject.LOGS, day)
    assert yard.rows(Subject.LOGS) == before


def test_what_unpacks_to_more_than_any_of_ours_is_not_unpacked(yard: Yard) -> None:
    day = oldest(yard, Subject.LOGS)
    yard.act()
    place = yard.archive()
    bomb = place._sealed(bytes(2 * archive.PLAIN_MAX))
    place.writer.put(f"{place.prefix(Subject.LOGS, day)}deadbeef-0001-1-1.copy.zst.age", bomb)
    before = yard.rows(Subject.LOGS)
    with pytest.raises(VerificationError, match=r"deadbeef-.* unpacks to more than \d+ bytes"):
        yard.again().restore(Subject.LOGS, day)
    assert yard.rows(Subject.LOGS) == before


def test_a_day_comes_back_without_being_in_memory_as_a_whole(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    day, was = oldest(yard, Subject.LOGS), yard.rows(Subject.LOGS)
    yard.act(rows_per_object=10)
    real, opened, alive = Archive.open, list[weakref.ref[Opened]](), list[int]()

    def opening(self: Archive, version: Version) -> Opened:
        found = real(self, version)
        opened.append(weakref.ref(found))
        alive.append(sum(each() is not None for each in opened))
        return found

    monkeypatch.setattr(Archive, "open", opening)
    restored = yard.restore(Subject.LOGS, day)
    assert (restored.objects, restored.brought) == (6, 60)
    assert yard.rows(Subject.LOGS).items() <= was.items()
    assert max(alive) <= 2


@pytest.mark.parametrize("day", ["", "2026-8-20", "20260820", "2026-02-30", "2026-08-20\n", "yesterday", "٢٠٢٦-٠٨-٢٠"])
def test_a_day_is_written_in_one_way(day: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^day: "):
        archive.day_of(day)


@pytest.mark.parametrize("table", ["", "users", "execution_logs; drop table users", "EXECUTION_LOGS"])
def test_only_what_is_archived_comes_back(table: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^table: "):
        archive.subject_of(table)


def test_the_database_stages_nothing_else(yard: Yard) -> None:
    with (
        yard.world.login("ops_cleanup").session("test") as session,
        pytest.raises(psycopg.Error, match="users is not archived"),
    ):
        session.execute("select ops_cleanup.open_stage(%s, 'users')", [yard.op_id])
