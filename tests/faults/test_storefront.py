from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from sandbox.components import s3
from sandbox.site import Site
from tests.faults.answers import (
    error,
    error_inside_200,
    flip_answer,
    flip_request,
    hang,
    lost_answer,
    reset,
    reset_after,
    slow,
)
from tests.faults.storefront import Storefront, storefront

pytestmark = pytest.mark.integration

MB = 1_000_000
PART = 5 * 1024 * 1024


@pytest.fixture
def front(site: Site) -> Iterator[Storefront]:
    with storefront(site.ports["s3"]) as opened:
        yield opened


@pytest.fixture
def there(site: Site) -> Any:
    """The server itself, to see what it really has."""
    return s3.client(site)


@pytest.fixture
def here(site: Site, front: Storefront) -> Any:
    return client(site, front)


@pytest.fixture
def target() -> dict[str, str]:
    return {"Bucket": s3.BUCKET, "Key": f"backups/rights/{uuid4()}"}


def client(site: Site, front: Storefront, **changes: Any) -> Any:
    settings = {"read_timeout": 5, "retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
    return boto3.client(
        "s3",
        endpoint_url=front.url,
        region_name=s3.REGION,
        aws_access_key_id=s3.ROOT,
        aws_secret_access_key=site.secret(f"s3-{s3.ROOT}"),
        config=Config(**(settings | changes)),
    )


def operations(front: Storefront) -> list[str]:
    return [asked.operation for asked in front.requests]


def versions(there: Any, target: dict[str, str]) -> list[Any]:
    found: list[Any] = there.list_object_versions(Bucket=target["Bucket"], Prefix=target["Key"]).get("Versions", [])
    return found


def test_passes_large_bodies_in_both_directions(here: Any, target: dict[str, str]) -> None:
    body = uuid4().bytes * (20 * MB // 16)
    here.put_object(**target, Body=body)
    assert here.get_object(**target)["Body"].read() == body


def test_knows_the_operations_by_their_requests(front: Storefront, here: Any, target: dict[str, str]) -> None:
    upload = target | {"UploadId": here.create_multipart_upload(**target)["UploadId"]}
    etag = here.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
    here.list_parts(**upload)
    here.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    here.abort_multipart_upload(**target, UploadId=here.create_multipart_upload(**target)["UploadId"])
    here.put_object_tagging(**target, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    here.head_object(**target)
    here.list_object_versions(Bucket=s3.BUCKET, Prefix=target["Key"])
    here.list_objects_v2(Bucket=s3.BUCKET, Prefix=target["Key"])
    here.delete_object(**target)
    assert operations(front) == [
        "CreateMultipartUpload",
        "UploadPart",
        "ListParts",
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "AbortMultipartUpload",
        "PutObjectTagging",
        "HeadObject",
        "ListObjectVersions",
        "ListObjectsV2",
        "DeleteObject",
    ]


def test_keys_with_odd_letters_keep_their_signature(here: Any, target: dict[str, str]) -> None:
    odd = target | {"Key": target["Key"] + "/a b+c~%41ü=&?.dump"}
    here.put_object(**odd, Body=b"odd")
    assert here.list_objects_v2(Bucket=s3.BUCKET, Prefix=odd["Key"])["Contents"][0]["Key"] == odd["Key"]


def test_aws_chunks_with_a_checksum_at_their_end_pass(site: Site, front: Storefront, target: dict[str, str]) -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    assert chunked_put(site, front, target, body) == 200
    assert s3.client(site).get_object(**target)["Body"].read() == b"hello"


def test_a_checksum_at_the_end_shows_a_flipped_bit(site: Site, front: Storefront, target: dict[str, str]) -> None:
    front.fault("PutObject", flip_request(3))
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    assert chunked_put(site, front, target, body) == 400
    assert versions(s3.client(site), target) == []


def chunked_put(site: Site, front: Storefront, target: dict[str, str], body: bytes) -> int:
    """What boto3 sends over TLS only: the checksum stands behind the body, unsigned."""
    fields = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": "5",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }
    request = AWSRequest("PUT", f"{front.url}/{target['Bucket']}/{target['Key']}", headers=fields, data=body)
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    S3SigV4Auth(Credentials(s3.ROOT, site.secret(f"s3-{s3.ROOT}")), "s3", s3.REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
    connection.request("PUT", f"/{target['Bucket']}/{target['Key']}", body, dict(request.headers))
    with connection.getresponse() as answer:
        return answer.status


@pytest.mark.parametrize(
    "answer",
    [
        (503, "SlowDown"),
        (500, "InternalError"),
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (403, "AccessDenied"),
    ],
)
def test_an_error_is_answered_and_nothing_written(
    front: Storefront, here: Any, there: Any, target: dict[str, str], answer: tuple[int, str]
) -> None:
    status, code = answer
    front.fault("PutObject", error(status, code))
    with pytest.raises(ClientError, match=code) as raised:
        here.put_object(**target, Body=bytes(3 * MB))
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert versions(there, target) == []


def test_an_error_to_a_question_without_an_answer_body(front: Storefront, here: Any, target: dict[str, str]) -> None:
    front.fault("HeadObject", error(503, "SlowDown"))
    with pytest.raises(ClientError, match="503"):
        here.head_object(**target)


def test_a_rule_skips_then_counts_then_is_over(front: Storefront, here: Any, target: dict[str, str]) -> None:
    front.fault("PutObject", error(503, "SlowDown"), skip=1, times=2)
    seen = [outcome(lambda: here.put_object(**target, Body=b"x")) for _ in range(5)]
    assert seen == ["done", "SlowDown", "SlowDown", "done", "done"]


def test_boto3_gets_over_one_error_by_itself(site: Site, front: Storefront, target: dict[str, str]) -> None:
    front.fault(None, error(503, "SlowDown"), times=1)
    client(site, front, retries={"total_max_attempts": 2}).put_object(**target, Body=bytes(2 * MB))
    assert operations(front) == ["PutObject", "PutObject"]


def test_heal_ends_the_rules(front: Storefront, here: Any, target: dict[str, str]) -> None:
    front.fault(None, error(403, "AccessDenied"))
    assert outcome(lambda: here.put_object(**target, Body=b"x")) == "AccessDenied"
    front.heal()
    assert outcome(lambda: here.put_object(**target, Body=b"x")) == "done"


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_an_error_inside_a_200_completes_nothing(
    front: Storefront, here: Any, there: Any, target: dict[str, str]
) -> None:
    front.fault("CompleteMultipartUpload", error_inside_200(), times=1)
    upload = target | {"UploadId": here.create_multipart_upload(**target)["UploadId"]}
    parts = {"Parts": [{"PartNumber": 1, "ETag": here.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]}]}
    assert outcome(lambda: here.complete_multipart_upload(**upload, MultipartUpload=parts)) == "InternalError"
    assert versions(there, target) == []
    assert outcome(lambda: here.complete_multipart_upload(**upload, MultipartUpload=parts)) == "done"


def test_an_answer_is_lost_after_the_deed(front: Storefront, here: Any, there: Any, target: dict[str, str]) -> None:
    front.fault("PutObject", lost_answer())
    with pytest.raises(ConnectionClosedError):
        here.put_object(**target, Body=bytes(2 * MB))
    assert [found["Size"] for found in versions(there, target)] == [2 * MB]


def test_a_reset_comes_before_the_deed(front: Storefront, here: Any, there: Any, target: dict[str, str]) -> None:
    front.fault("PutObject", reset())
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        here.put_object(**target, Body=b"x")
    assert versions(there, target) == []


def test_an_answer_breaks_after_its_bytes(front: Storefront, here: Any, there: Any, target: dict[str, str]) -> None:
    there.put_object(**target, Body=bytes(MB))
    front.fault("GetObject", reset_after(300_001))
    body = here.get_object(**target)["Body"]
    assert len(body.read(300_001)) == 300_001
    with pytest.raises(ResponseStreamingError):
        body.read(1)


def test_a_bit_of_an_answer_is_flipped(
    site: Site, front: Storefront, here: Any, there: Any, target: dict[str, str]
) -> None:
    there.put_object(**target, Body=bytes(MB))
    front.fault("GetObject", flip_answer(700_000))
    trusting = client(site, front, response_checksum_validation="when_required")
    got = trusting.get_object(**target)["Body"].read()
    assert [at for at, byte in enumerate(got) if byte] == [700_000]
    with pytest.raises(FlexibleChecksumError):
        here.get_object(**target)["Body"].read()


def test_a_bit_of_a_request_is_flipped(front: Storefront, here: Any, there: Any, target: dict[str, str]) -> None:
    front.fault("PutObject", flip_request(1_500_000))
    assert outcome(lambda: here.put_object(**target, Body=bytes(2 * MB))) == "XAmzContentSHA256Mismatch"
    assert versions(there, target) == []


def test_a_request_that_hangs_is_never_answered(site: Site, front: Storefront, target: dict[str, str]) -> None:
    front.fault("PutObject", hang())
    with pytest.raises(ReadTimeoutError):
        client(site, front, read_timeout=0.5).put_object(**target, Body=bytes(2 * MB))


def test_heal_resets_what_hangs(front: Storefront, here: Any, target: dict[str, str]) -> None:
    front.fault("PutObject", hang())
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(here.put_object, **target, Body=b"x")
        until(lambda: bool(front.requests))
        front.heal()
        assert isinstance(hanging.exception(timeout=2), ConnectionClosedError)


def test_no_thread_outlives_the_storefront(site: Site, target: dict[str, str]) -> None:
    before = set(threading.enumerate())
    with storefront(site.ports["s3"]) as front, ThreadPoolExecutor() as pool:
        front.fault("PutObject", hang())
        front.fault("UploadPart", slow(1))
        here = client(site, front)
        pool.submit(here.put_object, **target, Body=b"x")
        pool.submit(here.upload_part, **target, UploadId="none", PartNumber=1, Body=bytes(MB))
        until(lambda: len(front.requests) == 2)
        front.stop()
    assert set(threading.enumerate()) <= before


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 2
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("operation", ["PutObject", "GetObject"])
def test_a_slow_body_keeps_its_rate(
    front: Storefront, here: Any, there: Any, target: dict[str, str], operation: str
) -> None:
    there.put_object(**target, Body=bytes(MB))
    front.fault(operation, slow(MB))
    start = time.monotonic()
    here.put_object(**target, Body=bytes(MB))
    here.get_object(**target)["Body"].read()
    assert time.monotonic() - start > 0.75  # never faster; a machine that is busy is slower
