"""The gateway's HTTP side: each request is answered by one ready replica, through its session, as its build does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import psycopg
import redis.exceptions
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from sandbox.simulator import maintenance, store
from sandbox.simulator.behaviour import Outcome, duration_s, server_fails
from sandbox.simulator.fleet import Replica
from sandbox.simulator.metrics import Metrics
from sandbox.simulator.podlogs import PodLogs
from sandbox.simulator.queue import Queue
from sandbox.simulator.routes import ROUTES, Route
from sandbox.simulator.sessions import NoSessionError
from sandbox.simulator.traffic import access_line

SERVICE = "api-gateway"
NAME_LIMIT = 200
BIGGEST_ID = 2**63 - 1
BIGGEST_BODY = 256 * 1024

Answer = tuple[int, Any]
Handler = Callable[[Request, Replica], Awaitable[Answer]]


class ClientError(Exception):
    """The caller's fault; the text tells him what to change."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Gateway:
    """All that a request may need.

    :param serving: service -> its replicas at work.
    :param config: the ConfigMap that switches maintenance mode, as it is now.
    :param bypass: the token that passes maintenance mode.
    """

    dice: Random
    metrics: Metrics
    logs: PodLogs
    queue: Queue
    serving: Callable[[str], list[Replica]]
    config: Callable[[], Mapping[str, str]]
    bypass: str

    def application(self) -> Starlette:
        """Return the ASGI application."""
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("POST", "/workflows"): self._create,
            ("GET", "/workflows/{id}"): self._show,
            ("DELETE", "/workflows/{id}"): self._delete,
            ("POST", "/workflows/{id}/runs"): self._run,
            ("GET", "/executions/{id}"): self._execution,
        }
        served = [route for route in ROUTES if (route.method, route.path) in handlers and route.service == SERVICE]
        return Starlette(routes=[self._path(route, handlers[route.method, route.path]) for route in served])

    def _path(self, route: Route, handler: Handler) -> Path:
        async def endpoint(request: Request) -> Response:
            return await self._answer(request, route, handler)

        return Path(route.path, endpoint, methods=[route.method])

    async def _answer(self, request: Request, route: Route, handler: Handler) -> Response:
        replicas = self.serving(SERVICE)
        if not replicas:
            return _error(503, "no ready replica of api-gateway")
        replica = self.dice.choice(replicas)
        began = time.monotonic()
        response = self._turned_away(request, route) or await self._handled(request, route, handler, replica)
        self._note(request, route, replica, Outcome(response.status_code, time.monotonic() - began))
        return response

    def _turned_away(self, request: Request, route: Route) -> Response | None:
        config, now = self.config(), maintenance.utc_now()
        allowed = request.headers.get(maintenance.BYPASS_HEADER) == self.bypass
        if route.path == "/health" or allowed or not maintenance.is_on(config, now):
            return None
        return _error(503, "maintenance", {"Retry-After": str(maintenance.retry_after_s(config, now))})

    async def _handled(self, request: Request, route: Route, handler: Handler, replica: Replica) -> Response:
        if replica.pod.behaviour == "slow":
            await asyncio.sleep(duration_s(self.dice, SERVICE, "slow"))
        if replica.pod.behaviour == "errors" and route.path != "/health" and server_fails(self.dice, "errors"):
            return _error(500, "internal error")
        try:
            return _rendered(*await handler(request, replica))
        except ClientError as error:
            return _error(error.code, str(error))
        except NoSessionError:
            return _error(503, "the database does not answer")
        except (redis.exceptions.RedisError, OSError):
            return _error(503, "the queue does not answer")
        except psycopg.errors.UniqueViolation:
            return _error(409, "a workflow of that name exists")
        except psycopg.Error as error:
            return _error(500, f"the database refused: {error.diag.message_primary or type(error).__name__}")

    def _note(self, request: Request, route: Route, replica: Replica, outcome: Outcome) -> None:
        self.metrics.request(route, replica.pod.name, outcome.code, outcome.duration_s)
        agent = request.headers.get("user-agent", "-")[:100]
        text = access_line(route, outcome, path=request.url.path, client=_client(request), agent=agent, key=None)
        self.logs.write(replica.pod, text)

    async def _health(self, request: Request, replica: Replica) -> Answer:
        database, cache = await asyncio.gather(_works(_select_one(replica)), _works(self.queue.depth()))
        parts = {"database": database, "redis": cache}
        healthy = all(state == "ok" for state in parts.values())
        on = maintenance.is_on(self.config(), maintenance.utc_now())
        state = {"status": "ok" if healthy else "unhealthy", **parts, "maintenance": on}
        return (200 if healthy else 503), {**state, "ready_replicas": len(self.serving(SERVICE))}

    async def _create(self, request: Request, replica: Replica) -> Answer:
        name, definition = await _workflow_asked_for(request)
        async with replica.session.transaction() as cursor:
            created = await store.create_workflow(cursor, name, definition)
            await store.audit(
                cursor, created["owner_id"], "workflow.create", f"workflow:{created['id']}", _client(request)
            )
        return 201, created

    async def _show(self, request: Request, replica: Replica) -> Answer:
        workflow_id = _id(request)
        async with replica.session.transaction() as cursor:
            return 200, _found(await store.workflow(cursor, workflow_id), "workflow", workflow_id)

    async def _delete(self, request: Request, replica: Replica) -> Answer:
        workflow_id = _id(request)
        async with replica.session.transaction() as cursor:
            _found(await store.delete_workflow(cursor, workflow_id), "workflow", workflow_id)
            await store.audit(cursor, None, "workflow.delete", f"workflow:{workflow_id}", _client(request))
        return 204, None

    async def _run(self, request: Request, replica: Replica) -> Answer:
        workflow_id = _id(request)
        async with replica.session.transaction() as cursor:
            execution_id = _found(await store.queue_execution(cursor, workflow_id), "workflow", workflow_id)
        await self.queue.put(execution_id)
        return 202, {"execution_id": execution_id, "status": "queued"}

    async def _execution(self, request: Request, replica: Replica) -> Answer:
        execution_id = _id(request)
        async with replica.session.transaction() as cursor:
            return 200, _found(await store.execution(cursor, execution_id), "execution", execution_id)


async def _select_one(replica: Replica) -> None:
    async with replica.session.transaction() as cursor:
        await cursor.execute("SELECT 1")


async def _works(call: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(2):
            await call
    except (NoSessionError, psycopg.Error, redis.exceptions.RedisError, OSError, TimeoutError):
        return "does not answer"
    return "ok"


async def _workflow_asked_for(request: Request) -> tuple[str, dict[str, Any]]:
    body = await _body(request)
    name, definition = body.get("name"), body.get("definition", {})
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= NAME_LIMIT or "\0" in name:
        raise ClientError(422, f"name must be a text of 1 to {NAME_LIMIT} characters")
    if not isinstance(definition, dict) or "\\u0000" in json.dumps(definition):
        raise ClientError(422, "definition must be an object without null characters")
    return name.strip(), definition


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


async def _body(request: Request) -> dict[str, Any]:
    text = bytearray()
    async for part in request.stream():
        text += part
        if len(text) > BIGGEST_BODY:
            raise ClientError(413, f"the body may hold {BIGGEST_BODY} bytes")
    try:
        body = json.loads(text)
    except ValueError:
        raise ClientError(400, "the body is no JSON") from None
    if not isinstance(body, dict):
        raise ClientError(422, "the body must be an object")
    return body


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= BIGGEST_ID):
        raise ClientError(404, "an id is a whole number")
    return int(text)


def _found(thing: Any, kind: str, number: int) -> Any:
    if not thing:
        raise ClientError(404, f"there is no {kind} {number}")
    return thing


def _rendered(code: int, content: Any) -> Response:
    if content is None:
        return Response(status_code=code)
    return Response(json.dumps(content, default=_text), code, media_type="application/json")


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _error(code: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, code, headers)
