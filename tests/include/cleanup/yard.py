"""A database of the orchestrator in small, with rows that are old enough to go, and everybody who has a part in a clean-up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from psycopg import sql

from include.backups import sealing
from include.backups.login import Login
from include.cleanup import operation, restore
from include.cleanup.archive import Archive, Opened
from include.cleanup.operation import Result
from include.cleanup.request import Access, Cleanup
from include.cleanup.restore import Restored
from include.ops import journal
from include.ops.database import OpsDatabase
from include.plans import cleanup
from include.plans.cleanup import Chunk, Subject
from include.settings import CleanupLimits
from sandbox import age_keys
from sandbox.components import postgres
from sandbox.components.postgres import Connection, connect, dsn
from sandbox.seed import history
from sandbox.site import Site
from tests.include.backups.world import World

TEMPLATE = "yard_template"
QUICK: dict[str, Any] = {
    "busy_percent": 100,
    "wal_bytes_per_s": 10**12,
    "audit_policy": "a decision of the test",
    "audit_lock_days": 1,
}
PARTITIONED = """
alter table execution_logs rename to before;
create table execution_logs (like before including defaults including identity, primary key (id, created_at))
    partition by range (created_at);
create table logs_old partition of execution_logs
    for values from (date_trunc('day', now(), 'UTC') - interval '200 days') to (date_trunc('day', now(), 'UTC') - interval '91 days');
create table "Logs, new" partition of execution_logs
    for values from (date_trunc('day', now(), 'UTC') - interval '91 days') to (date_trunc('day', now(), 'UTC') + interval '9 days');
insert into execution_logs overriding system value select * from before;
drop table before;
alter table execution_logs owner to orchestrator_owner; alter table logs_old owner to orchestrator_owner;
alter table "Logs, new" owner to orchestrator_owner;
grant select, insert, update, delete on execution_logs to orchestrator_app
"""
FILL = Path(__file__).with_name("yard.sql").read_text()


@dataclass(frozen=True)
class Yard:
    """One database, and one clean-up of it."""

    site: Site
    database: str
    op_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def world(self) -> World:
        return World(self.site, self.database)

    @property
    def ops(self) -> OpsDatabase:
        return OpsDatabase({"conninfo": dsn(self.site, "ops_runner", "ops", "postgres_ops")})

    def again(self) -> Yard:
        """The same database, and another clean-up of it."""
        return replace(self, op_id=str(uuid.uuid4()))

    def archive(self, **other: Any) -> Archive:
        known: dict[str, Any] = {
            "writer": self.world.store("archive_writer"),
            "verifier": self.world.store("backup_verifier"),
            "to": sealing.recipients(age_keys.recipients(self.site)),
            "identity": sealing.identity(age_keys.private(self.site, age_keys.OPERATIONAL), "the test"),
            "database": self.database,
        }
        return Archive(**known | other)

    def login(self, role: str, setting: str) -> Login:
        return replace(self.world.login(role), setting=setting)

    def access(self, **other: Any) -> Access:
        known: dict[str, Any] = {
            "reader": self.login("ops_backup", "connections.backup_source"),
            "deleter": self.login("ops_cleanup", "connections.cleanup_postgres"),
            "watcher": self.login("ops_health", "connections.postgres"),
            "archive": self.archive(),
            "newest_good": lambda: datetime.now(UTC),
        }
        return Access(**known | other)

    def cleanup(self, access: Access | None = None, **limits: Any) -> Cleanup:
        return Cleanup(
            op_id=self.op_id,
            access=access or self.access(),
            limits=CleanupLimits(**QUICK | limits),
            backup_max_age_h=26,
        )

    def act(self, access: Access | None = None, **limits: Any) -> Result:
        return operation.act(self.cleanup(access, **limits), self.ops, holder="the test")

    def restore(self, subject: Subject, day: date, **limits: Any) -> Restored:
        return restore.act(self.cleanup(**limits), self.ops, subject, day, holder="the test")

    # --- what is there ----------------------------------------------------------------------------------------------------

    @contextmanager
    def superuser(self) -> Iterator[Connection]:
        with connect(self.site, database=self.database) as session:
            yield session

    def fill(self, logs: int = 60, days: int = 2) -> None:
        """Write logs, audit logs and versions, old and new ones; `logs` of each old day."""
        with self.superuser() as session:
            session.execute((FILL % {"logs": logs, "days": days}).encode())
            session.execute("analyze")

    def ids(self, subject: Subject, where: str = "true") -> set[int]:
        return {number for (number,) in self.ask(f"select id from {subject} where {where}")}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.superuser() as session:
            return session.execute(query.encode()).fetchall()

    def rows(self, subject: Subject, where: str = "true") -> dict[int, str]:
        """Every row as text, by its id."""
        return dict(self.ask(f"select id, t::text from {subject} as t where {where}"))

    def planned(self, subject: Subject) -> set[int]:
        """What this clean-up wrote down as its list."""
        line = journal.last(journal.entries(self.ops, self.op_id), f"list {subject}")
        listed = line.detail["chunks"] if line else ()
        return {each for chunk in listed for each in cleanup.ids_of(Chunk.from_json(subject, chunk).ids)}

    def archived(self, subject: Subject) -> list[Opened]:
        """Every object of a table, the newest first."""
        archive = self.archive()
        versions = archive.verifier.versions(f"archive/{self.database}/{subject}/")
        opened = [archive.open(each) for each in versions]
        return sorted(opened, key=lambda each: each.header.archived_at, reverse=True)

    def archived_ids(self, subject: Subject) -> set[int]:
        return {number for each in self.archived(subject) for number in each.ids}


OLD = {
    Subject.LOGS: "created_at < now() - interval '90 days'",
    Subject.AUDIT: "created_at < now() - interval '365 days'",
}


def template(site: Site) -> None:
    """Make the database of which each test gets a copy: that is much quicker than to make each."""
    with connect(site, database="postgres") as server:
        server.execute(sql.SQL("create database {} owner orchestrator_owner").format(sql.Identifier(TEMPLATE)))
    with connect(site, database=TEMPLATE) as session:
        for name in ("tables.sql", "indexes.sql"):
            session.execute("set role orchestrator_owner")
            session.execute((history.SQL / name).read_text().encode())
        session.execute("reset role")
        session.execute("grant usage on schema public to orchestrator_app, ops_health")
        session.execute("grant select, insert, update, delete on all tables in schema public to orchestrator_app")
        session.execute("grant usage on all sequences in schema public to orchestrator_app")
        session.execute((postgres.DEPLOY / "orchestrator_cleanup.sql").read_text().encode())


@contextmanager
def made(site: Site) -> Iterator[Yard]:
    """Make a database and drop it."""
    name = f"yard_{uuid.uuid4().hex[:8]}"
    place = sql.Identifier(name)
    roles: Sequence[str] = ("orchestrator_app", "ops_backup", "ops_cleanup", "ops_health")
    with connect(site, database="postgres") as server:
        server.execute(
            sql.SQL("create database {} owner orchestrator_owner template {}").format(place, sql.Identifier(TEMPLATE))
        )
        server.execute(
            sql.SQL("grant connect on database {} to {}").format(place, sql.SQL(", ").join(map(sql.Identifier, roles)))
        )
        try:
            yield Yard(site, name)
        finally:
            server.execute(sql.SQL("drop database {} with (force)").format(place))
