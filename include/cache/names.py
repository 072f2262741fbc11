"""Which family a key belongs to.

Names are data, and sometimes personal data: what is shown is a prefix, inert, that many keys share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SEPARATOR = b":"
BARE = "(no prefix)"
RARE = "(rare)"
OTHER = "(other)"

_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_.-]{0,31}")
_CODE = re.compile(rb"[0-9A-Fa-f]+(-[0-9A-Fa-f]+)*")
_DIGITS = re.compile(rb"[0-9]+")


def family(name: bytes, depth: int = 2) -> str:
    """Return what comes before the last part of a name, at most `depth` parts: `cache:report:` of `cache:report:7:body`.

    Numbers and codes are `#`, what is no plain word is `?`: nothing of a name that holds a space, a quote, a newline or a byte that
    is no letter ever reaches a message.
    """
    *parts, _ = name.split(SEPARATOR, depth)
    return "".join(f"{_shown(part)}:" for part in parts) or BARE


def _shown(part: bytes) -> str:
    if _CODE.fullmatch(part) and (len(part) >= 8 or part.isdigit()):
        return "#"
    if not _WORD.fullmatch(part):
        return "?"
    return _DIGITS.sub(b"#", part).decode()


def shared(families: Mapping[str, float], least: int) -> Mapping[str, str]:
    """Return under which name each family is shown: its own if enough keys share it, else that of its first part, else `(rare)`.

    :param families: how many keys each has.
    """
    heads: dict[str, float] = {}
    for name, keys in families.items():
        heads[head(name)] = heads.get(head(name), 0) + keys
    return {name: _as_shown(name, keys, heads, least) for name, keys in families.items()}


def _as_shown(name: str, keys: float, heads: Mapping[str, float], least: int) -> str:
    if keys >= least or name in {BARE, OTHER}:
        return name
    return f"{head(name)}{RARE}" if heads[head(name)] >= least else RARE


def head(name: str) -> str:
    """Return the first part of a family: `cache:` of `cache:report:`."""
    first, colon, _ = name.partition(":")
    return first + colon


def below(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a family lies below one of these prefixes."""
    return name.startswith(tuple(prefixes))
