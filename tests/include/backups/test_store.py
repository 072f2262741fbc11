from __future__ import annotations

import base64
import hashlib
import io
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import ProtocolError

from include.backups.store import TIMES_RESUMED, Store
from include.errors import (
    ConfigurationError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from tests.include.backups.bucket import client_error

DATA = random.Random(6).randbytes(10_000)


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("NoSuchBucket", 404, ConfigurationError, "there is no bucket 'bucket'; create it, or correct backup.bucket"),
        (
            "AccessDenied",
            403,
            ConfigurationError,
            (
                "the store refused to read k (AccessDenied): the Connection x lacks the right, or its keys are wrong; see"
                " deploy/s3"
            ),
        ),
        ("InvalidAccessKeyId", 403, ConfigurationError, "deploy/s3"),
        ("SignatureDoesNotMatch", 403, ConfigurationError, "deploy/s3"),
        ("403", 403, ConfigurationError, "deploy/s3"),
        ("AllAccessDisabled", 403, ConfigurationError, "deploy/s3"),
        ("ExpiredToken", 400, ConfigurationError, "the credentials of the Connection x have expired; renew them"),
        ("TokenRefreshRequired", 400, ConfigurationError, "have expired; renew them"),
        ("RequestTimeTooSkewed", 403, ConfigurationError, "this machine's clock is wrong"),
        ("PreconditionFailed", 412, RefusedError, "that key is taken"),
        ("ConditionalRequestConflict", 409, RefusedError, "that key is taken"),
        ("BadDigest", 400, TransientError, "what arrived is not what was sent"),
        ("XAmzContentChecksumMismatch", 400, TransientError, "nothing of it was kept"),
        ("SlowDown", 503, TransientError, "the store said SlowDown, later, when asked to read k"),
        ("TooManyRequests", 429, TransientError, "later"),
        ("RequestTimeout", 400, TransientError, "later"),
        ("InternalError", 500, TransientError, "later"),
        ("InternalError", 200, TransientError, "later"),
        ("ServiceUnavailable", 503, TransientError, "later"),
        ("502", 502, TransientError, "later"),
        ("Throttling", 400, TransientError, "later"),
        ("ThrottlingException", 400, TransientError, "later"),
        (
            "InvalidObjectState",
            403,
            ConfigurationError,
            "it lies in an archive, from which the store must bring it back",
        ),
        ("KMS.DisabledException", 400, ConfigurationError, "the key by which the store itself encrypts is disabled"),
        ("InvalidArgument", 400, PermanentError, "the store refused to read k (InvalidArgument)"),
        ("OperationAborted", 409, TransientError, "later"),
        ("NotImplemented", 501, PermanentError, "the store refused to read k (NotImplemented)"),
        ("NoSuchKey", 404, VerificationError, "the store refused to read k (NoSuchKey)"),
        ("NoSuchVersion", 404, VerificationError, "(NoSuchVersion)"),
        ("NoSuchUpload", 404, TransientError, "backup.leftovers_after_s"),
        ("InvalidRange", 416, PermanentError, "(InvalidRange)"),
        ("EntityTooSmall", 400, PermanentError, "(EntityTooSmall)"),
        ("InvalidRequest", 400, PermanentError, "(InvalidRequest)"),
        ("", 0, PermanentError, "the store refused to read k ()"),
    ],
)
def test_what_the_store_says_is_said_in_our_words(code: str, status: int, kind: type[RunbookError], said: str) -> None:
    with pytest.raises(RunbookError) as raised, Store(None, "bucket", who="the Connection x").explained("read k"):
        raise client_error(code, status)
    assert type(raised.value) is kind
    assert said in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://store:9000"),
        ConnectTimeoutError(endpoint_url="http://store:9000"),
        ReadTimeoutError(endpoint_url="http://store:9000"),
        ResponseStreamingError(error="Connection broken"),
    ],
)
def test_a_store_that_does_not_answer_is_asked_again_later(error: Exception) -> None:
    with (
        pytest.raises(TransientError, match=r"^the store did not answer when asked to read k "),
        Store(None, "bucket", who="x").explained("read k"),
    ):
        raise error


def test_a_user_without_keys_is_no_silent_store() -> None:
    with (
        pytest.raises(ConfigurationError, match=r"the profile of boto3"),
        Store(None, "bucket", who="the profile of boto3").explained("list k"),
    ):
        raise NoCredentialsError


def refuse(code: str) -> None:
    raise client_error(code, 404)


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404"])
def test_what_is_gone_already_is_no_error_to_who_wants_it_gone(code: str) -> None:
    store = Store(None, "bucket", who="x")
    with store.explained("abort k", gone_is_fine=True):
        refuse(code)
    with pytest.raises(RunbookError), store.explained("read k"):
        raise client_error(code, 404)
    with pytest.raises(ConfigurationError), store.explained("abort k", gone_is_fine=True):
        raise client_error("NoSuchBucket", 404)


@pytest.mark.parametrize("error", [TransientError("x"), ValueError("x"), KeyboardInterrupt()])
def test_an_error_that_is_not_the_store_s_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, Store(None, "bucket", who="x").explained("read k"):
        raise error
    assert raised.value is error


class Body(io.BytesIO):
    """What arrives until the connection breaks; with no error it just ends early."""

    def __init__(self, data: bytes, breaks_after: int | None, error: Exception | None, most: int = 1 << 20) -> None:
        super().__init__(data if breaks_after is None else data[:breaks_after])
        self.breaks, self.error, self.most = breaks_after is not None, error, most

    def read(self, size: int | None = None, /) -> bytes:
        data = super().read(self.most if size is None else min(size, self.most))
        if not data and self.breaks and self.error and size != 0:
            raise self.error
        return data


class Client:
    """A store of one object, each of whose answers breaks as it is told; then they are whole."""

    def __init__(self, *breaks: int, error: Exception | None = None, most: int = 1 << 20) -> None:
        self.breaks, self.error, self.most = list(breaks), error, most
        self.asked: list[dict[str, Any]] = []

    def get_object(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        start = int(asked.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(DATA):
            raise client_error("InvalidRange", 416)
        after = self.breaks.pop(0) if self.breaks else None
        rest = DATA[start:]
        answer = {"ContentLength": len(rest), "Body": Body(rest, after, self.error, self.most)}
        return answer | ({"ContentRange": self.says_range(start)} if "Range" in asked else {})

    @staticmethod
    def says_range(start: int) -> str:
        return f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"

    @property
    def store(self) -> Store:
        return Store(self, "bucket", who="x")


def everything(client: Client, size: int = 1000) -> bytes:
    reader, found = client.store.open("k", "v1"), bytearray()
    while data := reader.read(size):
        found += data
        assert len(data) <= size
    assert reader.bytes == len(found)
    return bytes(found)


BREAKS = [
    None,
    ResponseStreamingError(error="Connection broken"),
    ReadTimeoutError(endpoint_url="http://store:9000"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ProtocolError("Connection broken"),
    ConnectionResetError("reset by peer"),
    TimeoutError("timed out"),
]


@pytest.mark.parametrize("error", BREAKS)
@pytest.mark.parametrize("breaks", [[], [0], [1], [5000], [9999], [0, 0, 0, 0, 0], [1, 1000, 1500, 2000, 3]])
def test_a_download_that_breaks_goes_on_where_it_broke(error: Exception | None, breaks: list[int]) -> None:
    client = Client(*breaks, error=error)
    assert everything(client) == DATA
    starts = [0]
    for after in breaks:
        starts.append(starts[-1] + after)
    assert [asked.get("Range", "bytes=0-") for asked in client.asked] == [f"bytes={start}-" for start in starts]
    assert {(asked["Key"], asked["VersionId"]) for asked in client.asked} == {("k", "v1")}


@pytest.mark.parametrize("error", BREAKS)
def test_a_download_that_breaks_again_and_again_is_given_up_and_it_is_said_where(error: Exception | None) -> None:
    client = Client(*[100] * (TIMES_RESUMED + 1), error=error)
    with pytest.raises(TransientError, match=r"^the download of k broke 6 times, last after 600 bytes; "):
        everything(client)
    assert len(client.asked) == TIMES_RESUMED + 1


def test_a_store_that_refuses_when_a_download_goes_on_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(100)
    reader = client.store.open("k", "v1")
    assert reader.read(200) == DATA[:100]

    def gone(**_: Any) -> Any:
        raise client_error("NoSuchVersion", 404)

    monkeypatch.setattr(client, "get_object", gone)
    with pytest.raises(PermanentError, match=r"NoSuchVersion"):
        reader.read(200)


@pytest.mark.parametrize(
    "answer",
    [
        {"ContentLength": len(DATA), "Body": io.BytesIO(DATA)},
        {"ContentLength": len(DATA), "Body": io.BytesIO(DATA), "ContentRange": None},
        {"ContentLength": len(DATA), "Body": io.BytesIO(DATA), "ContentRange": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"},
        {"ContentLength": 9000, "Body": io.BytesIO(DATA[1000:]), "ContentRange": f"bytes 1000-9999/{len(DATA)}"},
        {"ContentLength": 9990, "Body": io.BytesIO(DATA[10:]), "ContentRange": f"bytes 10-9999/{len(DATA)}"},
    ],
)
def test_a_store_that_goes_on_elsewhere_than_where_it_broke_is_not_read_on(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    client = Client(100)
    reader = client.store.open("k", "v1")
    assert reader.read(200) == DATA[:100]
    monkeypatch.setattr(client, "get_object", lambda **_: answer)
    with pytest.raises(PermanentError, match=r"^the store cannot go on with k where it broke$") as raised:
        reader.read(200)
    assert type(raised.value) is PermanentError
    assert reader.bytes == 100


def test_bytes_that_arrived_wrong_are_no_refusal_of_the_store() -> None:
    """The client compares the checksum when it has handed out the last byte."""
    error = FlexibleChecksumError(error_msg="Expected checksum x did not match calculated checksum: y")
    with pytest.raises(TransientError, match=r"k"):
        everything(Client(len(DATA), error=error))


def test_reading_nothing_reads_nothing_and_the_end_stays_the_end() -> None:
    client = Client()
    reader = client.store.open("k", "v1")
    assert [reader.read(0), reader.read(), reader.read(0), reader.read(1), reader.read()] == [b"", DATA, b"", b"", b""]
    assert len(client.asked) == 1


def test_an_object_without_versions_is_asked_for_by_its_key_alone() -> None:
    client = Client()
    client.store.open("k", "")
    assert client.asked == [{"Bucket": "bucket", "Key": "k"}]


@pytest.mark.parametrize("breaks", [[], [0], [5000], [1, 2, 3]])
@pytest.mark.parametrize("most", [1 << 20, 777])
def test_a_small_object_is_returned_whole_however_it_arrives(breaks: list[int], most: int) -> None:
    client = Client(*breaks, error=ProtocolError("broken"), most=most)
    assert client.store.get("k", "v1") == DATA


def test_an_object_as_large_as_the_limit_is_returned_and_a_larger_one_is_none_of_ours() -> None:
    assert Client().store.get("k", "v1", limit=len(DATA)) == DATA
    with pytest.raises(PermanentError, match=r"^k is larger than 9999 bytes, which none of ours is$"):
        Client().store.get("k", "v1", limit=len(DATA) - 1)


class Writer:
    """A store that takes what is written, and remembers how it was asked to."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer, self.asked = answer, dict[str, Any]()

    def put_object(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return self.answer


@pytest.mark.parametrize("once", [True, False])
def test_only_what_may_be_written_once_asks_the_store_to_refuse_a_second(once: bool) -> None:
    client = Writer({"VersionId": "v7"})
    written = Store(client, "bucket", who="x").put("k", DATA, once=once)
    checksum = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    asked = {"Bucket": "bucket", "Key": "k", "Body": DATA, "ChecksumSHA256": checksum}
    assert client.asked == asked | ({"IfNoneMatch": "*"} if once else {})
    assert (written.key, written.id, written.bytes) == ("k", "v7", len(DATA))


def test_without_being_told_a_write_goes_over_what_is_there_and_a_bucket_without_versions_is_fine() -> None:
    client = Writer({})
    assert Store(client, "bucket", who="x").put("k", b"").id == ""
    assert "IfNoneMatch" not in client.asked


class Lister:
    """A store that lists what it is told, page by page."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages

    def get_paginator(self, name: str) -> Any:
        assert name == "list_object_versions"
        return self

    def paginate(self, **_: Any) -> Any:
        return iter(self.pages)


LISTED = {
    "Key": "k",
    "VersionId": "v1",
    "Size": 1,
    "LastModified": datetime(2026, 11, 25, tzinfo=UTC),
    "IsLatest": True,
}


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([], 0),
        ([{}], 0),
        ([{"Versions": [LISTED], "IsTruncated": False}], 1),
        ([{"Versions": [LISTED, LISTED], "IsTruncated": True}, {"Versions": [LISTED]}], 3),
        ([{"IsTruncated": True}, {"Versions": [LISTED], "IsTruncated": False}], 1),
        ([{"DeleteMarkers": [LISTED]}], 0),
    ],
)
def test_every_page_of_a_list_is_read(pages: list[dict[str, Any]], found: int) -> None:
    assert len(list(Store(Lister(*pages), "bucket", who="x").versions("p/"))) == found


def test_a_list_that_ends_before_its_end_is_no_list() -> None:
    pages = [{"Versions": [LISTED], "IsTruncated": True}, {"Versions": [LISTED], "IsTruncated": True}]
    with pytest.raises(TransientError, match=r"^the store listed p/ only in part: what is there is not known$"):
        list(Store(Lister(*pages), "bucket", who="x").versions("p/"))
