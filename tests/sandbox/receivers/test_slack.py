from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from sandbox.site import Site

ALERTS, RANDOM = "C0ALERTS01", "C0RANDOM01"


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**arguments)
    return str(caught.value.response["error"])


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def test_the_token_belongs_to_the_bot(slack: WebClient) -> None:
    assert slack.auth_test()["user"] == "ops-bot"


def test_no_token_and_a_wrong_token_are_refused(web: httpx.Client, slack: WebClient) -> None:
    assert web.post("/slack/api/auth.test").json() == {"ok": False, "error": "not_authed"}
    assert refused(WebClient("xoxb-wrong", base_url=slack.base_url).auth_test) == "invalid_auth"


def test_a_token_in_the_form_counts_too(web: httpx.Client, receivers_site: Site) -> None:
    token = receivers_site.secret("slack-bot-token")
    assert web.post("/slack/api/auth.test", data={"token": token}).json()["ok"]


def test_an_unknown_method_is_named(slack: WebClient) -> None:
    assert refused(slack.api_call, api_method="chat.shout") == "unknown_method"


@pytest.mark.parametrize("channel", ["#alerts", "alerts", ALERTS])
def test_posts_by_name_and_by_id(slack: WebClient, channel: str) -> None:
    assert slack.chat_postMessage(channel=channel, text="x")["channel"] == ALERTS


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "#random", "text": "x"}, "not_in_channel"),
        ({"channel": ALERTS, "text": ""}, "no_text"),
        ({"channel": ALERTS, "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": ALERTS, "text": "x", "thread_ts": "1700000000.000001"}, "thread_not_found"),
        ({"channel": ALERTS, "text": "x", "blocks": "no list"}, "invalid_blocks_format"),
        ({"channel": ALERTS, "text": "x", "metadata": {"event_type": "x"}}, "invalid_metadata_format"),
    ],
)
def test_a_wrong_message_is_refused_in_slacks_words(slack: WebClient, arguments: dict[str, Any], error: str) -> None:
    assert refused(slack.chat_postMessage, **arguments) == error


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([{"type": "divider"}] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "must be less than 151 characters"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "unsupported type: mrkdwn"),
        ([{"type": "context", "elements": []}], "must be more than 0 items"),
        ([{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}], "no more than 10 items allowed"),
        ([{"type": "marquee"}], "unsupported type: marquee"),
        ([{**section("x"), "block_id": "a"}, {**section("x"), "block_id": "a"}], "`block_id` already exists"),
    ],
)
def test_a_wrong_block_is_pointed_at(slack: WebClient, blocks: list[Any], problem: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        slack.chat_postMessage(channel=ALERTS, text="x", blocks=blocks)
    assert caught.value.response["error"] == "invalid_blocks"
    assert problem in caught.value.response["response_metadata"]["messages"][0]


def test_a_message_at_every_limit_passes(slack: WebClient) -> None:
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}, *[section("x" * 3000)] * 49]
    assert slack.chat_postMessage(channel=ALERTS, text="x" * 40_000, blocks=blocks)["ok"]


def test_metadata_comes_back_where_it_is_asked_for(slack: WebClient) -> None:
    metadata = {"event_type": "report", "event_payload": {"op_id": "17"}}
    slack.chat_postMessage(channel=ALERTS, text="x", metadata=metadata)
    assert "metadata" not in slack.conversations_history(channel=ALERTS)["messages"][0]
    full = slack.conversations_history(channel=ALERTS, include_all_metadata=True)
    assert full["messages"][0]["metadata"] == metadata


def test_history_is_newest_first_and_its_pages_miss_nothing(slack: WebClient) -> None:
    sent = [slack.chat_postMessage(channel=ALERTS, text=str(number))["ts"] for number in range(7)]
    pages = [[one["ts"] for one in page["messages"]] for page in slack.conversations_history(channel=ALERTS, limit=3)]
    assert pages == [sent[:3:-1], sent[3:0:-1], sent[:1]]
    assert len(set(sent)) == 7


@pytest.mark.parametrize(("inclusive", "expected"), [(False, ["1"]), (True, ["2", "1", "0"])])
def test_oldest_and_latest_leave_their_own_messages_out_unless_inclusive(
    slack: WebClient, *, inclusive: bool, expected: list[str]
) -> None:
    sent = [slack.chat_postMessage(channel=ALERTS, text=str(number))["ts"] for number in range(3)]
    found = slack.conversations_history(channel=ALERTS, oldest=sent[0], latest=sent[2], inclusive=inclusive)
    assert [one["text"] for one in found["messages"]] == expected


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#alerts"}, "channel_not_found"),
        ({"channel": RANDOM}, "not_in_channel"),
        ({"channel": ALERTS, "cursor": "%%%"}, "invalid_cursor"),
        ({"channel": ALERTS, "limit": 1000}, "invalid_limit"),
        ({"channel": ALERTS, "oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"channel": ALERTS, "latest": "NaN"}, "invalid_ts_latest"),
    ],
)
def test_a_wrong_question_is_refused(slack: WebClient, arguments: dict[str, Any], error: str) -> None:
    assert refused(slack.conversations_history, **arguments) == error


def test_replies_stay_in_their_thread(slack: WebClient) -> None:
    parent = slack.chat_postMessage(channel=ALERTS, text="parent")["ts"]
    reply = slack.chat_postMessage(channel=ALERTS, text="first", thread_ts=parent)["ts"]
    slack.chat_postMessage(channel=ALERTS, text="second", thread_ts=reply)
    history = slack.conversations_history(channel=ALERTS)["messages"]
    assert [(one["text"], one["reply_count"]) for one in history] == [("parent", 2)]
    thread = slack.conversations_replies(channel=ALERTS, ts=parent)["messages"]
    assert [one["text"] for one in thread] == ["parent", "first", "second"]
    assert refused(slack.conversations_replies, channel=ALERTS, ts="1.000000") == "thread_not_found"


def test_an_update_changes_the_same_message(slack: WebClient) -> None:
    ts = slack.chat_postMessage(channel=ALERTS, text="before")["ts"]
    slack.chat_update(channel=ALERTS, ts=ts, text="after")
    messages = slack.conversations_history(channel=ALERTS)["messages"]
    assert [(one["ts"], one["text"]) for one in messages] == [(ts, "after")]


def test_the_words_of_others_cannot_be_changed(slack: WebClient, web: httpx.Client) -> None:
    web.post("/slack/channels/alerts", data={"person": "alice", "text": "mine"})
    ts = slack.conversations_history(channel=ALERTS)["messages"][0]["ts"]
    assert refused(slack.chat_update, channel=ALERTS, ts=ts, text="yours") == "cant_update_message"


def test_a_reaction_counts_once_for_each_person(slack: WebClient) -> None:
    ts = slack.chat_postMessage(channel=ALERTS, text="x")["ts"]
    slack.reactions_add(channel=ALERTS, timestamp=ts, name="eyes")
    assert refused(slack.reactions_add, channel=ALERTS, timestamp=ts, name="eyes") == "already_reacted"
    assert slack.reactions_get(channel=ALERTS, timestamp=ts)["message"]["reactions"][0]["count"] == 1


def test_a_permalink_opens_the_message(slack: WebClient, web: httpx.Client) -> None:
    ts = slack.chat_postMessage(channel=ALERTS, text="x")["ts"]
    page = web.get(slack.chat_getPermalink(channel=ALERTS, message_ts=ts)["permalink"])
    assert page.headers["location"] == f"/slack/channels/{ALERTS}#{ts}"


def test_an_incident_channel_is_made_and_filled(slack: WebClient) -> None:
    channel = slack.conversations_create(name="inc-2026-01-01-api")["channel"]["id"]
    slack.conversations_invite(channel=channel, users=["U0ALICE001", "U0BOB00001"])
    slack.conversations_setTopic(channel=channel, topic="api is slow")
    assert slack.conversations_members(channel=channel)["members"] == ["U0OPSBOT01", "U0ALICE001", "U0BOB00001"]
    assert slack.conversations_info(channel=channel)["channel"]["topic"]["value"] == "api is slow"
    assert refused(slack.conversations_create, name="inc-2026-01-01-api") == "name_taken"
    assert refused(slack.conversations_create, name="Bad Name") == "invalid_name_specials"
    assert refused(slack.conversations_invite, channel=channel, users="U0NOBODY00") == "user_not_found"
    assert refused(slack.conversations_invite, channel=channel, users="U0ALICE001") == "already_in_channel"


def test_the_list_says_where_the_bot_is(slack: WebClient) -> None:
    pages = [{one["name"]: one["is_member"] for one in page["channels"]} for page in slack.conversations_list(limit=4)]
    assert [len(page) for page in pages] == [4, 2]
    channels = pages[0] | pages[1]
    assert (channels["operations"], channels["random"]) == (True, False)


def test_users_are_found_by_id_and_by_address(slack: WebClient) -> None:
    found = slack.users_lookupByEmail(email="bob@ai-orchestrator.example")["user"]["id"]
    assert slack.users_info(user=found)["user"]["name"] == "bob"
    assert refused(slack.users_info, user="U0NOBODY00") == "user_not_found"


def test_a_webhook_posts_into_its_channel(slack: WebClient, receivers_site: Site) -> None:
    url = f"{receivers_site.url('receivers')}/slack/services/{receivers_site.secret('slack-webhook')}"
    answer = WebhookClient(url).send(attachments=[{"title": "[FIRING:1] x", "text": "y", "color": "danger"}])
    assert (answer.status_code, answer.body) == (200, "ok")
    message = slack.conversations_history(channel=ALERTS)["messages"][0]
    assert message["subtype"] == "bot_message"
    assert message["attachments"][0]["title"] == "[FIRING:1] x"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [("{}", 400, "no_text"), ("no json", 400, "invalid_payload"), ("[]", 400, "invalid_payload")],
)
def test_a_wrong_payload_is_refused_in_plain_text(
    web: httpx.Client, receivers_site: Site, body: str, status: int, text: str
) -> None:
    path = f"/slack/services/{receivers_site.secret('slack-webhook')}"
    answer = web.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.text) == (status, text)


def test_a_webhook_with_a_wrong_secret_is_refused(web: httpx.Client) -> None:
    answer = web.post("/slack/services/T0/B0/wrong", json={"text": "x"})
    assert (answer.status_code, answer.text) == (403, "invalid_token")


def test_the_sdk_waits_and_tries_again_when_it_is_told_so(slack: WebClient, recorded: Any) -> None:
    recorded.set_mode("slack", "rate_limited", times=1)
    slack.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
    assert slack.auth_test()["ok"]
    assert [one["status"] for one in recorded("slack")] == [429, 200]
