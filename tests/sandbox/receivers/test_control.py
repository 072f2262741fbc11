from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from sandbox.component import NotReadyError
from sandbox.components.receivers import COMPONENTS
from sandbox.receivers.answers import emptied
from sandbox.receivers.store import Store
from sandbox.site import PROJECT, Site, free_ports

ASKED = {
    "slack": ("/slack/api/auth.test", "slack-bot-token", "Bearer "),
    "pagerduty": ("/pagerduty/incidents", "pagerduty-api-token", "Token token="),
    "statuspage": ("/statuspage/v1/pages/orchestrator/incidents", "statuspage-token", "OAuth "),
    "grafana": ("/grafana/api/search", "grafana-token", "Bearer "),
}
REFUSED = {"slack": 200, "pagerduty": 401, "statuspage": 401, "grafana": 403}


def ask(web: httpx.Client, site: Site, service: str) -> httpx.Response:
    path, secret, scheme = ASKED[service]
    return web.get(path, headers={"Authorization": f"{scheme}{site.secret(secret)}"})


@pytest.mark.parametrize("service", ASKED)
def test_each_service_fails_as_itself_and_recovers(
    web: httpx.Client, receivers_site: Site, recorded: Any, service: str
) -> None:
    seen = []
    for mode in ("down", "rate_limited", "forbidden", "ok"):
        recorded.set_mode(service, mode)
        seen.append(ask(web, receivers_site, service).status_code)
    assert seen == [503, 429, REFUSED[service], 200]


@pytest.mark.parametrize("service", ASKED)
def test_a_limited_caller_learns_how_long_to_wait(
    web: httpx.Client, receivers_site: Site, recorded: Any, service: str
) -> None:
    recorded.set_mode(service, "rate_limited")
    assert ask(web, receivers_site, service).headers["retry-after"] == "1"


def test_a_slow_service_answers_late(web: httpx.Client, receivers_site: Site, recorded: Any) -> None:
    recorded.set_mode("grafana", "slow")
    started = time.monotonic()
    assert ask(web, receivers_site, "grafana").status_code == 200
    assert time.monotonic() - started >= 0.3


def test_an_empty_service_answers_validly_with_nothing_in_it(slack: WebClient, recorded: Any) -> None:
    slack.chat_postMessage(channel="#alerts", text="x")
    recorded.set_mode("slack", "empty")
    history = slack.conversations_history(channel="C0ALERTS01")
    assert (history["ok"], history["messages"], history["has_more"]) == (True, [], False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([{"id": 1}], []),
        ({"incidents": [1], "more": True, "limit": 25}, {"incidents": [], "more": False, "limit": 25}),
        ({"data": {"groups": [1]}}, {"data": {"groups": []}}),
        (
            {"results": {"A": {"frames": [{"data": {"values": [[1]]}}]}}},
            {"results": {"A": {"frames": [{"data": {"values": []}}]}}},
        ),
    ],
)
def test_emptied_answers_keep_their_shape(answer: Any, expected: Any) -> None:
    assert emptied(answer) == expected


def test_a_mode_can_be_for_the_next_requests_only(web: httpx.Client, receivers_site: Site, recorded: Any) -> None:
    recorded.set_mode("statuspage", "down", times=2)
    assert [ask(web, receivers_site, "statuspage").status_code for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(
    ("path", "body", "status"), [("slack", {"mode": "odd"}, 422), ("x", {"mode": "ok"}, 404), ("slack", {}, 422)]
)
def test_a_wrong_mode_is_refused(web: httpx.Client, path: str, body: Any, status: int) -> None:
    assert web.post(f"/_control/{path}", json=body).status_code == status


def test_everything_is_recorded_with_its_verdict(slack: WebClient, recorded: Any) -> None:
    slack.chat_postMessage(channel="#alerts", text="x")
    with pytest.raises(SlackApiError):
        slack.chat_postMessage(channel="#nowhere", text="x")
    assert [(one["path"], one["verdict"]) for one in recorded("slack")] == [
        ("/slack/api/chat.postMessage", "ok"),
        ("/slack/api/chat.postMessage", "channel_not_found"),
    ]


def test_no_secret_reaches_the_disk_or_a_page(web: httpx.Client, receivers_site: Site, state: Path) -> None:
    token, key = receivers_site.secret("slack-bot-token"), receivers_site.secret("pagerduty-routing-key")
    webhook = receivers_site.secret("slack-webhook")
    web.post("/slack/api/auth.test", data={"token": token})
    web.get("/slack/api/auth.test", params={"token": token})
    web.post("/pagerduty/v2/enqueue", json={"routing_key": key, "event_action": "resolve", "dedup_key": "x"})
    web.post("/pagerduty/v2/enqueue", content=f"routing_key: {key}")
    web.post(f"/slack/services/{webhook}", json={"text": "x"})
    web.get("/slack/api/auth.test", headers={"Authorization": f"Bearer {token}"})
    kept = b"".join(path.read_bytes() for path in (state / "receivers").iterdir())
    shown = "".join(web.get(f"/received/{service}").text for service in ASKED).encode()
    assert kept.count(b"/slack/api/auth.test") >= 3
    for secret in (token, key, webhook):
        assert secret.encode() not in kept + shown


def test_a_past_can_be_planted(slack: WebClient, web: httpx.Client) -> None:
    at = "2026-01-01T03:00:00Z"
    reply = {"user": "bob", "text": "looking", "at": "2026-01-01T03:10:00Z"}
    message = {"channel": "#alerts", "text": "[FIRING:1]", "at": at, "replies": [reply], "reactions": {"eyes": ["bob"]}}
    planted = web.post("/_seed/slack", json=message).json()
    assert int(float(planted["ts"])) == 1767236400
    assert slack.conversations_replies(channel="C0ALERTS01", ts=planted["ts"])["messages"][1]["user"] == "U0BOB00001"
    assert web.post("/_seed/slack", json={**message, "user": "nobody"}).status_code == 422


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "memory.sqlite")
    first = store.next("ts", at_least=100)
    store.clear()
    assert (first, store.next("ts", at_least=100), store.next("ts", at_least=500)) == (100, 101, 500)


@pytest.mark.parametrize(
    "path", ["/", "/slack/channels/operations", "/pagerduty/", "/statuspage/", "/received/slack", "/static/style.css"]
)
def test_every_page_opens(web: httpx.Client, path: str) -> None:
    assert web.get(path).status_code == 200


@pytest.mark.integration
def test_what_was_said_survives_a_restart(tmp_path: Path) -> None:
    (component,) = COMPONENTS
    site = Site.create(tmp_path, free_ports())
    component.prepare(site)
    first = started(site)
    slack = WebClient(site.secret("slack-bot-token"), base_url=f"{site.url('receivers')}/slack/api/")
    try:
        slack.chat_postMessage(channel="#operations", text="still here")
        httpx.post(f"{site.url('receivers')}/_control/grafana", json={"mode": "down"}).raise_for_status()
    finally:
        first.kill()
        first.wait()
    second = started(site)
    try:
        assert slack.conversations_history(channel="C0OPERAT01")["messages"][0]["text"] == "still here"
        assert httpx.get(f"{site.url('receivers')}/_control").json()["grafana"] == "down"
    finally:
        second.terminate()
        assert second.wait(10) in (0, -15)


def started(site: Site) -> subprocess.Popen[bytes]:
    (component,) = COMPONENTS
    assert component.command is not None
    environment = {"PYTHONPATH": str(PROJECT), **component.environment(site)}
    process = subprocess.Popen(component.command(site), env=environment)
    deadline = time.monotonic() + component.ready_within_s
    while time.monotonic() < deadline:
        try:
            component.ready(site)
        except NotReadyError:
            time.sleep(0.1)
        else:
            return process
    process.kill()
    raise AssertionError("the receivers did not start")


def test_the_component_says_when_it_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="do not answer yet"):
        COMPONENTS[0].ready(Site.create(tmp_path, free_ports()))


def test_the_component_runs_with_this_python(tmp_path: Path) -> None:
    assert COMPONENTS[0].command is not None
    assert COMPONENTS[0].command(Site.create(tmp_path, free_ports()))[0] == sys.executable
