"""Which S3 operation a request is, guessed from its method, path and query; the bucket is the path's first part."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

_OBJECT: Mapping[tuple[str, str], str] = {
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "uploadId"): "ListParts",
    ("PUT", "tagging"): "PutObjectTagging",
    ("GET", "tagging"): "GetObjectTagging",
    ("DELETE", "tagging"): "DeleteObjectTagging",
    ("PUT", "retention"): "PutObjectRetention",
    ("GET", "retention"): "GetObjectRetention",
    ("PUT", "legal-hold"): "PutObjectLegalHold",
    ("GET", "legal-hold"): "GetObjectLegalHold",
    ("GET", "attributes"): "GetObjectAttributes",
    ("PUT", ""): "PutObject",
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("DELETE", ""): "DeleteObject",
}
_BUCKET: Mapping[tuple[str, str], str] = {
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("GET", "object-lock"): "GetObjectLockConfiguration",
    ("PUT", "object-lock"): "PutObjectLockConfiguration",
    ("GET", "policy"): "GetBucketPolicy",
    ("PUT", "policy"): "PutBucketPolicy",
    ("GET", "location"): "GetBucketLocation",
    ("POST", "delete"): "DeleteObjects",
    ("GET", ""): "ListObjects",
    ("HEAD", ""): "HeadBucket",
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
}
_COPIES: Mapping[str, str] = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


def operation(method: str, path: str, query: str, *, copies: bool = False) -> str:
    """Return boto3's name of the operation, or an empty one."""
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    table = _OBJECT if key else _BUCKET
    parameters = [*(name for name, _ in parse_qsl(query, keep_blank_values=True)), ""]
    name = next((table[method, parameter] for parameter in parameters if (method, parameter) in table), "")
    return _COPIES.get(name, name) if copies else name
