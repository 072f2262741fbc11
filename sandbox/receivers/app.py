"""One web application for the four services, their pages and their controls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from sandbox.receivers import control, grafana, pagerduty, pages, slack, statuspage
from sandbox.receivers.answers import Refusal
from sandbox.receivers.counter import SLOW_S, Tokens, World
from sandbox.receivers.store import Store
from sandbox.site import Site

STATIC = Path(__file__).parent / "static"


def create_app(site: Site, *, slow_s: float = SLOW_S) -> FastAPI:
    """Return the application of a site; its memory lies in the site's folder."""
    store = Store(site.folder("receivers") / "receivers.sqlite")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="Receivers", lifespan=lifespan)
    app.state.world = World(site, Tokens.of(site), store, slow_s)
    app.add_exception_handler(Refusal, _refused)
    app.mount("/static", StaticFiles(directory=STATIC))
    # The pages and the events come first: the last route of a service takes every path that is left.
    for router in (pages.router, control.router, slack.router, pagerduty.events, pagerduty.rest):
        app.include_router(router)
    for router in (statuspage.router, grafana.router):
        app.include_router(router)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Answer refusals from outside a service's own routes: the controls and the pages."""
    assert isinstance(error, Refusal)
    return error.response()
