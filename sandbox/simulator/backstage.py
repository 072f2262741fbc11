"""The simulator's own port: metrics for Prometheus, and orders for the fault switches."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import psycopg
import redis.exceptions
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.simulator import store
from sandbox.simulator.cluster import Cluster
from sandbox.simulator.control import Control
from sandbox.simulator.fleet import Fleet
from sandbox.simulator.metrics import Metrics
from sandbox.simulator.queue import Queue
from sandbox.simulator.sessions import NoSessionError

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
MOST_ITEMS = 500


@dataclass
class Backstage:
    """What lies behind the endpoints."""

    metrics: Metrics
    control: Control
    cluster: Cluster
    fleet: Fleet
    queue: Queue

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/_control", self._state, methods=["GET"]),
                Route("/_control", self._order, methods=["POST"]),
                Route("/_control/work", self._work, methods=["POST"]),
            ]
        )

    async def _metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type=TEXT_FORMAT)

    async def _state(self, request: Request) -> Response:
        replicas = {
            name: {"service": replica.pod.app, "behaviour": replica.pod.behaviour, "session": replica.session.up}
            for name, replica in sorted(self.fleet.replicas.items())
        }
        seen = {"cluster_seen": self.cluster.seen, "queue_depth": await self._depth(), "replicas": replicas}
        return JSONResponse({"orders": asdict(self.control.orders), **seen})

    async def _depth(self) -> int | None:
        try:
            return await self.queue.depth()
        except (redis.exceptions.RedisError, OSError):
            return None

    async def _order(self, request: Request) -> Response:
        try:
            return JSONResponse(asdict(self.control.order(json.loads(await request.body()))))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422)

    async def _work(self, request: Request) -> Response:
        """Queue that many executions at once, as the scheduler would over an hour."""
        count = (await request.json()).get("count")
        if not isinstance(count, int) or not 0 < count <= MOST_ITEMS:
            return JSONResponse({"error": f"count must be a whole number from 1 to {MOST_ITEMS}"}, 422)
        try:
            return JSONResponse({"queued": await self._queue(count)})
        except (NoSessionError, psycopg.Error, redis.exceptions.RedisError, OSError) as error:
            return JSONResponse({"error": f"no work could be queued: {error}"}, 503)

    async def _queue(self, count: int) -> int:
        replica = next((r for r in self.fleet.replicas.values() if r.session.up), None)
        if replica is None:
            raise NoSessionError("no replica has a database session")
        async with replica.session.transaction() as cursor:
            chosen = await store.some_workflows(cursor, count)
            queued = [await store.queue_execution(cursor, workflow_id) for workflow_id in chosen]
        for execution_id in queued:
            await self.queue.put(execution_id or 0)
        return len(queued)
