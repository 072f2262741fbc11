"""Slack's limits on a message: pure, in Slack's own error words (https://docs.slack.dev/reference/block-kit/blocks)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.receivers.answers import slack_error

MAX_TEXT = 40_000
MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
TYPES = frozenset(
    {"actions", "context", "context_actions", "divider", "file", "header", "image", "input", "markdown"}
    | {"rich_text", "section", "table", "video"}
)
Problems = Iterator[tuple[str, str]]
"""Pairs of what is wrong and the JSON pointer to it, below the block."""


def parsed_list(value: Any, error: str) -> list[Any]:
    """Return a list that came as JSON or as JSON inside a form field."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise slack_error(error) from None
    if found is None or found == "":
        return []
    if not isinstance(found, list):
        raise slack_error(error)
    return found


def check_message(text: str, blocks: list[Any], attachments: list[Any]) -> None:
    """Raise what Slack answers to a message that is empty, too long, or wrong in a block."""
    if not (text or blocks or attachments):
        raise slack_error("no_text")
    if len(text) > MAX_TEXT:
        raise slack_error("msg_too_long")
    if len(attachments) > MAX_ATTACHMENTS:
        raise slack_error("too_many_attachments")
    if problems := list(block_problems(blocks)):
        messages = [f"[ERROR] {what} [json-pointer:/blocks{where}]" for what, where in problems]
        raise slack_error("invalid_blocks", errors=messages, response_metadata={"messages": messages})


def block_problems(blocks: list[Any]) -> Problems:
    """Yield everything that is wrong with the blocks of a message."""
    if len(blocks) > MAX_BLOCKS:
        yield f"no more than {MAX_BLOCKS} items allowed", ""
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        yield from ((what, f"/{number}{where}") for what, where in _block(block))
        yield from _duplicate(block, seen, number)


def _duplicate(block: Any, seen: set[str], number: int) -> Problems:
    block_id = block.get("block_id") if isinstance(block, Mapping) else None
    if block_id and block_id in seen:
        yield "`block_id` already exists", f"/{number}/block_id"
    seen.add(block_id or "")


def _block(block: Any) -> Problems:
    if not isinstance(block, Mapping):
        yield "must be an object", ""
    elif block.get("type") not in TYPES:
        yield f"unsupported type: {block.get('type')}", "/type"
    else:
        yield from _length(block.get("block_id", ""), 255, "/block_id")
        yield from CHECKS.get(block["type"], _nothing)(block)


def _nothing(block: Mapping[str, Any]) -> Problems:
    yield from ()


def _section(block: Mapping[str, Any]) -> Problems:
    fields = block.get("fields") or []
    if not block.get("text") and not fields:
        yield "missing required field: text", ""
    if block.get("text"):
        yield from _text(block["text"], 3000, "/text")
    yield from _count(fields, 10, "/fields")
    for number, field in enumerate(fields):
        yield from _text(field, 2000, f"/fields/{number}")


def _header(block: Mapping[str, Any]) -> Problems:
    text = block.get("text")
    yield from _text(text, 150, "/text")
    if isinstance(text, Mapping) and text.get("type") == "mrkdwn":
        yield "unsupported type: mrkdwn", "/text/type"


def _context(block: Mapping[str, Any]) -> Problems:
    elements = block.get("elements") or []
    if not elements:
        yield "must be more than 0 items", "/elements"
    yield from _count(elements, 10, "/elements")
    for number, element in enumerate(elements):
        if isinstance(element, Mapping) and element.get("type") == "image":
            yield from _image(element, where=f"/elements/{number}")
        else:
            yield from _text(element, 3000, f"/elements/{number}")


def _actions(block: Mapping[str, Any]) -> Problems:
    elements = block.get("elements") or []
    if not elements:
        yield "must be more than 0 items", "/elements"
    yield from _count(elements, 25, "/elements")
    for number, element in enumerate(elements):
        if isinstance(element, Mapping) and element.get("type") == "button":
            yield from _button(element, f"/elements/{number}")


def _button(button: Mapping[str, Any], where: str) -> Problems:
    yield from _text(button.get("text"), 75, f"{where}/text")
    yield from _length(button.get("value", ""), 2000, f"{where}/value")
    yield from _length(button.get("url", ""), 3000, f"{where}/url")
    yield from _length(button.get("action_id", ""), 255, f"{where}/action_id")


def _image(block: Mapping[str, Any], *, where: str = "") -> Problems:
    if not block.get("image_url") and not block.get("slack_file"):
        yield "missing required field: image_url", where
    if not block.get("alt_text"):
        yield "missing required field: alt_text", where
    yield from _length(block.get("alt_text", ""), 2000, f"{where}/alt_text")
    yield from _length(block.get("image_url", ""), 3000, f"{where}/image_url")


def _markdown(block: Mapping[str, Any]) -> Problems:
    yield from _length(block.get("text", ""), 12_000, "/text")


def _text(value: Any, most: int, where: str) -> Problems:
    if not isinstance(value, Mapping):
        yield "missing required field: text", where
    elif value.get("type") not in ("mrkdwn", "plain_text"):
        yield f"unsupported type: {value.get('type')}", f"{where}/type"
    elif not value.get("text"):
        yield "must be more than 0 characters", f"{where}/text"
    else:
        yield from _length(value["text"], most, f"{where}/text")


def _length(value: Any, most: int, where: str) -> Problems:
    if not isinstance(value, str):
        yield "must be a string", where
    elif len(value) > most:
        yield f"must be less than {most + 1} characters", where


def _count(values: Any, most: int, where: str) -> Problems:
    if len(values) > most:
        yield f"no more than {most} items allowed", where


CHECKS: Mapping[str, Callable[[Mapping[str, Any]], Problems]] = {
    "actions": _actions,
    "context": _context,
    "header": _header,
    "image": _image,
    "markdown": _markdown,
    "section": _section,
}


def check_metadata(value: Any) -> dict[str, Any] | None:
    """Return a message's metadata, which must name its event and carry an object."""
    if value in (None, ""):
        return None
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise slack_error("invalid_metadata_format") from None
    if not isinstance(found, dict) or not found.get("event_type") or not isinstance(found.get("event_payload"), dict):
        raise slack_error("invalid_metadata_format")
    return found
