from __future__ import annotations

import pytest

from include.masking import masked, one_line


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hush-canary@host/db",
        "redis://:hush-canary@host:6379/0",
        "Authorization: Bearer hush-canary",
        "authorization: basic aHVzaC1jYW5hcnk=",
        "token xoxb-123-hush-canary is bad",
        "https://hooks.slack.com/services/T0/B0/hush-canary",
        "host=x password=hush-canary dbname=y",
        "https://host/path?api_key=hush-canary&x=1",
        "routing_key=hush-canary",
        "password: hush-canary",
        "{'password': 'hush-canary', 'host': 'x'}",
        '{"token": "hush-canary"}',
        "xapp-1-hush-canary",
        "postgresql://user:pass/hush-canary@host/db",
    ],
)
def test_secrets_go_and_the_rest_stays(text: str) -> None:
    shown = masked(text)
    assert "hush-canary" not in shown
    assert "aHVzaC1jYW5hcnk" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "12 of 100 connections",
        "http://127.0.0.1:8080/dags",
        "basic auth failed",
        "",
        "https://a.example/x and b@c.example",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert masked(text) == text


def test_a_line_is_short_and_one() -> None:
    assert one_line("a\n  b\tc", 10) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
