"""A leak of database sessions, made to order: connections that nobody uses, until so much of the server is taken."""

from __future__ import annotations

import asyncio
import math

import psycopg
from psycopg import AsyncConnection

from sandbox.simulator.control import Control
from sandbox.simulator.patience import Outage

LOOK_EVERY_S = 5.0
NAME = "leaked-session"

_IN_USE = """
SELECT count(*), current_setting('max_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


class Pressure:
    """Holds sessions while an order says so."""

    def __init__(self, dsn: str, control: Control) -> None:
        self.dsn = dsn
        self.control = control
        self.held: list[AsyncConnection[tuple[int, int]]] = []

    async def keep(self) -> None:
        """Follow the orders until cancelled."""
        outage = Outage("PostgreSQL, for sessions to hold,")
        try:
            while True:
                await self._adjust(outage)
                await self._pause()
        finally:
            await self._release()

    async def _adjust(self, outage: Outage) -> None:
        share = self.control.orders.held_sessions
        if not share:
            return await self._release()
        try:
            await self._take(share)
            outage.over()
        except (psycopg.Error, OSError) as error:
            outage.failed(error)

    async def _take(self, share: float) -> None:
        self.held = [connection for connection in self.held if not connection.closed] or [await self._open()]
        cursor = await self.held[0].execute(_IN_USE)
        in_use, most = await cursor.fetchone() or (0, 0)
        for _ in range(max(0, math.ceil(share * most) - in_use)):
            self.held.append(await self._open())

    async def _open(self) -> AsyncConnection[tuple[int, int]]:
        return await AsyncConnection.connect(self.dsn, autocommit=True, application_name=NAME, connect_timeout=3)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self.control.changed.wait()
        except TimeoutError:
            return
        self.control.changed.clear()

    async def _release(self) -> None:
        held, self.held = self.held, []
        for connection in held:
            await connection.close()
