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

from sandbox.simulator import people, store
from sandbox.simulator.fleet import Replica
from sandbox.simulator.maintenance import utc_now
from sandbox.simulator.patience import keep_on, stopped_within
from sandbox.simulator.sessions import NoSessionError
from sandbox.simulator.traffic import address

LOOKUPS_AT_PEAK_PER_S = 0.5
LONGEST_PAUSE_S = 15.0
CACHED_S = 600
SESSION_S = 3600
WORKFLOWS = 60  # the seeded ones
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
        if await stopped_within(stop, min(LONGEST_PAUSE_S, self.dice.expovariate(LOOKUPS_AT_PEAK_PER_S * self.load()))):
            return
        if gateway := self._one_of("api-gateway"):
            await self._look_up(gateway)
        if self.dice.random() < people.EVENTS_AT_PEAK_PER_S / LOOKUPS_AT_PEAK_PER_S and (
            auth := self._one_of("auth-service")
        ):
            await self._visit(auth)

    def _one_of(self, service: str) -> Replica | None:
        able = [replica for replica in self.serving(service) if replica.session.up]
        return self.dice.choice(able) if able else None

    async def _look_up(self, replica: Replica) -> None:
        workflow_id = self.dice.randrange(1, WORKFLOWS + 1)
        key = f"cache:workflow:{workflow_id}"
        if await cast("Awaitable[Any]", self.redis.get(key)):
            return
        async with replica.session.transaction() as cursor:
            found = await store.workflow(cursor, workflow_id)
        await self.redis.set(key, str(found), ex=CACHED_S)

    async def _visit(self, replica: Replica) -> None:
        kind = self.dice.choice(people.KINDS)
        async with replica.session.transaction() as cursor:
            user_id = await people.visit(cursor, kind, utc_now())
            if kind in people.AUDITED:
                await people.audit(cursor, user_id, people.AUDITED[kind], _target(kind, self.dice), address(self.dice))
        await self.redis.set(f"session:{self.dice.getrandbits(64):016x}", str(user_id), ex=SESSION_S)


def _target(kind: str, dice: Random) -> str:
    return "session" if kind == "login" else f"workflow:{dice.randrange(1, WORKFLOWS + 1)}"
