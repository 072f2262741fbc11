"""PostgreSQL servers of our own beside the platform's, which may be stopped, opened to plain connections, and followed by a standby."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import psycopg

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
