from __future__ import annotations

import base64
import hashlib
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from sandbox.components.s3 import BUCKET, apply_policy, client
from sandbox.platform import Platform
from sandbox.site import Site

pytestmark = pytest.mark.integration


@pytest.fixture
def key() -> str:
    return f"backups/test/{uuid4()}"


def test_the_bucket_keeps_versions_and_can_lock_them(site: Site) -> None:
    root = client(site)
    assert root.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    lock = root.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert lock["ObjectLockEnabled"] == "Enabled"


def test_bytes_that_do_not_match_their_checksum_are_refused(site: Site, key: str) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"others").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        client(site).put_object(Bucket=BUCKET, Key=key, Body=b"these", ChecksumSHA256=wrong)


def test_a_second_write_keeps_the_first(site: Site, key: str) -> None:
    root = client(site)
    first = root.put_object(Bucket=BUCKET, Key=key, Body=b"first")["VersionId"]
    root.put_object(Bucket=BUCKET, Key=key, Body=b"second")
    assert root.get_object(Bucket=BUCKET, Key=key, VersionId=first)["Body"].read() == b"first"


def test_a_key_is_written_once_where_the_writer_asks_for_that(site: Site, key: str) -> None:
    writer = client(site, "backup_writer")
    writer.put_object(Bucket=BUCKET, Key=key, Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        writer.put_object(Bucket=BUCKET, Key=key, Body=b"second", IfNoneMatch="*")


def test_another_start_keeps_users_objects_and_policy(platform: Platform, key: str) -> None:
    site = platform.site
    client(site, "backup_writer").put_object(Bucket=BUCKET, Key=key, Body=b"kept")
    before = client(site).get_bucket_policy(Bucket=BUCKET)["Policy"]
    platform.components["s3"].after(site)
    assert client(site).get_bucket_policy(Bucket=BUCKET)["Policy"] == before
    assert client(site, "watch").get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"kept"


def test_a_wrong_secret_is_refused(site: Site) -> None:
    stranger = client(site, "nobody")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.list_buckets()


def test_the_restorer_reads_only_inside_its_window(site: Site, key: str) -> None:
    client(site, "backup_writer").put_object(Bucket=BUCKET, Key=key, Body=b"backup")
    restorer = client(site, "backup_restorer")
    try:
        apply_policy(site, restorer_until="2999-01-01T00:00:00Z")
        assert restorer.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"backup"
    finally:
        apply_policy(site)
    with pytest.raises(ClientError, match="AccessDenied"):
        restorer.get_object(Bucket=BUCKET, Key=key)
