"""`python -m include.backups`: the bucket is all it needs, no Airflow, no source database, and any one of the keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from include.backups import compare, fingerprint, source
from include.backups.fingerprint import Contents
from include.backups.scratch import NOT_COMPARED
from include.backups.take import Taken
from sandbox import age_keys
from sandbox.components import s3
from sandbox.components.postgres import connect, program
from sandbox.site import PROJECT, Site
from tests.include.backups.world import World, world
from tests.zoo.build import build, make_roles

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(site: Site) -> Iterator[World]:
    with world(site) as made:
        with made.superuser() as connection:
            build(connection)
        yield made


@pytest.fixture(scope="module")
def good(here: World) -> Taken:
    taken = here.take()
    here.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    return taken


def call(here: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "OPS_BACKUP__DATABASE": here.database,
        "OPS_BACKUP__PROGRAMS": str(program("pg_dump").parent),
        "OPS_BACKUP__SPOOL": str(here.spool),
        **s3.variables(here.site, "backup_verifier"),
    }
    command = [sys.executable, "-m", "include.backups", *arguments]
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def identity(here: World, name: str, folder: Path) -> str:
    file = folder / "identity"
    file.touch(mode=0o600)
    file.write_text(f"# created: 2030-01-01\n# public key: …\n{age_keys.private(here.site, name)}\n")
    return str(file)


def test_it_lists_what_is_there_and_what_is_good(here: World, good: Taken) -> None:
    unproved = here.take()
    done = call(here, "list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " GOOD " in next(line for line in lines if good.manifest.facts.key in line)
    assert " UNPROVED " in next(line for line in lines if unproved.manifest.facts.key in line)
    assert lines[-1] == f"2 backups of {here.database}, 1 good"


def test_it_shows_the_manifest_as_it_is_stored(here: World, good: Taken) -> None:
    from include.backups import manifest

    shown = call(here, "show", good.manifest.facts.key).stdout.encode()
    assert manifest.read(shown, good.manifest.facts.key) == good.manifest


def test_b_03_plain_sql_of_any_good_backup_makes_the_same_database(here: World, good: Taken, tmp_path: Path) -> None:
    file = tmp_path / "orchestrator-full.sql"
    done = call(
        here,
        "sql",
        good.manifest.facts.key,
        "--identity",
        identity(here, age_keys.ESCROW, tmp_path),
        "--output",
        str(file),
    )
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0
    assert f"CREATE DATABASE {here.database} " in file.read_text()
    with loaded(here, file):
        assert compare.differences(contents(here, "postgres"), contents(here, "postgres_scratch"), NOT_COMPARED) == []


class loaded:  # noqa: N801 - reads as a word
    """The SQL in the scratch server, by psql as the superuser, under the database's own name."""

    def __init__(self, here: World, file: Path) -> None:
        self.here, self.file = here, file

    def __enter__(self) -> None:
        with connect(self.here.site, database="postgres", server="postgres_scratch") as server:
            make_roles(server)
        password = {"PGPASSWORD": self.here.site.secret("postgres-superuser"), "PATH": os.environ["PATH"]}
        address = f"postgresql://postgres@127.0.0.1:{self.here.site.ports['postgres_scratch']}/postgres"
        command = [str(program("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(self.file), address]
        done = subprocess.run(command, env=password, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def __exit__(self, *_: object) -> None:
        with connect(self.here.site, database="postgres", server="postgres_scratch") as server:
            drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self.here.database))
            server.execute(drop)


def contents(here: World, server: str) -> Contents:
    with connect(here.site, database=here.database, server=server) as session:
        source.settle(session)
        session.execute("begin isolation level repeatable read")
        return fingerprint.contents(session, source.tables(session))


def test_the_roles_come_as_sql_without_passwords(here: World, good: Taken, tmp_path: Path) -> None:
    done = call(here, "roles", "--identity", identity(here, age_keys.RECOVERY, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "CREATE ROLE ops_backup;" in done.stdout
    assert "PASSWORD" not in done.stdout
    assert "SCRAM" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sql", "backups/database/x/nothing/"), "there is no backup backups/database/x/nothing/"),
        (("sql",), "name the file with the private key: --identity FILE"),
        (("sql", "--identity", "/no/such/file"), "--identity /no/such/file cannot be read: No such file or directory"),
        (("sql", "--identity", "/dev/null"), "the file /dev/null holds no age private key"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(here: World, good: Taken, arguments: tuple[str, ...], said: str) -> None:
    done = call(here, *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_backup_that_is_not_good_is_not_used(here: World, tmp_path: Path) -> None:
    unproved = here.take().manifest.facts.key
    done = call(here, "sql", unproved, "--identity", identity(here, age_keys.ESCROW, tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{unproved} is UNPROVED, and only a good backup is used" in done.stderr
