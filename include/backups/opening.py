"""Fetch what is stored and open it; every size and hash is compared with the manifest before anybody uses it."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from include.backups import moving, sealing, spool
from include.backups.keys import DUMP
from include.backups.manifest import Manifest
from include.backups.moving import Flow, Job, Tap
from include.backups.store import Store
from include.errors import VerificationError
from include.settings import BackupLimits

if TYPE_CHECKING:
    from pyrage.x25519 import Identity

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opener:
    """Who opens: the bucket as somebody who may read, and a private key."""

    store: Store
    identity: Identity
    limits: BackupLimits

    def read(self, manifest: Manifest, name: str) -> bytes:
        """Return a small object opened."""
        return _twice(lambda: self._read(manifest, name))

    def fetch(self, manifest: Manifest, name: str, to: Path) -> None:
        """Open an object into a file; what is in it counts only if this returns."""
        _twice(lambda: self._fetch(manifest, name, to))

    def _read(self, manifest: Manifest, name: str) -> bytes:
        plain = io.BytesIO()
        self._open(manifest, name, plain, Flow(name))
        return plain.getvalue()

    def _fetch(self, manifest: Manifest, name: str, to: Path) -> None:
        flow = Flow("the download", total=manifest.objects[name].bytes)
        with spool.room(to.parent), to.open("wb") as file:
            job = Job(flow, lambda: self._open(manifest, name, file, flow))
            moving.run([job], stall_s=self.limits.stall_s, progress_s=self.limits.progress_s, stop=lambda: None)

    def _open(self, manifest: Manifest, name: str, to: sealing.Sink, flow: Flow) -> None:
        key, stored = manifest.facts.key + name, manifest.objects[name]
        sealed = Tap(self.store.open(key, stored.version_id), flow)
        plain = Weighed(to)
        try:
            sealing.unseal(sealed, plain, self.identity)
        except VerificationError as error:
            raise VerificationError(f"{key}: {error}") from None
        found = stored.model_copy(
            update={
                "bytes": sealed.bytes,
                "sha256": sealed.digest.hexdigest(),
                "parts": -(-sealed.bytes // manifest.facts.part_bytes) if name == DUMP else 1,
                "plain_bytes": plain.bytes,
                "plain_sha256": plain.digest.hexdigest(),
            }
        )
        if found != stored:
            raise VerificationError(f"{key} is not what the manifest says: its size or its SHA-256 differs")


def _twice(deed: Callable[[], Answer]) -> Answer:
    """Do it once more if what arrived is wrong: it may be the way, and a good backup must not be condemned for that."""
    try:
        return deed()
    except VerificationError as error:
        log.warning("%s; fetching it once more", error)
        return deed()


class Weighed:
    """A sink that counts and hashes what goes through it."""

    def __init__(self, inner: sealing.Sink) -> None:
        self.inner = inner
        self.bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Take all of it."""
        self.inner.write(data)
        self.bytes += len(data)
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Hand it on."""
        self.inner.flush()
