"""Load for a database while something else reads it: writers, and changers of tables, that get in each other's way."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import errors

from tests.zoo.deeds import CHANGES, WRITES, Deeds, filled

Connection = psycopg.Connection[tuple[Any, ...]]

TOTAL = 150_000
"""The sum over both tables of accounts, before, during and after."""

THREADS: tuple[tuple[Deeds, float], ...] = (
    (WRITES, 0.02),
    (WRITES, 0.02),
    (WRITES, 0.05),
    (CHANGES, 0.05),
    (CHANGES, 0.1),
)
"""One thread each: what it does, and for how long it rests on average after each deed."""

EXPECTED = (
    errors.CheckViolation,  # no partition for the row
    errors.DeadlockDetected,
    errors.DuplicateColumn,
    errors.DuplicateTable,
    errors.LockNotAvailable,
    errors.TooManyColumns,
    errors.UndefinedColumn,
    errors.UndefinedObject,
    errors.UndefinedTable,
    errors.UniqueViolation,  # two made the same at the same time
    errors.WrongObjectType,  # attached already
)
RACES = ("tuple concurrently", "could not open relation with OID", "cache lookup failed")
"""What PostgreSQL calls internal errors and are catalogs that changed between two looks."""

GRACE_S = 0.5


def total(connection: Connection) -> int:
    """Return the sum over both tables of accounts in one snapshot."""
    accounts = "select amount from zoo_churn.left_accounts union all select amount from zoo_churn.right_accounts"
    return int(connection.execute(f"select sum(amount)::bigint from ({accounts}) x".encode()).fetchall()[0][0])


class Churn:
    """Five threads at work in the schema `zoo_churn` from `with` to its end; what they left stays.

    :param connect: opens a connection of a role that may create a schema in the database; called in this thread.
    :param seed: the same seed gives each thread the same deeds; how they interleave differs.
    """

    def __init__(self, connect: Callable[[], Connection], seed: int) -> None:
        self._connect = connect
        self._seed = seed
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._errors: list[Exception] = []
        self._threads: list[tuple[threading.Thread, Connection]] = []
        self.counts: Counter[str] = Counter()
        """Deeds that were committed, by their names in `deeds`."""
        self.hindered: Counter[str] = Counter()
        """Deeds that failed as they may, by the class of the error."""

    def __enter__(self) -> Self:
        with self._connect() as connection:
            connection.autocommit = True
            connection.execute((Path(__file__).parent / "sql" / "churn.sql").read_bytes())
        self._threads = [self._thread(number) for number in range(len(THREADS))]
        for thread, _ in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread, connection in self._threads:
            self._end(thread, connection)
        if self._errors and error is None:
            raise ExceptionGroup("the churn met errors that contention does not explain", self._errors)

    def _thread(self, number: int) -> tuple[threading.Thread, Connection]:
        connection = self._connect()
        connection.autocommit = True
        connection.prepare_threshold = None  # a prepared statement fails once its table has another shape
        connection.execute("set lock_timeout = '2s'")
        thread = threading.Thread(target=self._work, args=(number, connection), name=f"churn-{number}", daemon=True)
        return thread, connection

    def _end(self, thread: threading.Thread, connection: Connection) -> None:
        thread.join(GRACE_S / len(self._threads))
        if thread.is_alive():
            connection.cancel()
            thread.join(GRACE_S)
        if thread.is_alive():
            self._errors.append(TimeoutError(f"{thread.name} did not stop"))
        connection.close()

    def _work(self, number: int, connection: Connection) -> None:
        deeds, rest = THREADS[number]
        chance = random.Random(f"{self._seed} {number}")
        while not self._over.is_set():
            name = chance.choice(list(deeds))
            self._try(connection, name, filled(deeds[name], chance))
            self._over.wait(chance.uniform(0, 2 * rest))

    def _try(self, connection: Connection, name: str, statements: list[str]) -> None:
        try:
            _do(connection, statements)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on and the end tells
            self._failed(name, error)
        else:
            self._count(self.counts, name)

    def _failed(self, name: str, error: Exception) -> None:
        if self._is_expected(error):
            self._count(self.hindered, type(error).__name__)
        else:
            error.add_note(f"in the deed: {name}")
            self._errors.append(error)

    def _is_expected(self, error: Exception) -> bool:
        if isinstance(error, errors.QueryCanceled):
            return self._over.is_set()
        return isinstance(error, EXPECTED) or (
            isinstance(error, errors.InternalError_) and any(race in str(error) for race in RACES)
        )

    def _count(self, counter: Counter[str], name: str) -> None:
        with self._lock:
            counter[name] += 1


def _do(connection: Connection, statements: list[str]) -> None:
    with connection.transaction():
        for statement in statements:
            connection.execute(statement.encode())
