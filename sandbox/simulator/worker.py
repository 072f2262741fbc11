"""What a worker does: it takes an item, works on it for a while, and writes what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import redis.exceptions

from sandbox.simulator import store
from sandbox.simulator.behaviour import failure, work_s
from sandbox.simulator.control import Control
from sandbox.simulator.fleet import Replica
from sandbox.simulator.metrics import Metrics
from sandbox.simulator.patience import Outage, keep_on, stopped_within
from sandbox.simulator.podlogs import PodLogs, structured
from sandbox.simulator.queue import Item, Queue
from sandbox.simulator.sessions import Cursor, NoSessionError

TAKE_WITHIN_S = 1.0  # a worker that is told to stop notices it at the latest then
TRY_AGAIN_S = 2.0
LOGGED_SHARE = 0.08  # of the executions that go well; of failures every one, as in the history
ERRORS = (redis.exceptions.RedisError, NoSessionError, OSError)


@dataclass
class Workers:
    """The role of the worker pods."""

    dice: Random
    queue: Queue
    metrics: Metrics
    logs: PodLogs
    control: Control

    async def __call__(self, replica: Replica) -> None:
        """Work until the replica's `stop`."""
        await keep_on(Outage(f"what {replica.pod.name} needs"), lambda: self._once(replica), replica.stop, ERRORS)

    async def _once(self, replica: Replica) -> None:
        if self.control.orders.workers_paused or not replica.session.up:
            await stopped_within(replica.stop, TAKE_WITHIN_S)
        elif item := await self.queue.take(TAKE_WITHIN_S):
            await self._work_on(item, replica)

    async def _work_on(self, item: Item, replica: Replica) -> None:
        execution = await self._begin(item, replica)
        if execution is None:
            return
        self._log(replica, "info", "execution started", item)
        seconds = work_s(self.dice, replica.pod.behaviour, await self.queue.depth())
        if await stopped_within(replica.stop, seconds):
            await self._put_back(item, replica)
        else:
            await self._finish(item, replica)

    async def _begin(self, item: Item, replica: Replica) -> store.Row | None:
        try:
            async with replica.session.transaction() as cursor:
                return await store.start(cursor, item.execution_id)
        except NoSessionError:
            await self.queue.put_back(item)
            raise

    async def _put_back(self, item: Item, replica: Replica) -> None:
        async with replica.session.transaction() as cursor:
            await store.put_back(cursor, item.execution_id)
        await self.queue.put_back(item)
        self._log(replica, "warning", "execution handed back", item)

    async def _finish(self, item: Item, replica: Replica) -> None:
        error_class = failure(self.dice, replica.pod.behaviour, self.control.orders.failed_share)
        while not await self._written(item, replica, error_class):
            if await stopped_within(replica.stop, TRY_AGAIN_S):
                return  # the scheduler finds it later, as it finds those of a worker that was killed
        self.metrics.executed("failed" if error_class else "succeeded")
        self._log(replica, "error" if error_class else "info", "execution ended", item, error_class=error_class)

    async def _written(self, item: Item, replica: Replica, error_class: str | None) -> bool:
        try:
            async with replica.session.transaction() as cursor:
                if await store.finish(cursor, item.execution_id, error_class):
                    await self._record(cursor, item, error_class)
        except NoSessionError:
            return False
        return True

    async def _record(self, cursor: Cursor, item: Item, error_class: str | None) -> None:
        if not error_class and self.dice.random() > LOGGED_SHARE:
            return
        await store.add_log(cursor, item.execution_id, "info", f"step-{self.dice.randrange(1, 5)} done")
        level, text = ("error", f"step failed: {error_class}") if error_class else ("info", "execution succeeded")
        await store.add_log(cursor, item.execution_id, level, text)

    def _log(self, replica: Replica, level: str, msg: str, item: Item, **more: object) -> None:
        self.logs.write(replica.pod, structured(level=level, msg=msg, execution_id=item.execution_id, **more))
