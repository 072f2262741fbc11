"""What requests leave behind in database and cache, at a rate that a small machine bears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import psycopg
import redis.exceptions
from redis.asyncio import Redis

from sandbox.seed.history import keep_up
from sandbox.simulator import store
from sandbox.simulator.fleet import Replica
from sandbox.simulator.maintenance import utc_now
from sandbox.simulator.patience import Outage, beside, keep_on, stopped_within
from sandbox.simulator.routes import HTTP_SERVICES
from sandbox.simulator.sessions import NoSessionError

LOOKUPS_AT_PEAK_PER_S = 0.5
LONGEST_PAUSE_S = 15.0
RECORD_EVERY_S = 60.0
CACHED_S = 600
SESSION_S = 3600
WORKFLOWS = 60  # the seeded ones
ERRORS = (redis.exceptions.RedisError, NoSessionError, psycopg.Error, OSError)


@dataclass
class Visits:
    """Touches database and cache as the gateway and the auth service do.

    :param serving: service -> its replicas at work; without one of each nobody comes in.
    :param load: 0 to 1, how busy the hour is.
    """

    dice: Random
    dsn: str
    redis: Redis
    serving: Callable[[str], list[Replica]]
    load: Callable[[], float]

    async def keep(self, stop: asyncio.Event) -> None:
        """Look things up until told to stop."""
        await keep_on(Outage("what a visit needs"), lambda: self._look_up(stop), stop, ERRORS)

    async def record(self, stop: asyncio.Event) -> None:
        """Write what people did and were charged, until told to stop; the history goes on without a seam."""
        await keep_on(Outage("PostgreSQL, for the people's rows,"), lambda: self._record(stop), stop, ERRORS)

    async def _record(self, stop: asyncio.Event) -> None:
        if await stopped_within(stop, RECORD_EVERY_S):
            return
        if all(self._able(service) for service in HTTP_SERVICES):
            await beside(lambda: keep_up(self.dsn, utc_now()))

    async def _look_up(self, stop: asyncio.Event) -> None:
        pause_s = self.dice.expovariate(LOOKUPS_AT_PEAK_PER_S * self.load())
        if await stopped_within(stop, min(LONGEST_PAUSE_S, pause_s)):
            return
        if gateways := self._able("api-gateway"):
            await self._show_workflow(self.dice.choice(gateways))
            session = f"session:{self.dice.getrandbits(128):032x}"
            await self.redis.set(session, str(self.dice.randrange(1, 400)), ex=SESSION_S)

    def _able(self, service: str) -> list[Replica]:
        return [replica for replica in self.serving(service) if replica.session.up]

    async def _show_workflow(self, replica: Replica) -> None:
        workflow_id = self.dice.randrange(1, WORKFLOWS + 1)
        key = f"cache:workflow:live-{workflow_id}"
        if await cast("Awaitable[Any]", self.redis.get(key)):
            return
        async with replica.session.transaction() as cursor:
            found = await store.workflow(cursor, workflow_id)
        await self.redis.set(key, str(found), ex=CACHED_S)
