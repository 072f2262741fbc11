"""Backups as the taker and the verifier leave them in the bucket, but with nothing in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from include.backups import keys, manifest
from include.backups.catalogue import Mark, Verdict
from include.backups.manifest import Facts, Manifest, Stored, sha256
from include.backups.store import Store
from sandbox.components.s3 import BUCKET, client
from sandbox.site import Site

PARTS = {keys.DUMP: 5_000, keys.FINGERPRINT: 300, keys.GLOBALS: 20}


def rendered(database: str, taken_at: datetime) -> tuple[str, bytes]:
    """Return a key and the manifest that belongs there."""
    key = keys.fresh(database, taken_at, str(uuid4()), 1)
    objects = {name: _stored(size) for name, size in PARTS.items()}
    return key, manifest.render(Manifest(format=1, facts=_facts(key, database, taken_at), objects=objects))


def _facts(key: str, database: str, taken_at: datetime) -> Facts:
    known: dict[str, Any] = {
        "key": key, "op_id": "1", "database": database, "system_identifier": "7", "server_version": "17.10",
        "in_recovery": False, "snapshot": "1-1", "lsn": "0/1", "taken_at": taken_at, "finished_at": taken_at,
        "last_commit_at": None, "database_bytes": 1, "tables": 1, "rows": 1, "dump_version": "17.10", "code_version": "test",
        "part_bytes": 1, "recipients": {}, "previous": None,
    }  # fmt: skip
    return Facts(**known)


def _stored(size: int) -> Stored:
    return Stored(version_id="v", bytes=size, sha256="a" * 64, parts=1, plain_bytes=size, plain_sha256="b" * 64)


@dataclass(frozen=True)
class Backups:
    """Those of one database, in the bucket of a site."""

    site: Site
    database: str

    def put(self, taken_at: datetime, *, cut_to: int | None = None, verdict: str = "", proved: bytes = b"") -> str:
        """Store a manifest and mark it, unless there is no verdict; return its key.

        :param cut_to: leave only so many bytes of the manifest.
        :param proved: the manifest that the mark is about; by default the stored one.
        """
        key, text = rendered(self.database, taken_at)
        text = text[:cut_to]
        place = {"Bucket": BUCKET, "Key": key + keys.MANIFEST}
        version_id = client(self.site).put_object(**place, Body=text)["VersionId"]
        if verdict:
            self.mark(key, version_id, verdict, sha256(proved or text))
        return key

    def good(self, taken_at: datetime) -> str:
        """Store a backup that counts."""
        return self.put(taken_at, verdict="GOOD")

    def mark(self, key: str, version_id: str, verdict: str, digest: str) -> None:
        """Say as the verifier what was found."""
        found = Mark(verdict=Verdict(verdict), at=datetime.now(UTC), manifest=digest, restore_s=4.0, rto_s=12.5)
        verifier = Store(client(self.site, "backup_verifier"), BUCKET, who="the verifier")
        verifier.tag(key + keys.MANIFEST, version_id, found.tags())
