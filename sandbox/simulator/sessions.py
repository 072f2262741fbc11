"""The database session of a replica: opened when it is ready, closed when it goes, and found again after an outage."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow, dict_row

from sandbox.simulator.patience import Outage, stopped_within

PING_EVERY_S = 5.0
STATEMENT_TIMEOUT_MS = 5_000
CUT_AFTER_S = 6.0
"""When a server that has not even ended the statement at its time limit counts as gone."""

Cursor = AsyncCursor[DictRow]


class NoSessionError(Exception):
    """The replica has no database session now."""


class Session:
    """One connection, named after the pod in `pg_stat_activity`."""

    def __init__(self, dsn: str, pod: str) -> None:
        self.dsn = dsn
        self.pod = pod
        self.was_up = False  # a replica takes no request before it has its session
        self._connection: AsyncConnection[DictRow] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def up(self) -> bool:
        """Whether it is connected, as far as anyone knows."""
        return self._connection is not None and not self._connection.closed

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Cursor]:
        """Run statements in one transaction; NoSessionError when the server is away."""
        async with self._one_at_a_time:
            if self._connection is None or self._connection.closed:
                raise NoSessionError(f"{self.pod} has no database session")
            try:
                with _cut_if_silent(self._connection):
                    async with self._connection.transaction(), self._connection.cursor() as cursor:
                        yield cursor
            except psycopg.OperationalError as error:
                await self._drop()
                raise NoSessionError(f"{self.pod} lost its database session: {error}") from error

    async def keep(self, stop: asyncio.Event) -> None:
        """Hold the session until told to stop."""
        outage = Outage(f"PostgreSQL, for {self.pod},")
        try:
            while not stop.is_set():
                await stopped_within(stop, await self._look_after(outage))
        finally:
            await self._drop()

    async def _look_after(self, outage: Outage) -> float:
        try:
            if self.up:
                async with self.transaction() as cursor:
                    await cursor.execute("SELECT 1")
            else:
                self._connection = await _connect(self.dsn, self.pod)
                self.was_up = True
        except (NoSessionError, psycopg.Error, OSError) as error:
            return outage.failed(error)
        outage.over()
        return PING_EVERY_S

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


@contextmanager
def _cut_if_silent(connection: AsyncConnection[DictRow]) -> Iterator[None]:
    watchdog = asyncio.get_running_loop().call_later(CUT_AFTER_S, _cut, connection)
    try:
        yield
    finally:
        watchdog.cancel()


def _cut(connection: AsyncConnection[DictRow]) -> None:
    # Cancelling would wait for the server's consent; the end of the stream wakes whoever reads from it.
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


async def _connect(dsn: str, pod: str) -> AsyncConnection[DictRow]:
    options: dict[str, Any] = {"application_name": pod, "connect_timeout": 3}
    connection = await AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row, **options)
    await connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
    return connection
