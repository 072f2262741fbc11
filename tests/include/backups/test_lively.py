from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from include.backups import lively, login
from include.backups.login import Login
from include.errors import PermanentError, TransientError
from include.settings import BackupLimits
from sandbox.components import postgres
from sandbox.site import Site
from tests.faults.wire import Wire, wire

STALL_S = 0.6
AN_END_S = 5
"""Far less than anything would wait by itself."""
PATIENT_S = 2.0
"""In which whoever watches logs in, on a machine that has much else to do."""
LONG_S = 1.5 * PATIENT_S
COMPUTES = f"""do $$
    declare till timestamptz := clock_timestamp() + '{LONG_S} s'::interval;
    begin while clock_timestamp() < till loop null; end loop; end $$
"""

integration = pytest.mark.integration


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lively, "ASKED_EVERY_S", 0.05)
    monkeypatch.setattr(lively, "ENDS_WITHIN_S", 0.5)
    monkeypatch.setattr(login, "CONNECT_TIMEOUT_S", 2)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + AN_END_S
    while (left := ours(before)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def ours(before: set[threading.Thread]) -> list[str]:
    new = set(threading.enumerate()) - before
    return [thread.name for thread in new if thread.name == "backup progress" or " at 127.0.0.1" in thread.name]


def done(name: str, place: Login, session: Any, deed: Callable[[], Any], stall_s: float = STALL_S) -> Any:
    return lively.lively(name, place, session, BackupLimits(stall_s=stall_s), deed)


# --- without a server ---------------------------------------------------------------------------------------------------

NOWHERE = Login({"host": "127.0.0.1", "port": 1, "dbname": "x"})


class Line:
    """A session that waits until somebody hangs up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cut = threading.Event()
        monkeypatch.setattr(lively, "hang_up", lambda _: self.cut.set())

    def wait(self) -> None:
        self.cut.wait(AN_END_S)
        raise TransientError("the connection is closed")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


def test_what_came_of_it_is_returned_though_nobody_can_watch(line: Line) -> None:
    assert done("it", NOWHERE, line, lambda: 7) == 7
    assert not line.cut.is_set()


@pytest.mark.parametrize("error", [PermanentError("no"), psycopg.errors.UndefinedTable("no table"), KeyError("x")])
def test_an_error_of_the_deed_comes_out_as_itself(line: Line, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        done("it", NOWHERE, line, fail)
    assert raised.value is error


def test_silence_of_which_nobody_can_tell_is_hung_up(line: Line) -> None:
    began = time.monotonic()
    with pytest.raises(TransientError, match=rf"^it at 127.0.0.1:1/x stood still for {STALL_S} s "):
        done("it", NOWHERE, line, line.wait)
    assert line.cut.is_set()
    assert time.monotonic() - began < AN_END_S


def test_that_nobody_can_watch_is_said_and_tried_again(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "include.backups.lively")
    with pytest.raises(TransientError):
        lively.lively("it", NOWHERE, line, BackupLimits(stall_s=1.5), line.wait)  # type: ignore[arg-type]
    assert len([said for said in caplog.messages if said.startswith("progress is not seen: ")]) > 1


# --- with one -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def laid(site: Site) -> Iterator[Wire]:
    with wire(site.ports["postgres"]) as made:
        yield made


def known(site: Site, port: int) -> Login:
    parts: dict[str, Any] = {**psycopg.conninfo.conninfo_to_dict(postgres.dsn(site, "ops_backup", "orchestrator"))}
    return Login({**parts, "sslmode": "require", "port": port})


def asked(
    site: Site, laid: Wire, text: str, meanwhile: Callable[[], object] = lambda: None, stall_s: float = STALL_S
) -> object:
    place = known(site, laid.port)
    with place.session("backup test") as session:
        meanwhile()
        return done("a statement", place, session, lambda: session.execute(text.encode()), stall_s)


@integration
@pytest.mark.parametrize("works", [f"select pg_sleep({LONG_S})", COMPUTES])
def test_a_server_that_works_is_alive_however_long_it_says_nothing(site: Site, laid: Wire, works: str) -> None:
    began = time.monotonic()
    asked(site, laid, works, stall_s=PATIENT_S)
    assert time.monotonic() - began >= LONG_S


@integration
def test_a_server_that_waits_for_a_lock_shows_no_life(site: Site, laid: Wire) -> None:
    with postgres.connect(site, database="orchestrator") as holder:
        holder.execute("select pg_advisory_lock(4711)")
        with pytest.raises(TransientError, match=f"stood still for {STALL_S} s"):
            asked(site, laid, "select pg_advisory_lock(4711)")


@integration
def test_a_line_that_goes_dark_is_hung_up_and_no_session_stays(site: Site, laid: Wire) -> None:
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"stood still for {STALL_S} s"):
        asked(site, laid, "select 1", laid.black_hole)
    assert time.monotonic() - began < STALL_S + AN_END_S


@integration
def test_a_line_that_goes_dark_while_a_statement_computes_is_hung_up(site: Site, laid: Wire) -> None:
    threading.Timer(1, laid.black_hole).start()
    with pytest.raises(TransientError, match=f"stood still for {STALL_S} s"):
        asked(site, laid, "select pg_sleep(20)")


@integration
def test_what_is_over_in_seconds_is_hung_up_on_a_dark_line_and_only_then(site: Site, laid: Wire) -> None:
    began = time.monotonic()
    with pytest.raises(TransientError):
        well_and_then_dark(site, laid)
    assert 3 * STALL_S < time.monotonic() - began < 3 * STALL_S + AN_END_S


def well_and_then_dark(site: Site, laid: Wire) -> None:
    with known(site, laid.port).session("backup test") as session:
        with lively.bounded(session, STALL_S):
            session.execute("select 1")
        time.sleep(2 * STALL_S)
        session.execute("select 1")
        with lively.bounded(session, STALL_S):
            laid.black_hole()
            session.execute("select 2")


@integration
def test_a_watcher_whose_line_was_reset_comes_back(site: Site, laid: Wire) -> None:
    seen: list[int] = []

    def ask(session: Any) -> None:
        session.execute("select 1")
        seen.append(session.info.backend_pid)

    with lively.asking(known(site, laid.port), ask):
        until_seen(seen, 1)
        laid.cut()
        until_seen(seen, 2)


def until_seen(seen: list[int], sessions: int) -> None:
    until = time.monotonic() + AN_END_S
    while len(set(seen)) < sessions:
        assert time.monotonic() < until
        time.sleep(0.02)


@integration
def test_a_watcher_that_waits_on_a_dark_line_is_hung_up_at_the_end(site: Site, laid: Wire) -> None:
    place, asks = known(site, laid.port), threading.Event()

    def ask(session: Any) -> None:
        laid.black_hole()
        asks.set()
        session.execute("select 1")

    began = time.monotonic()
    with lively.asking(place, ask):
        assert asks.wait(AN_END_S)
    assert time.monotonic() - began < AN_END_S


@integration
def test_a_watcher_that_still_logs_in_on_a_dark_line_gives_up_by_itself(site: Site, laid: Wire) -> None:
    laid.black_hole()
    began = time.monotonic()
    with lively.asking(known(site, laid.port), lambda _: None):
        time.sleep(0.1)
    assert time.monotonic() - began < 2
