"""What the receivers remember: documents, what came in and with which verdict, and how each service is to behave."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Doc = dict[str, Any]
Mode = Literal["ok", "down", "slow", "forbidden", "empty", "rate_limited"]
MODES: tuple[str, ...] = get_args(Mode)
SERVICES = ("slack", "pagerduty", "statuspage", "grafana")
KEPT = 20_000
"""Requests kept for `/_recorded`; older ones go at the next start."""

SCHEMA = """
create table if not exists documents (
    kind text, parent text, key text, body text not null, primary key (kind, parent, key)
) without rowid;
create table if not exists requests (id integer primary key, service text not null, body text not null);
create index if not exists requests_of_service on requests (service, id);
create table if not exists modes (service text primary key, mode text not null, times integer);
create table if not exists counters (name text primary key, value integer not null);
"""


@dataclass(frozen=True)
class Page:
    """Keys strictly between `after` and `before`, at most `limit`, newest first if wanted."""

    after: str = ""
    before: str = "\U0010ffff"
    limit: int = -1
    newest_first: bool = False


class Store:
    """One SQLite file; every call commits, and a killed process loses nothing. One event loop uses it: calls never interleave."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._db.executescript(f"pragma journal_mode = wal; pragma synchronous = off; {SCHEMA}")
        self._db.execute("delete from requests where id <= (select max(id) from requests) - ?", (KEPT,))

    def close(self) -> None:
        """Write the log back into the file."""
        self._db.close()

    def get(self, kind: str, key: str, *, parent: str = "") -> Doc | None:
        """Return one document, or None."""
        query = "select body from documents where kind = ? and parent = ? and key = ?"
        row = self._db.execute(query, (kind, parent, key)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, key: str, body: Mapping[str, Any], *, parent: str = "") -> None:
        """Write one document over whatever was there."""
        self._db.execute("insert or replace into documents values (?, ?, ?, ?)", (kind, parent, key, json.dumps(body)))

    def delete(self, kind: str, key: str, *, parent: str = "") -> None:
        """Remove one document; nothing happens if there is none."""
        self._db.execute("delete from documents where kind = ? and parent = ? and key = ?", (kind, parent, key))

    def all(self, kind: str, *, parent: str = "", page: Page = Page()) -> list[Doc]:
        """Return the documents of one kind below one parent in the order of their keys."""
        order = "desc" if page.newest_first else "asc"
        query = f"""select body from documents where kind = ? and parent = ? and key > ? and key < ?
            order by key {order} limit ?"""  # noqa: S608 - one of two words of ours
        rows = self._db.execute(query, (kind, parent, page.after, page.before, page.limit))
        return [json.loads(body) for (body,) in rows]

    def next(self, counter: str, *, at_least: int = 1) -> int:
        """Count on, skipping to `at_least`: the same number never comes twice, not even after a restart."""
        query = """insert into counters values (?, ?)
            on conflict (name) do update set value = max(value + 1, excluded.value) returning value"""
        value: int = self._db.execute(query, (counter, at_least)).fetchone()[0]
        return value

    def record(self, service: str, request: Mapping[str, Any]) -> None:
        """Keep what came in."""
        self._db.execute("insert into requests (service, body) values (?, ?)", (service, json.dumps(request)))

    def recorded(self, service: str, *, after: int = 0, limit: int = KEPT) -> list[Doc]:
        """Return what came in since a request's id, oldest first, at most the newest `limit`."""
        query = "select id, body from requests where service = ? and id > ? order by id desc limit ?"
        rows = self._db.execute(query, (service, after, limit)).fetchall()
        return [{"id": number, **json.loads(body)} for number, body in reversed(rows)]

    def count(self, service: str) -> int:
        """Return how many requests of a service are kept."""
        counted: int = self._db.execute("select count(*) from requests where service = ?", (service,)).fetchone()[0]
        return counted

    def set_mode(self, service: str, mode: str, *, times: int | None = None) -> None:
        """Make a service misbehave: for good, or for the next `times` requests."""
        self._db.execute("insert or replace into modes values (?, ?, ?)", (service, mode, times))

    def modes(self) -> dict[str, str]:
        """Return the mode of every service."""
        chosen = dict(self._db.execute("select service, mode from modes where times is null or times > 0").fetchall())
        return {service: chosen.get(service, "ok") for service in SERVICES}

    def use_mode(self, service: str) -> str:
        """Return the mode for one request, which uses it up once if it is limited."""
        mode = self.modes()[service]
        self._db.execute("update modes set times = times - 1 where service = ?", (service,))
        return mode

    def clear(self) -> None:
        """Forget everything but the counters, so that no id is given twice."""
        self._db.executescript("delete from documents; delete from requests; delete from modes;")
