"""The receivers in this process, on a free port, with an empty memory for every test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from slack_sdk import WebClient

from sandbox.receivers.app import create_app
from sandbox.receivers.store import Doc
from sandbox.site import Site, free_ports


@pytest.fixture(scope="session")
def receivers_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site.create(tmp_path_factory.mktemp("receivers"), free_ports())
    app = create_app(site, slow_s=0.3)
    server = uvicorn.Server(uvicorn.Config(app, port=site.ports["receivers"], log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield site
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def web(receivers_site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=receivers_site.url("receivers"), timeout=10) as client:
        client.post("/_reset").raise_for_status()
        yield client


@pytest.fixture
def slack(receivers_site: Site, web: httpx.Client) -> WebClient:
    url = f"{receivers_site.url('receivers')}/slack/api/"
    return WebClient(receivers_site.secret("slack-bot-token"), base_url=url)


class Recorded:
    """What a service received, read over HTTP."""

    def __init__(self, web: httpx.Client) -> None:
        self._web = web

    def __call__(self, service: str) -> list[Doc]:
        found: list[Doc] = self._web.get(f"/_recorded/{service}").json()["recorded"]
        return found

    def set_mode(self, service: str, mode: str, **more: Any) -> None:
        self._web.post(f"/_control/{service}", json={"mode": mode, **more}).raise_for_status()


@pytest.fixture
def recorded(web: httpx.Client) -> Recorded:
    return Recorded(web)


@pytest.fixture
def state(receivers_site: Site) -> Path:
    return receivers_site.state
