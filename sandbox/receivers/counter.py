"""The counter that every request to a service passes: read, misbehave if told so, answer, write down."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, Response

from sandbox.receivers.answers import DOWN, FORBIDDEN, RATE_LIMITED, Refusal, emptied, surface
from sandbox.receivers.store import Doc, Store
from sandbox.site import Site

SLOW_S = 30.0
SECRET_FIELDS = frozenset({"token", "routing_key", "service_key", "api_key", "password"})
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True)
class Tokens:
    """What a caller must know; read from the site once, never written down again."""

    slack: str
    webhook: str
    pagerduty: str
    routing_key: str
    statuspage: str
    grafana: str

    @classmethod
    def of(cls, site: Site) -> Tokens:
        """Read, or make at the first start."""
        names = ("slack-bot-token", "slack-webhook", "pagerduty-api-token", "pagerduty-routing-key")
        return cls(*(site.secret(name) for name in (*names, "statuspage-token", "grafana-token")))


@dataclass(frozen=True)
class World:
    """What a handler needs: the site, its tokens, and the memory."""

    site: Site
    tokens: Tokens
    store: Store
    slow_s: float = SLOW_S

    def url(self, *parts: str) -> str:
        """Return the address of a page or resource of ours."""
        return "/".join((self.site.url("receivers"), *parts))


@dataclass(frozen=True)
class Call:
    """A request as it was read: the body is JSON, a form, or text; `malformed` if it claimed JSON and was not."""

    body: Any
    malformed: bool = False


def world(request: Request) -> World:
    """Return the world of the app that got this request."""
    found: World = request.app.state.world
    return found


def call(request: Request) -> Call:
    """Return the body that the counter read."""
    found: Call = request.state.call
    return found


Here = Annotated[World, Depends(world)]
Asked = Annotated[Call, Depends(call)]


class ServiceRoute(APIRoute):
    """A route of one of the four services: its mode is obeyed and its requests are kept."""

    def get_route_handler(self) -> Handler:
        """Wrap the handler."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.state.call = await read(request)
            mode = world(request).store.use_mode(service_of(request))
            response = await answer(request, inner, mode)
            keep(request, response, mode)
            return response

        return handle


def service_of(request: Request) -> str:
    """Return the service by the first part of the path."""
    return request.url.path.split("/")[1]


async def read(request: Request) -> Call:
    """Read the body by what the caller says it is; what does not parse is kept as text."""
    kind = request.headers.get("content-type", "")
    if "form" in kind:
        return Call(_plain(await request.form()))
    text = (await request.body()).decode(errors="replace")
    if not text:
        return Call({})
    try:
        return Call(json.loads(text))
    except ValueError:
        return Call(text, malformed=True)


def _plain(form: FormData) -> Doc:
    return {name: value if isinstance(value, str) else f"({value.size} bytes)" for name, value in form.items()}


async def answer(request: Request, inner: Handler, mode: str) -> Response:
    """Answer as the mode says; refusals of the handler become answers too."""
    if mode == "slow":
        await asyncio.sleep(world(request).slow_s)
    if said := refusal(mode, request.url.path):
        return said.response()
    try:
        response = await inner(request)
    except Refusal as refused:
        return refused.response()
    return _without_results(response) if mode == "empty" else response


def refusal(mode: str, path: str) -> Refusal | None:
    """Return the answer of a mode that refuses everything, in the words of the API that was asked."""
    if mode == "down":
        return DOWN
    said = {"forbidden": FORBIDDEN, "rate_limited": RATE_LIMITED}.get(mode)
    return said[surface(path)]() if said else None


def _without_results(response: Response) -> Response:
    if not isinstance(response, JSONResponse):
        return response
    return JSONResponse(emptied(json.loads(bytes(response.body))), response.status_code)


def keep(request: Request, response: Response, mode: str) -> None:
    """Write down what came in and what was said to it, without a secret."""
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": request.method,
        "path": re.sub(r"(/services/).+", r"\1***", request.url.path),
        "query": masked(dict(request.query_params)),
        "body": kept_body(call(request)),
        "status": response.status_code,
        "verdict": verdict(response),
        "mode": mode,
    }
    world(request).store.record(service_of(request), entry)


def kept_body(asked: Call) -> Any:
    """Return the body without secrets; of text that did not parse only the length, since anything may be in it."""
    return f"({len(asked.body)} characters that are no JSON)" if asked.malformed else masked(asked.body)


def masked(value: Any) -> Any:
    """Return the value with every field that holds a secret starred out."""
    if isinstance(value, dict):
        return {name: "***" if name in SECRET_FIELDS else masked(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [masked(entry) for entry in value]
    return value


def verdict(response: Response) -> str:
    """Return `ok`, or the error in the service's own words."""
    text = bytes(response.body).decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    if isinstance(body, dict) and body.get("ok") is False:
        return str(body["error"])
    return "ok" if response.status_code < 400 else _error_text(body)


def _error_text(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)
    errors = body.get("errors") or body.get("error") or body.get("message")
    return errors if isinstance(errors, str) else json.dumps(errors)
