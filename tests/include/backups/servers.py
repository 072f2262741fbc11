"""PostgreSQL servers beside the platform's, which may be stopped, opened to plain connections, and followed by a standby."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import psycopg
from psycopg import sql

from sandbox import age_keys
from sandbox.components import postgres, s3
from sandbox.platform import Platform
from sandbox.site import Site, free_ports
from tests.include.backups.faulty import folder

NAMES = ("postgres", "postgres-scratch")
BACK_S = 20


@dataclass(frozen=True)
class Own:
    """A source and a scratch server; the bucket and all keys are the platform's."""

    platform: Platform

    @property
    def site(self) -> Site:
        return self.platform.site

    def restart(self, name: str) -> None:
        """Stop one of them and start it again; returns when it answers."""
        self.platform.supervisor.stop_program(name)
        self.platform.supervisor.start_program(name)
        self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        until = time.monotonic() + BACK_S
        while time.monotonic() < until:
            try:
                postgres.connect(self.site, database="postgres", server=name).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"{name} did not come back within {BACK_S} s")

    def admit(self, line: str) -> None:
        """Let in whom the platform's server does not: one more line of pg_hba.conf."""
        with (postgres.data_folder(self.site) / "pg_hba.conf").open("a") as file:
            file.write(f"{line} 127.0.0.1/32 scram-sha-256\n")
        with postgres.connect(self.site, database="postgres") as session:
            session.execute("select pg_reload_conf()")


@contextmanager
def own_servers(shared: Site, name: str) -> Iterator[Own]:
    """Start both, without the history that fills the platform's."""
    base = folder(name)
    site = Site.create(base, {**free_ports(), "s3": shared.ports["s3"]})
    _share_secrets(shared, site)
    platform = Platform(site, NAMES, say=lambda _: None)
    roles = partial(postgres._make_roles, server="postgres")
    platform.components["postgres"] = replace(platform.components["postgres"], after=roles)
    try:
        platform.start()
        yield Own(platform)
    finally:
        platform.stop()
        shutil.rmtree(base, ignore_errors=True)


def _share_secrets(shared: Site, site: Site) -> None:
    names = [*(f"s3-{user}" for user in s3.USERS), *(f"age-{name}" for name in age_keys.NAMES)]
    age_keys.recipients(shared)  # made when they are asked for the first time
    for name in names:
        site.secret(name, make=partial(shared.secret, name))


@contextmanager
def standby(own: Own) -> Iterator[Site]:
    """Let a standby follow the source by streaming; yield a site whose `postgres` is that standby."""
    own.admit("hostssl replication postgres")
    port = free_ports()["postgres"]
    data = own.site.path(f"standby-{port}", "data")
    postgres._hand_over(data.parent)
    source = f"{postgres.dsn(own.site, postgres.SUPERUSER, 'postgres')}?sslmode=require"
    _program("pg_basebackup", "-D", data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"port = {port}\n")
    _program("pg_ctl", "-D", data, "-l", data.parent / "log", "-w", "start")
    try:
        yield Site(own.site.state, {**own.site.ports, "postgres": port})
    finally:
        _program("pg_ctl", "-D", data, "-m", "immediate", "stop")


def _program(name: str, *arguments: object) -> None:
    postgres._as_server_user([postgres._server_program(name), *map(str, arguments)])


def set_up(site: Site, **settings: str) -> None:
    """Change settings of a running server."""
    with postgres.connect(site, database="postgres") as session:
        for name, value in settings.items():
            session.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        session.execute("select pg_reload_conf()")


def caught_up(own: Own, behind: Site) -> None:
    """Wait until the standby has replayed what the source has written by now."""
    with postgres.connect(own.site, database="postgres") as session:
        (written,) = session.execute("select pg_current_wal_lsn()").fetchone() or ("0/0",)
    until = time.monotonic() + BACK_S
    with postgres.connect(behind, database="postgres") as session:
        while not session.execute("select where pg_last_wal_replay_lsn() >= %s", [written]).rowcount:
            assert time.monotonic() < until, "the standby does not follow"
            time.sleep(0.05)
