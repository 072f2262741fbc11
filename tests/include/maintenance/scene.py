"""A database of its own on the platform's server, with tables that need something, and the operation that gives it to them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include.backups.login import Login
from include.maintenance import need, operation
from include.maintenance.operation import Maintenance, Result
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Mode, Wanted
from include.plans.maintenance import Observed, Plan, decide
from include.settings import MaintenanceLimits
from sandbox.components.postgres import DEPLOY, Connection, connect, dsn
from sandbox.site import Site

SMALL: dict[str, Any] = {
    "index_min_bytes": 65_536,
    "table_min_bytes": 65_536,
    "dead_min": 100,
    "progress_s": 0.05,
    "busy_percent": 100,
}
"""Limits by which a table of some thousand rows is a large one."""
PLENTY = 1 << 50
FLUSH = "select pg_stat_force_next_flush()"
"""What a session counted is told to the others a second later, and a vacuum in between would look like none."""


def limits(**changed: Any) -> MaintenanceLimits:
    return MaintenanceLimits(**SMALL | changed)


@dataclass
class Scene:
    """One database; `limits` may be changed by a test."""

    site: Site
    database: str
    limits: MaintenanceLimits = field(default_factory=limits)
    free_bytes: Callable[[], int | None] = lambda: PLENTY

    @contextmanager
    def superuser(self) -> Iterator[Connection]:
        with connect(self.site, database=self.database) as session:
            yield session

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the superuser; return the rows of the last."""
        with self.superuser() as session:
            for statement in statements:
                done = session.execute(statement.encode())
            return done.fetchall() if done.description else []

    @property
    def login(self) -> Login:
        return Login(conninfo_to_dict(dsn(self.site, "ops_maint", self.database)), "connections.maintenance")

    @property
    def ops(self) -> OpsDatabase:
        return OpsDatabase(conninfo_to_dict(dsn(self.site, "ops_runner", "ops", "postgres_ops")))

    def observed(self, op_id: str = "") -> Observed:
        application = operation.application(op_id or str(uuid.uuid4()))
        begun = operation.begun(self.ops, self.login)
        return need.measure(self.login, self.limits, application=application, ours=begun, free_bytes=self.free_bytes())

    def plan(self) -> Plan:
        return decide(self.observed(), self.limits)

    def at_work(self, op_id: str) -> Maintenance:
        """An operation that holds its lease."""
        wanted = Wanted(resource=f"database/{self.database}", mode=Mode.MAINTENANCE, op_id=op_id, holder="a test")
        lease = leases.acquire(self.ops, wanted)
        return Maintenance(
            login=self.login,
            limits=self.limits,
            ops=self.ops,
            journal=Journal(self.ops, op_id, "a test", lease.token),
            lease=lease,
            free_bytes=self.free_bytes,
        )

    def run(self, op_id: str = "") -> Result:
        """Measure, decide and act, as the task does."""
        op_id = op_id or str(uuid.uuid4())
        at_work = self.at_work(op_id)
        with leases.keep(at_work.lease):
            return at_work.run(decide(self.observed(op_id), self.limits))

    def killed(self, op_id: str, arm: Callable[[], None]) -> int:
        """Let a fork run it that dies on its way; return the signal that ended it, 0 if it came to its end."""
        child = os.fork()
        if not child:
            try:
                signal.alarm(60)
                arm()
                self.run(op_id)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "it neither died nor ended well"
        return os.WTERMSIG(status)

    @property
    def invalid(self) -> list[str]:
        found = self.sql("select indexrelid::regclass::text from pg_index where not indisvalid")
        return sorted(name for (name,) in found)

    def bloated(self, name: str = "busy", *, rows: int = 20_000, keep: int = 10) -> None:
        """Make a table whose primary key is mostly empty: of so many rows one in `keep` stays, and a vacuum was there."""
        quoted = sql.Identifier(name).as_string(None)
        self.sql(
            f"create table {quoted} (id bigint primary key, tag text not null)",
            f"insert into {quoted} select i, md5(i::text) from generate_series(1, {rows}) as i",
            f"delete from {quoted} where id % {keep} <> 0",
            FLUSH,
            f"vacuum (analyze) {quoted}",
            f"alter table {quoted} owner to orchestrator_owner",
        )

    def dirty(self, name: str = "dirty", *, rows: int = 5000) -> None:
        """Make a table of which half the rows are dead and whose statistics are old."""
        quoted = sql.Identifier(name).as_string(None)
        self.sql(
            f"create table {quoted} (id bigint primary key, tag text not null) with (autovacuum_enabled = false)",
            f"insert into {quoted} select i, md5(i::text) from generate_series(1, {rows}) as i",
            FLUSH,
            f"vacuum (analyze) {quoted}",
            f"update {quoted} set tag = tag",
            FLUSH,
            f"alter table {quoted} owner to orchestrator_owner",
        )


@contextmanager
def scene(site: Site) -> Iterator[Scene]:
    """Make the database, and drop it whatever holds it."""
    name = f"maintained_{os.urandom(4).hex()}"
    server = partial(connect, site, database="postgres")
    with server() as session:
        session.execute(f"create database {name} owner orchestrator_owner".encode())
    try:
        with connect(site, database=name) as session:
            session.execute((DEPLOY / "orchestrator_maintenance.sql").read_bytes())
            session.execute(b"grant usage on schema public to ops_maint")
        yield Scene(site, name)
    finally:
        with server() as session:
            session.execute(f"drop database {name} with (force)".encode())
