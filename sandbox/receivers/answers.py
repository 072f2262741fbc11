"""How each service says no, and what it says when there is nothing: pure, by the path that was asked."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

RETRY_AFTER = {"Retry-After": "1"}
LISTS = frozenset(
    {"alerts", "channels", "components", "groups", "incidents", "log_entries", "members", "messages", "notes"}
    | {"oncalls", "priorities", "services", "users", "values"}
)
"""Fields that hold what a list request asks for; in mode `empty` they are."""


class Refusal(Exception):  # noqa: N818 - an answer, not a mishap
    """The request is answered with an error, in the words of the service."""

    def __init__(self, status: int, body: Any, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status, self.body, self.headers = status, body, headers

    def response(self) -> Response:
        """Return it as the client sees it: JSON, or plain text where the service speaks plain text."""
        kind = PlainTextResponse if isinstance(self.body, str) else JSONResponse
        return kind(self.body, self.status, self.headers)


def slack_error(error: str, *, status: int = 200, **more: Any) -> Refusal:
    """Slack's Web API answers 200 to nearly every mistake: only `ok` tells."""
    headers = RETRY_AFTER if status == 429 else None
    return Refusal(status, {"ok": False, "error": error, **more}, headers=headers)


def pagerduty_error(status: int, message: str, code: int, *errors: str) -> Refusal:
    """The error body of PagerDuty's REST API; codes as its documentation lists them."""
    return Refusal(status, {"error": {"message": message, "code": code, "errors": list(errors)}})


def event_error(status: int, state: str, message: str, *errors: str) -> Refusal:
    """The error body of PagerDuty's Events API."""
    return Refusal(status, {"status": state, "message": message, "errors": list(errors)})


def grafana_error(status: int, message: str, **more: Any) -> Refusal:
    """The error body of Grafana's API."""
    return Refusal(status, {"message": message, **more})


def surface(path: str) -> str:
    """Return which of the APIs a path belongs to; Slack and PagerDuty have two each."""
    service, _, rest = path.strip("/").partition("/")
    if service == "slack" and rest.startswith("services"):
        return "webhook"
    return "events" if service == "pagerduty" and rest.startswith("v2/") else service


def _rate_limited(body: Any) -> Refusal:
    return Refusal(429, body, headers=RETRY_AFTER)


_NO_ACCESS = {"title": "Access denied", "accessErrorId": "ACE0000000000"}

FORBIDDEN: Mapping[str, Callable[[], Refusal]] = {
    "slack": lambda: slack_error("invalid_auth"),
    "webhook": lambda: Refusal(403, "invalid_token"),
    "pagerduty": lambda: pagerduty_error(401, "Authentication Failed", 2006),
    "events": lambda: event_error(400, "invalid event", "Event object is invalid", "Invalid routing key"),
    "statuspage": lambda: Refusal(401, {"error": "Could not authenticate"}),
    "grafana": lambda: grafana_error(403, "You'll need additional permissions to perform this action.", **_NO_ACCESS),
}
RATE_LIMITED: Mapping[str, Callable[[], Refusal]] = {
    "slack": lambda: slack_error("ratelimited", status=429),
    "webhook": lambda: _rate_limited("rate_limited"),
    "pagerduty": lambda: _rate_limited({"error": {"message": "Rate Limit Exceeded", "code": 2020, "errors": []}}),
    "events": lambda: _rate_limited({"status": "throttle exceeded", "message": "Requests are arriving too quickly"}),
    "statuspage": lambda: _rate_limited({"error": "Too many requests"}),
    "grafana": lambda: _rate_limited({"message": "Too many requests"}),
}


DOWN = Refusal(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")
"""What a load balancer says when nothing is behind it."""


def emptied(answer: Any) -> Any:
    """Return a valid answer without a single result in it: what a silent service looks like."""
    if isinstance(answer, list):
        return []
    if not isinstance(answer, dict):
        return answer
    return {name: _emptied_field(name, value) for name, value in answer.items()}


def _emptied_field(name: str, value: Any) -> Any:
    if name in ("more", "has_more"):
        return False
    if name == "next_cursor":
        return ""
    if isinstance(value, list):
        return [] if name in LISTS else [emptied(entry) if isinstance(entry, dict) else entry for entry in value]
    return emptied(value)


def authorized(request: Request, scheme: str, secret: str) -> bool:
    """Whether the Authorization header carries the secret after the scheme of that service."""
    given = request.headers.get("authorization", "")
    return matches(given.removeprefix(scheme), secret) and given.startswith(scheme)


def matches(given: str, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), secret.encode())
