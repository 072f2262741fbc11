"""A bucket in memory that answers the few calls of boto3 that a reader makes, as S3 answers them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from include.backups.store import Store
from tests.include.backups.samples import AT


@dataclass
class Kept:
    id: str
    data: bytes
    stored_at: datetime
    tags: dict[str, str] = field(default_factory=dict)


class Bucket:
    def __init__(self) -> None:
        self.kept: dict[str, list[Kept]] = {}

    @property
    def store(self) -> Store:
        return Store(self, "bucket", who="the Connection x")

    def keep(self, key: str, data: bytes, **tags: str) -> Kept:
        """Write one more version, a minute after the one before."""
        before = self.kept.setdefault(key, [])
        new = Kept(f"v{len(before) + 1}", data, AT + timedelta(minutes=len(before)), tags)
        before.append(new)
        return new

    def get_object(self, *, Bucket: str, Key: str, VersionId: str, Range: str = "bytes=0-") -> dict[str, Any]:  # noqa: N803
        whole, start = self._version(Key, VersionId).data, int(Range.removeprefix("bytes=").rstrip("-"))
        answer = {"ContentLength": len(whole) - start, "Body": io.BytesIO(whole[start:])}
        return answer | ({"ContentRange": f"bytes {start}-{len(whole) - 1}/{len(whole)}"} if start else {})

    def get_object_tagging(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:  # noqa: N803
        return {"TagSet": [{"Key": k, "Value": v} for k, v in self._version(Key, VersionId).tags.items()]}

    def get_paginator(self, name: str) -> Any:
        assert name == "list_object_versions"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """One key a page, the newest version first."""
        for key in sorted(self.kept):
            if key.startswith(Prefix):
                yield {"Versions": [self._listed(key, each) for each in reversed(self.kept[key])]}

    def _listed(self, key: str, kept: Kept) -> dict[str, Any]:
        latest = kept is self.kept[key][-1]
        stored = {"Size": len(kept.data), "LastModified": kept.stored_at}
        return {"Key": key, "VersionId": kept.id, "IsLatest": latest, **stored}

    def _version(self, key: str, version_id: str) -> Kept:
        for kept in self.kept.get(key, []):
            if kept.id == version_id:
                return kept
        raise client_error("NoSuchVersion", 404)


def client_error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")
