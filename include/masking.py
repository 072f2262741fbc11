"""Text from clients and servers made fit to be shown: addresses keep their place, passwords and tokens go."""

from __future__ import annotations

import re

MASK = "***"

_SECRETS = (
    re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)"),  # user:password of an address
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]+"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"xox[a-z]-[\w-]+"),  # Slack tokens
    re.compile(r"(?<=/services/)[\w/-]+"),  # the path of a Slack webhook is its password
    re.compile(
        r"(?i)(?:(?<=password=)|(?<=password\": \")|(?<=passwd=)|(?<=secret=)|(?<=token=)|(?<=api_key=)|(?<=routing_key=))[^\s&,;'\"]+"
    ),
)


def masked(text: str) -> str:
    """Return the text with `***` where a password, token or key was recognised by its surroundings."""
    for secret in _SECRETS:
        text = secret.sub(MASK, text)
    return text


def one_line(text: str, limit: int) -> str:
    """Return the text on one line, masked, shortened to `limit` characters with an ellipsis."""
    flat = " ".join(masked(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
