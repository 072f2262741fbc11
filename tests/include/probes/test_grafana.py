from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from include.errors import ConfigurationError, TransientError
from include.probes import grafana
from include.settings import Panel

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TARGET = {"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "up"}
INNER = {"id": 7, "title": "inside a row", "targets": [TARGET]}
PANELS = [
    {"id": 2, "title": "error rate", "targets": [TARGET]},
    {"id": 3, "title": "text"},
    {"id": 6, "panels": [INNER]},
]


def frame(*values: float | None) -> dict[str, Any]:
    fields = [{"name": "Time", "type": "time"}, {"name": "Value", "type": "number"}]
    return {"schema": {"fields": fields}, "data": {"values": [list(range(len(values))), list(values)]}}


class Grafana:
    """Answers as Grafana 12 does; remembers which times it was asked for."""

    def __init__(self, *frames: dict[str, Any]) -> None:
        self.frames = frames
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/dashboards/uid/overview":
            return httpx.Response(200, json={"dashboard": {"panels": PANELS}})
        if request.url.path == "/api/ds/query":
            self.asked.append(json.loads(request.content))
            return httpx.Response(200, json={"results": {"A": {"status": 200, "frames": list(self.frames)}}})
        return httpx.Response(404, json={"message": "Dashboard not found"})


def read(server: Grafana, number: int, dashboard: str = "overview") -> grafana.PanelData:
    client = httpx.Client(base_url="http://grafana", transport=httpx.MockTransport(server))
    return grafana.panel(client, Panel(dashboard=dashboard, panel=number), now=NOW, window_s=3600)


@pytest.mark.parametrize("number", [2, 7])
def test_a_panels_own_query_is_run_for_now_and_for_a_week_ago(number: int) -> None:
    server = Grafana(frame(1.0, None, 2.0), frame(3.0))
    assert read(server, number).now == [1.0, 2.0, 3.0]
    now, before = server.asked
    assert now["queries"][0]["expr"] == "up"
    assert int(now["to"]) - int(before["to"]) == 7 * 86_400_000
    assert int(now["to"]) - int(now["from"]) == 3_600_000


@pytest.mark.parametrize("frames", [(), ({"schema": {"fields": []}, "data": {"values": []}},), (frame(None),)])
def test_a_panel_without_numbers_has_none(frames: tuple[dict[str, Any], ...]) -> None:
    assert read(Grafana(*frames), 2).now == []


@pytest.mark.parametrize(
    ("dashboard", "number", "words"),
    [("nosuch", 2, "Dashboard not found"), ("overview", 99, "has no panel 99"), ("overview", 3, "has no query")],
)
def test_a_panel_that_cannot_be_asked_is_an_error(dashboard: str, number: int, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(Grafana(), number, dashboard)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, 'bad_data: invalid parameter "query": 1:5: parse error', ConfigurationError),
        (502, "dial tcp 10.0.0.7:9090: connect: connection refused", TransientError),
    ],
)
def test_a_panel_of_which_one_query_failed_is_an_error_in_grafanas_words(
    status: int, words: str, kind: type[Exception]
) -> None:
    answers = {"A": {"status": 200, "frames": [frame(1.0)]}, "B": {"status": status, "error": words, "frames": []}}

    def half(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/ds/query":
            return httpx.Response(207, json={"results": answers})
        return httpx.Response(200, json={"dashboard": {"panels": PANELS}})

    client = httpx.Client(base_url="http://grafana", transport=httpx.MockTransport(half))
    with pytest.raises(kind, match=re.escape(words)):
        grafana.panel(client, Panel(dashboard="overview", panel=2), now=NOW, window_s=3600)
