"""An S3 server with the backup bucket: versioned, lockable, and with one user for each thing that is done to backups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Any
from xml.sax.saxutils import escape

import boto3
import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.binaries import program
from sandbox.component import Component, NotReadyError
from sandbox.site import PROJECT, Site

BUCKET = "ai-orchestrator-backups"
REGION = "us-east-1"
ROOT = "root"
USERS = (
    "backup_writer",
    "backup_verifier",
    "backup_restorer",
    "backup_reaper",
    "backup_dr",
    "report_writer",
    "archive_writer",
    "watch",
)
WINDOW_CLOSED = "1970-01-01T00:00:00Z"

_ONE_TRY = Config(
    connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
)


def client(site: Site, user: str = ROOT) -> Any:
    """Return a boto3 client that signs as that user, with short time-outs and one try."""
    keys = {"aws_access_key_id": user, "aws_secret_access_key": site.secret(f"s3-{user}")}
    return boto3.client("s3", endpoint_url=site.url("s3"), region_name=REGION, config=_ONE_TRY, **keys)


def variables(site: Site, user: str) -> dict[str, str]:
    """Return the environment by which a client of S3 finds this server and signs as that user."""
    return {
        "AWS_ENDPOINT_URL": site.url("s3"),
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": site.secret(f"s3-{user}"),
    }


def apply_policy(site: Site, restorer_until: str = WINDOW_CLOSED) -> None:
    """Put the bucket's policy in force; the restorer may read until that moment (UTC, `2027-03-01T12:30:00Z`)."""
    template = Template((PROJECT / "deploy" / "s3" / "backups.json").read_text())
    policy = template.substitute(bucket=BUCKET, restorer_until=restorer_until)
    # Without its blanks: the server keeps it in an attribute of a folder, which holds 4 kB on many file systems.
    client(site).put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(json.loads(policy), separators=(",", ":")))


def _prepare(site: Site) -> None:
    for name in ("objects", "versions", "users"):
        site.folder("s3")
        site.folder("s3", name)


def _command(site: Site) -> list[str]:
    words = [str(program("versitygw")), "--port", f"127.0.0.1:{site.ports['s3']}", "--region", REGION, "--quiet"]
    words += ["--iam-dir", str(site.path("s3", "users"))]
    return [*words, "posix", "--versioning-dir", str(site.path("s3", "versions")), str(site.path("s3", "objects"))]


def _environment(site: Site) -> Mapping[str, str]:
    return {"ROOT_ACCESS_KEY": ROOT, "ROOT_SECRET_KEY": site.secret(f"s3-{ROOT}")}


def _ready(site: Site) -> None:
    try:
        client(site).list_buckets()
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error)) from None


def _fill(site: Site) -> None:
    for user in USERS:
        _create_user(site, user)
    _create_bucket(site)
    apply_policy(site)


def _create_bucket(site: Site) -> None:
    s3 = client(site)
    if BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)  # which switches versioning on


def _create_user(site: Site, name: str) -> None:
    # The server's own command for this takes the new secret as an argument, where every process can read it.
    secret = escape(site.secret(f"s3-{name}"))
    account = f"<Account><Access>{name}</Access><Secret>{secret}</Secret><Role>user</Role></Account>"
    answer = _signed(site, "PATCH", "/create-user", account)
    if answer.status_code != httpx.codes.CONFLICT:  # it exists
        answer.raise_for_status()


def _signed(site: Site, method: str, path: str, body: str) -> httpx.Response:
    request = AWSRequest(method, site.url("s3") + path, data=body.encode(), headers={"Content-Type": "application/xml"})
    S3SigV4Auth(Credentials(ROOT, site.secret(f"s3-{ROOT}")), "s3", REGION).add_auth(request)
    return httpx.request(method, request.url, content=request.data, headers=dict(request.headers), timeout=10)


COMPONENTS = (
    Component(
        name="s3",
        prepare=_prepare,
        command=_command,
        environment=_environment,
        ready=_ready,
        after=_fill,
        ports=("s3",),
    ),
)
