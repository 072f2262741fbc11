"""The receivers in this process, which check a request as the real services do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from slack_sdk import WebClient

from sandbox.receivers.app import create_app
from sandbox.site import Site, free_ports


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site.create(tmp_path_factory.mktemp("receivers"), free_ports())
    config = uvicorn.Config(create_app(site, slow_s=0.3), port=site.ports["receivers"], log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield site
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def control(receivers: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=receivers.url("receivers")) as client:
        client.post("/_reset").raise_for_status()
        yield client


@pytest.fixture
def web_client(receivers: Site) -> WebClient:
    return WebClient(receivers.secret("slack-bot-token"), base_url=f"{receivers.url('receivers')}/slack/api/")


@pytest.fixture
def pagerduty_client(receivers: Site) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Token token={receivers.secret('pagerduty-api-token')}"}
    with httpx.Client(base_url=f"{receivers.url('receivers')}/pagerduty", headers=headers) as client:
        yield client
