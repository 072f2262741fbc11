"""A backup as it could be, for tests: facts, manifest, contents and fingerprint, each field to be changed by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.backups import keys
from include.backups.fingerprint import Contents, Fingerprint
from include.backups.manifest import Facts, Manifest, Stored

AT = datetime(2026, 11, 25, 2, 0, 13, tzinfo=UTC)
OP_ID = "1f0c9a2e-9d1b-4c0a-8f51-0c6f3c8f7a10"
KEY = keys.fresh("orchestrator", AT, OP_ID, 1)
STORED = Stored(version_id="v1", bytes=100, sha256="a" * 64, parts=1, plain_bytes=80, plain_sha256="b" * 64)
CONTENTS = Contents(
    tables={"public.a": (60, "1"), "public.b": (40, "-2")},
    sequences={"public.a_id_seq": (20, 26)},
    inventory={"index": {"public.a_pkey": "i"}, "view": {"public.v": "v"}},
    large_objects=(2, 5, "7"),
)


def facts(**changed: Any) -> Facts:
    known: dict[str, Any] = {
        "key": KEY,
        "op_id": OP_ID,
        "database": "orchestrator",
        "system_identifier": "7301",
        "server_version": "17.10",
        "in_recovery": False,
        "snapshot": "00000003-0000001B-1",
        "lsn": "0/1B2C3D4",
        "taken_at": AT,
        "finished_at": AT + timedelta(seconds=30),
        "last_commit_at": None,
        "database_bytes": 8_000_000,
        "tables": 2,
        "rows": CONTENTS.rows,
        "dump_version": "pg_dump (PostgreSQL) 17.10",
        "code_version": "c0ee74d",
        "part_bytes": 16 << 20,
        "recipients": {"operations": "age1x", "escrow": "age1y"},
        "previous": None,
    }
    return Facts(**known | changed)


def manifest(**changed: Any) -> Manifest:
    known: dict[str, Any] = {
        "format": 1,
        "facts": facts(),
        "objects": dict.fromkeys((keys.DUMP, keys.FINGERPRINT, keys.GLOBALS), STORED),
    }
    return Manifest(**known | changed)


def at_key(key: str, **changed: Any) -> Manifest:
    return manifest(facts=facts(key=key, **changed))


def fingerprint(**changed: Any) -> Fingerprint:
    known: dict[str, Any] = {
        "facts": facts(),
        "contents": CONTENTS,
        "extensions": {"plpgsql": "1.0"},
        "database": {"encoding": "UTF8"},
        "roles": {"owner": {}, "reader": {}},
    }
    return Fingerprint(**known | changed)
