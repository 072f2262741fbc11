"""What the bucket says about its backups: the only catalogue there is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic

from typing_extensions import TypeVar

from include.backups import keys, manifest
from include.backups.manifest import AnyManifest, Manifest, Previous
from include.backups.store import SMALL, Store, Version
from include.errors import ConfigurationError, VerificationError

READERS = 8

M = TypeVar("M", bound=AnyManifest, default=Manifest)
"""The manifest of one kind of backup; of the database, if nothing else is said."""


class Verdict(StrEnum):
    """What is known of a backup. Only GOOD counts."""

    GOOD = "GOOD"
    """Its stored bytes were restored and compared, and nothing differed."""
    BAD = "BAD"
    """Something differed, or its manifest is torn."""
    UNPROVED = "UNPROVED"
    """Nobody has looked yet, or the one who looked was cut off."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the prover wrote beside a manifest, as tags of that version of it.

    :param manifest: SHA-256 of the manifest that was proved; a mark on another one does not count.
    """

    verdict: Verdict
    at: datetime
    manifest: str
    restore_s: float = 0.0
    rto_s: float = 0.0
    rpo_s: float = 0.0
    reason: str = ""

    def tags(self) -> dict[str, str]:
        """Return it in the letters that a tag may have."""
        numbers = {"restore_s": self.restore_s, "rto_s": self.rto_s, "rpo_s": self.rpo_s}
        return {
            "verdict": self.verdict.value,
            "at": self.at.isoformat(timespec="seconds"),
            "manifest": self.manifest,
            **{name: f"{value:.1f}" for name, value in numbers.items()},
            "reason": "".join(letter if letter.isalnum() or letter in " .:/=+-_@" else " " for letter in self.reason)[
                :250
            ],
        }

    @classmethod
    def read(cls, tags: dict[str, str]) -> Mark | None:
        """Return the mark; None if there is none that we could have written."""
        try:
            mark = cls(
                verdict=Verdict(tags["verdict"]),
                at=datetime.fromisoformat(tags["at"]),
                manifest=tags["manifest"],
                restore_s=float(tags.get("restore_s", 0)),
                rto_s=float(tags.get("rto_s", 0)),
                rpo_s=float(tags.get("rpo_s", 0)),
                reason=tags.get("reason", ""),
            )
        except (KeyError, ValueError):
            return None
        numbers = (mark.restore_s, mark.rto_s, mark.rpo_s)
        return mark if mark.at.tzinfo and all(map(math.isfinite, numbers)) else None


@dataclass(frozen=True, kw_only=True)
class Backup(Generic[M]):
    """One backup as the bucket shows it.

    :param version_id: of its manifest.
    :param stored_at: of the manifest, by the store's own clock.
    :param problem: why its manifest cannot be believed; "" if it can.
    """

    key: str
    version_id: str
    stored_at: datetime
    sha256: str
    manifest: M | None = None
    mark: Mark | None = field(default=None)
    problem: str = ""

    @property
    def verdict(self) -> Verdict:
        """GOOD only by a mark on exactly this manifest."""
        if self.problem:
            return Verdict.BAD
        if self.mark and self.mark.manifest == self.sha256:
            return self.mark.verdict
        return Verdict.UNPROVED

    @property
    def is_good(self) -> bool:
        """Whether it counts."""
        return self.verdict is Verdict.GOOD

    @property
    def at(self) -> datetime:
        """When its snapshot was taken; of a torn one, when it was stored."""
        return self.manifest.facts.taken_at if self.manifest else self.stored_at


@dataclass(frozen=True, kw_only=True)
class Catalogue(Generic[M]):
    """All backups of a database or of a configuration, oldest first, and the keys below which objects lie without a manifest."""

    backups: Sequence[Backup[M]]
    unfinished: Sequence[str]

    @property
    def newest(self) -> Backup[M] | None:
        """The newest one that has a manifest which can be read, proved or not."""
        return next((backup for backup in reversed(self.backups) if backup.manifest), None)

    @property
    def newest_good(self) -> Backup[M] | None:
        """The newest one that counts."""
        return next((backup for backup in reversed(self.backups) if backup.is_good), None)

    def good_before(self, key: str) -> Backup[M] | None:
        """The newest one that counts and is older than this backup: what a later one holds says nothing about it."""
        return next((backup for backup in reversed(self.backups) if backup.is_good and backup.key < key), None)

    def find(self, key: str) -> Backup[M]:
        """Return the backup with this key, or the newest good one for ""; ConfigurationError if there is none."""
        if not key and self.newest_good:
            return self.newest_good
        for backup in self.backups:
            if key and backup.key.rstrip("/") == key.rstrip("/"):
                return backup
        raise ConfigurationError(
            f"there is no backup {key}; `python -m include.backups list` shows what is there"
            if key
            else "there is no good backup; `python -m include.backups list` shows what is there and why"
        )

    def before(self, key: str) -> Previous | None:
        """Return the manifest that stood before this backup's."""
        earlier = [backup for backup in self.backups if backup.manifest and backup.key < key]
        return Previous(key=earlier[-1].key, sha256=earlier[-1].sha256) if earlier else None


def look(store: Store, database: str, since: str = "", kind: str = keys.KIND) -> Catalogue[Any]:
    """Read the bucket; raises if any of it cannot be read, since half a list looks like lost backups.

    :param since: leave out keys before this one, for a quick look.
    :param kind: "database", or "configuration" with the namespace instead.
    """
    return of(store, [each for each in store.versions(keys.prefix(database, kind)) if each.key >= since])


def of(store: Store, listed: Sequence[Version]) -> Catalogue[Any]:
    """Read the manifests of a listing; for a look at manifests and objects of the same moment."""
    found = [each for each in listed if keys.parse(each.key)]
    manifests = [each for each in found if each.key.endswith(f"/{keys.MANIFEST}")]
    with ThreadPoolExecutor(READERS) as pool:
        backups = list(pool.map(lambda version: read(store, version), manifests))
    return Catalogue(backups=one_each(backups), unfinished=_without(manifests, found))


def read(store: Store, version: Version) -> Backup[Any]:
    """Return what one version of a manifest says, and what was found out about it; what arrives torn is fetched once more."""
    seen = _read(store, version)
    return _read(store, version) if seen.problem else seen


def _read(store: Store, version: Version) -> Backup[Any]:
    key = version.key.removesuffix(keys.MANIFEST)
    known: dict[str, Any] = {"key": key, "version_id": version.id, "stored_at": version.stored_at}
    if version.bytes > SMALL:
        return Backup(
            **known, sha256="", problem=f"the manifest of {key} has {version.bytes} bytes: it is none of ours"
        )
    text = store.get(version.key, version.id)
    seen: Backup[Any] = Backup(**known, sha256=manifest.sha256(text))
    try:
        whole = manifest.read(text, key)
    except VerificationError as error:
        return Backup(**{**vars(seen), "problem": str(error)})
    return Backup(**{**vars(seen), "manifest": whole, "mark": Mark.read(store.tags(version.key, version.id))})


def one_each(backups: Iterable[Backup[M]]) -> list[Backup[M]]:
    """Return one backup a key: what somebody wrote over a good one does not hide it, nor does it hide that one was BAD."""
    best: dict[str, Backup[M]] = {}
    for backup in sorted(backups, key=_rank):
        best.setdefault(backup.key, backup)
    return sorted(best.values(), key=lambda each: each.key)


def _rank(backup: Backup[Any]) -> tuple[bool, bool, bool, datetime]:
    was_bad = backup.manifest is not None and backup.verdict is Verdict.BAD
    return not backup.is_good, not was_bad, not backup.manifest, backup.stored_at


def _without(manifests: Iterable[Version], found: Iterable[Version]) -> list[str]:
    whole = {each.key.removesuffix(keys.MANIFEST) for each in manifests}
    return sorted({each.key.rpartition("/")[0] + "/" for each in found} - whole)
