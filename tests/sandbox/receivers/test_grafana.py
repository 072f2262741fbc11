from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.receivers.grafana import dashboards
from sandbox.receivers.grafana_frames import frames, moment, span
from sandbox.receivers.store import Doc
from sandbox.site import Site

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
QUERY: Doc = {"refId": "A", "datasource": PROMETHEUS, "expr": "vector(1)", "range": True}


@pytest.fixture
def grafana(web: httpx.Client, receivers_site: Site) -> httpx.Client:
    web.headers["Authorization"] = f"Bearer {receivers_site.secret('grafana-token')}"
    return web


def test_health_needs_no_token(web: httpx.Client) -> None:
    assert web.get("/grafana/api/health").json()["database"] == "ok"


@pytest.mark.parametrize(
    ("headers", "message"), [({}, "Unauthorized"), ({"Authorization": "Bearer wrong"}, "Invalid API key")]
)
def test_everything_else_does(web: httpx.Client, headers: dict[str, str], message: str) -> None:
    answer = web.get("/grafana/api/search", headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (401, message)


def test_the_dashboard_is_found_and_read(grafana: httpx.Client) -> None:
    found = grafana.get("/grafana/api/search", params={"query": "overview", "type": "dash-db"}).json()
    read = grafana.get(f"/grafana/api/dashboards/uid/{found[0]['uid']}").json()
    titles = [panel["title"] for panel in read["dashboard"]["panels"]]
    assert titles == ["p95 latency", "error rate", "workflow success", "queue depth"]


def test_an_unknown_dashboard_is_not_found(grafana: httpx.Client) -> None:
    answer = grafana.get("/grafana/api/dashboards/uid/none")
    assert (answer.status_code, answer.json()["message"]) == (404, "Dashboard not found")


def test_every_panel_has_a_query_and_an_id_of_its_own() -> None:
    panels = [panel for dashboard in dashboards().values() for panel in dashboard["panels"]]
    assert len({panel["id"] for panel in panels}) == len(panels) == 4
    assert all(panel["targets"][0]["expr"] for panel in panels)


@pytest.mark.parametrize(
    "path", ["prometheus/grafana/api/v1/rules", "alertmanager/grafana/api/v2/alerts"], ids=["rules", "alerts"]
)
def test_a_source_that_does_not_answer_is_an_error_and_never_silence(grafana: httpx.Client, path: str) -> None:
    answer = grafana.get(f"/grafana/api/{path}")
    assert answer.status_code == 502
    assert "does not answer" in answer.json()["message"]


def test_a_query_that_cannot_run_says_so_under_its_ref_id(grafana: httpx.Client) -> None:
    answer = grafana.post("/grafana/api/ds/query", json={"queries": [QUERY]})
    assert answer.status_code == 400
    assert "prometheus does not answer" in answer.json()["results"]["A"]["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"queries": []}, 400),
        ({}, 400),
        ({"queries": [{**QUERY, "datasource": {"uid": "none"}}]}, 404),
        ({"queries": [{**QUERY, "expr": ""}]}, 400),
        ({"queries": [QUERY], "from": "then"}, 400),
        ({"queries": [QUERY], "from": "now", "to": "now-1h"}, 400),
    ],
)
def test_a_wrong_query_is_refused(grafana: httpx.Client, body: Any, status: int) -> None:
    assert grafana.post("/grafana/api/ds/query", json=body).status_code == status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-6h", NOW - timedelta(hours=6)),
        ("now-1w", NOW - timedelta(weeks=1)),
        ("1767268800000", NOW),
        ("2026-01-01T12:00:00Z", NOW),
    ],
)
def test_grafanas_words_for_times_are_read(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


def test_a_step_is_as_fine_as_asked_for_within_the_points() -> None:
    body = {"from": "now-1h", "to": "now"}
    assert span(body, {"intervalMs": 15_000, "maxDataPoints": 1000}, NOW).step_s == 15
    assert span(body, {"intervalMs": 15_000, "maxDataPoints": 60}, NOW).step_s == 60


def test_a_series_becomes_a_frame() -> None:
    series = {"metric": {"__name__": "up", "job": "x"}, "values": [[1, "1"], [2, "2.5"]]}
    (frame,) = frames({"resultType": "matrix", "result": [series]}, QUERY, 15)
    assert frame["data"]["values"] == [[1000, 2000], [1.0, 2.5]]
    assert [field["type"] for field in frame["schema"]["fields"]] == ["time", "number"]
    assert frame["schema"]["fields"][1]["labels"] == {"__name__": "up", "job": "x"}
    assert frame["schema"]["name"] == 'up{job="x"}'


def test_numbers_that_json_cannot_carry_are_gaps_with_a_note() -> None:
    series = {"metric": {}, "values": [[1, "NaN"], [2, "+Inf"], [3, "1"]]}
    (frame,) = frames({"resultType": "matrix", "result": [series]}, QUERY, 15)
    assert frame["data"] == {
        "values": [[1000, 2000, 3000], [None, None, 1.0]],
        "entities": [None, {"NaN": [0], "Inf": [1]}],
    }


def test_no_series_is_one_frame_without_values() -> None:
    (frame,) = frames({"resultType": "matrix", "result": []}, QUERY, 15)
    assert frame["data"] == {"values": []}
    assert frame["schema"]["fields"] == []


def test_the_page_says_that_prometheus_is_silent(web: httpx.Client) -> None:
    text = web.get("/grafana/", follow_redirects=True).text
    assert "prometheus does not answer" in text


@pytest.mark.integration
def test_the_panels_the_rules_and_the_alerts_come_from_the_real_servers(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.secret('grafana-token')}"}
    with httpx.Client(base_url=f"{site.url('receivers')}/grafana/api/", headers=headers, timeout=30) as grafana:
        queries = [
            {**QUERY, "refId": str(panel["id"]), "expr": panel["targets"][0]["expr"]}
            for panel in dashboards()["orchestrator-overview"]["panels"]
        ]
        body = {"queries": queries, "from": "now-2d", "to": "now-1d", "maxDataPoints": 200}
        results = grafana.post("ds/query", json=body).json()["results"]
        nothing = {"queries": [{**QUERY, "expr": "nothing_at_all"}], "from": "now-1h", "to": "now"}
        silence = grafana.post("ds/query", json=nothing).json()["results"]["A"]
        rules = grafana.get("prometheus/grafana/api/v1/rules").json()["data"]["groups"]
        alerts = grafana.get("alertmanager/grafana/api/v2/alerts")
    assert all(result["frames"][0]["data"]["values"] for result in results.values())
    assert silence["frames"][0]["data"]["values"] == []
    assert {"name", "state", "health"} <= rules[0]["rules"][0].keys()
    assert isinstance(alerts.json(), list)
