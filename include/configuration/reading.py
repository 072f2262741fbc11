"""Read a stored bundle: every part is compared with the manifest before anybody uses it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from include.backups import catalogue, keys
from include.backups.catalogue import Backup
from include.backups.manifest import ConfigurationManifest
from include.backups.store import Store
from include.configuration import bundle
from include.configuration.bundle import Bundle, OpenedBundle
from include.errors import PermanentError, VerificationError

if TYPE_CHECKING:
    from pyrage.x25519 import Identity

    from include.backups.catalogue import Catalogue

BYTES_MAX = 512 << 20


def backups(store: Store, namespace: str, since: str = "") -> Catalogue[ConfigurationManifest]:
    """Return all backups of a namespace, oldest first."""
    return catalogue.look(store, namespace, since, kind=keys.CONFIGURATION)


def read(store: Store, key: str, identity: Identity) -> OpenedBundle:
    """Return what a backup holds, opened; VerificationError if it is torn, changed, of a newer format or sealed to other keys."""
    return bundle.unseal(read_sealed(store, find(store, key)), identity)


def find(store: Store, key: str, sha256: str = "") -> Backup[ConfigurationManifest]:
    """Return the backup at a key, VerificationError if there is none; of several manifests there, the one that is meant."""
    parsed = keys.parse(key)
    if not parsed or parsed.kind != keys.CONFIGURATION:
        raise VerificationError(f"{key[:200]!r} is no key of a configuration backup")
    there = [each for each in store.versions(key) if each.key == key + keys.MANIFEST]
    found = [catalogue.read(store, each) for each in there]
    if not found:
        raise VerificationError(f"there is no backup at {key}: it has no manifest")
    return next((backup for backup in found if backup.sha256 == sha256), catalogue.one_each(found)[0])


def read_sealed(store: Store, backup: Backup[ConfigurationManifest]) -> Bundle:
    """Return what a backup holds, its secrets still sealed."""
    if backup.problem or not backup.manifest:
        raise VerificationError(backup.problem)
    parts = {name: _part(store, backup.manifest, name) for name in (keys.OBJECTS, keys.SECRETS, keys.FILES)}
    clear = bundle.unpacked(parts[keys.OBJECTS])
    return bundle.parse(clear, secrets=parts[keys.SECRETS], contents=parts[keys.FILES])


def _part(store: Store, manifest: ConfigurationManifest, name: str) -> bytes:
    key, stored = manifest.facts.key + name, manifest.objects.get(name)
    if stored is None:
        raise VerificationError(f"the manifest of {manifest.facts.key} names no {name}")
    try:
        data = store.get(key, stored.version_id, limit=BYTES_MAX)
    except PermanentError as error:  # nobody ever stored what the manifest names
        raise VerificationError(str(error)) from None
    if (len(data), hashlib.sha256(data).hexdigest()) != (stored.bytes, stored.sha256):
        raise VerificationError(f"{key} is not what the manifest says: its size or its SHA-256 differs")
    return data
