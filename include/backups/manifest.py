"""The manifest: written last, so that without it there is no backup; every byte of it is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from include.backups import keys
from include.errors import VerificationError

FORMAT = 1


class Record(BaseModel):
    """Frozen, and an unknown field is an error: a newer format is refused, not half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Previous(Record):
    """The manifest before this one, as it read then: a later change of it shows. One that is gone may have been retired."""

    key: str
    sha256: str


class CommonFacts(Record):
    """What is said of a backup of any kind.

    :param key: where it lies.
    :param previous: the manifest before it; None if there was none, or if it could not be seen.
    :param recipients: age public keys by name; each opens the backup alone.
    """

    key: str
    op_id: str
    taken_at: AwareDatetime
    finished_at: AwareDatetime
    code_version: str
    recipients: Mapping[str, str]
    previous: Previous | None

    @property
    def took_s(self) -> float:
        """From the snapshot to the end of reading, both by one clock: the database's, or for a configuration the worker's."""
        return (self.finished_at - self.taken_at).total_seconds()


class Facts(CommonFacts):
    """What a backup of the database is of; stands in the manifest in clear and once more in the sealed fingerprint, equal.

    :param snapshot: name of the exported snapshot that dump and fingerprint read.
    :param last_commit_at: of the newest transaction in it; None if the server does not track commit times.
    :param rows: of all tables together, so that a backup which is suddenly small shows.
    :param part_bytes: size of each part of the upload but the last.
    """

    database: str
    system_identifier: str
    server_version: str
    in_recovery: bool
    snapshot: str
    lsn: str
    last_commit_at: AwareDatetime | None
    database_bytes: int
    tables: int
    rows: int
    dump_version: str
    part_bytes: int


class ConfigurationFacts(CommonFacts):
    """What a backup of the configuration is of.

    :param cluster: uid of the namespace kube-system, which no two clusters share.
    :param kinds: how many objects of each kind are in it.
    :param left_out: how many objects are not, by the rule that says so.
    :param unread: kinds that could not be read, and why: they are unknown, not empty.
    """

    namespace: str
    cluster: str
    server_version: str
    objects: int
    secrets: int
    files: int
    kinds: Mapping[str, int]
    left_out: Mapping[str, int]
    unread: Mapping[str, str]


class Stored(Record):
    """One object as it was sent: sizes in bytes and SHA-256 in hex, of the sealed bytes and of those inside.

    :param version_id: of the object in the bucket; "" where the bucket has no versions.
    """

    version_id: str
    bytes: int
    sha256: str
    parts: int
    plain_bytes: int
    plain_sha256: str


class AnyManifest(Record):
    """All that the bucket says in clear about a backup.

    :param objects: by the end of their key.
    """

    format: Literal[1]
    facts: CommonFacts
    objects: Mapping[str, Stored]

    @property
    def stored_bytes(self) -> int:
        """Of all objects together."""
        return sum(stored.bytes for stored in self.objects.values())


class Manifest(AnyManifest):
    """Of the database."""

    facts: Facts


class ConfigurationManifest(AnyManifest):
    """Of the configuration."""

    facts: ConfigurationFacts


def render(manifest: AnyManifest) -> bytes:
    """Return the bytes to store; the same manifest gives the same bytes."""
    body = manifest.model_dump(mode="json")
    return _canonical({"manifest": body, "sha256": sha256(_canonical(body))})


def read(text: bytes, key: str) -> Any:
    """Return the manifest, of the kind that its key says.

    VerificationError if a byte of it is not as it was written, or if it belongs to another key.
    """
    try:
        outer = json.loads(text)
        body, said = outer["manifest"], outer["sha256"]
        version = body["format"]
        json.dumps(outer, ensure_ascii=False).encode()  # half characters could not even be shown
    except (ValueError, KeyError, TypeError, RecursionError):
        raise VerificationError(f"the manifest of {key} is torn: it is not the JSON that we write") from None
    if version != FORMAT:
        raise VerificationError(f"the manifest of {key} has format {str(version)[:20]!r}; this code reads {FORMAT}")
    if text != _canonical({"manifest": body, "sha256": said}) or sha256(_canonical(body)) != said:
        raise VerificationError(f"the manifest of {key} was changed after it was written: its checksum does not match")
    return _of_this_key(_validated(body, key), key)


def _validated(body: Any, key: str) -> AnyManifest:
    placed = keys.parse(key)
    model = ConfigurationManifest if placed and placed.kind == keys.CONFIGURATION else Manifest
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VerificationError(f"the manifest of {key} is not one of ours: {_shown(where)}: {first['msg']}") from None


def _of_this_key(manifest: AnyManifest, key: str) -> AnyManifest:
    if manifest.facts.key != key:
        raise VerificationError(f"the manifest at {key} is that of another backup, {_shown(manifest.facts.key)}")
    return manifest


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def sha256(text: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(text).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
