"""One platform in small on this machine: where its files lie, which ports it has, which passwords it made."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

PORTS: Mapping[str, int] = {
    "airflow": 8080,
    "alertmanager": 28093,
    "etcd": 28379,
    "etcd_peer": 28380,
    "gateway": 28000,
    "kube_apiserver": 28443,
    "kube_controller_manager": 28257,
    "kube_scheduler": 28259,
    "kwok": 28250,
    "metrics_server": 28444,
    "patroni_staging_1": 28441,
    "patroni_staging_2": 28442,
    "postgres": 28432,
    "postgres_ops": 28434,
    "postgres_scratch": 28433,
    "postgres_staging_1": 28435,
    "postgres_staging_2": 28436,
    "prometheus": 28090,
    "receivers": 28800,
    "s3": 28900,
    "simulator_metrics": 28001,
    "valkey": 28637,
    "valkey_staging_1": 28638,
    "valkey_staging_2": 28639,
    "watch": 28950,
}
"""Port of every server of `make up`; all of them listen on loopback only."""

BLOCKS = range(10240, 27904, 32)
"""First port of every block that `free_ports` may choose: below what Linux gives to outgoing connections (32768)."""

_HOLDERS: list[socket.socket] = []


@dataclass(frozen=True)
class Site:
    """A folder of state and a table of ports; all else follows from these two."""

    state: Path
    ports: Mapping[str, int]

    @classmethod
    def create(cls, state: Path, ports: Mapping[str, int]) -> Site:
        """Make the folder, or find it, and keep its ports."""
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o711)  # an unprivileged PostgreSQL passes through to its own folder; nobody else lists it
        site = cls(state, dict(ports))
        (state / "site.json").write_text(json.dumps({"ports": site.ports}))
        return site

    @classmethod
    def load(cls, state: Path) -> Site:
        """Read back a site that `create` made; FileNotFoundError if there is none."""
        return cls(state, json.loads((state / "site.json").read_text())["ports"])

    def path(self, *parts: str) -> Path:
        """Return a path below the state folder; its parent exists, and is ours alone if it was not there."""
        path = self.state.joinpath(*parts)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def folder(self, *parts: str, mode: int = 0o700) -> Path:
        """Return a folder below the state folder; it exists."""
        folder = self.path(*parts)
        folder.mkdir(mode=mode, exist_ok=True)
        return folder

    def url(self, name: str, scheme: str = "http") -> str:
        """Return the loopback address of a component: `http://127.0.0.1:28090`."""
        return f"{scheme}://127.0.0.1:{self.ports[name]}"

    def secret(self, name: str, make: Callable[[], str] | None = None) -> str:
        """Return the password of that name, made at random the first time, kept in a file that only we read.

        :param make: for a secret of another form than a password.
        """
        path = self.folder("secrets") / name
        if not path.exists():
            _write_once(path, make() if make else secrets.token_urlsafe(24))
        return path.read_text()


def _write_once(path: Path, text: str) -> None:
    # Two components may ask for the same password at once: the first link wins, both read it back.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def default_state() -> Path:
    """Return the state folder of this checkout: two clones on one machine do not share one."""
    if chosen := os.environ.get("SANDBOX_STATE"):
        return Path(chosen).expanduser().resolve()
    name = f"ai-orchestrator-sandbox/{hashlib.sha256(str(PROJECT).encode()).hexdigest()[:8]}"
    if os.geteuid() == 0:
        return Path("/var/lib") / name  # root's home is closed to the unprivileged user that PostgreSQL needs
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / name


def bypass_proxies() -> None:
    """Let loopback be reached directly whatever proxy the machine uses; every HTTP client reads these variables."""
    for variable in ("NO_PROXY", "no_proxy"):
        named = [name for name in os.environ.get(variable, "").split(",") if name]
        os.environ[variable] = ",".join(dict.fromkeys([*named, "127.0.0.1", "localhost"]))


def cache() -> Path:
    """Return the folder that every checkout shares: built programs, keyed by the hash of their pin."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ai-orchestrator-sandbox"


def free_ports() -> dict[str, int]:
    """Return a port for every server that nobody has, so that tests can run beside `make up` and beside each other.

    They lie below the ports that Linux gives to outgoing connections, in a block that nobody else is given while this
    process lives: it holds the block's first port.
    """
    blocks = list(BLOCKS)
    random.shuffle(blocks)
    return next(filter(None, map(_block, blocks)))


def _block(first: int) -> dict[str, int] | None:
    ports = dict(zip(PORTS, range(first + 1, first + BLOCKS.step), strict=False))
    with ExitStack() as stack:
        try:
            holder, *_ = [_bound(stack, port) for port in (first, *ports.values())]
        except OSError:
            return None
        _HOLDERS.append(holder.dup())
    return ports


def _bound(stack: ExitStack, port: int) -> socket.socket:
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", port))
    return listener
