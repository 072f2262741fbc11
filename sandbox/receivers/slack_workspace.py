"""A Slack workspace: its people, channels, messages and threads, kept in the store."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sandbox.receivers.answers import slack_error
from sandbox.receivers.store import Doc, Page, Store

TEAM = "T0ORCHESTR"
BOT = "U0OPSBOT01"
BOT_ID = "B0OPSBOT01"
WEBHOOK_BOT_ID = "B0WEBHOOK1"
WEBHOOK_CHANNEL = "C0ALERTS01"
CHANNELS: Mapping[str, str] = {
    "alerts": WEBHOOK_CHANNEL,
    "operations": "C0OPERAT01",
    "security": "C0SECURI01",
    "incidents": "C0INCIDE01",
    "status": "C0STATUS01",
    "random": "C0RANDOM01",
}
WITHOUT_BOT = "random"
"""The channel that nobody invited the bot to: posting there is `not_in_channel`."""
PEOPLE: Mapping[str, str] = {"alice": "U0ALICE001", "bob": "U0BOB00001", "carol": "U0CAROL001", "dave": "U0DAVE0001"}
A_MICROSECOND = Decimal("0.000001")
NAMES: Mapping[str, str] = {BOT: "ops-bot", **{user: name for name, user in PEOPLE.items()}}


def user(user_id: str) -> Doc:
    """Return a user as `users.info` shows it."""
    if user_id not in NAMES:
        raise slack_error("user_not_found")
    name = NAMES[user_id]
    profile = {"real_name": name.capitalize(), "display_name": name, "email": f"{name}@ai-orchestrator.example"}
    return {
        "id": user_id,
        "team_id": TEAM,
        "name": name,
        "real_name": profile["real_name"],
        "deleted": False,
        "is_bot": user_id == BOT,
        "tz": "Etc/UTC",
        "profile": profile,
    }


def moved_key(ts: str, error: str, *, by: Decimal = Decimal(0)) -> str:
    """Return a timestamp as the store sorts it, seconds and microseconds at one width, moved by some."""
    if not re.fullmatch(r"\d{1,10}(\.\d*)?", ts):
        raise slack_error(error)
    return f"{Decimal(ts) + by:.6f}".zfill(17)


class Workspace:
    """Reads and writes; an unknown channel or message raises what Slack answers."""

    def __init__(self, store: Store, *, url: str) -> None:
        self._store, self.url = store, url
        if not store.get("channel", WEBHOOK_CHANNEL):
            self._found()

    def _found(self) -> None:
        for name, channel_id in CHANNELS.items():
            members = [*PEOPLE.values(), *([] if name == WITHOUT_BOT else [BOT])]
            self._store.put("channel", channel_id, _channel(channel_id, name, members))

    def channels(self) -> list[Doc]:
        """Return every channel, members included."""
        return self._store.all("channel")

    def channel(self, channel_id: str) -> Doc:
        """Return one channel by its id, not by its name."""
        found = self._store.get("channel", channel_id)
        if not found:
            raise slack_error("channel_not_found")
        return found

    def joined_channel(self, channel_id: str) -> Doc:
        """Return a channel that the bot may read and write."""
        channel = self.channel(channel_id)
        if BOT not in channel["members"]:
            raise slack_error("not_in_channel")
        return channel

    def named(self, name: str) -> Doc:
        """Return a channel by id, `name` or `#name`, as chat.postMessage takes it."""
        wanted = name.removeprefix("#")
        by_name = (channel["id"] for channel in self.channels() if channel["name"] == wanted)
        return self.joined_channel(next(by_name, name))

    def save_channel(self, channel: Mapping[str, Any]) -> None:
        """Write a channel back."""
        self._store.put("channel", channel["id"], channel)

    def create_channel(self, name: str) -> Doc:
        """Make a channel with the bot as its only member."""
        if any(channel["name"] == name for channel in self.channels()):
            raise slack_error("name_taken")
        channel = _channel(f"C{self._store.next('channel'):09d}", name, [BOT])
        self.save_channel(channel)
        return channel

    def permalink(self, channel_id: str, ts: str) -> str:
        """Return the address of a message."""
        return f"{self.url}/archives/{channel_id}/p{ts.replace('.', '')}"

    def new_ts(self, at: float | None = None) -> str:
        """Return a timestamp that no message has; `at` puts a message into the past."""
        if at is not None:
            return f"{at + self._store.next('past') % 1000 / 1e6:.6f}"
        micros = self._store.next("ts", at_least=time.time_ns() // 1000)
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"

    def post(self, channel_id: str, message: Mapping[str, Any], *, thread_ts: str = "", at: float | None = None) -> Doc:
        """Write a message, or a reply to the thread that `thread_ts` starts or belongs to."""
        ts = self.new_ts(at)
        posted = {"type": "message", "team": TEAM, **message, "ts": ts}
        if not thread_ts:
            self._store.put("message", ts, posted, parent=channel_id)
            return posted
        return self._reply(channel_id, thread_ts, posted)

    def _reply(self, channel_id: str, thread_ts: str, posted: Doc) -> Doc:
        parent = self._store.get("message", self.root_of(channel_id, thread_ts), parent=channel_id)
        if not parent:
            raise slack_error("thread_not_found")
        reply = {**posted, "thread_ts": parent["ts"], "parent_user_id": parent.get("user", "")}
        self._store.put("reply", reply["ts"], reply, parent=f"{channel_id}/{parent['ts']}")
        self._store.put("reply_to", reply["ts"], {"ts": parent["ts"]}, parent=channel_id)
        self._store.put("message", parent["ts"], _with_reply(parent, reply), parent=channel_id)
        return reply

    def root_of(self, channel_id: str, ts: str) -> str:
        """Return the ts of the message that starts the thread in which `ts` is."""
        reply = self._store.get("reply_to", ts, parent=channel_id)
        return str(reply["ts"]) if reply else ts

    def _place(self, channel_id: str, ts: str) -> tuple[str, str]:
        root = self.root_of(channel_id, ts)
        return ("message", channel_id) if root == ts else ("reply", f"{channel_id}/{root}")

    def message(self, channel_id: str, ts: str, error: str = "message_not_found") -> Doc:
        """Return a message or a reply."""
        kind, parent = self._place(channel_id, ts)
        found = self._store.get(kind, ts, parent=parent)
        if not found:
            raise slack_error(error)
        return found

    def save_message(self, channel_id: str, message: Mapping[str, Any]) -> None:
        """Write a message or a reply back."""
        kind, parent = self._place(channel_id, message["ts"])
        self._store.put(kind, message["ts"], message, parent=parent)

    def history(self, channel_id: str, page: Page) -> list[Doc]:
        """Return messages without replies."""
        return self._store.all("message", parent=channel_id, page=page)

    def replies(self, channel_id: str, ts: str) -> list[Doc]:
        """Return the replies of a thread, oldest first."""
        return self._store.all("reply", parent=f"{channel_id}/{ts}")

    def react(self, channel_id: str, ts: str, *, name: str, user_id: str) -> None:
        """Add a reaction, once for each person."""
        message = self.message(channel_id, ts)
        reactions = message.get("reactions", [])
        if any(reaction["name"] == name and user_id in reaction["users"] for reaction in reactions):
            raise slack_error("already_reacted")
        self.save_message(channel_id, {**message, "reactions": list(_with_reaction(reactions, name, user_id))})


def _channel(channel_id: str, name: str, members: list[str]) -> Doc:
    empty = {"value": "", "creator": "", "last_set": 0}
    return {
        "id": channel_id,
        "name": name,
        "name_normalized": name,
        "is_channel": True,
        "is_private": False,
        "is_archived": False,
        "creator": BOT,
        "created": int(time.time()),
        "topic": empty,
        "purpose": empty,
        "members": members,
    }


def _with_reply(parent: Doc, reply: Mapping[str, Any]) -> Doc:
    author = reply.get("user") or reply.get("bot_id", "")
    users = list(dict.fromkeys([*parent.get("reply_users", []), author]))
    return {
        **parent,
        "thread_ts": parent["ts"],
        "reply_count": parent.get("reply_count", 0) + 1,
        "reply_users": users,
        "reply_users_count": len(users),
        "latest_reply": max(reply["ts"], parent.get("latest_reply", "")),
    }


def _with_reaction(reactions: list[Doc], name: str, user_id: str) -> Iterator[Doc]:
    users: list[str] = next((reaction["users"] for reaction in reactions if reaction["name"] == name), [])
    yield from (reaction for reaction in reactions if reaction["name"] != name)
    yield {"name": name, "users": [*users, user_id], "count": len(users) + 1}
