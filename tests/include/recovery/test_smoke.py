from __future__ import annotations

import pytest

from include.backups.fingerprint import Contents
from include.recovery.smoke import _emptied, behind, smoke
from tests.include.recovery.scene import Scene

pytestmark = pytest.mark.integration


def test_a_sound_database_has_no_problem_and_says_what_is_in_it(here: Scene) -> None:
    found = smoke(here.reader, here.opened.fingerprint.contents)
    assert (found.problems, found.oddities, found.rows) == ([], [], {"public.people": 3000})
    assert found.newest["public.people"]


def test_a_sequence_that_is_behind_its_rows_is_a_problem(here: Scene) -> None:
    with here.superuser() as session:
        session.execute("select setval('deeds_id_seq', 17)")
        found = smoke(here.reader, here.opened.fingerprint.contents)
        session.execute("select setval('deeds_id_seq', 6000)")
    assert found.problems == ["sequence public.deeds_id_seq is behind the rows that it numbers: the next insert fails"]


def test_what_was_behind_when_nobody_was_in_it_is_told_and_no_problem(here: Scene) -> None:
    """A seed with ids of its own leaves its sequence where it was: so it was at the backup, and no recovery is wrong for it."""
    with here.superuser() as session:
        session.execute("select setval('deeds_id_seq', 17)")
        before = behind(session)
        found = smoke(here.reader, here.opened.fingerprint.contents, before)
        session.execute("select setval('deeds_id_seq', 6000)")
    assert (found.problems, found.oddities) == ([], before)
    assert len(before) == 1


def contents(**rows: int) -> Contents:
    tables = {name: (count, "") for name, count in rows.items()}
    return Contents(tables=tables, sequences={}, inventory={}, large_objects=(0, 0, ""))


def test_a_queue_that_the_application_drained_is_told_and_that_every_table_is_empty_is_a_problem() -> None:
    then = contents(queue=3, people=5, unused=0)
    said = ["table people is empty, and had 5 rows", "table queue is empty, and had 3 rows"]
    assert _emptied({"queue": 0, "people": 5, "unused": 0}, then) == ([], said[1:])
    assert _emptied({"queue": 0, "people": 0, "unused": 0}, then) == (said, [])
    assert _emptied({"queue": 0}, then) == ([], said[1:])


def test_a_table_that_lost_all_its_rows_is_told(here: Scene) -> None:
    with here.superuser() as session:
        session.execute("begin")
        session.execute(
            "create table kept as select * from people; alter table deeds drop constraint deeds_person_id_fkey"
        )
        session.execute("delete from people; commit")
        found = smoke(here.reader, here.opened.fingerprint.contents)
        session.execute("insert into people select * from kept; drop table kept")
        session.execute("alter table deeds add foreign key (person_id) references people not valid")
        later = smoke(here.reader, here.opened.fingerprint.contents)
        session.execute("alter table deeds validate constraint deeds_person_id_fkey")
    assert (found.problems, found.oddities) == ([], ["table public.people is empty, and had 3000 rows"])
    assert (later.problems, later.oddities) == (
        [],
        ["constraint that was not validated: public.deeds.deeds_person_id_fkey"],
    )
