from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from sandbox.component import SetupError
from sandbox.components import postgres
from sandbox.components.postgres import authority_certificate, connect, data_folder, dsn, top_up
from sandbox.platform import Platform, running
from sandbox.site import Site, free_ports

SERVERS = [("postgres", "orchestrator"), ("postgres_scratch", "postgres"), ("postgres_ops", "ops")]


def test_an_address_names_role_database_and_port_of_the_server(tmp_path: Path) -> None:
    site = Site.create(tmp_path, {"postgres": 1111, "postgres_ops": 3333})
    found = urlsplit(dsn(site, "ops_owner", "ops", "postgres-ops"))
    assert (found.username, found.hostname, found.port, found.path) == ("ops_owner", "127.0.0.1", 3333, "/ops")
    assert found.password == site.secret("postgres-ops_owner")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_state_folder_that_the_server_cannot_reach_is_named_with_the_way_out(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SetupError, match=r"SANDBOX_STATE.*chmod o\+x"):
        postgres._refuse_closed_folders(closed / "postgres")


@pytest.mark.integration
@pytest.mark.parametrize(("server", "database"), SERVERS)
def test_runs_version_17_with_the_preloads_that_the_checks_need(site: Site, server: str, database: str) -> None:
    with connect(site, database=database, server=server) as connection:
        assert 170000 <= connection.info.server_version < 180000
        for name, value in {
            "shared_preload_libraries": "pg_stat_statements",
            "track_commit_timestamp": "on",
            "listen_addresses": "127.0.0.1",
            "data_checksums": "on",
            "fsync": "on",
        }.items():
            assert connection.execute("select current_setting(%s)", [name]).fetchone() == (value,)


@pytest.mark.integration
@pytest.mark.parametrize("server", ["postgres", "postgres_scratch"])
def test_a_new_database_has_the_extensions_already(site: Site, server: str) -> None:
    with connect(site, database="template1", server=server) as connection:
        names = {name for (name,) in connection.execute("select extname from pg_extension")}
    assert {"pg_stat_statements", "pgstattuple", "amcheck"} <= names


@pytest.mark.integration
def test_speaks_tls_and_its_certificate_holds_for_its_address(site: Site) -> None:
    address = f"{dsn(site, 'ops_health')}?sslmode=verify-full&sslrootcert={authority_certificate(site)}"
    with psycopg.connect(address) as connection:
        query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        assert connection.execute(query).fetchone() == (True,)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda address: f"{address}?sslmode=disable", "no encryption"),
        (lambda address: address.replace("ops_health:", "ops_health:x"), "password authentication failed"),
    ],
)
def test_refuses_plain_connections_and_wrong_passwords(site: Site, change: object, complaint: str) -> None:
    assert callable(change)
    with pytest.raises(psycopg.OperationalError, match=complaint):
        psycopg.connect(change(dsn(site, "ops_health")))


@pytest.mark.integration
def test_every_password_is_kept_as_a_verifier_and_never_shown(site: Site) -> None:
    for server, database in SERVERS:
        with connect(site, database=database, server=server) as connection:
            stored = connection.execute(
                "select rolname, rolpassword from pg_authid where rolpassword is not null"
            ).fetchall()
            assert stored
            assert all(password.startswith("SCRAM-SHA-256$") for _, password in stored)
            assert all(
                site.secret(f"postgres-{role}") not in password for role, password in stored if role != "postgres"
            )
    assert not list(data_folder(site).parent.glob("*password*"))


@pytest.mark.integration
def test_private_files_are_the_servers_alone(site: Site) -> None:
    data = data_folder(site)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "server.key").stat().st_mode) == 0o600


@pytest.mark.integration
def test_the_servers_are_three_clusters(site: Site) -> None:
    identities = set()
    for server, database in SERVERS:
        with connect(site, database=database, server=server) as connection:
            identities.add(connection.execute("select system_identifier from pg_control_system()").fetchone())
    assert len(identities) == 3


@pytest.mark.integration
def test_a_later_start_continues_the_history_and_keeps_what_is_there(site: Site) -> None:
    with connect(site) as connection:
        first = connection.execute("select min(id), max(id) from workflow_executions").fetchone()
        top_up(site)
        again = connection.execute("select min(id), max(id) from workflow_executions").fetchone()
    assert first is not None
    assert again is not None
    assert again[0] == first[0]
    assert 0 <= again[1] - first[1] < 1_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A scratch server that may be killed."""
    base = Path("/tmp") / f"aos-{os.getpid()}-postgres"
    site = Site.create(base, free_ports())
    with running(site, ["postgres-scratch"]) as platform:
        yield platform
    shutil.rmtree(base)


@pytest.mark.integration
def test_a_kill_loses_no_committed_row_and_it_comes_back_by_itself(own: Platform) -> None:
    with connect(own.site, database="postgres", server="postgres_scratch") as connection:
        connection.execute("create table kept (n integer)")
        connection.execute("insert into kept select generate_series(1, 1000)")
    os.kill(int((data_folder(own.site, "postgres_scratch") / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert _rows_when_back(own.site) == 1000


@pytest.mark.integration
def test_a_stop_ends_open_sessions_instead_of_waiting_for_them(own: Platform) -> None:
    with connect(own.site, database="postgres", server="postgres_scratch") as held:
        began = time.monotonic()
        own.supervisor.stop_program("postgres-scratch")
        assert time.monotonic() - began < 10
        with pytest.raises(psycopg.OperationalError):
            held.execute("select 1")
    own.supervisor.start_program("postgres-scratch")
    assert _rows_when_back(own.site) == 1000


def _rows_when_back(site: Site) -> int:
    deadline = time.monotonic() + 30
    while True:
        try:
            with connect(site, database="postgres", server="postgres_scratch") as connection:
                row = connection.execute("select count(*) from kept").fetchone()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            assert row is not None
            return int(row[0])
