from __future__ import annotations

import pytest

from include.recovery.lost import Written, lost
from tests.include.recovery.scene import LIMITS, Scene

pytestmark = pytest.mark.integration

WRITTEN = """
    insert into people (name) select 'new' from generate_series(1, 10);
    update deeds set note = 'other' where id between 11 and 15;
    delete from deeds where id between 1 and 7;
    insert into deeds (person_id, note) values (1, 'x');
    create table newer as select 1 as id;
"""
UNDONE = """
    delete from people where id > 3000;
    update deeds set note = md5(id::text) where id between 11 and 15;
    insert into deeds select i, 1 + i % 3000, md5(i::text) from generate_series(1, 7) i;
    delete from deeds where id > 6000;
    drop table newer;
"""


def test_counts_what_was_written_since_the_backup_and_what_it_would_undo(here: Scene) -> None:
    facts, backup = here.opened.manifest.facts, here.opened.fingerprint.contents
    with here.superuser() as session:
        before = lost(here.reader, facts, backup, LIMITS)
        session.execute("begin; insert into people (name) values ('nobody will see it'); rollback")
        assert lost(here.reader, facts, backup, LIMITS).tables == before.tables
        session.execute(WRITTEN)
        found = lost(here.reader, facts, backup, LIMITS)
        session.execute(UNDONE)
    assert found.added == ["public.newer"]
    assert found.tables["public.newer"] == Written(rows=1, undone=0)
    assert gained(found.tables["public.people"], before.tables.get("public.people")) == (10, 0)
    assert gained(found.tables["public.deeds"], before.tables.get("public.deeds")) == (6, 12)
    assert found.uncounted == []
    assert found.newest_commit_at
    assert found.newest_commit_at > found.since
    assert "public.people: " in str(found)


def gained(now: Written, before: Written | None) -> tuple[int, int]:
    """How much more than before: earlier tests wrote into it as well."""
    earlier = before or Written(rows=0, undone=0)
    return now.rows - earlier.rows, now.undone - earlier.undone


def test_what_cannot_be_counted_in_time_is_named(here: Scene) -> None:
    at_once = LIMITS.model_copy(update={"count_deadline_s": 1e-6})
    found = lost(here.reader, here.opened.manifest.facts, here.opened.fingerprint.contents, at_once)
    assert found.uncounted == ["public.people", "public.deeds"] or set(found.uncounted) == {
        "public.people",
        "public.deeds",
    }
    assert "not counted: public." in str(found)


def test_rows_that_came_while_the_server_dated_no_commits_are_not_told_as_none(here: Scene) -> None:
    """Where more rows seem to be of the backup than it has, nobody knows how many are newer."""
    fewer = here.opened.fingerprint.contents.model_copy(update={"tables": {"public.deeds": (10, "")}})
    found = lost(here.reader, here.opened.manifest.facts, fewer, LIMITS)
    assert found.uncounted == ["public.deeds"]
    assert "public.deeds" not in found.tables
    assert "not counted: public.deeds" in str(found)
