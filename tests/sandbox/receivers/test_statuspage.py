from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.receivers.statuspage import SWITCHES, status_by_clock
from sandbox.receivers.store import Doc
from sandbox.site import Site

PAGE = "/statuspage/v1/pages/orchestrator"
NOW = datetime.now(UTC)
START, END = (NOW + timedelta(days=1)).isoformat(), (NOW + timedelta(days=1, hours=2)).isoformat()
MAINTENANCE = {"name": "Database maintenance", "scheduled_for": START, "scheduled_until": END}


@pytest.fixture
def page(web: httpx.Client, receivers_site: Site) -> httpx.Client:
    web.headers["Authorization"] = f"OAuth {receivers_site.secret('statuspage-token')}"
    return web


def announce(page: httpx.Client, **fields: Any) -> Doc:
    answer = page.post(f"{PAGE}/incidents", json={"incident": {**MAINTENANCE, **fields}})
    assert answer.status_code == 201, answer.text
    announced: Doc = answer.json()
    return announced


def move(page: httpx.Client, incident: Doc, **fields: Any) -> Doc:
    answer = page.patch(f"{PAGE}/incidents/{incident['id']}", json={"incident": fields})
    assert answer.status_code == 200, answer.text
    moved: Doc = answer.json()
    return moved


def test_a_maintenance_keeps_every_field_that_is_documented(page: httpx.Client) -> None:
    fields = {"scheduled_remind_prior": True, "auto_transition_to_maintenance_state": True}
    made = announce(page, **fields, component_ids=["cmpapi000001"], body="soon", deliver_notifications=False)
    found = page.get(f"{PAGE}/incidents/{made['id']}").json()
    assert found == made
    assert {name: found[name] for name in (*MAINTENANCE, *fields)} == {**MAINTENANCE, **fields}
    assert (found["status"], found["impact"], found["components"][0]["name"]) == ("scheduled", "maintenance", "API")
    assert not found["incident_updates"][0]["deliver_notifications"]


def test_a_maintenance_goes_through_its_states(page: httpx.Client) -> None:
    made = announce(page)
    for status in ("in_progress", "verifying", "completed"):
        made = move(page, made, status=status, body=f"now {status}")
    assert [one["status"] for one in made["incident_updates"]][::-1] == [
        "scheduled",
        "in_progress",
        "verifying",
        "completed",
    ]
    assert made["resolved_at"]


def test_components_follow_where_that_is_switched_on(page: httpx.Client) -> None:
    switches = {"auto_transition_to_maintenance_state": True, "auto_transition_to_operational_state": True}
    made = announce(page, **switches, component_ids=["cmpapi000001"])
    seen = []
    for status in ("in_progress", "completed"):
        move(page, made, status=status)
        seen.append(page.get(f"{PAGE}/components/cmpapi000001").json()["status"])
    assert seen == ["under_maintenance", "operational"]


def test_components_stay_where_it_is_not(page: httpx.Client) -> None:
    move(page, announce(page, component_ids=["cmpapi000001"]), status="in_progress")
    assert page.get(f"{PAGE}/components/cmpapi000001").json()["status"] == "operational"


@pytest.mark.parametrize(
    ("incident", "problem"),
    [
        ({"name": ""}, "Name can't be blank"),
        ({"status": "investigating"}, "Status must be one of scheduled"),
        ({"scheduled_until": None}, "Scheduled until can't be blank"),
        ({"scheduled_until": START}, "Scheduled until must be after scheduled for"),
        ({"scheduled_for": "tonight"}, "ISO 8601"),
        ({"impact_override": "huge"}, "Impact override"),
        ({"component_ids": ["none"]}, "Component none does not exist"),
        ({"components": {"cmpapi000001": "broken"}}, "Component status must be one of"),
    ],
)
def test_a_wrong_incident_is_refused_with_the_reason(page: httpx.Client, incident: Doc, problem: str) -> None:
    answer = page.post(f"{PAGE}/incidents", json={"incident": {**MAINTENANCE, **incident}})
    assert answer.status_code == 422
    assert problem in answer.json()["error"][0]
    assert page.get(f"{PAGE}/incidents").json() == []


def test_an_incident_without_times_is_under_investigation(page: httpx.Client) -> None:
    fields = {"name": "API is slow", "components": {"cmpapi000001": "degraded_performance"}, "scheduled_for": None}
    made = announce(page, **fields, scheduled_until=None)
    assert (made["status"], made["components"][0]["status"]) == ("investigating", "degraded_performance")
    assert [one["id"] for one in page.get(f"{PAGE}/incidents/unresolved").json()] == [made["id"]]
    assert page.get(f"{PAGE}/incidents/upcoming").json() == []


@pytest.mark.parametrize("header", ["", "OAuth wrong", "Bearer {}"])
def test_only_the_key_opens_the_page(web: httpx.Client, receivers_site: Site, header: str) -> None:
    given = {"Authorization": header.format(receivers_site.secret("statuspage-token"))}
    answer = web.get(f"{PAGE}/incidents", headers=given if header else {})
    assert (answer.status_code, answer.json()) == (401, {"error": "Could not authenticate"})


@pytest.mark.parametrize("path", ["/other/incidents", "/orchestrator/incidents/none", "/orchestrator/unheard_of"])
def test_what_is_not_there_is_not_found(page: httpx.Client, path: str) -> None:
    answer = page.get(f"/statuspage/v1/pages{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})


@pytest.mark.parametrize(
    ("status", "switch", "hours", "due"),
    [
        ("scheduled", "scheduled_auto_in_progress", -1, "scheduled"),
        ("scheduled", "scheduled_auto_in_progress", 0, "in_progress"),
        ("scheduled", "", 0, "scheduled"),
        ("in_progress", "scheduled_auto_completed", 1, "in_progress"),
        ("verifying", "scheduled_auto_completed", 2, "completed"),
        ("in_progress", "", 3, "in_progress"),
        ("completed", "scheduled_auto_completed", 3, "completed"),
    ],
)
def test_the_clock_moves_a_maintenance_only_where_that_is_switched_on(
    status: str, switch: str, hours: int, due: str
) -> None:
    incident = {**MAINTENANCE, **SWITCHES, "status": status, **({switch: True} if switch else {})}
    assert status_by_clock(incident, datetime.fromisoformat(START) + timedelta(hours=hours)) == due


def test_customers_read_it_on_the_page(page: httpx.Client) -> None:
    made = announce(page, name="Maintenance <of> & co", body="Sorry.")
    text = page.get("/statuspage/").text
    assert "Maintenance &lt;of&gt; &amp; co" in text
    assert f'id="{made["id"]}"' in text
