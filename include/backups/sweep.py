"""Remove what a killed take or proof left behind: uploads, objects without a manifest, scratch databases, spools.

What lives is told from what died by locks that end with their process (scratch databases, spools), and in the bucket, which knows no
such thing, by age: longer than any task may take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.backups import keys, scratch, spool
from include.backups.login import Login
from include.backups.store import Store, Version
from include.settings import BackupLimits


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was removed."""

    uploads: Sequence[str]
    objects: Sequence[str]
    databases: Sequence[str]
    spools: Sequence[str]

    def __str__(self) -> str:
        """Return `2 unfinished uploads, 1 object without a manifest`, or `nothing was left behind`."""
        counted = {
            "unfinished uploads": self.uploads,
            "objects without a manifest": self.objects,
            "scratch databases": self.databases,
            "spools": self.spools,
        }
        return ", ".join(f"{len(gone)} {what}" for what, gone in counted.items() if gone) or "nothing was left behind"


def sweep(store: Store, server: Login, limits: BackupLimits, now: datetime, namespace: str = "") -> Swept:
    """Remove all of it and return what that was; raises if a list could not be read whole, and then removes nothing there.

    :param store: as the reaper.
    :param server: the scratch server.
    :param namespace: of the configuration whose takes are looked for too.
    """
    before = now - timedelta(seconds=limits.leftovers_after_s)
    places = [keys.prefix(limits.database), *([keys.prefix(namespace, keys.CONFIGURATION)] if namespace else [])]
    return Swept(
        uploads=[key for place in places for key in _abort(store, place, before)],
        objects=[key for place in places for key in _delete(store, place, before)],
        databases=scratch.sweep(server),
        spools=spool.sweep(limits.spool),
    )


def _abort(store: Store, place: str, before: datetime) -> list[str]:
    dead = [each for each in store.uploads(place) if keys.parse(each.key) and each.begun_at <= before]
    for upload in dead:
        store.abort(upload.key, upload.id)
    return [upload.key for upload in dead]


def _delete(store: Store, place: str, before: datetime) -> list[str]:
    dead = orphans(list(store.versions(place)), before)
    for version in dead:
        store.delete(version.key, version.id)
    return [version.key for version in dead]


def orphans(found: Sequence[Version], before: datetime) -> list[Version]:
    """Return the objects of takes that never wrote a manifest, all of them old by the store's clock and by their key."""
    whole = {_place(each.key) for each in found if each.key.endswith(f"/{keys.MANIFEST}")}
    young = {_place(each.key) for each in found if each.stored_at > before}
    return [each for each in found if _is_old(each.key, before) and _place(each.key) not in whole | young]


def _is_old(key: str, before: datetime) -> bool:
    parsed = keys.parse(key)
    return parsed is not None and parsed.at <= before and f"{parsed}" == f"{_place(key)}/"


def _place(key: str) -> str:
    return key.rpartition("/")[0]
