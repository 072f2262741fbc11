"""Text from clients and servers made fit to be shown: addresses keep their place, passwords and tokens go."""

from __future__ import annotations

import re

MASK = "***"

_SECRETS = (
    re.compile(r"(://)[^\s@]*:[^\s@]*(?=@)"),  # user:password of an address; a slash may be part of a password
    re.compile(r"(bearer )[\w.~+/=-]+", re.IGNORECASE),
    re.compile(r"(basic )[A-Za-z0-9+/=]{8,}", re.IGNORECASE),
    re.compile(r"()x(?:ox[a-z]|app)-[\w-]+"),  # Slack tokens
    re.compile(r"()AGE-SECRET-KEY-1\w+", re.IGNORECASE),
    re.compile(r"(/services/)[\w/-]+"),  # the path of a Slack webhook is its password
    re.compile(
        r"""((?:password|passwd|secret|token|api_key|routing_key)["']?\s*[=:]\s*["']?)[^\s&,;'"]+""", re.IGNORECASE
    ),
)
"""Each begins with a group that stays: what a secret is recognised by."""


def masked(text: str) -> str:
    """Return the text with `***` where a password, token or key was recognised by its surroundings."""
    for secret in _SECRETS:
        text = secret.sub(rf"\g<1>{MASK}", text)
    return text


def one_line(text: str, limit: int) -> str:
    """Return the text on one line, masked, shortened to `limit` characters with an ellipsis."""
    flat = " ".join(masked(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
