"""Outside an approved window the server itself turns ops_restore away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from include.backups.login import Login
from include.errors import RefusedError
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Lease, Mode, Wanted
from include.recovery import window as windows
from include.recovery.window import close_window, open_window, window
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World
from tests.include.failover.pair import eventually
from tests.include.recovery.scene import approve

pytestmark = pytest.mark.integration


@pytest.fixture
def keeper(production: Site) -> Iterator[Login]:
    yield World(production, "postgres").login("ops_window")
    approve(production)


def test_who_restores_logs_in_while_the_window_is_open_and_not_before_or_after(production: Site, keeper: Login) -> None:
    close_window(keeper)
    assert window(keeper) is None
    assert "not permitted to log in" in turned_away(production)
    until = datetime.now(UTC) + timedelta(hours=1)
    open_window(keeper, until)
    assert window(keeper) == until
    with connect(production, "ops_restore", "postgres") as session:
        close_window(keeper)
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    assert "not permitted to log in" in turned_away(production)
    close_window(keeper)


def test_a_window_that_nobody_closes_is_over_when_it_is_over(production: Site, keeper: Login) -> None:
    open_window(keeper, datetime.now(UTC) + timedelta(seconds=0.7))
    connect(production, "ops_restore", "postgres").close()
    time.sleep(0.8)
    assert window(keeper) is None
    assert "password authentication failed" in turned_away(production)


def test_it_is_lengthened_while_the_recovery_is_at_work_and_shut_at_its_end(
    production: Site, keeper: Login, runner: OpsDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "OPEN_FOR", timedelta(seconds=3))
    with leases.keep(restoring(runner)) as lease, windows.opened(keeper, lease, every_s=0.5):
        time.sleep(4.5)
        connect(production, "ops_restore", "postgres").close()
    assert window(keeper) is None


def test_who_has_lost_its_lease_does_not_shut_the_window_of_the_one_that_goes_on(
    production: Site, keeper: Login, runner: OpsDatabase
) -> None:
    op_id = str(uuid4())
    with leases.keep(restoring(runner, op_id)) as frozen, windows.opened(keeper, frozen):
        newer = restoring(runner, op_id)
    with connect(production, "ops_restore", "postgres") as session, leases.keep(newer):
        session.execute("select 1")


def test_whoever_goes_on_ends_the_sessions_that_an_earlier_process_left(
    production: Site, keeper: Login, runner: OpsDatabase
) -> None:
    """Of a process on a host that is gone the server keeps the session, and with it every lock, for hours."""
    windows.open_for(keeper, timedelta(hours=1))
    with connect(production, "ops_restore", "postgres") as left:
        left.execute("select pg_advisory_lock(4711)")
        with leases.keep(restoring(runner)) as lease, windows.opened(keeper, lease):
            with connect(production, "ops_restore", "postgres") as mine:
                eventually(lambda: mine.execute("select pg_try_advisory_lock(4711)").fetchone() == (True,))
            with pytest.raises(psycopg.OperationalError):
                left.execute("select 1")


def restoring(runner: OpsDatabase, op_id: str = "") -> Lease:
    wanted = Wanted(resource="database/x", mode=Mode.RESTORE, op_id=op_id or str(uuid4()), holder="a test")
    return leases.acquire(runner, wanted)


@pytest.mark.parametrize("hours", [-1, 0, 4.01, 24 * 365])
def test_a_window_is_never_longer_than_four_hours(keeper: Login, hours: float) -> None:
    with pytest.raises(RefusedError, match="a window ends within the next 4 hours"):
        open_window(keeper, datetime.now(UTC) + timedelta(hours=hours))


def turned_away(site: Site) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        connect(site, "ops_restore", "postgres")
    return str(refused.value)
