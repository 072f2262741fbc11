from __future__ import annotations

from typing import Any

import httpx
import pytest

from include.errors import RunbookError
from include.probes.http import ask


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"message": "Invalid API key"}, "(401: Invalid API key)"),
        (429, {"error": {"message": "Rate Limit Exceeded", "code": 2020}}, "(429: Rate Limit Exceeded)"),
        (400, {"results": {"A": {"error": "datasource is down", "status": 400}}}, "(400: datasource is down)"),
        (400, {"results": {"A": {"frames": []}, "B": {"error": "bad query"}}}, "(400: bad query)"),
        (503, ["a page"], "(503)"),
    ],
)
def test_the_services_own_words_are_in_the_sentence(status: int, body: Any, said: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json=body))
    with httpx.Client(transport=transport, base_url="http://service") as client, pytest.raises(RunbookError) as raised:
        ask(client, "Service", "GET", "x")
    assert said in str(raised.value)
