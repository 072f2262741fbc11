"""What the maintenance does to a real database: what needs it, nothing else, and nobody is in its way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from include.errors import ConfigurationError, RefusedError
from include.maintenance import target
from include.maintenance.operation import Ended
from include.plans.maintenance import Verb
from tests.include.maintenance.scene import Scene, limits

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


def test_d_04_d_06_what_needs_it_gets_it_in_order_and_the_gain_is_measured(here: Scene) -> None:
    here.bloated()
    here.dirty()
    steps = here.plan().steps
    assert [(step.verb, step.full_name) for step in steps] == [
        (Verb.VACUUM_ANALYZE, "public.dirty"),
        (Verb.REINDEX, "public.busy_pkey"),
    ]
    vacuumed, rebuilt = here.run().outcomes
    assert (vacuumed.ended, vacuumed.before["dead"], vacuumed.after["dead"]) == (Ended.DONE, 5000, 0)
    assert rebuilt.ended is Ended.DONE
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
    assert len(here.plan().steps) == 2
    assert counters(here) == before


def test_bug_44_a_rebuild_locks_nobody_out(here: Scene) -> None:
    here.bloated(rows=60_000)
    with open_transaction(here, "lock table busy in row exclusive mode"):
        postponed = here.run(str(uuid.uuid4())) if here.limits.rebuild_wait_s < 1 else None
    assert postponed is None
    assert here.run().outcomes[0].ended is Ended.DONE


def test_bug_45_bug_50_one_that_must_wait_too_long_is_postponed_and_leaves_no_invalid_index(here: Scene) -> None:
    here.limits = limits(rebuild_wait_s=0.2)
    here.bloated()
    with open_transaction(here, "lock table busy in row exclusive mode"):
        (outcome,) = here.run().outcomes
    assert outcome.ended is Ended.POSTPONED
    assert here.invalid == []
    assert here.run().outcomes[0].ended is Ended.DONE


def test_bug_41_bug_42_bug_49_the_wrong_database_is_refused_before_anything(here: Scene) -> None:
    with here.login.session("a test") as session:
        found = target.look(session)
    target.refuse(found, database=here.database, system_identifier=found.system_identifier)
    with pytest.raises(ConfigurationError, match=f"leads into database '{here.database}', not 'orchestrator'"):
        target.refuse(found, database="orchestrator", system_identifier="")
    with pytest.raises(RefusedError, match=f"is cluster {found.system_identifier}, the backups are of 1"):
        target.refuse(found, database=here.database, system_identifier="1")
