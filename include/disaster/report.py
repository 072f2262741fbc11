"""Where the report lies: below `reports/`, which no backup's key begins with, under a name that each try has for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.backups.store import Store
from include.reporting import pdf
from include.reporting.document import Document, markdown

PREFIX = "reports/disaster-recovery/"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was stored.

    :param objects: by key: version and SHA-256, by which a copy is compared with the evidence.
    """

    bucket: str
    place: str
    objects: Mapping[str, Mapping[str, str]]

    @property
    def said(self) -> str:
        """Where it is, for people."""
        seal = next(iter(self.objects.values()))["sha256"][:12]
        return f"the report is s3://{self.bucket}/{self.place}.pdf, and .md with the same words (seal {seal})"

    @property
    def evidence(self) -> dict[str, Any]:
        """The same in full."""
        return {"bucket": self.bucket, "objects": {name: dict(facts) for name, facts in self.objects.items()}}


def key(at: datetime, op_id: str, attempt: int) -> str:
    """Return the key without its end: `reports/disaster-recovery/2026/12/07-130213Z-1f0c9a2e-1`."""
    return f"{PREFIX}{at.astimezone(UTC):%Y/%m/%d-%H%M%SZ}-{op_id.replace('-', '')[:8]}-{attempt}"


def keep(store: Store, place: str, document: Document) -> Kept:
    """Store it as Markdown and as PDF; RefusedError if something lies there already.

    The foot of each page bears the first digits of the SHA-256 of the Markdown, and the evidence bears all of them.
    """
    words = markdown(document).encode()
    drawn = pdf.render(document, seal=f"seal {_sha256(words)[:12]}")
    return Kept(
        bucket=store.bucket,
        place=place,
        objects={name: _put(store, name, data) for name, data in ((f"{place}.md", words), (f"{place}.pdf", drawn))},
    )


def _put(store: Store, name: str, data: bytes) -> dict[str, str]:
    return {"version": store.put(name, data, once=True).id, "sha256": _sha256(data)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
