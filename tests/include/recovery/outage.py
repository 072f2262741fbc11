"""Who uses the platform while its database is recovered: somebody who logs in, and somebody who asks the gateway, every 50 ms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psycopg

from sandbox.components.postgres import dsn
from sandbox.site import Site

EVERY_S = 0.05


@dataclass
class User:
    """Somebody who tries again and again, and remembers when it worked."""

    try_once: Callable[[], bool]
    worked: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(EVERY_S):
            with suppress(psycopg.Error, httpx.HTTPError):
                if self.try_once():
                    self.worked.append(time.monotonic())

    @property
    def longest_s(self) -> float:
        """The longest time in which nothing worked."""
        return max((b - a for a, b in zip(self.worked, self.worked[1:], strict=False)), default=float("inf"))


@dataclass(frozen=True)
class Users:
    database: User
    application: User


@contextmanager
def using(site: Site) -> Iterator[Users]:
    """Let both use the platform meanwhile."""
    address = dsn(site, "orchestrator_app")
    client = httpx.Client(base_url=site.url("gateway"), timeout=5, trust_env=False)

    def logs_in() -> bool:
        with psycopg.connect(address, connect_timeout=5) as session:
            return session.execute("select count(*) from workflows").fetchone() is not None

    users = Users(User(logs_in), User(lambda: client.get("/health").status_code == 200))
    threads = [threading.Thread(target=user.run, daemon=True) for user in (users.database, users.application)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    try:
        yield users
        time.sleep(2)
    finally:
        users.database.over.set()
        users.application.over.set()
        for thread in threads:
            thread.join(10)
        client.close()
