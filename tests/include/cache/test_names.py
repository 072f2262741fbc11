"""What of a key's name is shown: a prefix that many share, and nothing that could break a message or name a person."""

from __future__ import annotations

import random
import re

import pytest

from include.cache.names import BARE, RARE, family, shared
from tests.include.cache.servers import ODD, odd_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"cache:report:7", "cache:report:"),
        (b"cache:report:7:body", "cache:report:"),
        (b"cache:7", "cache:"),
        (b"cache:7:body", "cache:#:"),
        (b"tenant42:cart:1", "tenant#:cart:"),
        (b"session:1f0c9a2e1f0c9a2e", "session:"),
        (b"1f0c9a2e-77aa-4b1c-9d0e-0123456789ab:cart", "#:"),
        (b"deadbeef:cart", "#:"),
        (b"face:cart", "face:"),
        (b"counter", BARE),
        (b"", BARE),
        (b"alice@example.com:cart", "?:"),
        (b"Alice Smith:cart", "?:"),
        (b"cache:a\nb:1", "cache:?:"),
        (b"cache:<b>:1", "cache:?:"),
        (b"\xff\xfe:x", "?:"),
        (b"a" * 40 + b":x", "#:"),
        (b"word" * 10 + b":x", "?:"),
        (b"::x", "?:?:"),
    ],
)
def test_a_name_is_shown_by_its_first_parts_alone(name: bytes, shown: str) -> None:
    assert family(name) == shown


def test_whatever_a_name_holds_what_is_shown_is_inert() -> None:
    dice = random.Random(1)
    names = [b":".join(dice.choices(ODD, k=4)) for _ in range(500)] + [odd_name(dice, n) for n in range(500)]
    assert [name for name in names if not re.fullmatch(r"(?:[A-Za-z0-9#?_.-]+:)+|\(no prefix\)", family(name))] == []


def test_a_prefix_of_few_keys_may_be_somebodys_name_and_is_not_shown() -> None:
    families = {
        "cache:report:": 500,
        "cache:alice:": 2,
        "cache:bob:": 19,
        "carol:": 3,
        BARE: 1,
        "dave:cart:": 19,
        "dave:": 2,
    }
    assert shared(families, 20) == {
        "cache:report:": "cache:report:",
        "cache:alice:": f"cache:{RARE}",
        "cache:bob:": f"cache:{RARE}",
        "carol:": RARE,
        BARE: BARE,
        "dave:cart:": f"dave:{RARE}",  # 21 keys share the first part
        "dave:": f"dave:{RARE}",
    }
