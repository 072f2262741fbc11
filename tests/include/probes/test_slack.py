from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient

from include.errors import ConfigurationError, TransientError
from include.probes import slack

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OLDEST = NOW - timedelta(days=1)


def plant(control: httpx.Client, minutes_ago: float, text: str = "[FIRING:1] QueueDeep", **more: Any) -> None:
    at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    control.post("/_seed/slack", json={"channel": "#alerts", "text": text, "at": at, **more}).raise_for_status()


def read(client: WebClient, *, pages_max: int = 10, name: str = "#alerts") -> slack.Channel:
    return slack.channel(client, name=name, oldest=OLDEST, pages_max=pages_max)


def test_a_thread_says_who_answered(control: httpx.Client, web_client: WebClient) -> None:
    plant(control, 60, replies=[{"user": "bob", "text": "looking", "at": NOW.isoformat()}])
    (message,) = read(web_client).messages
    assert (message.bot, len(message.answered_by)) == (True, 1)


def test_a_reaction_is_an_answer_too(control: httpx.Client, web_client: WebClient) -> None:
    plant(control, 60, reactions={"eyes": ["alice"]})
    (message,) = read(web_client).messages
    assert message.answered_by


def test_a_program_that_replies_has_answered_nothing(control: httpx.Client, web_client: WebClient) -> None:
    plant(control, 60)
    (message,) = read(web_client).messages
    web_client.chat_postMessage(channel="C0ALERTS01", text="seen by a program", thread_ts=message.ts)
    assert not read(web_client).messages[-1].answered_by


def test_what_is_older_than_the_window_is_left(control: httpx.Client, web_client: WebClient) -> None:
    plant(control, 60 * 25)
    assert not read(web_client).messages


def test_every_page_is_read(control: httpx.Client, web_client: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack, "PAGE", 2)
    for minute in range(5):
        plant(control, minute + 1)
    assert (len(read(web_client).messages), read(web_client).complete) == (5, True)
    assert not read(web_client, pages_max=2).complete


def test_a_message_has_an_address(control: httpx.Client, web_client: WebClient) -> None:
    plant(control, 60)
    channel = read(web_client)
    assert "/archives/C0ALERTS01/p" in slack.permalink(web_client, channel.id, channel.messages[0].ts)


@pytest.mark.parametrize(("name", "words"), [("#nosuch", "no channel #nosuch"), ("#random", "not in #random")])
def test_a_channel_that_cannot_be_read_names_the_setting(
    control: httpx.Client, web_client: WebClient, name: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{words}.*alerts.channel"):
        read(web_client, name=name)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("down", TransientError),
        ("rate_limited", TransientError),
        ("forbidden", ConfigurationError),
        ("empty", ConfigurationError),
    ],
)
def test_a_sick_slack_is_an_error_and_no_quiet_night(
    control: httpx.Client, web_client: WebClient, mode: str, kind: type[Exception]
) -> None:
    control.post("/_control/slack", json={"mode": mode}).raise_for_status()
    with pytest.raises(kind):
        read(web_client)


def test_a_slack_that_is_gone_is_transient() -> None:
    with pytest.raises(TransientError, match=r"Slack did not answer conversations\.list"):
        read(WebClient("xoxb-none", base_url="http://127.0.0.1:9/slack/api/"))
