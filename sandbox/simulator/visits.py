"""What requests leave behind: logins, events, sessions and cached answers, at a rate that a small machine bears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import psycopg
import redis.exceptions
from redis.asyncio import Redis

from sandbox.simulator import store
from sandbox.simulator.fleet import Replica
from sandbox.simulator.patience import keep_on, stopped_within
from sandbox.simulator.sessions import NoSessionError

PEAK_PER_S = 0.5
LONGEST_PAUSE_S = 15.0
CACHED_S = 600
SESSION_S = 3600
POPULAR = 300  # workflows that people look at
ERRORS = (redis.exceptions.RedisError, NoSessionError, psycopg.Error, OSError)


@dataclass
class Visits:
    """Touches database and cache as the gateway and the auth service do.

    :param load: 0 to 1, how busy the hour is.
    """

    dice: Random
    redis: Redis
    serving: Callable[[str], list[Replica]]
    load: Callable[[], float]

    async def keep(self, stop: asyncio.Event) -> None:
        """Visit until told to stop."""
        await keep_on("what a visit needs", lambda: self._once(stop), stop, ERRORS)

    async def _once(self, stop: asyncio.Event) -> None:
        if await stopped_within(stop, min(LONGEST_PAUSE_S, self.dice.expovariate(PEAK_PER_S * self.load()))):
            return
        for service, visit in (("api-gateway", self._look_up), ("auth-service", self._log_in)):
            if replicas := [replica for replica in self.serving(service) if replica.session.up]:
                await visit(self.dice.choice(replicas))

    async def _look_up(self, replica: Replica) -> None:
        workflow_id = self.dice.randrange(1, POPULAR)
        key = f"cache:workflow:{workflow_id}"
        if await cast("Awaitable[Any]", self.redis.get(key)):
            return
        async with replica.session.transaction() as cursor:
            found = await store.workflow(cursor, workflow_id)
        await self.redis.set(key, str(found), ex=CACHED_S)

    async def _log_in(self, replica: Replica) -> None:
        async with replica.session.transaction() as cursor:
            await store.login(cursor)
        await self.redis.set(f"session:{self.dice.getrandbits(64):016x}", replica.pod.name, ex=SESSION_S)
