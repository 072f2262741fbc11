from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from pyrage.x25519 import Identity

from include.backups import keys
from include.backups.manifest import Manifest, Stored
from include.backups.opening import Opener
from include.backups.store import Store, Upload
from include.errors import (
    ConfigurationError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from include.settings import BackupLimits
from tests.include.backups.bucket import Bucket, client_error
from tests.include.backups.samples import KEY, facts, manifest
from tests.include.backups.sealed import ESCROW, OURS, PLAIN, STRANGER, backup, kept, sealed

LIMITS = BackupLimits()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def opener(bucket: Bucket, identity: Identity = OURS) -> Opener:
    return Opener(bucket.store, identity, LIMITS)


def with_stored(whole: Manifest, name: str, **changed: Any) -> Manifest:
    stored = whole.objects[name].model_copy(update=changed)
    return whole.model_copy(update={"objects": {**whole.objects, name: stored}})


@pytest.mark.parametrize("identity", [OURS, ESCROW])
@pytest.mark.parametrize("name", PLAIN)
def test_either_key_opens_what_was_sealed(bucket: Bucket, tmp_path: Path, identity: Identity, name: str) -> None:
    whole = backup(bucket)
    assert opener(bucket, identity).read(whole, name) == PLAIN[name]
    opener(bucket, identity).fetch(whole, name, tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == PLAIN[name]


def test_a_stranger_opens_nothing(bucket: Bucket) -> None:
    whole = backup(bucket)
    with pytest.raises(VerificationError, match=rf"^{KEY}{keys.GLOBALS}: "):
        opener(bucket, STRANGER).read(whole, keys.GLOBALS)


@pytest.mark.parametrize(
    "changed",
    [{"bytes": 1}, {"sha256": "0" * 64}, {"plain_bytes": 1}, {"plain_sha256": "0" * 64}, {"parts": 2}, {"parts": 0}],
)
@pytest.mark.parametrize("name", [keys.DUMP, keys.GLOBALS])
def test_what_is_not_as_the_manifest_says_is_refused(
    bucket: Bucket, tmp_path: Path, name: str, changed: dict[str, Any]
) -> None:
    said = rf"^{KEY}{name} is not what the manifest says: its size or its SHA-256 differs$"
    whole = with_stored(backup(bucket), name, **changed)
    with pytest.raises(VerificationError, match=said):
        opener(bucket).fetch(whole, name, tmp_path / "opened")
    with pytest.raises(VerificationError, match=said):
        opener(bucket).read(whole, name)


def test_another_sealing_of_the_same_is_not_what_was_stored(bucket: Bucket) -> None:
    """Whoever may write can seal to our public keys."""
    whole = backup(bucket)
    bucket.kept[KEY + keys.GLOBALS][0].data = sealed(PLAIN[keys.GLOBALS])
    with pytest.raises(VerificationError, match="is not what the manifest says"):
        opener(bucket).read(whole, keys.GLOBALS)


def test_what_arrived_wrong_once_is_fetched_once_more(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, get, asked = backup(bucket), bucket.get_object, []

    def wrong_at_first(**how: Any) -> dict[str, Any]:
        asked.append(how)
        answer = get(**how)
        if len(asked) == 1:
            data = answer["Body"].read()
            answer["Body"] = io.BytesIO(data[:-1] + bytes([data[-1] ^ 1]))
        return answer

    monkeypatch.setattr(bucket, "get_object", wrong_at_first)
    opener(bucket).fetch(whole, keys.DUMP, tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == PLAIN[keys.DUMP]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("error", "kind", "times"),
    [
        (client_error("NoSuchVersion", 404), VerificationError, 2),
        (client_error("InvalidArgument", 400), VerificationError, 2),
        (client_error("AccessDenied", 403), ConfigurationError, 1),
        (client_error("SlowDown", 503), RunbookError, 1),
        (client_error("Throttling", 400), TransientError, 1),
        (client_error("InvalidObjectState", 403), ConfigurationError, 1),
        (client_error("KMS.DisabledException", 400), ConfigurationError, 1),
        (client_error("MethodNotAllowed", 405), PermanentError, 1),
        (client_error("NotImplemented", 501), PermanentError, 1),
    ],
)
def test_a_version_that_was_never_stored_is_the_backup_s_fault_and_one_that_is_not_handed_out_is_not(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[RunbookError], times: int
) -> None:
    whole, asked = backup(bucket), []

    def refuse(**how: Any) -> dict[str, Any]:
        asked.append(how)
        raise error

    monkeypatch.setattr(bucket, "get_object", refuse)
    with pytest.raises(kind) as raised:
        opener(bucket).read(whole, keys.GLOBALS)
    assert isinstance(raised.value, VerificationError) is (kind is VerificationError)
    assert len(asked) == times


def test_a_store_that_cannot_go_on_says_nothing_about_the_backup(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, get = backup(bucket), bucket.get_object

    def breaks_and_begins_anew(**how: Any) -> dict[str, Any]:
        how.pop("Range", None)
        answer = get(**how)
        return {**answer, "Body": io.BytesIO(answer["Body"].read()[:100])}

    monkeypatch.setattr(bucket, "get_object", breaks_and_begins_anew)
    with pytest.raises(PermanentError, match="cannot go on") as raised:
        opener(bucket).read(whole, keys.GLOBALS)
    assert not isinstance(raised.value, VerificationError)


@pytest.mark.parametrize("plain", [b"x", b"x" * 3_000_000])
def test_a_spool_that_fills_up_while_it_is_written_is_a_refusal(bucket: Bucket, tmp_path: Path, plain: bytes) -> None:
    whole = manifest(objects={keys.DUMP: kept(bucket, keys.DUMP, plain)})
    (tmp_path / "verify_a").mkdir()
    (tmp_path / "verify_a" / "dump").symlink_to("/dev/full")
    with pytest.raises(RefusedError, match=rf"^the spool {tmp_path} is full; what we wrote is removed; "):
        opener(bucket).fetch(whole, keys.DUMP, tmp_path / "verify_a" / "dump")


class Parts(Bucket):
    """Takes an upload in parts, too."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[int, bytes] = {}

    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        return {"UploadId": "u"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.parts[PartNumber] = Body
        return {"ETag": hashlib.sha256(Body).hexdigest()}

    def complete_multipart_upload(self, *, Key: str, MultipartUpload: Any, **_: Any) -> dict[str, Any]:  # noqa: N803
        numbers = [part["PartNumber"] for part in MultipartUpload["Parts"]]
        assert numbers == sorted(self.parts)
        return {"VersionId": self.keep(Key, b"".join(self.parts[number] for number in numbers)).id}


def uploaded(bucket: Parts, data: bytes, plain: bytes, part_bytes: int) -> Stored:
    with Upload(Store(bucket, "bucket", who="x"), KEY + keys.DUMP, part_bytes) as upload:
        upload.write(data)
        return upload.complete(plain_bytes=len(plain), plain_sha256=hashlib.sha256(plain).hexdigest())


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_what_was_uploaded_in_parts_is_as_its_manifest_says_at_every_size(parts: int, beside: int) -> None:
    """The last part may be a single byte, whole, or nearly whole."""
    bucket, plain = Parts(), PLAIN[keys.DUMP]
    while (len(data := sealed(plain)) + beside) % parts:
        plain += b"x"
    part_bytes = (len(data) + beside) // parts
    stored = uploaded(bucket, data, plain, part_bytes)
    whole = manifest(facts=facts(part_bytes=part_bytes), objects={keys.DUMP: stored})
    assert opener(bucket).read(whole, keys.DUMP) == plain
    assert all(bucket.parts.values())
