"""Backups of any day in the bucket, their objects, mark and locks as they are left by those who make them; nothing to restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from include.backups import keys, manifest
from include.backups.catalogue import Mark, Verdict
from include.backups.manifest import Manifest, Previous, Stored, sha256
from include.settings import BackupLimits
from sandbox.components import s3
from tests.include.backups.samples import facts
from tests.include.backups.world import World

OBJECTS: Mapping[str, bytes] = {
    keys.DUMP: b"dump" * 2000,
    keys.FINGERPRINT: b"print" * 30,
    keys.GLOBALS: b"roles",
}
LOCK_DAYS = BackupLimits().lock_days


@dataclass(frozen=True)
class Plant:
    """One planted backup."""

    world: World
    whole: Manifest
    version_id: str

    @property
    def key(self) -> str:
        return self.whole.facts.key

    def file(self, name: str) -> Path:
        """Where the newest version of an object lies on the disk of the store."""
        return self.world.site.path("s3", "objects", s3.BUCKET) / self.key / name

    def mark(self, verdict: Verdict, **changed: Any) -> None:
        """Say as the verifier what was found."""
        known: dict[str, Any] = {"at": self.whole.facts.taken_at, "manifest": sha256(manifest.render(self.whole))}
        found = Mark(verdict=verdict, rto_s=41.5, rpo_s=12.0, **known | changed)
        self.world.store("backup_verifier").tag(self.key + keys.MANIFEST, self.version_id, found.tags())

    def lock(self, until: datetime) -> None:
        """Lock all of it as the verifier; a lock can be made longer, never shorter."""
        verifier = self.world.store("backup_verifier")
        for name, stored in self.whole.objects.items():
            verifier.lock(self.key + name, stored.version_id, until)
        verifier.lock(self.key + keys.MANIFEST, self.version_id, until)


def plant(world: World, day: date, verdict: Verdict | None = Verdict.GOOD, *, locked: bool = True) -> Plant:
    """Put a backup of the night of a day; None leaves it unproved."""
    at = datetime(day.year, day.month, day.day, 2, 0, 13, tzinfo=UTC)
    key = keys.fresh(world.database, at, str(uuid4()), 1)
    writer = world.store("backup_writer")
    objects = {name: _stored(data, writer.put(key + name, data).id) for name, data in OBJECTS.items()}
    before = Previous(key=keys.fresh(world.database, at - timedelta(days=1), str(uuid4()), 1), sha256="a" * 64)
    said = facts(key=key, database=world.database, taken_at=at, previous=before)
    whole = Manifest(format=1, facts=said, objects=objects)
    version_id = writer.put(key + keys.MANIFEST, manifest.render(whole), once=True).id
    made = Plant(world, whole, version_id)
    if verdict is Verdict.GOOD and locked:
        made.lock(max(at + timedelta(days=LOCK_DAYS), datetime.now(UTC) + timedelta(seconds=30)))
    if verdict:
        made.mark(verdict)
    return made


def _stored(data: bytes, version_id: str) -> Stored:
    digest = sha256(data)
    return Stored(
        version_id=version_id, bytes=len(data), sha256=digest, parts=1, plain_bytes=len(data), plain_sha256=digest
    )
