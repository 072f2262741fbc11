"""One database to back up on the platform in small, and everybody who has a part in its backups."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from psycopg import Connection, conninfo, sql

from include.backups import catalogue
from include.backups.catalogue import Catalogue
from include.backups.login import Login
from include.backups.prove import Prover
from include.backups.store import CONFIG, Store
from include.backups.sweep import Swept, sweep
from include.backups.take import Request, Taken, Taker
from include.settings import BackupLimits
from sandbox import age_keys
from sandbox.components import s3
from sandbox.components.postgres import connect, dsn, program
from sandbox.site import Site


@dataclass(frozen=True)
class World:
    """A database with a name of its own, so that tests run side by side."""

    site: Site
    database: str

    def limits(self, **other: Any) -> BackupLimits:
        known: dict[str, Any] = {
            "database": self.database,
            "recipients": age_keys.recipients(self.site),
            "programs": program("pg_dump").parent,
            "spool": self.spool,
            "spool_reserve_bytes": 0,
            "leftovers_after_s": 0,
        }
        return BackupLimits(**known | other)

    @property
    def spool(self) -> Path:
        return self.site.path("spools", self.database)

    def store(self, user: str, port: int | None = None) -> Store:
        address = f"http://127.0.0.1:{port}" if port else self.site.url("s3")
        keys = {"aws_access_key_id": user, "aws_secret_access_key": self.site.secret(f"s3-{user}")}
        client = boto3.client("s3", endpoint_url=address, region_name=s3.REGION, config=Config(**CONFIG), **keys)
        return Store(client, s3.BUCKET, who=user)

    def login(self, role: str = "ops_backup", server: str = "postgres", **other: Any) -> Login:
        database = self.database if server == "postgres" else "postgres"
        known = conninfo.conninfo_to_dict(dsn(self.site, role, database, server))
        return Login({**known, "sslmode": "require", **other})

    def taker(self, *, login: Login | None = None, store: Store | None = None, **limits: Any) -> Taker:
        store = store or self.store("backup_writer")
        return Taker(login=login or self.login(), store=store, limits=self.limits(**limits))

    def prover(
        self, *, store: Store | None = None, server: Login | None = None, key: str = "", **limits: Any
    ) -> Prover:
        return Prover(
            store=store or self.store("backup_verifier"),
            server=server or self.login("ops_verify", "postgres_scratch"),
            key=key or age_keys.private(self.site, age_keys.OPERATIONAL),
            key_from="the Connection orchestrator_backup_key",
            limits=self.limits(**limits),
        )

    def take(self, **limits: Any) -> Taken:
        return self.taker(**limits).take(request())

    def sweep(self, **limits: Any) -> Swept:
        server = self.login("ops_verify", "postgres_scratch")
        return sweep(self.store("backup_reaper"), server, self.limits(**limits), datetime.now(UTC))

    def catalogue(self) -> Catalogue:
        return catalogue.look(self.store("backup_verifier"), self.database)

    @contextmanager
    def superuser(self) -> Iterator[Connection[tuple[Any, ...]]]:
        with connect(self.site, database=self.database) as connection:
            yield connection


def request(**known: Any) -> Request:
    return Request(**{"op_id": str(uuid.uuid4()), "attempt": 1, "code_version": "test", **known})


@contextmanager
def world(site: Site) -> Iterator[World]:
    """Make an empty database that ops_backup may read, and drop it."""
    name = f"backed_up_{uuid.uuid4().hex[:8]}"
    identifier = sql.Identifier(name)
    with connect(site, database="postgres") as server:
        server.execute(sql.SQL("create database {}").format(identifier))
        server.execute(sql.SQL("grant connect on database {} to ops_backup").format(identifier))
        try:
            yield World(site, name)
        finally:
            server.execute(sql.SQL("drop database if exists {} with (force)").format(identifier))
