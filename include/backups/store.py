"""The bucket: what is done to it, and its complaints in our words."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.backups.manifest import Stored
from include.errors import (
    ConfigurationError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from include.masking import one_line

log = logging.getLogger(__name__)

SENDERS = 3
"""Parts on their way at once: enough to hide the store's latency; each holds its bytes in memory."""
CHUNK = 1 << 20
SMALL = 64 << 20
"""Bytes of an object that is read into memory, at most."""
TIMES_RESUMED = 5
"""How often one download goes on where its connection broke."""

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_WITHDRAWN = "NoSuchUpload"
_NEVER_STORED = "InvalidArgument"
"""What S3 says when it is asked for a version whose id it never gave."""
_LATER = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError", "OperationAborted"}
)
_MEANT: Mapping[str, tuple[type[RunbookError], str]] = {
    **dict.fromkeys(_GONE, (VerificationError, "it is not there")),
    _WITHDRAWN: (
        TransientError,
        "somebody aborted the upload, or the answer of a try before was lost; is backup.leftovers_after_s shorter than it takes?",
    ),
    "NoSuchBucket": (ConfigurationError, "there is no bucket {bucket!r}; create it, or correct backup.bucket"),
    **dict.fromkeys(
        ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "AllAccessDisabled"),
        (ConfigurationError, "{who} lacks the right, or its keys are wrong; see deploy/s3"),
    ),
    **dict.fromkeys(
        ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"),
        (ConfigurationError, "the credentials of {who} have expired; renew them"),
    ),
    "InvalidObjectState": (
        ConfigurationError,
        "it lies in an archive, from which the store must bring it back first; let no rule of the bucket move backups there",
    ),
    **dict.fromkeys(
        ("KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"),
        (ConfigurationError, "the key by which the store itself encrypts is disabled or gone; let its owner enable it"),
    ),
    "RequestTimeTooSkewed": (ConfigurationError, "this machine's clock is wrong; set it by NTP"),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict"),
        (RefusedError, "that key is taken, and no backup is ever written over another"),
    ),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"),
        (TransientError, "what arrived is not what was sent; nothing of it was kept"),
    ),
}
"""What a code of the store means for a backup, and what to do."""

CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 8},
    "max_pool_connections": 10,
    "request_checksum_calculation": "when_required",  # we say which, and where
    "response_checksum_validation": "when_required",  # the manifest says more
}
"""For `botocore.config.Config`: a store that is silent is given up before a stream counts as standing still."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of one object; `stored_at` is the store's own clock."""

    key: str
    id: str
    bytes: int
    stored_at: datetime
    is_latest: bool


@dataclass(frozen=True, kw_only=True)
class OpenUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    id: str
    begun_at: datetime


class Store:
    """One bucket, as one user.

    :param client: of boto3, for S3.
    :param who: Connection or profile whose credentials it has, for errors.
    """

    def __init__(self, client: Any, bucket: str, *, who: str) -> None:
        self.client, self.bucket, self.who = client, bucket, who

    def put(self, key: str, data: bytes, *, once: bool = False) -> Version:
        """Store a small object; the store checks its SHA-256 before it takes it.

        :param once: RefusedError if something has that key.
        """
        condition = {"IfNoneMatch": "*"} if once else {}
        with self.explained(f"write {key}"):
            answer = self.client.put_object(
                Bucket=self.bucket, Key=key, Body=data, ChecksumSHA256=_base64_sha256(data), **condition
            )
        version_id = str(answer.get("VersionId", ""))
        return Version(key=key, id=version_id, bytes=len(data), stored_at=datetime.now(UTC), is_latest=True)

    def get(self, key: str, version_id: str, *, limit: int = SMALL) -> bytes:
        """Return a small object whole."""
        reader, content = self.open(key, version_id), b""
        while data := reader.read(CHUNK):
            content += data
            if len(content) > limit:
                raise PermanentError(f"{key} is larger than {limit} bytes, which none of ours is")
        return content

    def open(self, key: str, version_id: str) -> Download:
        """Return a reader of one version."""
        return Download(self, key, version_id)

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every version below a prefix, deleted ones too; all pages, or an error."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        cut_off = False
        with self.explained(f"list {prefix}"):
            for page in pages:
                cut_off = bool(page.get("IsTruncated"))
                for found in page.get("Versions", ()):
                    yield Version(
                        key=found["Key"],
                        id=found["VersionId"],
                        bytes=found["Size"],
                        stored_at=found["LastModified"],
                        is_latest=found["IsLatest"],
                    )
        if cut_off:  # the client ends without a word where a store forgets to say how the list goes on
            raise TransientError(f"the store listed {prefix} only in part: what is there is not known")

    def tags(self, key: str, version_id: str) -> dict[str, str]:
        """Return the tags of one version."""
        with self.explained(f"read the tags of {key}"):
            answer = self.client.get_object_tagging(Bucket=self.bucket, Key=key, VersionId=version_id)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def tag(self, key: str, version_id: str, tags: Mapping[str, str]) -> None:
        """Set these tags of one version; others of it, which somebody else wrote, stay."""
        whole = {**self.tags(key, version_id), **tags}
        pairs = [{"Key": name, "Value": value} for name, value in whole.items()]
        with self.explained(f"mark {key}"):
            self.client.put_object_tagging(Bucket=self.bucket, Key=key, VersionId=version_id, Tagging={"TagSet": pairs})

    def lock(self, key: str, version_id: str, until: datetime) -> None:
        """Let nobody remove one version before a moment."""
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
        with self.explained(f"lock {key}"):
            self.client.put_object_retention(Bucket=self.bucket, Key=key, VersionId=version_id, Retention=retention)

    def locked_until(self, key: str, version_id: str) -> datetime | None:
        """Return until when nobody can remove one version; None if it was never locked."""
        from botocore.exceptions import ClientError

        with self.explained(f"say how long {key} is locked"):
            try:
                answer = self.client.get_object_retention(Bucket=self.bucket, Key=key, VersionId=version_id)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "NoSuchObjectLockConfiguration":
                    return None
                raise
        lock = answer["Retention"]
        until: datetime | None = lock.get("RetainUntilDate") if lock.get("Mode") == "COMPLIANCE" else None
        return until

    def delete(self, key: str, version_id: str) -> None:
        """Remove one version for good; a deletion by name alone would only hide it."""
        with self.explained(f"delete {key}", gone_is_fine=True):
            self.client.delete_object(Bucket=self.bucket, Key=key, VersionId=version_id)

    def uploads(self, prefix: str) -> list[OpenUpload]:
        """List the uploads that were begun and not ended."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix)
        with self.explained(f"list the unfinished uploads below {prefix}"):
            listed = list(pages)
        if listed and listed[-1].get("IsTruncated"):
            raise TransientError(
                f"the store listed the uploads below {prefix} only in part: what is there is not known"
            )
        found = [upload for page in listed for upload in page.get("Uploads", ())]
        return [OpenUpload(key=each["Key"], id=each["UploadId"], begun_at=each["Initiated"]) for each in found]

    def is_versioned(self) -> bool:
        """Return whether what is written over stays."""
        with self.explained("say whether it keeps versions"):
            return bool(self.client.get_bucket_versioning(Bucket=self.bucket).get("Status") == "Enabled")

    def locks(self) -> bool:
        """Return whether a version can be locked."""
        with self.explained("say whether it locks"):
            found = self.client.get_object_lock_configuration(Bucket=self.bucket)["ObjectLockConfiguration"]
        return bool(found.get("ObjectLockEnabled") == "Enabled")

    def abort(self, key: str, upload_id: str) -> None:
        """Throw away what was sent of an upload; one that is gone already is no error."""
        with self.explained(f"abort the upload of {key}", gone_is_fine=True):
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    @contextmanager
    def explained(self, deed: str, *, gone_is_fine: bool = False, reads: bool = False) -> Iterator[None]:
        """Turn what the client raises into an error of ours that says what was tried.

        :param reads: a version is asked for by its id.
        """
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if gone_is_fine and code in {*_GONE, _WITHDRAWN}:
                return
            if reads and code == _NEVER_STORED:
                raise VerificationError(
                    f"the store refused to {deed} ({code}): no such version was ever stored"
                ) from None
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise self._in_our_words(code, status, deed) from None
        except NoCredentialsError:
            raise ConfigurationError(f"{self.who} has no credentials for the store; give it an access key") from None
        except BotoCoreError as error:
            raise TransientError(
                f"the store did not answer when asked to {deed} ({one_line(str(error), 160)})"
            ) from None

    def _in_our_words(self, code: str, status: int, deed: str) -> RunbookError:
        if code in _MEANT:
            kind, meaning = _MEANT[code]
            return kind(f"the store refused to {deed} ({code}): {meaning.format(bucket=self.bucket, who=self.who)}")
        if (status >= 500 and status != 501) or status == 429 or code in _LATER:
            return TransientError(f"the store said {code}, later, when asked to {deed}")
        return PermanentError(f"the store refused to {deed} ({code})")


class Upload:
    """A multipart upload that takes bytes as they come; aborted unless it is completed.

    It begins at once, so that a bucket or a right that is missing shows before the first byte is read. Parts of equal size are sent
    side by side, each with its SHA-256, which the store checks; one that is refused stops the writer.
    """

    def __init__(self, store: Store, key: str, part_bytes: int) -> None:
        self.store, self.key, self.part_bytes = store, key, part_bytes
        self.sent = 0
        self._buffer = bytearray()
        self._digest, self._bytes = hashlib.sha256(), 0
        self._parts: list[dict[str, Any]] = []
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="upload")
        self._flying: deque[Future[dict[str, Any]]] = deque()
        self._id = ""

    def __enter__(self) -> Upload:
        with self.store.explained(f"begin the upload of {self.key}"):
            answer = self.store.client.create_multipart_upload(
                Bucket=self.store.bucket, Key=self.key, ChecksumAlgorithm="SHA256"
            )
        self._id = answer["UploadId"]
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if not self._id:
            return
        try:
            self.store.abort(self.key, self._id)
        except RunbookError as error:  # what broke the upload is the news, not this
            log.warning("an unfinished upload is left for the sweep: %s", error)

    def write(self, data: bytes) -> int:
        """Take bytes; returns when there is room for more, and raises what a part before ran into."""
        self._buffer += data
        while len(self._buffer) >= self.part_bytes:
            self._send(bytes(memoryview(self._buffer)[: self.part_bytes]))
            del self._buffer[: self.part_bytes]
        return len(data)

    def flush(self) -> None:
        """Nothing: a part has one size, and the last one goes with `complete`."""

    def complete(self, *, plain_bytes: int, plain_sha256: str) -> Stored:
        """Send the rest, let the store put the parts together, and return what it took."""
        if self._buffer or not self._bytes:
            self._send(bytes(self._buffer))
        while self._flying:
            self._land()
        with self.store.explained(f"complete the upload of {self.key}"):
            answer = self.store.client.complete_multipart_upload(
                Bucket=self.store.bucket, Key=self.key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )
        self._id = ""
        return Stored(
            version_id=str(answer.get("VersionId", "")),
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            parts=len(self._parts),
            plain_bytes=plain_bytes,
            plain_sha256=plain_sha256,
        )

    def _send(self, part: bytes) -> None:
        while len(self._flying) >= SENDERS:
            self._land()
        self._digest.update(part)
        self._bytes += len(part)
        number = len(self._parts) + len(self._flying) + 1
        self._flying.append(self._pool.submit(self._send_part, number, part))

    def _land(self) -> None:
        self._parts.append(self._flying.popleft().result())

    def _send_part(self, number: int, part: bytes) -> dict[str, Any]:
        checksum = _base64_sha256(part)
        with self.store.explained(f"take part {number} of {self.key}"):
            answer = self.store.client.upload_part(
                Bucket=self.store.bucket,
                Key=self.key,
                UploadId=self._id,
                PartNumber=number,
                Body=part,
                ChecksumSHA256=checksum,
            )
        self.sent += len(part)
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}


class Download:
    """One version of an object as a file to read; a connection that breaks is taken up again where it broke."""

    def __init__(self, store: Store, key: str, version_id: str) -> None:
        self.store, self.key, self.version_id = store, key, version_id
        self.bytes = 0
        self._size, self._left = 0, TIMES_RESUMED
        self._body = self._from(0)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; none at the end."""
        from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
        from urllib3.exceptions import HTTPError

        while True:
            try:
                data: bytes = self._body.read(size if size >= 0 else None)
            except FlexibleChecksumError:
                raise TransientError(f"what arrived of {self.key} is not what the store has") from None
            except (BotoCoreError, ClientError, HTTPError, OSError):
                self._resume()
                continue
            if not data and size and self.bytes < self._size:
                self._resume()
                continue
            self.bytes += len(data)
            return data

    def _resume(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TransientError(
                f"the download of {self.key} broke {TIMES_RESUMED + 1} times, last after {self.bytes} bytes; nothing was"
                " kept of it: look at the network, then try again"
            ) from None
        self._body = self._from(self.bytes)

    def _from(self, offset: int) -> Any:
        wanted = {"Range": f"bytes={offset}-"} if offset else {}
        which = {"VersionId": self.version_id} if self.version_id else {}
        with self.store.explained(f"read {self.key}", reads=bool(which)):
            answer = self.store.client.get_object(Bucket=self.store.bucket, Key=self.key, **which, **wanted)
        if offset and not str(answer.get("ContentRange", "")).startswith(f"bytes {offset}-"):
            raise PermanentError(f"the store cannot go on with {self.key} where it broke")
        self._size = offset + int(answer["ContentLength"])
        return answer["Body"]


def _base64_sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
