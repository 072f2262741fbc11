"""Nobody is in the database any more, however fast they come back, or the doors are as they were and the error says who stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from include.errors import ConfigurationError, RefusedError
from include.recovery import doors
from sandbox.components.postgres import connect, dsn
from tests.include.recovery.scene import LIMITS, Scene

pytestmark = pytest.mark.integration

SHORT = LIMITS.model_copy(update={"sessions_deadline_s": 0.5})


@contextmanager
def pool(here: Scene, size: int, pause_s: float = 0.0) -> Iterator[list[float]]:
    """So many sessions of the application that come back at once whenever they are ended; yields when one was let in.

    :param pause_s: between two tries, as pools have it that do not mean to overload their server.
    """
    over, let_in = threading.Event(), list[float]()
    address = dsn(here.site, "orchestrator_app", here.database)

    def stay() -> None:
        while not over.wait(pause_s):
            with suppress(psycopg.Error), psycopg.connect(address, connect_timeout=5, autocommit=True) as session:
                let_in.append(time.monotonic())
                while not over.is_set():
                    session.execute("select pg_sleep(0.05)")

    threads = [threading.Thread(target=stay, daemon=True) for _ in range(size)]
    for thread in threads:
        thread.start()
    try:
        yield let_in
    finally:
        over.set()
        for thread in threads:
            thread.join(10)


def at_work(here: Scene, count: int) -> None:
    until = time.monotonic() + 20
    while len(doors.sessions(here.login, here.database)) < count:
        assert time.monotonic() < until, "the sessions do not come"
        time.sleep(0.05)


def test_bug_27_sessions_that_come_back_at_once_are_shut_out_within_the_deadline(here: Scene) -> None:
    with pool(here, 12) as let_in:
        at_work(here, 12)
        closed = doors.close_doors(here.login, here.database, LIMITS)
        shut_at = time.monotonic()
        time.sleep(0.3)
        assert doors.sessions(here.login, here.database) == []
        assert (closed.was_open, closed.ended >= 12, closed.seconds < LIMITS.sessions_deadline_s) == (True, True, True)
        assert not [at for at in let_in if at > shut_at]
        doors.open_doors(here.login, here.database, was_open=closed.was_open)
        at_work(here, 12)


def test_bug_33_a_writer_that_no_cluster_knows_is_shut_out_too(here: Scene) -> None:
    """A script on somebody's machine: no pod, no deployment, and in the middle of a transaction."""
    with connect(here.site, "orchestrator_app", here.database) as script:
        script.execute("begin")
        script.execute("insert into people (name) values ('half a deed')")
        [found] = doors.sessions(here.login, here.database)
        assert (found.user, found.state, found.address) == ("orchestrator_app", "idle in transaction", "127.0.0.1")
        doors.close_doors(here.login, here.database, LIMITS)
        with pytest.raises(psycopg.OperationalError):
            script.execute("commit")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        connect(here.site, "orchestrator_app", here.database)
    doors.open_doors(here.login, here.database)
    assert here.contents().tables["public.people"][0] == 3000


def test_ending_sessions_alone_would_not_empty_it(here: Scene) -> None:
    """The check that the pool of these tests comes back faster than anybody looks."""
    with pool(here, 12), here.superuser("postgres") as server:
        at_work(here, 12)
        for _ in range(5):
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [here.database])
            time.sleep(0.1)
        assert doors.sessions(here.login, here.database)


def test_closing_twice_is_closing_and_opening_is_what_was_recorded(here: Scene) -> None:
    assert doors.close_doors(here.login, here.database, LIMITS).was_open
    assert not doors.close_doors(here.login, here.database, LIMITS).was_open
    doors.open_doors(here.login, here.database, was_open=False)
    running = here.seen().running
    assert running
    assert not running.allow_connections
    doors.open_doors(here.login, here.database)
    doors.open_doors(here.login, here.database)
    here.contents()


def test_a_superuser_who_stays_is_named_and_the_doors_are_as_they_were(here: Scene) -> None:
    with here.superuser() as someone:
        someone.execute("set application_name = 'psql of somebody'")
        with pytest.raises(
            RefusedError, match=r"1 sessions in shop_\w+: postgres \(psql of somebody from 127.0.0.1, pid \d+\)"
        ):
            doors.close_doors(here.login, here.database, SHORT)
        assert someone.execute("select 1").fetchone() == (1,)
    with connect(here.site, "orchestrator_app", here.database) as session:
        assert session.execute("select 1").fetchone() == (1,)


def test_a_session_of_our_own_may_stay_to_count(here: Scene) -> None:
    with here.reader.session("counting") as counting:
        doors.close_doors(here.login, here.database, LIMITS, keep={counting.info.backend_pid})
        assert counting.execute("select count(*) from people").fetchone() == (3000,)


def test_a_database_that_is_not_there_is_named(here: Scene) -> None:
    with pytest.raises(ConfigurationError, match="there is no database shop_none"):
        doors.close_doors(here.login, "shop_none", LIMITS)
