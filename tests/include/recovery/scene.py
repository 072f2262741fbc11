"""A production server in small, with databases that have a good backup, and everybody who has a part in a recovery."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from psycopg import sql

from include.backups import compare, fingerprint, source
from include.backups.catalogue import Backup
from include.backups.fingerprint import Contents
from include.backups.login import Login
from include.recovery import databases, doors, swap
from include.recovery.beside import Opened, Restorer
from include.recovery.databases import Databases, Names
from include.recovery.window import open_window
from include.settings import RestoreLimits
from sandbox import age_keys
from sandbox.components.postgres import Connection, connect
from sandbox.site import Site
from tests.include.backups.world import World

LIMITS = RestoreLimits(sessions_deadline_s=10)
COMMENT = "the shop of the test"


@dataclass(frozen=True)
class Scene:
    """One database of the server, with a backup, and one recovery of it."""

    world: World
    good: Backup
    op_id: str

    @property
    def site(self) -> Site:
        return self.world.site

    @property
    def database(self) -> str:
        return self.world.database

    @property
    def names(self) -> Names:
        return databases.names(self.database, self.op_id)

    @property
    def login(self) -> Login:
        return self.world.login("ops_restore").to("postgres")

    @property
    def reader(self) -> Login:
        return self.world.login("ops_backup")

    @cached_property
    def opened(self) -> Opened:
        return self.restorer().open(self.good)

    def restorer(
        self, *, key: str = "", limits: RestoreLimits = LIMITS, login: Login | None = None, **backup: Any
    ) -> Restorer:
        return Restorer(
            store=self.world.store("backup_verifier"),
            login=login or self.login,
            reader=self.reader,
            key=key or age_keys.private(self.site, age_keys.OPERATIONAL),
            key_from="the Connection orchestrator_backup_key",
            backup=self.world.limits(**backup),
            limits=limits,
        )

    def seen(self) -> Databases:
        return databases.observe(self.login, self.database, self.op_id)

    def all_names(self) -> set[str]:
        with self.superuser("postgres") as server:
            query = "select datname from pg_database where starts_with(datname, %s)"
            return {name for (name,) in server.execute(query, [self.database])}

    @contextmanager
    def superuser(self, database: str = "") -> Iterator[Connection]:
        with connect(self.site, database=database or self.database) as session:
            yield session

    def contents(self, database: str = "") -> Contents:
        """Return what is in a database, as its superuser sees it."""
        with self.superuser(database) as session:
            source.settle(session)
            session.execute("begin isolation level repeatable read")
            found = fingerprint.contents(session, source.tables(session))
            session.execute("rollback")
            return found

    def is_whole(self, was: Contents) -> bool:
        """I3: the running database is there, and what it was or the complete restored content; never mixed, never absent."""
        wanted = self.opened.fingerprint.contents
        found = self.contents()
        return any(compare.differences(each, found) == [] for each in (was, wanted))

    def swapped(self) -> Databases:
        """Restore, close the doors, swap."""
        self.restorer().restore(self.opened, self.op_id)
        doors.close_doors(self.login, self.database, LIMITS)
        return swap.swap(self.login, self.database, self.op_id, LIMITS)

    def again(self) -> Scene:
        """The same database, and another recovery of it."""
        return Scene(self.world, self.good, str(uuid.uuid4()))


@contextmanager
def tidied(here: Scene) -> Iterator[Scene]:
    """Another recovery of the same database, which is as before at the end, whatever the recovery did."""
    with here.superuser("postgres") as server:
        query = "select oid from pg_database where datname = %s"
        (oid,) = server.execute(query, [here.database]).fetchone() or (0,)
    try:
        yield here.again()
    finally:
        with here.superuser("postgres") as server:
            _as_before(server, here.database, oid)


def _as_before(server: Connection, database: str, oid: int) -> None:
    """Let the database of this oid have the name, and drop all others of ours."""
    others = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname like %s"
    server.execute(others, [f"{database}%"])
    [(name,)] = server.execute("select datname from pg_database where oid = %s", [oid]).fetchall()
    if name != database:
        _rename(server, name, f"kept_{database}")
        remove(server, database)
        _rename(server, f"kept_{database}", database)
    remove(server, f"{database}_")
    server.execute(sql.SQL("alter database {} allow_connections true").format(sql.Identifier(database)))
    server.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(database), COMMENT))


def _rename(server: Connection, name: str, to: str) -> None:
    server.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(to)))


Fill = Callable[[Connection], None]


def people(session: Connection) -> None:
    """Make what an application has: tables with keys, rows, a view, rights of the application."""
    session.execute("set role orchestrator_owner")
    session.execute(
        "create table people (id bigint generated by default as identity primary key, name text not null,"
        " created_at timestamptz not null default now())"
    )
    session.execute("insert into people (name) select md5(i::text) from generate_series(1, 3000) i")
    session.execute(
        "create table deeds (id serial primary key, person_id bigint not null references people, note text)"
    )
    session.execute(
        "insert into deeds (person_id, note) select 1 + i % 3000, md5(i::text) from generate_series(1, 6000) i"
    )
    session.execute("create index on deeds (person_id)")
    session.execute("create view busy as select person_id, count(*) from deeds group by 1")
    session.execute("grant select, insert, update, delete on all tables in schema public to orchestrator_app")
    session.execute("grant usage on all sequences in schema public to orchestrator_app")
    session.execute("alter default privileges in schema public grant select on tables to orchestrator_app")
    session.execute("reset role")


@contextmanager
def scene(site: Site, fill: Fill = people, template: str = LIMITS.template) -> Iterator[Scene]:
    """Make a database that is owned as in production, back it up, and prove the backup; all its databases are dropped at the end."""
    with made(site, template) as world:
        with world.superuser() as session:
            fill(session)
        taken = world.take()
        world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
        good = world.catalogue().newest_good
        assert good
        yield Scene(world, good, str(uuid.uuid4()))


@contextmanager
def made(site: Site, template: str) -> Iterator[World]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with connect(site, database="postgres") as server:
        place, like = sql.Identifier(name), sql.Identifier(template)
        server.execute(sql.SQL("create database {} owner orchestrator_owner template {}").format(place, like))
        server.execute(sql.SQL("revoke all on database {} from public").format(place))
        server.execute(sql.SQL("grant connect on database {} to ops_backup, orchestrator_app").format(place))
        server.execute(sql.SQL("comment on database {} is {}").format(place, COMMENT))
        server.execute(sql.SQL("alter database {} set work_mem to '5MB'").format(place))
    try:
        yield World(site, name)
    finally:
        with connect(site, database="postgres") as server:  # a test may have ended the first session
            remove(server, name)


def remove(server: Connection, name: str) -> None:
    left = server.execute("select datname from pg_database where starts_with(datname, %s)", [name]).fetchall()
    for (each,) in left:
        server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(each)))


def approve(site: Site) -> None:
    """Open the window in which ops_restore may log in."""
    world = World(site, "postgres")
    open_window(world.login("ops_window"), datetime.now(UTC) + timedelta(hours=1))
