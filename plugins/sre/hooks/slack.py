"""Slack for reports: the provider's hook with its retries on, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from include import settings
from include.errors import ConfigurationError, PermanentError, TransientError
from include.masking import one_line
from include.reporting.slack import Message
from sre.hooks.connection import connection

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

EVENT_TYPE = "runbook_report"
LATER = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
CHANNEL = frozenset({"channel_not_found", "not_in_channel", "is_archived", "restricted_action"})
TOKEN = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "missing_scope",
        "no_permission",
    }
)


class MessageGoneError(PermanentError):
    """What stood there cannot be changed any more: somebody deleted it, or another bot posted it."""


@dataclass(frozen=True)
class Posted:
    """Where a message stands."""

    channel: str
    ts: str


class ReportSlackHook(BaseHook):
    """Post and update messages.

    :param conn_id: Connection of type slack; the token is its password, `base_url` in its extra leads elsewhere than slack.com.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    @cached_property
    def client(self) -> WebClient:
        """The SDK's client; a retry for each of a rate limit, a server error and a lost connection."""
        from airflow.providers.slack.hooks.slack import SlackHook
        from slack_sdk.http_retry.builtin_handlers import (
            ConnectionErrorRetryHandler,
            RateLimitErrorRetryHandler,
            ServerErrorRetryHandler,
        )

        if not connection(self.conn_id).password:
            raise ConfigurationError(
                f"the Connection {self.conn_id!r} holds no Slack token; put the bot's token into its password"
            )
        return SlackHook(
            slack_conn_id=self.conn_id,
            timeout=int(settings.load().reporting.deadline_s),
            retry_handlers=[ConnectionErrorRetryHandler(), RateLimitErrorRetryHandler(), ServerErrorRetryHandler()],
        ).client

    def post(self, channel: str, message: Message, *, op_id: str, thread_ts: str | None = None) -> Posted:
        """Post a message, into a thread if one is given; `op_id` travels along as metadata."""
        with self._translated(channel):
            answer = self.client.chat_postMessage(
                channel=channel,
                text=message.text,
                blocks=message.blocks,
                thread_ts=thread_ts,
                metadata=_metadata(op_id),
                unfurl_links=False,
                unfurl_media=False,
            )
            return Posted(str(answer["channel"]), str(answer["ts"]))

    def update(self, posted: Posted, message: Message, *, op_id: str) -> Posted:
        """Put other words in the place of a message that was posted; MessageGoneError if that cannot be done any more."""
        with self._translated(posted.channel):
            self.client.chat_update(
                channel=posted.channel,
                ts=posted.ts,
                text=message.text,
                blocks=message.blocks,
                metadata=_metadata(op_id),
            )
            return posted

    @contextmanager
    def _translated(self, channel: str) -> Iterator[None]:
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            yield
        except SlackApiError as error:
            raise self._in_our_words(error, channel) from error
        except (SlackClientError, OSError) as error:
            raise TransientError(f"Slack does not answer ({one_line(str(error), 200)}); nothing was posted") from error

    def _in_our_words(self, error: SlackApiError, channel: str) -> TransientError | PermanentError:
        code, status = _code(error.response), getattr(error.response, "status_code", 200)
        if code in GONE:
            return MessageGoneError(f"Slack says {code} for {channel}; post the message anew")
        if code in CHANNEL:
            return ConfigurationError(
                f"Slack says {code} for {channel}; invite the bot into that channel, or change OPS_REPORTING__CHANNEL"
            )
        if code in TOKEN:
            return ConfigurationError(f"Slack says {code}; check token and scopes of the Connection {self.conn_id}")
        if code in LATER or status >= 500 or status == 429:
            return TransientError(
                f"Slack says {code if code.isidentifier() else status}: later"
            )  # down, it answers with a page
        return PermanentError(f"Slack refused the message for {channel}: {code or one_line(str(error), 200)}")


def _code(response: Any) -> str:
    return str(response.get("error") or "") if hasattr(response, "get") else ""


def _metadata(op_id: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"op_id": op_id}}
