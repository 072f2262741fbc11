"""Let old backups go (B-06): look and mark as the verifier, delete as the reaper; `include.plans.retention` says what may go.

A deletion takes the manifest first. A killed one then leaves objects without a manifest, which is no backup and looks like none, and
which the sweep removes; a manifest that outlived its dump would be a backup that the bucket calls GOOD and nobody can restore.
Before the first byte goes the reaper looks itself: all must be as it was seen, marked, neither held nor locked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from include.backups import catalogue, keys
from include.backups.catalogue import Backup, Verdict
from include.backups.manifest import Manifest
from include.backups.store import Store, Version
from include.errors import PermanentError, RefusedError, RunbookError, VerificationError
from include.plans.retention import Deed, Observed, Plan, Seen
from include.settings import RetentionLimits

log = logging.getLogger(__name__)

MARK, HOLD = "retire", "hold"
"""Tags of a manifest beside those of the verdict: when it was marked to go, and why it must not."""
LEGAL = "a legal hold of the store"
REASON_MAX = 250
_NO_LOCK = "NoSuchObjectLockConfiguration"


@dataclass(frozen=True, kw_only=True)
class Retired:
    """What a run deleted.

    :param gone: keys; `freed_bytes`: of all their versions.
    :param left: by key, why one that was to go did not.
    """

    gone: Sequence[str]
    left: Mapping[str, str]
    freed_bytes: int


@dataclass(frozen=True)
class Lock:
    """What the store itself keeps one version by: for a time, or until somebody lifts a legal hold."""

    until: datetime | None
    is_held: bool


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Who looks, as the verifier.

    :param in_use: by key, who is at a backup now.
    :param kind: "database", or "configuration" with the namespace as `database`.
    """

    store: Store
    database: str
    limits: RetentionLimits
    in_use: Mapping[str, str]
    kind: str = keys.KIND

    def look(self, good_since: datetime | None = None) -> Observed:
        """Read all of the bucket; raises if any of it cannot be read, and then nothing may go."""
        ours, theirs = clocks(self.store)
        places: dict[str, list[Version]] = {}
        for version in self.store.versions(keys.prefix(self.database, self.kind)):
            places.setdefault(_place(version.key), []).append(version)
        foreign = [version.key for version in places.pop("", ())]
        with ThreadPoolExecutor(catalogue.READERS) as pool:
            backups = list(pool.map(partial(self._seen, at=theirs), places, places.values()))
        return Observed(ours=ours, store=theirs, backups=backups, foreign=foreign, good_since=good_since)

    def _seen(self, place: str, versions: Sequence[Version], at: datetime) -> Seen:
        manifests = [version for version in versions if version.key == place + keys.MANIFEST]
        found = [catalogue.read(self.store, each) for each in manifests]
        tags = {each.id: self.store.tags(each.key, each.id) for each in manifests}
        best = catalogue.one_each(found)[0] if found else None
        locks = [self._lock(each) for each in versions] if best and self._is_old(best, at) else []
        return Seen(
            key=place,
            verdict=_verdict(best, versions),
            taken_at=_taken_at(found),
            stored_at=max(version.stored_at for version in versions),
            manifest_id=best.version_id if best else "",
            hold=_hold(tags.values(), locks),
            mark=tags[best.version_id].get(MARK) if best else None,
            in_use=self.in_use.get(place, ""),
            locked_until=max((lock.until for lock in locks if lock.until), default=None),
            strange=[name for each in versions if (name := each.key.removeprefix(place)) not in keys.NAMES[self.kind]],
            versions=versions,
        )

    def _is_old(self, backup: Backup, at: datetime) -> bool:
        return at - backup.at > timedelta(days=self.limits.retention_days)

    def _lock(self, version: Version) -> Lock:
        return lock_of(self.store, version)


def clocks(store: Store) -> tuple[datetime, datetime]:
    """Return our clock and the store's, which it writes above every answer, to the second."""
    with store.explained("say what time it is"):
        answer = store.client.get_bucket_versioning(Bucket=store.bucket)
    ours = datetime.now(UTC)
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        theirs = parsedate_to_datetime(said)
    except ValueError:
        raise PermanentError(
            f"the store does not say what time it is (Date: {said[:40]!r}): no age is certain"
        ) from None
    return ours, theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)


def mark(store: Store, seen: Seen, at: datetime) -> None:
    """Write beside the manifest that it may go; what else stands there stays."""
    retag(store, seen.key, seen.manifest_id, {MARK: at.astimezone(UTC).isoformat(timespec="seconds")})


def unmark(store: Store, seen: Seen) -> None:
    """Take the mark away."""
    retag(store, seen.key, seen.manifest_id, {MARK: None})


def hold(store: Store, backup: Backup, reason: str) -> None:
    """Keep a backup whatever its age, and say why."""
    said = "".join(letter if letter.isalnum() or letter in " .:/=+-_@" else " " for letter in reason)
    retag(store, backup.key, backup.version_id, {HOLD: said.strip()[:REASON_MAX]})


def release(store: Store, backup: Backup) -> None:
    """Let the rules decide again."""
    retag(store, backup.key, backup.version_id, {HOLD: None})


def retag(store: Store, key: str, version_id: str, changed: Mapping[str, str | None]) -> None:
    """Change tags of one manifest and read them back; the store replaces all of them at once, so the others are written again.

    :param changed: None takes a tag away.
    """
    name = key + keys.MANIFEST
    before = store.tags(name, version_id)
    wanted = {tag: value for tag, value in {**before, **changed}.items() if value is not None}
    if wanted == before:
        return
    pairs = [{"Key": tag, "Value": value} for tag, value in wanted.items()]
    with store.explained(f"mark {name}"):
        store.client.put_object_tagging(Bucket=store.bucket, Key=name, VersionId=version_id, Tagging={"TagSet": pairs})
    if (found := store.tags(name, version_id)) != wanted:
        other = sorted(tag for tag in {*found, *wanted} if found.get(tag) != wanted.get(tag))
        raise VerificationError(
            f"the tags {', '.join(other)} of {name} are not what was just written: somebody else writes them too; look at"
            " them, then run it again"
        )


def notes(store: Store, backups: Sequence[Backup]) -> list[str]:
    """Return for each backup what somebody wrote beside it: `held: for the auditors`, `marked to go 2026-11-20`, or nothing."""
    with ThreadPoolExecutor(catalogue.READERS) as pool:
        tags = list(pool.map(lambda backup: store.tags(backup.key + keys.MANIFEST, backup.version_id), backups))
    return ["  ".join(_notes(each)) for each in tags]


def _notes(tags: Mapping[str, str]) -> Iterator[str]:
    if HOLD in tags:
        yield f"held: {tags[HOLD] or 'no reason was given'}"
    if MARK in tags:
        yield f"marked to go {tags[MARK][:10]}"


def retire(reaper: Store, plan: Plan, guard: Callable[[], None] = lambda: None) -> Retired:
    """Delete what the plan says, oldest first; an error ends it, and says what was deleted before.

    :param reaper: may list, read tags and locks, and delete versions; nothing else.
    :param guard: asked before each backup; a RefusedError of it leaves that one.
    """
    gone: list[Seen] = []
    left: dict[str, str] = {}
    for seen in plan.of(Deed.DELETE):
        try:
            guard()
            delete(reaper, seen, plan.at)
        except RefusedError as error:
            left[seen.key] = str(error)
        except RunbookError as error:
            raise type(error)(
                f"{error}; {len(gone)} backups were deleted before, and no more are in this run"
            ) from None
        else:
            gone.append(seen)
            log.info("deleted %s: %d versions, %d bytes", seen.key, len(seen.versions), seen.bytes)
    return Retired(gone=[seen.key for seen in gone], left=left, freed_bytes=sum(seen.bytes for seen in gone))


def delete(reaper: Store, seen: Seen, at: datetime) -> None:
    """Delete all versions of one backup; RefusedError, and nothing is deleted, if it is not as it was seen.

    :param at: a lock that lasts longer is not tried.
    """
    _refuse_changed(reaper, seen)
    _refuse_kept(reaper, seen, at)
    for version in in_order(seen):
        reaper.delete(version.key, version.id)
    if rest := list(reaper.versions(seen.key)):
        raise VerificationError(
            f"{seen.key} was deleted and {rest[0].key} is still there: it came meanwhile, or the store did not do what it"
            " said; look at who writes there"
        )


def in_order(seen: Seen) -> list[Version]:
    """Return its versions as they go: the manifests, the marked one last, since until then it is a whole backup; then the rest."""
    manifest = seen.key + keys.MANIFEST
    return sorted(seen.versions, key=lambda each: (each.key != manifest, each.id == seen.manifest_id, each.key))


def _refuse_changed(reaper: Store, seen: Seen) -> None:
    there = {(version.key, version.id) for version in reaper.versions(seen.key)}
    if there != {(version.key, version.id) for version in seen.versions}:
        raise RefusedError(
            f"{seen.key} changed after it was looked at; nothing of it was deleted, the next run decides"
        )


def _refuse_kept(reaper: Store, seen: Seen, at: datetime) -> None:
    manifests = [version for version in seen.versions if version.key == seen.key + keys.MANIFEST]
    tags = {version.id: reaper.tags(version.key, version.id) for version in manifests}
    locks = [lock_of(reaper, version) for version in seen.versions]
    if _hold(tags.values(), locks) is not None:
        raise RefusedError(f"{seen.key} was held after it was looked at; nothing of it was deleted")
    if seen.mark is None or tags.get(seen.manifest_id, {}).get(MARK) != seen.mark:
        raise RefusedError(f"{seen.key} does not bear the mark any more that was seen; nothing of it was deleted")
    if late := [lock.until for lock in locks if lock.until and lock.until > at]:
        raise RefusedError(f"{seen.key} is still locked until {max(late).astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def lock_of(store: Store, version: Version) -> Lock:
    """Return what keeps one version whatever we do."""
    which = {"Bucket": store.bucket, "Key": version.key, "VersionId": version.id}
    with store.explained(f"say how long {version.key} is locked"):
        retention = _unless_unlocked(lambda: store.client.get_object_retention(**which)["Retention"])
        legal = _unless_unlocked(lambda: store.client.get_object_legal_hold(**which)["LegalHold"])
    return Lock(until=retention.get("RetainUntilDate"), is_held=legal.get("Status") == "ON")


def _unless_unlocked(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != _NO_LOCK:
            raise
    return {}


def _place(key: str) -> str:
    """Return the key of the backup that an object may be of; "" for what is none of ours."""
    parsed = keys.parse(key)
    return str(parsed) if parsed and key.startswith(str(parsed)) else ""


def _verdict(best: Backup | None, versions: Sequence[Version]) -> Verdict | None:
    if best is None:
        return None
    whole = best.manifest is not None and _is_whole(best.key, best.manifest, versions)
    return Verdict.BAD if best.is_good and not whole else best.verdict


def _is_whole(key: str, manifest: Manifest, versions: Sequence[Version]) -> bool:
    """Whether every object that the manifest names lies there, with its size."""
    there = {(each.key, each.id, each.bytes) for each in versions}
    there |= {(each.key, "", each.bytes) for each in versions}
    return all((key + name, stored.version_id, stored.bytes) in there for name, stored in manifest.objects.items())


def _taken_at(found: Sequence[Backup]) -> datetime | None:
    """Return the youngest moment that any manifest there names; None if one of them cannot be read."""
    moments = [each.manifest.facts.taken_at for each in found if each.manifest]
    return max(moments) if moments and len(moments) == len(found) else None


def _hold(tags: Iterable[Mapping[str, str]], locks: Sequence[Lock]) -> str | None:
    reasons = [each[HOLD] for each in tags if HOLD in each] + [LEGAL for lock in locks if lock.is_held]
    return next(iter(reasons), None)
