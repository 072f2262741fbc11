"""Where a backup lies in the bucket: `backups/database/orchestrator/2026/11/25/020013Z-1f0c9a2e-1/`, a fresh key every try."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

KIND = "database"
DUMP, FINGERPRINT, GLOBALS, MANIFEST = "dump.age", "fingerprint.age", "globals.age", "manifest.json"

_GRAMMAR = re.compile(
    r"backups/(?P<kind>[a-z]+)/(?P<database>[\w.-]+)/(?P<at>\d{4}/\d\d/\d\d/\d{6}Z)-(?P<op>[0-9a-f]{8})-(?P<attempt>[1-9]\d*)/",
    re.ASCII,
)
_AT = "%Y/%m/%d/%H%M%SZ"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One backup's place.

    :param at: the database's clock when the snapshot was taken, UTC, whole seconds.
    :param op: the first eight hex digits of the operation id.
    :param attempt: the try of the task that wrote it.
    """

    database: str
    at: datetime
    op: str
    attempt: int

    def __str__(self) -> str:
        return f"{prefix(self.database)}{self.at.astimezone(UTC):{_AT}}-{self.op}-{self.attempt}/"


def prefix(database: str) -> str:
    """Return what the keys of all backups of a database begin with."""
    return f"backups/{KIND}/{database}/"


def fresh(database: str, at: datetime, op_id: str, attempt: int) -> str:
    """Return the key of a new backup."""
    return str(Key(database=database, at=at.replace(microsecond=0), op=op_id.replace("-", "")[:8], attempt=attempt))


def parse(key: str) -> Key | None:
    """Return the parts of a key, or of an object below it; None if it is none of ours."""
    found = _GRAMMAR.match(key)
    if not found or found["kind"] != KIND:
        return None
    try:
        at = datetime.strptime(found["at"], _AT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Key(database=found["database"], at=at, op=found["op"], attempt=int(found["attempt"]))
