"""What was posted to a channel, with the threads of what needs an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RunbookError, TransientError

if TYPE_CHECKING:
    from slack_sdk import WebClient

PAGE = 200
LATER = frozenset(
    {"ratelimited", "rate_limited", "service_unavailable", "internal_error", "fatal_error", "request_timeout"}
)
"""What Slack says when it means "again in a minute"; all other errors stay."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the channel and who has answered it.

    :param bot: a program posted it, not a person.
    :param text: its text and the titles and texts of its attachments.
    :param answered_by: people who replied or reacted; programs do not count.
    """

    ts: str
    at: datetime
    bot: bool
    text: str
    answered_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What was read.

    :param complete: False when there were more pages than may be read.
    """

    id: str
    name: str
    messages: tuple[Message, ...]
    complete: bool


def channel(client: WebClient, *, name: str, oldest: datetime, pages_max: int) -> Channel:
    """Read a channel since a moment; a channel that is not there, or that we are not in, is an error and never silence."""
    channel_id = find(client, name)
    messages: list[Message] = []
    cursor: str | None = None
    for _ in range(pages_max):
        parts = {"channel": channel_id, "oldest": f"{oldest.timestamp():.6f}", "inclusive": False, "limit": PAGE}
        page = call(client, "conversations.history", **parts, **({"cursor": cursor} if cursor else {}))
        messages += [_message(client, channel_id, each) for each in page["messages"]]
        cursor = _next(page)
        if not cursor:
            break
    return Channel(id=channel_id, name=name, messages=tuple(messages), complete=not cursor)


def find(client: WebClient, name: str) -> str:
    """Return the id of a channel that the bot is in; an id is taken as it is."""
    if not name.startswith("#"):
        return name
    for each in channels(client):
        if each["name"] == name.removeprefix("#"):
            if not each.get("is_member", True):
                raise ConfigurationError(
                    f"the Slack bot is not in {name}; invite it, or change the setting alerts.channel"
                )
            return str(each["id"])
    raise ConfigurationError(
        f"Slack shows no channel {name}; change the setting alerts.channel, or the Connection in connections.slack"
    )


def channels(client: WebClient) -> Iterator[Mapping[str, Any]]:
    """Yield every channel that the token sees, those without the bot too."""
    cursor: str | None = None
    while True:
        page = call(
            client, "conversations.list", limit=PAGE, exclude_archived=True, **({"cursor": cursor} if cursor else {})
        )
        yield from page["channels"]
        cursor = _next(page)
        if not cursor:
            return


def permalink(client: WebClient, channel_id: str, ts: str) -> str:
    """Return the address of a message."""
    return str(call(client, "chat.getPermalink", channel=channel_id, message_ts=ts)["permalink"])


def call(client: WebClient, method: str, **arguments: Any) -> Mapping[str, Any]:
    """Call a method of the Web API by GET, as all that read may be."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    what = f"{method} of {arguments['channel']}" if "channel" in arguments else method
    given = {name: int(value) if isinstance(value, bool) else value for name, value in arguments.items()}
    try:
        body: Any = client.api_call(method, http_verb="GET", params=given).data
    except SlackApiError as error:
        raise _refusal(what, error.response) from None
    except (SlackClientError, OSError) as error:
        raise TransientError(f"Slack did not answer {what}: {type(error).__name__}") from None
    return body if isinstance(body, Mapping) else {}


def _refusal(what: str, response: Any) -> RunbookError:
    said = str(response.get("error", "")) if isinstance(response.data, Mapping) else ""
    word = said if said.isidentifier() else ""  # a proxy in between answers with a whole page
    if response.status_code >= 429 or word in LATER:
        return TransientError(f"Slack could not serve {what} ({response.status_code} {word})".rstrip())
    needed = f" (needs {response.get('needed')})" if word == "missing_scope" else ""
    return ConfigurationError(
        f"Slack refuses {what}: {word}{needed}; check the Connection in connections.slack and alerts.channel"
    )


def _next(page: Mapping[str, Any]) -> str | None:
    return (page.get("response_metadata") or {}).get("next_cursor") or None


def _message(client: WebClient, channel_id: str, raw: Mapping[str, Any]) -> Message:
    bot = "bot_id" in raw or raw.get("subtype") == "bot_message"
    return Message(
        ts=raw["ts"],
        at=datetime.fromtimestamp(float(raw["ts"]), UTC),
        bot=bot,
        text=_text(raw),
        answered_by=tuple(_people(client, channel_id, raw)) if bot else (),
    )


def _text(raw: Mapping[str, Any]) -> str:
    parts = [raw.get("text", "")]
    for attachment in raw.get("attachments") or ():
        parts += [attachment.get("title", ""), attachment.get("text", "") or attachment.get("fallback", "")]
    return "\n".join(part for part in parts if part)


def _people(client: WebClient, channel_id: str, raw: Mapping[str, Any]) -> Iterator[str]:
    for reaction in raw.get("reactions") or ():
        yield from reaction.get("users") or ()
    if raw.get("reply_count"):
        yield from (reply["user"] for reply in replies(client, channel_id, raw["ts"]) if _by_person(reply))


def _by_person(reply: Mapping[str, Any]) -> bool:
    return bool(reply.get("user")) and "bot_id" not in reply and reply.get("subtype") is None


def replies(client: WebClient, channel_id: str, ts: str) -> Sequence[Mapping[str, Any]]:
    """Return the replies of a thread without the message that starts it."""
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        parts = {"channel": channel_id, "ts": ts, "limit": PAGE, **({"cursor": cursor} if cursor else {})}
        page = call(client, "conversations.replies", **parts)
        found += [reply for reply in page["messages"] if reply["ts"] != ts]
        cursor = _next(page)
        if not cursor:
            return found
