from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from include import sql
from include.errors import ConfigurationError, TransientError
from include.probes.postgres import Server, SlotsTakenError, Vitals, explained, vitals, write
from sandbox.components.postgres import connect, data_folder, dsn, program
from sandbox.site import Site

STATEMENTS = sorted(path.stem for path in (Path(sql.__file__).parent / "postgres").glob("*.sql"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL: database "nosuch" does not exist', ConfigurationError),
        ('FATAL: password authentication failed for user "ops_health"', ConfigurationError),
        ('FATAL: no pg_hba.conf entry for host "10.0.0.1"', ConfigurationError),
        ("FATAL: sorry, too many clients already", SlotsTakenError),
        ("FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute", SlotsTakenError),
        ("connection refused", TransientError),
        ("connection timeout expired", TransientError),
        ("server closed the connection unexpectedly", TransientError),
    ],
)
def test_a_failed_login_says_whether_it_may_succeed_in_a_minute(text: str, kind: type[Exception]) -> None:
    assert type(explained(psycopg.OperationalError(text), "db:5432/orchestrator")) is kind


def test_a_missing_privilege_names_where_rights_are_kept() -> None:
    error = explained(psycopg.errors.InsufficientPrivilege("permission denied for table events"), "db")
    assert isinstance(error, ConfigurationError)
    assert "deploy/postgres" in str(error)


def test_a_server_that_is_not_there_is_transient() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(TransientError, match="did not answer"):
        vitals(Server({"host": "127.0.0.1", "port": port, "dbname": "x", "user": "u"}, 1))


def test_bug_77_no_statement_names_a_column_that_postgresql_13_renamed() -> None:
    assert STATEMENTS
    for name in STATEMENTS:
        assert not re.search(r"\b(mean|total|min|max)_time\b", sql.statement(name))


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_says_which_question_it_answers_and_binds_its_values(name: str) -> None:
    text = sql.statement(name)
    assert text.startswith("-- ")
    assert "{" not in text
    assert ";" not in re.sub(r"--.*", "", text)


@pytest.mark.integration
class TestOnARealServer:
    @pytest.fixture
    def server(self, site: Site) -> Server:
        return Server(psycopg.conninfo.conninfo_to_dict(dsn(site, "ops_health")), 5)

    def test_bug_75_pg_isready_says_yes_for_a_missing_database(self, server: Server) -> None:
        missing = Server({**server.parameters, "dbname": "does_not_exist"}, 5)
        with pytest.raises(ConfigurationError, match='database "does_not_exist" does not exist'):
            vitals(missing)

    def test_a_login_finds_the_primary_its_sessions_and_no_replica(self, server: Server) -> None:
        found = vitals(server)
        assert isinstance(found, Vitals)
        assert (found.session.database, found.session.in_recovery, found.session.read_only) == (
            "orchestrator",
            False,
            False,
        )
        assert 0 < found.use.used < found.use.most
        assert not found.replication.replicas

    def test_the_write_probe_leaves_nothing_behind(self, server: Server, site: Site) -> None:
        count = "SELECT count(*) FROM ops_probe.writable"
        with psycopg.connect(dsn(site, "postgres"), autocommit=True) as connection:
            before = connection.execute(count).fetchone()
            assert not write(server).refused
            assert connection.execute(count).fetchone() == before

    def test_a_role_that_may_not_write_is_a_fault_of_ours_and_not_of_the_server(
        self, server: Server, site: Site
    ) -> None:
        with psycopg.connect(dsn(site, "postgres"), autocommit=True) as connection:
            connection.execute("REVOKE INSERT ON ops_probe.writable FROM ops_health")
            try:
                with pytest.raises(ConfigurationError, match="deploy/postgres"):
                    write(server)
            finally:
                connection.execute("GRANT INSERT ON ops_probe.writable TO ops_health")

    @pytest.mark.parametrize(
        ("lag", "applied", "lag_s"),
        [
            ("interval '7 s'", "pg_current_wal_lsn()", 7.0),
            ("null::interval", "pg_current_wal_lsn()", 0.0),
            ("null::interval", "pg_current_wal_lsn() - 1", None),
            ("null::interval", "null::pg_lsn", None),
        ],
    )
    def test_a_lag_that_is_not_told_is_0_only_of_a_replica_that_has_applied_all(
        self, server: Server, lag: str, applied: str, lag_s: float | None
    ) -> None:
        columns = "application_name, state, replay_lag, replay_lsn, write_lsn"
        replica = f"pg_stat_replication({columns}) AS (SELECT 'r', 'streaming', {lag}, {applied}, {applied})"
        with server.session() as connection:
            (row,) = connection.execute(f"WITH {replica} {sql.statement('replication')}").fetchall()
        assert row["lag_s"] == lag_s

    @pytest.mark.parametrize(
        "command",
        [
            ("pg_receivewal", "--status-interval=1", "--no-loop", "-D"),
            ("pg_basebackup", "--format=tar", "--wal-method=none", "--max-rate=32", "--checkpoint=fast", "-D"),
        ],
    )
    def test_who_copies_the_log_or_the_files_is_no_replica_that_is_behind(
        self, server: Server, site: Site, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        with copying(site, [*command, str(tmp_path)]), server.session() as connection:
            assert connection.execute(sql.statement("replication")).fetchall() == []
            assert (connection.execute(sql.statement("cleanup_load")).fetchone() or {})["lag_s"] == 0
            assert (connection.execute(sql.statement("index_server")).fetchone() or {})["replicas"] == 0


@contextmanager
def copying(site: Site, command: Sequence[str]) -> Iterator[None]:
    """Let in what the platform's server does not, and wait until it told what it wrote, or copies files."""
    rules = data_folder(site) / "pg_hba.conf"
    usual = rules.read_text()
    told = "select 1 from pg_stat_replication where state = 'backup' or state = 'streaming' and write_lsn is not null"
    with connect(site, database="postgres") as admin, rules.open("a") as file:
        print("hostssl replication postgres 127.0.0.1/32 scram-sha-256", file=file, flush=True)
        admin.execute("select pg_reload_conf()")
        name, *arguments = command
        to = psycopg.conninfo.conninfo_to_dict(dsn(site, "postgres"))
        there = {f"PG{key.upper()}": str(to[key]) for key in ("host", "port", "user", "password")} | {
            "PGSSLMODE": "require"
        }
        with subprocess.Popen(
            [program(name), *arguments], env=os.environ | there, stderr=subprocess.PIPE, text=True
        ) as copier:
            try:
                until = time.monotonic() + 30
                while not admin.execute(told).fetchall():
                    assert copier.poll() is None, copier.communicate()[1]
                    assert time.monotonic() < until, "nothing is copied"
                    time.sleep(0.1)
                yield
            finally:
                copier.kill()
                rules.write_text(usual)
                admin.execute("select pg_reload_conf()")
