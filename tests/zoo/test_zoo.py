"""The zoo holds what it says, the superuser can restore it, and the churn really goes on."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.errors import SequenceGeneratorLimitExceeded

from sandbox.components.postgres import connect, program
from sandbox.site import Site
from tests.zoo.build import Connection, build, small_tables
from tests.zoo.churn import TOTAL, Churn, total
from tests.zoo.kinds import KINDS, RELATION

pytestmark = pytest.mark.integration


@contextmanager
def database(site: Site, name: str) -> Iterator[Connection]:
    """A fresh database of the production server, gone at the end."""
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    with connect(site, database="postgres") as server:
        server.execute(drop)
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            with connect(site, database=name) as connection:
                yield connection
        finally:
            server.execute(drop)


@pytest.fixture(scope="module")
def zoo(site: Site) -> Iterator[Connection]:
    """The zoo without what only a superuser can restore."""
    with database(site, "zoo_test") as connection:
        build(connection)
        yield connection


@pytest.mark.parametrize("kind", KINDS)
def test_the_zoo_holds(zoo: Connection, kind: str) -> None:
    assert zoo.execute(f"select 1 from {KINDS[kind]}".encode()).fetchall()


def test_almost_every_table_has_rows(zoo: Connection) -> None:
    empty = [name for (name,) in zoo.execute(_tables()) if not _has_rows(zoo, name)]
    assert len(empty) < 15, empty


def test_no_index_is_invalid(zoo: Connection) -> None:
    assert not zoo.execute("select indexrelid::regclass from pg_index where not indisvalid").fetchall()


def test_a_second_zoo_is_built_beside_the_first_at_the_same_time(site: Site, zoo: Connection) -> None:
    with database(site, "zoo_second") as second, database(site, "zoo_third") as third:
        threads = [threading.Thread(target=build, args=[each]) for each in (second, third)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [_has_rows(each, "zoo.journal") for each in (second, third)] == [True, True]


def test_the_superuser_restores_the_zoo(site: Site, zoo: Connection, tmp_path: Path) -> None:
    _dump(site, "zoo_test", tmp_path / "zoo.dump")
    with database(site, "zoo_restored") as restored:
        _restore(site, "zoo_restored", tmp_path / "zoo.dump")
        assert _row_counts(restored) == _row_counts(zoo)


def test_the_superuser_restores_what_only_a_superuser_can(site: Site, tmp_path: Path) -> None:
    with database(site, "zoo_superuser") as connection, database(site, "zoo_restored") as restored:
        build(connection, superuser_only=True)
        _dump(site, "zoo_superuser", tmp_path / "zoo.dump")
        _restore(site, "zoo_restored", tmp_path / "zoo.dump")
        assert _row_counts(restored) == _row_counts(connection)


def test_a_thousand_small_tables_take_a_moment(site: Site) -> None:
    with database(site, "zoo_small") as connection:
        small_tables(connection, 1001)
        made = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'zoo_small'::regnamespace"
        assert connection.execute(made).fetchall() == [(1001,)]


def test_the_churn_changes_much_and_keeps_its_sum(site: Site) -> None:
    with database(site, "zoo_churned") as connection:
        with Churn(partial(connect, site, database="zoo_churned"), seed=1) as churn:
            sums = {_sum_after_a_moment(connection) for _ in range(20)}
        assert sums == {TOTAL} == {total(connection)}
        assert {"transfer", "move", "truncate", "create table", "alter type"} <= churn.counts.keys()
        assert sum(churn.counts.values()) > 100


def test_the_churn_stops_in_time_though_a_reader_locks_all_tables(site: Site) -> None:
    with (
        database(site, "zoo_churned") as connection,
        Churn(partial(connect, site, database="zoo_churned"), seed=2) as churn,
    ):
        with connection.transaction():
            connection.execute(
                "lock table zoo_churn.notes, zoo_churn.rewritten, zoo_churn.emptied in access share mode"
            )
            time.sleep(3)
            started = time.monotonic()
            churn.__exit__(None, None, None)
            assert time.monotonic() - started < 10
        assert churn.hindered["LockNotAvailable"]


def test_the_churn_raises_what_contention_does_not_explain(site: Site) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        _churn_over_a_sequence_that_ends(site)
    assert {type(error) for error in raised.value.exceptions} == {SequenceGeneratorLimitExceeded}


def _churn_over_a_sequence_that_ends(site: Site) -> None:
    with database(site, "zoo_churned") as connection, Churn(partial(connect, site, database="zoo_churned"), seed=3):
        connection.execute("drop sequence zoo_churn.numbers; create sequence zoo_churn.numbers maxvalue 2")
        time.sleep(3)


def _sum_after_a_moment(connection: Connection) -> int:
    time.sleep(0.2)
    return total(connection)


def _dump(site: Site, name: str, file: Path) -> None:
    _run(site, "pg_dump", "--format=custom", f"--file={file}", f"--dbname={name}")


def _restore(site: Site, name: str, file: Path) -> None:
    _run(site, "pg_restore", "--exit-on-error", f"--dbname={name}", str(file))


def _run(site: Site, name: str, *arguments: str) -> None:
    address = ["--host=127.0.0.1", f"--port={site.ports['postgres']}", "--username=postgres"]
    environment = {**os.environ, "PGPASSWORD": site.secret("postgres-superuser")}
    subprocess.run([str(program(name)), *address, *arguments], check=True, env=environment)


def _tables() -> bytes:
    # Partitions are counted with their root: an enum hashes to another one after a restore.
    name = "format('%s.%I', relnamespace::regnamespace, relname)"
    return f"select {name} from {RELATION} relkind in ('r', 'p') and not relispartition".encode()


def _has_rows(connection: Connection, name: str) -> bool:
    return bool(connection.execute(f"select 1 from {name} limit 1".encode()).fetchall())


def _row_counts(connection: Connection) -> dict[str, int]:
    names = [name for (name,) in connection.execute(_tables())]
    return {name: _row_count(connection, name) for name in names}


def _row_count(connection: Connection, name: str) -> int:
    return int(connection.execute(f"select count(*) from {name}".encode()).fetchall()[0][0])
