"""Backups of long ago in the real bucket: written now, and then the store is told that its files are older."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from include.backups import keys, manifest
from include.backups.catalogue import Mark, Verdict
from include.backups.manifest import Stored, sha256
from include.backups.retire import MARK, Observer
from include.backups.store import Store, Version
from include.plans.retention import Observed, Plan, decide
from include.settings import RetentionLimits
from sandbox.components import s3
from sandbox.site import Site
from tests.include.backups.samples import at_key
from tests.include.backups.world import World

PLAIN: Mapping[str, bytes] = {keys.DUMP: b"d" * 5000, keys.FINGERPRINT: b"f" * 300, keys.GLOBALS: b"g" * 200}
LIMITS = RetentionLimits(min_good=3, monthly_keeps=0)


@dataclass(frozen=True)
class Aged:
    """The backups of one database name in the bucket; nothing of them is in any database."""

    site: Site
    limits: RetentionLimits = LIMITS
    database: str = field(default_factory=lambda: f"retired_{uuid.uuid4().hex[:8]}")
    clients: dict[str, Store] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return World(self.site, self.database)

    @property
    def prefix(self) -> str:
        return keys.prefix(self.database)

    @property
    def root(self) -> Any:
        return self.store(s3.ROOT).client

    def store(self, user: str) -> Store:
        if user not in self.clients:
            self.clients[user] = self.world.store(user)
        return self.clients[user]

    def backup(self, age_days: float, verdict: Verdict | None = Verdict.GOOD, **tags: str) -> str:
        """Write a whole backup that was taken so long ago, and return its key."""
        at = (datetime.now(UTC) - timedelta(days=age_days, minutes=10)).replace(microsecond=0)
        key = keys.fresh(self.database, at, str(uuid.uuid4()), 1)
        objects = {name: self._stored(key + name, plain) for name, plain in PLAIN.items()}
        facts: dict[str, Any] = {"database": self.database, "taken_at": at, "finished_at": at + timedelta(minutes=1)}
        text = manifest.render(at_key(key, **facts).model_copy(update={"objects": objects}))
        mark = Mark(verdict=verdict, at=at, manifest=sha256(text), rto_s=41.6) if verdict else None
        self.put(key + keys.MANIFEST, text, {**(mark.tags() if mark else {}), **tags})
        self.age(key, min(at + timedelta(minutes=5), datetime.now(UTC)))
        return key

    def week(self) -> list[str]:
        """Write as many young good ones as must stay, the last of them a moment ago."""
        return [self.backup(number * 0.9 - 0.006) for number in reversed(range(self.limits.min_good))]

    def marked(self, age_days: float = 40, verdict: Verdict | None = Verdict.GOOD, **tags: str) -> str:
        """Write one that may be deleted now."""
        return self.backup(age_days, verdict, **{MARK: f"{days_ago(8).isoformat(timespec='seconds')}", **tags})

    def put(self, key: str, data: bytes, tags: Mapping[str, str] | None = None) -> str:
        """Write one version and return its id."""
        version = str(self.root.put_object(Bucket=s3.BUCKET, Key=key, Body=data)["VersionId"])
        if tags:
            pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
            self.root.put_object_tagging(Bucket=s3.BUCKET, Key=key, VersionId=version, Tagging={"TagSet": pairs})
        return version

    def _stored(self, key: str, data: bytes) -> Stored:
        known: dict[str, Any] = {"parts": 1, "plain_bytes": len(data), "plain_sha256": "b" * 64}
        return Stored(version_id=self.put(key, data), bytes=len(data), sha256=sha256(data), **known)

    def age(self, key: str, at: datetime) -> None:
        """Let the store believe that everything below a key was stored then: it asks its file system."""
        old = {
            sha256((key + name).encode()) for name in (*PLAIN, keys.MANIFEST)
        }  # where it keeps what was written over
        for folder in ("objects", "versions"):
            place = self.site.path("s3", folder, s3.BUCKET)
            for file in (each for each in place.rglob("*") if each.is_file()):
                if str(file.relative_to(place)).startswith(key) or old.intersection(file.parts):
                    os.utime(file, (at.timestamp(), at.timestamp()))

    def observe(self, **in_use: str) -> Observed:
        store = self.store("backup_verifier")
        return Observer(store=store, database=self.database, limits=self.limits, in_use=in_use).look()

    def plan(self) -> Plan:
        return decide(self.observe(), self.limits)

    def versions(self, below: str = "") -> list[Version]:
        return list(self.store("watch").versions(self.prefix + below))

    def snapshot(self) -> dict[tuple[str, str], object]:
        """Everything that the bucket holds of it, with tags."""
        store = self.store("watch")
        return {(each.key, each.id): store.tags(each.key, each.id) for each in self.versions()}

    def clear(self, made: Iterable[str]) -> None:
        """Take away all that lies below these keys."""
        for version in [each for key in made for each in self.versions(key.removeprefix(self.prefix))]:
            self.root.delete_object(Bucket=s3.BUCKET, Key=version.key, VersionId=version.id)

    def tags(self, key: str) -> dict[str, str]:
        (manifest,) = [each for each in self.versions() if each.key == key + keys.MANIFEST]
        return self.store("watch").tags(manifest.key, manifest.id)

    def keys(self) -> set[str]:
        """Keys below which anything lies."""
        return {each.key.rpartition("/")[0] + "/" for each in self.versions()}


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def names(versions: Iterable[Version]) -> list[str]:
    return [version.key.rpartition("/")[2] for version in versions]
