"""Slack's mrkdwn as safe HTML: bold, italics, code, links; a mention stays the text that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from markupsafe import Markup

CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"<((?:https?|mailto):[^|<>\s]+)(?:\|([^<>]*))?>")
STYLES = tuple(
    (re.compile(rf"(?<![\w{sign}]){sign}(?=\S)([^{sign}\n]+?)(?<=\S){sign}(?![\w{sign}])"), rf"<{tag}>\1</{tag}>")
    for sign, tag in ((r"\*", "strong"), ("_", "em"), ("~", "del"))
)
EMOJI: Mapping[str, str] = {
    "+1": "👍",
    "black_circle": "⚫",
    "eyes": "👀",
    "fire": "🔥",
    "large_green_circle": "🟢",
    "large_yellow_circle": "🟡",
    "red_circle": "🔴",
    "rotating_light": "🚨",
    "warning": "⚠️",
    "white_check_mark": "✅",
    "white_circle": "⚪",
    "x": "❌",
}


def render(text: str) -> Markup:
    """Return the HTML of a mrkdwn text; whatever is no markup of Slack's is escaped."""
    return Markup("".join(_parts(text)))  # noqa: S704 - every part is escaped below


def _parts(text: str) -> Iterator[str]:
    place = 0
    for found in CODE.finditer(text):
        yield _linked(text[place : found.start()])
        yield f"<pre>{_shown(found[1])}</pre>" if found[1] else f"<code>{_shown(found[2])}</code>"
        place = found.end()
    yield _linked(text[place:])


def _linked(text: str) -> str:
    place, parts = 0, []
    for found in LINK.finditer(text):
        address = escape(_unescaped(found[1]))
        parts += [_styled(text[place : found.start()])]
        parts += [f'<a href="{address}" rel="noreferrer">{_shown(found[2] or found[1])}</a>']
        place = found.end()
    return "".join((*parts, _styled(text[place:])))


def _styled(text: str) -> str:
    shown = _shown(text)
    for pattern, tag in STYLES:
        shown = pattern.sub(tag, shown)
    return _signs(shown)


def _signs(text: str) -> str:
    return re.sub(r":([a-z0-9_+-]+):", lambda found: EMOJI.get(found[1], found[0]), text)


def escaped(text: str) -> str:
    """Return what a person typed as Slack keeps it: & < > as entities."""
    return escape(text, quote=False)


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _shown(text: str) -> str:
    # The sender writes & < > as entities; a sender who forgot must not get markup into the page either.
    return escape(_unescaped(text), quote=False)


def text_object(value: Any) -> Markup:
    """Return the HTML of a text object: mrkdwn is rendered, of plain text the emoji only, and those if it wants them."""
    if isinstance(value, str):
        return render(value)
    if not isinstance(value, Mapping):
        return Markup("")
    text = str(value.get("text", ""))
    if value.get("type") != "plain_text":
        return render(text)
    shown = escape(text)
    return Markup(_signs(shown) if value.get("emoji", True) else shown)  # noqa: S704 - escaped


def emoji(name: str) -> str:
    """Return the sign of a reaction, or its name between colons."""
    return EMOJI.get(name, f":{name}:")
