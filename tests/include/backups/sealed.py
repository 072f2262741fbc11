"""A backup whose objects are really sealed, in a bucket in memory, for tests of who opens it."""

from __future__ import annotations

import io
from collections.abc import Mapping

from pyrage.x25519 import Identity

from include.backups import keys, manifest, sealing
from include.backups.catalogue import Mark, Verdict
from include.backups.manifest import Manifest, Stored, sha256
from tests.include.backups.bucket import Bucket
from tests.include.backups.samples import AT, KEY, at_key

OURS, ESCROW, STRANGER = (Identity.generate() for _ in range(3))
PLAIN: Mapping[str, bytes] = {
    keys.DUMP: b"PGDMP all of the customers" * 10_000,
    keys.FINGERPRINT: b"fingerprint",
    keys.GLOBALS: b"CREATE ROLE owner;\nCREATE ROLE reader;\n",
}


def sealed(plain: bytes) -> bytes:
    sink = io.BytesIO()
    named = {"operations": str(OURS.to_public()), "escrow": str(ESCROW.to_public())}
    sealing.seal(io.BytesIO(plain), sink, sealing.recipients(named))
    return sink.getvalue()


def kept(bucket: Bucket, name: str, plain: bytes, key: str = KEY) -> Stored:
    data = sealed(plain)
    return Stored(
        version_id=bucket.keep(key + name, data).id,
        bytes=len(data),
        sha256=sha256(data),
        parts=1,
        plain_bytes=len(plain),
        plain_sha256=sha256(plain),
    )


def backup(bucket: Bucket, verdict: Verdict | None = Verdict.GOOD, key: str = KEY, reason: str = "") -> Manifest:
    """Write all of a backup, the manifest last, and mark it; None leaves it unproved."""
    objects = {name: kept(bucket, name, plain, key) for name, plain in PLAIN.items()}
    whole = at_key(key).model_copy(update={"objects": objects})
    text = manifest.render(whole)
    mark = Mark(verdict=verdict, at=AT, manifest=sha256(text), rto_s=41.6, reason=reason) if verdict else None
    bucket.keep(key + keys.MANIFEST, text, **(mark.tags() if mark else {}))
    return whole
