"""Does a backup still stand? All objects that its manifest names, as they were written and locked: a listing, no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.backups import catalogue, keys
from include.backups.catalogue import READERS, Backup
from include.backups.store import Store
from include.errors import RunbookError
from include.findings import Blind
from include.looking import blind

Places = Mapping[tuple[str, str], int]
"""Bytes of each version of each object."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One backup, and what of it lies in the bucket.

    :param wrong: what is not as the manifest says; "" if all of it is.
    :param locked_until: the earliest end of a lock among its objects; None if one has no lock, or if it was not asked.
    :param unseen: why the locks are not known.
    """

    backup: Backup[Any]
    wrong: str = ""
    locked_until: datetime | None = None
    unseen: Blind | None = None

    @property
    def is_there(self) -> bool:
        """Whether it may be restored from: GOOD, and every object there in its size."""
        return self.backup.is_good and not self.wrong

    @property
    def day(self) -> datetime:
        """Midnight (UTC) of the day that it is of: a torn manifest does not say, so its key does."""
        placed = keys.parse(self.backup.key)
        at = self.backup.at if self.backup.manifest or not placed else placed.at
        return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def age_s(self, now: datetime) -> float:
        """Return how old it is, by the older of the database's clock and the store's: one that is ahead must not make it young."""
        return (now - min(self.backup.at, self.backup.stored_at)).total_seconds()


def look(store: Store, database: str, locks_since: datetime, kind: str = keys.KIND) -> list[Standing]:
    """Return every backup, oldest first, of one listing; raises if it is not whole.

    :param locks_since: ask how long a good one is locked only if it is younger, since that is a call for each object.
    :param kind: "database", or "configuration" with the namespace instead.
    """
    listed = list(store.versions(keys.prefix(database, kind)))
    places = {(version.key, version.id): version.bytes for version in listed}
    backups = catalogue.of(store, listed).backups
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda backup: _standing(store, backup, places, locks_since), backups))


def _standing(store: Store, backup: Backup[Any], places: Places, locks_since: datetime) -> Standing:
    wrong = next(differences(backup, places), "") if backup.is_good else ""
    if wrong or not backup.is_good or backup.at < locks_since:
        return Standing(backup=backup, wrong=wrong)
    try:
        return Standing(backup=backup, locked_until=_locked_until(store, backup))
    except RunbookError as error:
        return Standing(backup=backup, unseen=blind(error))


def differences(backup: Backup[Any], places: Places) -> Iterator[str]:
    """What the manifest names and the listing does not show so."""
    for name, stored in sorted(backup.manifest.objects.items()) if backup.manifest else ():
        found = places.get((backup.key + name, stored.version_id))
        if found is None:
            yield f"{name} is not there in the version that was written"
        elif found != stored.bytes:
            yield f"{name} has {found} bytes instead of {stored.bytes}"


def _locked_until(store: Store, backup: Backup[Any]) -> datetime | None:
    ends = [store.locked_until(key, version_id) for key, version_id in _objects(backup)]
    known = [end for end in ends if end]
    return min(known) if len(known) == len(ends) else None


def _objects(backup: Backup[Any]) -> Iterator[tuple[str, str]]:
    yield backup.key + keys.MANIFEST, backup.version_id
    for name, stored in backup.manifest.objects.items() if backup.manifest else ():
        yield backup.key + name, stored.version_id


def older(found: Sequence[Standing]) -> list[Standing]:
    """Return those that may be restored from, without the newest good one, oldest first."""
    good = [each for each in found if each.backup.is_good]
    return [each for each in good[:-1] if each.is_there]
