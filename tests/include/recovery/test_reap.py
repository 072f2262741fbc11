"""The database from before stays a week, and then until a good backup was taken since; nobody else's is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.backups.catalogue import Catalogue
from include.errors import RefusedError
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Mode, Wanted
from include.recovery import databases, reap, swap
from include.recovery.databases import Mark
from include.recovery.reap import Kept
from include.recovery.request import Access
from sandbox.site import Site
from tests.include.recovery.scene import LIMITS, Scene, approve, scene

NOW = datetime(2030, 1, 20, 9, 0, tzinfo=UTC)


class Good:
    """A good backup, as far as the reaper looks."""

    def __init__(self, at: datetime) -> None:
        self.at, self.is_good, self.manifest = at, True, None


def listed(*taken: datetime) -> Catalogue:
    backups: Any = [Good(at) for at in taken]
    return Catalogue(backups=backups, unfinished=())


@pytest.mark.parametrize(
    ("age_days", "taken", "why"),
    [
        (6.9, [NOW], "stays until 2030-01-20 11:24 UTC"),
        (7.1, [], "stays until a good backup"),
        (7.1, [NOW - timedelta(days=8)], "stays until a good backup"),
        (7.1, [NOW - timedelta(days=1)], ""),
    ],
)
def test_it_may_go_a_week_later_and_with_a_newer_good_backup(age_days: float, taken: list[datetime], why: str) -> None:
    mark = Mark(op_id="1f0c9a2e", state="before", at=NOW - timedelta(days=age_days))
    assert reap.judged("shop_before_1f0c9a2e", mark, NOW, LIMITS, listed(*taken)).why.startswith(why)
    assert bool(reap.judged("x", mark, NOW, LIMITS, listed(*taken)).why) == bool(why)


def access(here: Scene) -> Access:
    nothing: Any = None
    return Access(
        restorer=here.restorer(),
        window=here.world.login("ops_window").to("postgres"),
        cluster=nothing,
        redis=nothing,
        gateway=nothing,
        free_bytes=lambda: None,
    )


def aged(here: Scene, name: str) -> None:
    """Let a database look as if it had been swapped away long ago."""
    with here.superuser("postgres") as server:
        found = server.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [name]
        ).fetchone()
        mark = Mark.read(found[0] if found else None)
        assert mark
        old = mark.model_copy(update={"at": here.good.at - timedelta(days=30)})
        databases.set_mark(server, name, old)


@pytest.mark.integration
def test_what_was_swapped_away_is_dropped_when_it_is_old_and_not_before(production: Site, runner: OpsDatabase) -> None:
    with scene(production) as here:  # of its own: what it loses, others could not get back
        here.swapped()
        _young_stays_and_old_goes(here, runner)


def _young_stays_and_old_goes(here: Scene, runner: OpsDatabase) -> None:
    found = here.world.catalogue()
    young = reap.kept(here.reader, here.database, LIMITS, found)
    assert [each.name for each in young] == [here.names.before]
    assert reap.drop(access(here), runner, here.database, young, LIMITS) == []
    aged(here, here.names.before)
    old = reap.kept(here.reader, here.database, LIMITS, found)
    try:
        assert reap.drop(access(here), runner, here.database, old, LIMITS) == [here.names.before]
        assert here.names.before not in here.all_names()
        assert here.database in here.all_names()
    finally:
        approve(here.site)  # the reaper has shut the window behind it


@pytest.mark.integration
def test_what_came_back_is_kept_as_long_and_then_dropped_too(here: Scene, runner: OpsDatabase) -> None:
    from include.recovery import doors

    here.swapped()
    doors.close_doors(here.login, here.database, LIMITS)
    swap.swap_back(here.login, here.database, here.op_id, LIMITS)
    aged(here, here.names.restore)
    old = reap.kept(here.reader, here.database, LIMITS, here.world.catalogue())
    try:
        assert reap.drop(access(here), runner, here.database, old, LIMITS) == [here.names.restore]
    finally:
        approve(here.site)


@pytest.mark.integration
def test_one_that_only_looks_like_ours_is_not_even_listed(here: Scene) -> None:
    with here.superuser("postgres") as server:
        server.execute(f"create database {here.database}_before_12345678")
        server.execute(f"create database {here.database}_restore_old")
    assert reap.kept(here.reader, here.database, LIMITS, here.world.catalogue()) == []


@pytest.mark.integration
def test_a_mark_that_was_copied_to_another_name_drops_nothing(here: Scene, runner: OpsDatabase) -> None:
    lying = Kept(name=f"{here.database}_before_mine", op_id=here.op_id, since=NOW, why="")
    try:
        with pytest.raises(RefusedError, match="which would have called it otherwise"):
            reap.drop(access(here), runner, here.database, [lying], LIMITS)
    finally:
        approve(here.site)


@pytest.mark.integration
def test_while_a_recovery_is_at_work_its_window_stays_open_and_nothing_is_dropped(
    here: Scene, runner: OpsDatabase
) -> None:
    leases.acquire(runner, Wanted(resource="database/x", mode=Mode.RESTORE, op_id=here.op_id, holder="a recovery"))
    old = Kept(name=here.names.before, op_id=here.op_id, since=NOW, why="")
    assert reap.drop(access(here), runner, here.database, [old], LIMITS) == []
    assert reap.shut_forgotten_window(access(here), runner) is None
    here.seen()  # ops_restore still logs in
