from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from include.backups.login import Login, hang_up
from include.errors import ConfigurationError, RunbookError, TransientError
from include.probes.postgres import ALIVE

PARAMETERS: dict[str, Any] = {
    "host": "db.example",
    "port": 5433,
    "user": "backup",
    "dbname": "orchestrator",
    "sslmode": "verify-full",
    "password": "hush-canary",
}
PASSWORDS = ["plain", "a:b", "a\\b", "\\:", ":\\", "\\\\::", "a b'c\"d", "#", "*", "pässwörd", "x" * 900]


@contextmanager
def asking_for_the_password() -> Iterator[tuple[int, ThreadPoolExecutor, socket.socket]]:
    """A port of ours, and a thread in which to answer libpq there."""
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor(1) as pool:
        door.settimeout(5)
        yield door.getsockname()[1], pool, door


def heard(door: socket.socket) -> str:
    """Ask for the password in clear, and return what libpq sends."""
    line, _ = door.accept()
    with line, line.makefile("rb") as reader:
        reader.read(struct.unpack("!i", reader.read(4))[0] - 4)  # who it is and where it wants to go
        line.sendall(b"R" + struct.pack("!ii", 8, 3))
        assert reader.read(1) == b"p"
        return reader.read(struct.unpack("!i", reader.read(4))[0] - 4).rstrip(b"\0").decode()


@pytest.mark.parametrize("password", PASSWORDS)
def test_libpq_reads_the_password_from_the_file_as_it_is(password: str) -> None:
    with Login({"password": password}).passfile() as file, asking_for_the_password() as (port, pool, door):
        answer = pool.submit(heard, door)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                host="127.0.0.1",
                port=port,
                user="u",
                dbname="d",
                passfile=f"/proc/self/fd/{file}",
                sslmode="disable",
                gssencmode="disable",
                connect_timeout=5,
            )
        assert answer.result(5) == password


@pytest.mark.parametrize("umask", [0, 0o22, 0o77])
def test_nobody_else_may_read_the_password_file_and_it_is_gone_afterwards(umask: int) -> None:
    before = os.umask(umask)
    try:
        with Login(PARAMETERS).passfile() as file:
            found = os.fstat(file)
            assert stat.S_ISREG(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert Path(f"/proc/self/fd/{file}").read_text() == "*:*:*:*:hush-canary\n"
            assert Path(f"/proc/self/fd/{file}").readlink().name.startswith("memfd:")
    finally:
        os.umask(before)
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        os.fstat(file)


def test_the_file_is_closed_though_the_block_breaks() -> None:
    with pytest.raises(TransientError), Login(PARAMETERS).passfile() as file:
        raise TransientError
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        os.fstat(file)


def test_two_readers_of_the_file_do_not_disturb_each_other() -> None:
    with Login(PARAMETERS).passfile() as file:
        texts = [Path(f"/proc/self/fd/{file}").read_text() for _ in range(2)]
    assert texts == ["*:*:*:*:hush-canary\n"] * 2


def test_what_stands_on_a_command_line_is_all_but_the_password() -> None:
    told = conninfo_to_dict(Login(PARAMETERS | {"sslpassword": "hush-canary", "passfile": "hush-canary"}).conninfo)
    assert told == {name: str(value) for name, value in {**ALIVE, **PARAMETERS}.items() if name != "password"}


@pytest.mark.parametrize("name", ["a b", "it's", "a\\b", "", "dbname=x password=y", "päss"])
def test_names_with_blanks_and_quotes_arrive_as_they_are(name: str) -> None:
    assert conninfo_to_dict(Login({"dbname": name}).conninfo)["dbname"] == name


def test_the_same_login_at_another_database_keeps_everything_else() -> None:
    login = Login(PARAMETERS, "connections.backup_scratch")
    other = login.to("verify_x")
    assert other.parameters == PARAMETERS | {"dbname": "verify_x"}
    assert other.setting == "connections.backup_scratch"
    assert (login.name, other.name) == ("db.example:5433/orchestrator", "db.example:5433/verify_x")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.LockNotAvailable("x"), TransientError, "pg_locks"),
        (errors.OutOfMemory("out of shared memory"), ConfigurationError, "max_locks_per_transaction"),
        (errors.InsufficientPrivilege("permission denied"), ConfigurationError, "connections.backup_source"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), TransientError, "did not answer"),
    ],
)
def test_what_the_driver_says_is_said_in_our_words(error: Exception, kind: type[RunbookError], said: str) -> None:
    explained = Login(PARAMETERS).explained(error)
    assert type(explained) is kind
    assert said in str(explained)
    assert "db.example:5433/orchestrator" in str(explained)
    assert "hush-canary" not in str(explained)


class Session:
    """A session of psycopg whose line is given, or lost."""

    def __init__(self, line: socket.socket | None) -> None:
        self.line = line

    def fileno(self) -> int:
        if not self.line:
            raise psycopg.OperationalError("the connection is lost")
        return self.line.fileno()


def test_a_session_is_hung_up_without_closing_the_file_that_it_still_has() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        session: Any = Session(ours)
        hang_up(session)
        assert theirs.recv(1) == b""
        assert ours.recv(1) == b""
        hang_up(session)


def test_a_session_whose_line_is_lost_is_hung_up_already() -> None:
    session: Any = Session(None)
    hang_up(session)
