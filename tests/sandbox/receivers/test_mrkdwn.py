from __future__ import annotations

import httpx
import pytest
from slack_sdk import WebClient

from include.reporting.slack import ICONS
from sandbox.receivers.mrkdwn import render, text_object


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _it_ ~gone~", "<strong>bold</strong> <em>it</em> <del>gone</del>"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("`a*b*c`", "<code>a*b*c</code>"),
        ("```x\n<y>```", "<pre>x\n&lt;y&gt;</pre>"),
        ("a &amp; b &lt;c&gt;", "a &amp; b &lt;c&gt;"),
        ("a & b <c>", "a &amp; b &lt;c&gt;"),
        ("<https://a.b/?x=1&amp;y=2|here>", '<a href="https://a.b/?x=1&amp;y=2" rel="noreferrer">here</a>'),
        ("<javascript:alert(1)|here>", "&lt;javascript:alert(1)|here&gt;"),
        ('<https://a.b/"onload="x|here>', '<a href="https://a.b/&quot;onload=&quot;x" rel="noreferrer">here</a>'),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<!channel> <@U0ALICE001>", "&lt;!channel&gt; &lt;@U0ALICE001&gt;"),
        (":warning: :unheard_of:", "⚠️ :unheard_of:"),
    ],
)
def test_mrkdwn_becomes_safe_html(text: str, html: str) -> None:
    assert render(text) == html


def test_plain_text_is_not_rendered() -> None:
    assert text_object({"type": "plain_text", "text": "*x* <y>"}) == "*x* &lt;y&gt;"


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [({}, "🟡 late"), ({"emoji": True}, "🟡 late"), ({"emoji": False}, ":large_yellow_circle: late")],
)
def test_plain_text_has_emoji_unless_it_wants_none(wanted: dict[str, bool], shown: str) -> None:
    assert text_object({"type": "plain_text", "text": ":large_yellow_circle: late", **wanted}) == shown


@pytest.mark.parametrize("icon", sorted(set(ICONS.values())))
def test_every_icon_of_a_report_is_a_sign_on_the_page(icon: str) -> None:
    assert icon not in render(icon)


def test_no_field_of_a_message_can_break_out_of_the_page(slack: WebClient, web: httpx.Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    attachment = {"title": evil, "text": evil, "footer": evil, "pretext": evil, "title_link": "javascript:alert(1)"}
    fields = [{"title": evil, "value": evil}]
    slack.chat_postMessage(channel="#alerts", text=evil, attachments=[{**attachment, "fields": fields}])
    blocks = [{"type": "section", "text": {"type": kind, "text": evil}} for kind in ("mrkdwn", "plain_text")]
    slack.chat_postMessage(channel="#alerts", text=evil, blocks=[*blocks, {"type": "rich_text", "elements": [evil]}])
    text = web.get("/slack/channels/alerts").text
    assert text.count("&lt;img src=x") >= 8
    assert "<img" not in text
    assert "javascript:" not in text


def test_a_person_answers_on_the_page(slack: WebClient, web: httpx.Client) -> None:
    ts = slack.chat_postMessage(channel="#operations", text="ready?")["ts"]
    web.post("/slack/channels/operations", data={"person": "carol", "ts": ts, "form": "react"})
    web.post("/slack/channels/operations", data={"person": "carol", "ts": ts, "text": "a <b> & c"})
    thread = slack.conversations_replies(channel="C0OPERAT01", ts=ts)["messages"]
    assert thread[0]["reactions"] == [{"name": "+1", "users": ["U0CAROL001"], "count": 1}]
    assert (thread[1]["user"], thread[1]["text"]) == ("U0CAROL001", "a &lt;b&gt; &amp; c")
