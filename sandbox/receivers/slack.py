"""Slack's Web API and incoming webhooks (https://docs.slack.dev/reference/methods)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse

from sandbox.receivers.answers import Refusal, authorized, matches, slack_error
from sandbox.receivers.counter import Asked, Here, ServiceRoute, World
from sandbox.receivers.slack_rules import check_message, check_metadata, parsed_list
from sandbox.receivers.slack_workspace import (
    A_MICROSECOND,
    BOT,
    BOT_ID,
    NAMES,
    TEAM,
    WEBHOOK_BOT_ID,
    WEBHOOK_CHANNEL,
    Workspace,
    moved_key,
    user,
)
from sandbox.receivers.store import Doc, Page

router = APIRouter(prefix="/slack", route_class=ServiceRoute)
Arguments = Mapping[str, Any]
Method = Callable[[Workspace, Arguments], Doc]
METHODS: dict[str, Method] = {}


def method(name: str) -> Callable[[Method], Method]:
    """Register a function as the Web API method of that name."""

    def register(function: Method) -> Method:
        METHODS[name] = function
        return function

    return register


@router.api_route("/api/{name}", methods=["GET", "POST"])
async def web_api(request: Request, here: Here, asked: Asked, name: str) -> JSONResponse:
    """Answer a method as Slack does: authentication first, then the arguments."""
    if asked.malformed:
        raise slack_error("invalid_json")
    body = asked.body if isinstance(asked.body, dict) else {}
    arguments = {**request.query_params, **body}
    _authenticate(request, here, str(arguments.pop("token", "")))
    if name not in METHODS:
        raise slack_error("unknown_method", req_method=name)
    return JSONResponse({"ok": True, **METHODS[name](Workspace(here.store, url=here.url("slack")), arguments)})


def _authenticate(request: Request, here: World, token: str) -> None:
    if not (token or request.headers.get("authorization")):
        raise slack_error("not_authed")
    if not (authorized(request, "Bearer ", here.tokens.slack) or matches(token, here.tokens.slack)):
        raise slack_error("invalid_auth")


@router.post("/services/{secret:path}")
async def webhook(here: Here, asked: Asked, secret: str) -> PlainTextResponse:
    """Take a message for the channel that the webhook is tied to; the answer is plain text."""
    if not matches(secret, here.tokens.webhook):
        raise Refusal(403, "invalid_token")
    Workspace(here.store, url=here.url("slack")).post(WEBHOOK_CHANNEL, _webhook_message(_webhook_payload(asked.body)))
    return PlainTextResponse("ok")


def _webhook_payload(body: Any) -> Doc:
    try:
        payload = json.loads(body["payload"]) if isinstance(body, dict) and "payload" in body else body
    except (ValueError, TypeError):
        raise Refusal(400, "invalid_payload") from None
    if not isinstance(payload, dict):
        raise Refusal(400, "invalid_payload")
    return payload


def _webhook_message(payload: Arguments) -> Doc:
    try:
        content = _content(payload)
    except Refusal as refusal:
        raise Refusal(400, refusal.body["error"]) from None
    name = payload.get("username") or "incoming-webhook"
    return {"subtype": "bot_message", "bot_id": WEBHOOK_BOT_ID, "username": name, **content}


def _content(arguments: Arguments) -> Doc:
    text = str(arguments.get("text") or "")
    blocks = parsed_list(arguments.get("blocks"), "invalid_blocks_format")
    attachments = parsed_list(arguments.get("attachments"), "invalid_attachments")
    check_message(text, blocks, attachments)
    metadata = check_metadata(arguments.get("metadata"))
    optional = {"blocks": blocks, "attachments": attachments, "metadata": metadata}
    return {"text": text, **{name: value for name, value in optional.items() if value}}


def _needed(arguments: Arguments, name: str, error: str = "invalid_arguments") -> str:
    value = str(arguments.get(name) or "")
    if not value:
        raise slack_error(error)
    return value


def _true(value: Any) -> bool:
    return str(value).lower() in ("1", "true")


def _limit(arguments: Arguments, default: int) -> int:
    value = str(arguments.get("limit") or default)
    if not value.isdecimal() or not 1 <= int(value) <= 999:
        raise slack_error("invalid_limit")
    return int(value)


@method("api.test")
def api_test(workspace: Workspace, arguments: Arguments) -> Doc:
    """Say the arguments back."""
    return {"args": dict(arguments)}


@method("auth.test")
def auth_test(workspace: Workspace, arguments: Arguments) -> Doc:
    """Say who the token is."""
    return {
        "url": f"{workspace.url}/",
        "team": "AI Orchestrator",
        "user": NAMES[BOT],
        "team_id": TEAM,
        "user_id": BOT,
        "bot_id": BOT_ID,
    }


@method("chat.postMessage")
def post_message(workspace: Workspace, arguments: Arguments) -> Doc:
    """Post into a channel that the bot is in, or into a thread of it."""
    channel = workspace.named(_needed(arguments, "channel", "channel_not_found"))
    author = {"user": BOT, "bot_id": BOT_ID, "app_id": "A0OPSBOT01"}
    thread_ts = str(arguments.get("thread_ts") or "")
    message = workspace.post(channel["id"], {**author, **_content(arguments)}, thread_ts=thread_ts)
    return {"channel": channel["id"], "ts": message["ts"], "message": message}


@method("chat.update")
def update_message(workspace: Workspace, arguments: Arguments) -> Doc:
    """Replace what a message of the bot says."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    message = workspace.message(channel["id"], _needed(arguments, "ts", "message_not_found"))
    if message.get("user") != BOT:
        raise slack_error("cant_update_message")
    edited = {"user": BOT, "ts": workspace.new_ts()}
    updated = {**message, **_content(arguments), "edited": edited}
    workspace.save_message(channel["id"], updated)
    return {"channel": channel["id"], "ts": message["ts"], "text": updated["text"], "message": updated}


@method("chat.getPermalink")
def permalink(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return the address of a message; it works in a browser."""
    channel = workspace.channel(_needed(arguments, "channel", "channel_not_found"))
    ts = _needed(arguments, "message_ts", "message_not_found")
    workspace.message(channel["id"], ts)
    return {"channel": channel["id"], "permalink": workspace.permalink(channel["id"], ts)}


@method("conversations.history")
def history(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return messages, newest first, without replies; `metadata` only where `include_all_metadata` asks for it."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    limit = _limit(arguments, 100)
    found = workspace.history(channel["id"], _window(arguments, limit + 1))
    messages = [_shown(message, arguments) for message in found[:limit]]
    more = len(found) > limit
    cursor = {"response_metadata": {"next_cursor": _cursor(messages[-1]["ts"])}} if more else {}
    return {"messages": messages, "has_more": more, "pin_count": 0, **cursor}


def _window(arguments: Arguments, limit: int) -> Page:
    step = A_MICROSECOND if _true(arguments.get("inclusive")) else Decimal(0)
    after = moved_key(str(arguments.get("oldest") or "0"), "invalid_ts_oldest", by=-step)
    latest = str(arguments.get("latest") or "now")
    before = Page.before if latest == "now" else moved_key(latest, "invalid_ts_latest", by=step)
    position = _decoded(str(arguments["cursor"]), "next_ts") if arguments.get("cursor") else Page.before
    return Page(after, min(before, position), limit, newest_first=True)


def _cursor(position: str, name: str = "next_ts") -> str:
    return base64.b64encode(f"{name}:{position}".encode()).decode()


def _decoded(cursor: str, name: str) -> str:
    try:
        found, _, position = base64.b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        raise slack_error("invalid_cursor") from None
    if found != name or not position:
        raise slack_error("invalid_cursor")
    return position


def _shown(message: Doc, arguments: Arguments) -> Doc:
    if _true(arguments.get("include_all_metadata")):
        return message
    return {name: value for name, value in message.items() if name != "metadata"}


@method("conversations.replies")
def replies(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return a thread: the message that starts it, then its replies, oldest first."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    parent = workspace.message(channel["id"], _needed(arguments, "ts", "thread_not_found"), "thread_not_found")
    thread = [parent, *workspace.replies(channel["id"], parent["ts"])]
    oldest = str(arguments.get("oldest") or "")
    since = moved_key(oldest, "invalid_ts_oldest") if oldest else ""
    wanted = [message for message in thread if message is parent or message["ts"] > since]
    shown, more = _slice([_shown(message, arguments) for message in wanted], arguments, 999)
    return {"messages": shown, "has_more": bool(more), "response_metadata": {"next_cursor": more}}


def _slice(entries: list[Doc], arguments: Arguments, default: int) -> tuple[list[Doc], str]:
    limit = _limit(arguments, default)
    position = _decoded(str(arguments["cursor"]), "offset") if arguments.get("cursor") else "0"
    if not position.isdecimal():
        raise slack_error("invalid_cursor")
    end = int(position) + limit
    return entries[int(position) : end], _cursor(str(end), "offset") if end < len(entries) else ""


def _public(channel: Doc) -> Doc:
    members = channel["members"]
    shown = {name: value for name, value in channel.items() if name != "members"}
    return {**shown, "is_member": BOT in members, "num_members": len(members)}


@method("conversations.list")
def list_channels(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return the channels, those without the bot too."""
    channels, cursor = _slice([_public(channel) for channel in workspace.channels()], arguments, 100)
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


@method("conversations.info")
def channel_info(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return one channel."""
    return {"channel": _public(workspace.channel(_needed(arguments, "channel", "channel_not_found")))}


@method("conversations.members")
def channel_members(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return the ids of who is in a channel."""
    members = workspace.channel(_needed(arguments, "channel", "channel_not_found"))["members"]
    shown, cursor = _slice([{"id": member} for member in members], arguments, 100)
    return {"members": [member["id"] for member in shown], "response_metadata": {"next_cursor": cursor}}


@method("conversations.create")
def create_channel(workspace: Workspace, arguments: Arguments) -> Doc:
    """Make a channel; the name follows Slack's rules."""
    name = _needed(arguments, "name", "invalid_name_required")
    if len(name) > 80:
        raise slack_error("invalid_name_maxlength")
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise slack_error("invalid_name_specials")
    return {"channel": _public(workspace.create_channel(name))}


@method("conversations.invite")
def invite(workspace: Workspace, arguments: Arguments) -> Doc:
    """Bring people into a channel that the bot is in."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    invited = [user(user_id)["id"] for user_id in _needed(arguments, "users", "no_user").split(",")]
    if BOT in invited:
        raise slack_error("cant_invite_self")
    if set(invited) & set(channel["members"]):
        raise slack_error("already_in_channel")
    return _save(workspace, {**channel, "members": [*channel["members"], *invited]})


@method("conversations.join")
def join(workspace: Workspace, arguments: Arguments) -> Doc:
    """Bring the bot into a public channel; nothing happens if it is there."""
    channel = workspace.channel(_needed(arguments, "channel", "channel_not_found"))
    return _save(workspace, {**channel, "members": list(dict.fromkeys([*channel["members"], BOT]))})


@method("conversations.setTopic")
def set_topic(workspace: Workspace, arguments: Arguments) -> Doc:
    """Write the line at the top of a channel."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    topic = str(arguments.get("topic") or "")
    if len(topic) > 250:
        raise slack_error("too_long")
    set_at = int(float(workspace.new_ts()))
    return _save(workspace, {**channel, "topic": {"value": topic, "creator": BOT, "last_set": set_at}})


def _save(workspace: Workspace, channel: Doc) -> Doc:
    workspace.save_channel(channel)
    return {"channel": _public(channel)}


@method("reactions.add")
def add_reaction(workspace: Workspace, arguments: Arguments) -> Doc:
    """React to a message as the bot."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    name = _needed(arguments, "name", "invalid_name").strip(":")
    ts = _needed(arguments, "timestamp", "no_item_specified")
    workspace.react(channel["id"], ts, name=name, user_id=BOT)
    return {}


@method("reactions.get")
def get_reactions(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return a message with its reactions."""
    channel = workspace.joined_channel(_needed(arguments, "channel", "channel_not_found"))
    message = workspace.message(channel["id"], _needed(arguments, "timestamp", "no_item_specified"))
    return {"type": "message", "channel": channel["id"], "message": message}


@method("users.info")
def user_info(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return one user."""
    return {"user": user(_needed(arguments, "user", "user_not_found"))}


@method("users.list")
def list_users(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return every user, the bot included."""
    members, cursor = _slice([user(user_id) for user_id in NAMES], arguments, 100)
    return {"members": members, "response_metadata": {"next_cursor": cursor}}


@method("users.lookupByEmail")
def user_by_email(workspace: Workspace, arguments: Arguments) -> Doc:
    """Return the user with that address."""
    email = _needed(arguments, "email", "users_not_found")
    found = [entry for entry in map(user, NAMES) if entry["profile"]["email"] == email]
    if not found:
        raise slack_error("users_not_found")
    return {"user": found[0]}
