"""Where a backup lies in the bucket: `backups/database/orchestrator/2026/11/25/020013Z-1f0c9a2e-1/`, a fresh key every try.

Each kind has a prefix of its own: what cleans one never lists the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

KIND, CONFIGURATION = "database", "configuration"
DUMP, FINGERPRINT, GLOBALS, MANIFEST = "dump.age", "fingerprint.age", "globals.age", "manifest.json"
OBJECTS, SECRETS, FILES = "objects.json.gz", "secrets.age", "files.age"
NAMES: Mapping[str, frozenset[str]] = {
    KIND: frozenset({DUMP, FINGERPRINT, GLOBALS, MANIFEST}),
    CONFIGURATION: frozenset({OBJECTS, SECRETS, FILES, MANIFEST}),
}
"""What lies at the key of a backup, by its kind."""

_GRAMMAR = re.compile(
    r"backups/(?P<kind>[a-z]+)/(?P<database>[\w.-]+)/(?P<at>\d{4}/\d\d/\d\d/\d{6}Z)-(?P<op>[0-9a-f]{8})-(?P<attempt>[1-9]\d*)/",
    re.ASCII,
)
_AT = "%Y/%m/%d/%H%M%SZ"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One backup's place.

    :param database: what it is of: a database, or the namespace of a configuration.
    :param at: the database's clock when the snapshot was taken, UTC, whole seconds.
    :param op: the first eight hex digits of the operation id.
    :param attempt: the try of the task that wrote it.
    """

    database: str
    at: datetime
    op: str
    attempt: int
    kind: str = KIND

    def __str__(self) -> str:
        return f"{prefix(self.database, self.kind)}{self.at.astimezone(UTC):{_AT}}-{self.op}-{self.attempt}/"


def prefix(database: str, kind: str = KIND) -> str:
    """Return what the keys of all backups of a database begin with, or of a namespace."""
    return f"backups/{kind}/{database}/"


def fresh(database: str, at: datetime, op_id: str, attempt: int, kind: str = KIND) -> str:
    """Return the key of a new backup."""
    op = op_id.replace("-", "")[:8]
    return str(Key(database=database, at=at.replace(microsecond=0), op=op, attempt=attempt, kind=kind))


def parse(key: str) -> Key | None:
    """Return the parts of a key, or of an object below it; None if it is none of ours."""
    found = _GRAMMAR.match(key)
    if not found or found["kind"] not in NAMES:
        return None
    try:
        at = datetime.strptime(found["at"], _AT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Key(database=found["database"], at=at, op=found["op"], attempt=int(found["attempt"]), kind=found["kind"])
