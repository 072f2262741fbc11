"""An application's load at a fixed rate: each statement has its time, and waits for a late one count (no coordinated omission)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from random import Random
from typing import Any

import psycopg

CLIENTS = 6
STATEMENTS = (
    "select tag from big where id = %(id)s",
    "update big set tag = md5(tag) where id = %(id)s",
    "insert into big (id, tag) values (%(new)s, 'new') on conflict do nothing",
    "select count(*) from big where tag between %(tag)s and %(tag)s || '~'",
)


class Load:
    """A process of its own that sends; forked before anything else runs beside it.

    :param address: with a password in it, so it is handed over by the fork and not by argv.
    :param rows: of the table.
    """

    def __init__(self, address: str, rows: int) -> None:
        self.address, self.rows = address, rows
        self._ours, theirs = get_context("fork").Pipe()
        self._process = get_context("fork").Process(target=self._serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def offered(self, rate: float, seconds: float, seed: int) -> Offered:
        """Send so many a second, 0 means as many as there can be; return how long each took from its time on."""
        self._ours.send((rate, seconds, seed))
        assert self._ours.poll(seconds + 30), "the load does not answer"
        waits, errors = self._ours.recv()
        return Offered(waits_s=waits, errors=errors, seconds=seconds)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _serve(self, orders: Any) -> None:
        while True:
            self._rate, seconds, seed = orders.recv()
            places, begins = count(), time.monotonic() + 0.3  # when every client is connected
            with ThreadPoolExecutor(CLIENTS) as pool:
                sent = [pool.submit(self._client, seed + each, places, begins, seconds) for each in range(CLIENTS)]
                answers = [each.result() for each in sent]
            orders.send(
                ([wait for waits, _ in answers for wait in waits], [error for _, errors in answers for error in errors])
            )

    def _client(self, seed: int, places: count[int], begins: float, seconds: float) -> tuple[list[float], list[str]]:
        random, waits, errors = Random(seed), list[float](), list[str]()
        with psycopg.connect(self.address, autocommit=True) as session:
            while True:
                due = begins + next(places) / self._rate if self._rate else max(time.monotonic(), begins)
                if due > begins + seconds:
                    return waits, errors
                time.sleep(max(due - time.monotonic(), 0))
                try:
                    session.execute(random.choice(STATEMENTS), self._values(random))
                except psycopg.Error as error:
                    errors.append(str(error))
                waits.append(time.monotonic() - due)

    def _values(self, random: Random) -> dict[str, Any]:
        return {
            "id": random.randrange(self.rows),
            "new": random.randrange(self.rows, 1 << 40),
            "tag": f"{random.getrandbits(20):05x}",
        }


@dataclass(frozen=True, kw_only=True)
class Offered:
    """What came of it."""

    waits_s: Sequence[float]
    errors: Sequence[str]
    seconds: float

    @property
    def p99_s(self) -> float:
        """Of all statements, the wait that one in a hundred exceeds."""
        return sorted(self.waits_s)[int(0.99 * len(self.waits_s))]
