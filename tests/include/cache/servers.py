"""Servers of its own for a test: with the users of deploy/redis, alone or with a replica, and with keys of odd names."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from include.probes.cache import Place
from sandbox.components import valkey
from sandbox.site import PROJECT, free_ports

READER, REMOVER = "ops_cache_reader", "ops_cache_remover"


@dataclass
class Server:
    """A running server and its users."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def place(self) -> Place:
        return "127.0.0.1", self.port

    def client(self, user: str = "admin") -> Redis:
        return client(self.place, user)


def client(place: Place, user: str) -> Redis:
    host, port = place
    return Redis(
        host=host,
        port=port,
        username=user,
        password=f"password-of-{user}",
        socket_timeout=20,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
    )


def as_(user: str) -> Callable[[Place], Redis]:
    return lambda place: client(place, user)


@contextmanager
def served(of: Server | None = None, **options: str) -> Iterator[Server]:
    """Start a server, of another one a replica; it holds nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="aos-cache-", dir="/tmp"))
    names = dict.fromkeys(valkey.USERS, "")
    hashes = {user: hashlib.sha256(f"password-of-{user}".encode()).hexdigest() for user in names}
    acl = Template((PROJECT / "deploy" / "redis" / "users.acl").read_text()).substitute(hashes)
    (folder / "users.acl").write_text(acl)
    port = free_ports()["valkey"]
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "save": '""',
        "dir": str(folder),
        "aclfile": f"{folder}/users.acl",
    }
    if of:
        settings |= {"replicaof": f"127.0.0.1 {of.port}", "masteruser": "admin", "masterauth": "password-of-admin"}
    (folder / "valkey.conf").write_text("".join(f"{name} {value}\n" for name, value in (settings | options).items()))
    command = [str(valkey.program()), str(folder / "valkey.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        server = Server(folder, port, process)
        try:
            _eventually(lambda: server.client().ping())
            yield server
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its replica, which follows."""
    with ExitStack() as stack:
        primary = stack.enter_context(served())
        replica = stack.enter_context(served(primary, **{"replica-announce-ip": "127.0.0.1"}))
        _eventually(lambda: replica.client().info("replication")["master_link_status"] == "up")
        yield primary, replica


def _eventually(true: Callable[[], object], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(RedisError):
            if true():
                return
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


ODD = (
    b'"', b"'", b" ", b"\n", b"\r\n", b"\t", b"\x00", b"\xff\xfe", b"*", b"?", b"[a-z]", b"\\", b"$(rm -rf /)", b"`id`", b"%s",
    "straße".encode(), "日本".encode(), b"<script>", b"&amp;", b"@channel",
)  # fmt: skip
"""Pieces of names at which a shell, a glob or a message breaks."""

FAMILIES = (
    b"cache:report",
    b"cache:user",
    b"cache:template",
    b"session",
    b"queue",
    b"lock",
    b"tenant42:cart",
    b"feature-flags",
)


def filled(server: Server, keys: int, seed: int) -> None:
    """Fill it with keys of odd names, of all types and sizes; every fifth lasts for ever."""
    dice = random.Random(seed)
    with server.client() as redis:
        for start in range(0, keys, 2_000):
            with redis.pipeline(transaction=False) as pipeline:
                for number in range(start, min(start + 2_000, keys)):
                    _put(pipeline, dice, number)
                pipeline.execute()


def odd_name(dice: random.Random, number: int) -> bytes:
    head = dice.choices(FAMILIES, weights=(30, 20, 10, 20, 2, 3, 5, 10))[0]
    return b"%s:%s%d%s" % (head, dice.choice(ODD), number, dice.choice(ODD))


def _put(pipeline: Redis, dice: random.Random, number: int) -> None:
    name = odd_name(dice, number)
    kind = dice.choices(("string", "hash", "list", "set", "zset"), weights=(80, 8, 4, 4, 4))[0]
    fill = b"x" * min(4_000, int(20 * dice.paretovariate(1.3)))
    match kind:
        case "string":
            pipeline.set(name, fill)
        case "hash":
            pipeline.hset(name, mapping={f"field{n}": fill for n in range(dice.randrange(1, 6))})
        case "list":
            pipeline.rpush(name, *(fill for _ in range(dice.randrange(1, 6))))
        case "set":
            pipeline.sadd(name, *(f"{n}" for n in range(dice.randrange(1, 20))))
        case _:
            pipeline.zadd(name, {f"member{n}": n for n in range(dice.randrange(1, 6))})
    if dice.random() < 0.8:
        pipeline.pexpire(name, dice.choice((1_800_000, 40_000_000, 300_000_000, 3_000_000_000)))


@contextmanager
def watched(server: Server) -> Iterator[list[tuple[str, ...]]]:
    """What every client sends meanwhile, by MONITOR, without what the monitor itself does."""
    seen: list[tuple[str, ...]] = []
    over = threading.Event()
    redis = server.client()
    with redis.monitor() as monitor:  # type: ignore[no-untyped-call]
        thread = threading.Thread(target=_listen, args=(monitor, seen, over), daemon=True)
        thread.start()
        yield seen
        with server.client() as last:
            last.execute_command("ECHO", "over")
        assert over.wait(10)
    redis.close()


def _listen(monitor: object, seen: list[tuple[str, ...]], over: threading.Event) -> None:
    connection = monitor.connection  # type: ignore[attr-defined]
    while True:
        line = connection.read_response(disable_decoding=True)
        text = (line if isinstance(line, bytes) else line.encode()).decode("latin-1")
        words = tuple(word.strip('"') for word in text.partition("] ")[2].split('" "'))
        if words[0].upper() == "ECHO":
            over.set()
            return
        seen.append(words)


GROUPS = {"CLIENT", "MEMORY"}


def commands(seen: list[tuple[str, ...]]) -> set[str]:
    """Which commands were sent, with the second word of those that have one."""
    return {" ".join(words[: 2 if words[0].upper() in GROUPS else 1]).upper() for words in seen}


def granted(user: str) -> set[str]:
    """Which commands the ACL file grants a user, in the same form."""
    lines = (PROJECT / "deploy" / "redis" / "users.acl").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"user {user} "))
    return {word.strip("()")[1:].replace("|", " ").upper() for word in line.split() if word.startswith(("+", "(+"))}
