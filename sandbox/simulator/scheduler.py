"""What the scheduler does: one of its replicas, and never two, queues the work that is due and finds what was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import redis.exceptions

from sandbox.seed.shape import EXECUTIONS_AT_PEAK_PER_S
from sandbox.simulator import store
from sandbox.simulator.fleet import Replica
from sandbox.simulator.patience import Outage, keep_on, stopped_within
from sandbox.simulator.podlogs import PodLogs, structured
from sandbox.simulator.queue import Queue
from sandbox.simulator.sessions import NoSessionError

BATCH_S = 60.0  # a few items at once, so that there is a queue to look at
ERRORS = (redis.exceptions.RedisError, NoSessionError, OSError)
_LEADER = 20_260_001  # key of the advisory lock; any number that nothing else in this database uses


@dataclass
class Schedulers:
    """The role of the scheduler pods.

    :param load: 0 to 1, how busy the hour is.
    """

    dice: Random
    queue: Queue
    logs: PodLogs
    load: Callable[[], float]

    def __post_init__(self) -> None:
        self._owed = 1.0

    async def __call__(self, replica: Replica) -> None:
        """Queue work until the replica's `stop`."""
        await keep_on(Outage(f"what {replica.pod.name} needs"), lambda: self._once(replica), replica.stop, ERRORS)

    async def _once(self, replica: Replica) -> None:
        if not replica.session.up or not await _leads(replica):
            await stopped_within(replica.stop, 2.0)
            return
        await self._find_lost(replica)
        await self._queue_due(replica)
        await stopped_within(replica.stop, BATCH_S * self.dice.uniform(0.5, 1.5))

    async def _queue_due(self, replica: Replica) -> None:
        self._owed += EXECUTIONS_AT_PEAK_PER_S * self.load() * BATCH_S
        count, self._owed = int(self._owed), self._owed % 1
        async with replica.session.transaction() as cursor:
            chosen = await store.some_workflows(cursor, count)
            queued = [await store.queue_execution(cursor, workflow_id) for workflow_id in chosen]
        for execution_id in queued:
            if execution_id is not None:
                await self.queue.put(execution_id)
        self.logs.write(replica.pod, structured(level="info", msg="work queued", count=len(queued)))

    async def _find_lost(self, replica: Replica) -> None:
        """End what a dead worker left, and queue again what an emptied queue lost."""
        empty = not await self.queue.depth()
        async with replica.session.transaction() as cursor:
            ended = await store.fail_lost(cursor)
            strays = await store.stray_executions(cursor) if empty else []
        for execution_id in strays:
            await self.queue.put(execution_id)
        if ended or strays:
            self.logs.write(replica.pod, structured(level="warning", msg="found lost", ended=ended, queued=len(strays)))


async def _leads(replica: Replica) -> bool:
    """Take the lead if nobody has it; it ends with the session, so a dead leader has a successor in seconds."""
    async with replica.session.transaction() as cursor:
        statement = "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid = pg_backend_pid()"
        await cursor.execute(statement, (_LEADER,))
        if (await cursor.fetchone() or {})["held"]:
            return True
        await cursor.execute("SELECT pg_try_advisory_lock(%s) AS taken", (_LEADER,))
        return bool((await cursor.fetchone() or {})["taken"])
