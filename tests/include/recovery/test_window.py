"""Outside an approved window the server itself turns ops_restore away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.backups.login import Login
from include.errors import RefusedError
from include.recovery.window import close_window, open_window, window
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World
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


@pytest.mark.parametrize("hours", [-1, 0, 4.01, 24 * 365])
def test_a_window_is_never_longer_than_four_hours(keeper: Login, hours: float) -> None:
    with pytest.raises(RefusedError, match="a window ends within the next 4 hours"):
        open_window(keeper, datetime.now(UTC) + timedelta(hours=hours))


def turned_away(site: Site) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        connect(site, "ops_restore", "postgres")
    return str(refused.value)
