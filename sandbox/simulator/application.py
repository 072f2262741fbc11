"""The parts of the simulator put together, and the beats that drive them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import redis.exceptions
import uvicorn
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette

from sandbox.seed.shape import traffic
from sandbox.simulator import maintenance, queue, usage
from sandbox.simulator.backstage import Backstage
from sandbox.simulator.cluster import Cluster
from sandbox.simulator.control import Control
from sandbox.simulator.fleet import Fleet, Role
from sandbox.simulator.gateway import Gateway
from sandbox.simulator.metrics import Metrics
from sandbox.simulator.patience import Outage, stopped_within
from sandbox.simulator.podlogs import PodLogs
from sandbox.simulator.pressure import Pressure
from sandbox.simulator.queue import Queue
from sandbox.simulator.scheduler import Schedulers
from sandbox.simulator.traffic import Traffic
from sandbox.simulator.visits import Visits
from sandbox.simulator.worker import Workers

log = logging.getLogger("simulator")

NAMESPACE = "ai-orchestrator"
TICK_S = 1.0
LOOK_AT_QUEUE_S = 2.0
RECONCILE_AT_LEAST_S = 5.0
ANSWER_WITHIN_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything is.

    :param superuser_dsn: for the sessions that a leak holds: the application's own role may not take so many.
    :param bypass: the token that passes maintenance mode.
    """

    kubeconfig: Path
    pod_logs: Path
    orders: Path
    dsn: str
    superuser_dsn: str
    redis_port: int
    redis_user: str
    redis_password: str
    gateway_port: int
    metrics_port: int
    bypass: str


class Application:
    """One platform at work."""

    def __init__(self, place: Place, dice: Random) -> None:
        self.place = place
        self.dice = dice
        self.redis = Redis(
            host="127.0.0.1",
            port=place.redis_port,
            username=place.redis_user,
            password=place.redis_password,
            decode_responses=True,
            socket_connect_timeout=ANSWER_WITHIN_S,
            socket_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.cache_up: bool | None = None
        self.metrics = Metrics(NAMESPACE, place.orders.parent)
        self.logs = PodLogs(place.pod_logs)
        self.control = Control(place.orders)
        self.cluster = Cluster(place.kubeconfig, NAMESPACE)
        self.queue = Queue(self.redis)
        self.fleet = self._fleet()
        self.traffic = Traffic(dice, self.metrics, self.logs, self.fleet.serving, lambda: self.cache_up)
        self.visits = Visits(dice, place.dsn, self.redis, self.fleet.serving, self.load)
        self.pressure = Pressure(place.superuser_dsn, self.control)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; every session is closed on return."""
        servers = [
            _server(self._gateway(), self.place.gateway_port),
            _server(self._backstage(), self.place.metrics_port),
        ]
        async with AsyncExitStack() as leaving:
            leaving.push_async_callback(self.redis.aclose)
            leaving.callback(self.logs.flush)
            leaving.push_async_callback(self.fleet.end)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(beat) for beat in self._beats(stop)]
                serving = [group.create_task(server.serve()) for server in servers]
                await _first_of(stop, [*tasks, *serving])
                for server in servers:
                    server.should_exit = True
                for task in tasks:
                    task.cancel()

    def load(self) -> float:
        """Return how busy this hour is, 0 to 1."""
        return traffic(datetime.now(UTC))

    def _beats(self, stop: asyncio.Event) -> Iterator[Coroutine[None, None, None]]:
        yield self.cluster.follow(stop)
        yield self._follow_pods(stop)
        yield self._tick(stop)
        yield self._look_at_queue(stop)
        yield self.visits.keep(stop)
        yield self.visits.record(stop)
        yield self.pressure.keep()

    async def _follow_pods(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await stopped_within(self.cluster.changed, RECONCILE_AT_LEAST_S)
            self.cluster.changed.clear()
            if self.cluster.seen:
                self.fleet.reconcile(self.cluster.pods)

    async def _tick(self, stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        before = clock()
        while not await stopped_within(stop, TICK_S):
            now, load = clock(), self.load()
            on = maintenance.is_on(self.cluster.config, maintenance.utc_now())
            self.traffic.tick(load, now - before, maintenance=on)
            usage.tick(self.metrics, self.dice, self.cluster.pods.values(), load, now - before)
            self.logs.flush()
            before = now

    async def _look_at_queue(self, stop: asyncio.Event) -> None:
        outage = Outage("Valkey")
        while not stop.is_set():
            try:
                depth, oldest_s = await self.queue.depth(), await self.queue.oldest_s(maintenance.utc_now())
                self.metrics.queue(queue.NAME, depth, oldest_s)
                self.cache_up = True
                outage.over()
                await stopped_within(stop, LOOK_AT_QUEUE_S)
            except (redis.exceptions.RedisError, OSError) as error:
                self.metrics.queue_unknown()
                self.cache_up = False
                await stopped_within(stop, outage.failed(error))

    def _fleet(self) -> Fleet:
        workers = Workers(self.dice, self.queue, self.metrics, self.logs, self.control)
        schedulers = Schedulers(self.dice, self.queue, self.logs, self.load)
        roles: dict[str, Role] = {"worker": workers, "scheduler": schedulers}
        return Fleet(dsn=self.place.dsn, metrics=self.metrics, logs=self.logs, roles=roles)

    def _gateway(self) -> Starlette:
        config = self.cluster
        return Gateway(
            self.dice,
            self.metrics,
            self.logs,
            self.queue,
            self.fleet.serving,
            lambda: config.config,
            self.place.bypass,
        ).application()

    def _backstage(self) -> Starlette:
        return Backstage(self.metrics, self.control, self.cluster, self.fleet, self.queue).application()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: two servers run in this process, and it has a handler of its own."""
        yield


def _server(application: Starlette, port: int) -> _Server:
    return _Server(
        uvicorn.Config(
            application,
            host="127.0.0.1",
            port=port,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
    )


async def _first_of(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the order to stop, or for a part that ends on its own, which none should."""
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
