from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from pagerduty import ApiClient, EventsApiV2Client, HttpError, RestApiV2Client

from sandbox.receivers.pagerduty_desk import on_call
from sandbox.receivers.store import Doc
from sandbox.site import Site

Client = TypeVar("Client", bound=ApiClient)
ALICE = "alice@ai-orchestrator.example"


def on_loopback(client: Client, site: Site) -> Client:
    client._url = f"{site.url('receivers')}/pagerduty"  # its setter takes https only
    client.sleep_timer = 0.01
    return client


@pytest.fixture
def events(receivers_site: Site, web: httpx.Client) -> EventsApiV2Client:
    return on_loopback(EventsApiV2Client(receivers_site.secret("pagerduty-routing-key")), receivers_site)


@pytest.fixture
def rest(receivers_site: Site, web: httpx.Client) -> RestApiV2Client:
    key = receivers_site.secret("pagerduty-api-token")
    return on_loopback(RestApiV2Client(key, default_from=ALICE), receivers_site)


def trigger(events: EventsApiV2Client, key: str = "lag", **payload: Any) -> str:
    return events.trigger(payload.pop("summary", "lag is 90 s"), "airflow", dedup_key=key, **payload)


def kinds(rest: RestApiV2Client, incident: Doc, **params: Any) -> list[str]:
    entries = rest.list_all(f"/incidents/{incident['id']}/log_entries", params=params)
    return [entry["type"].removesuffix("_log_entry") for entry in entries]


def error_of(call: Any, *arguments: Any, **more: Any) -> tuple[int, Any]:
    with pytest.raises(HttpError) as caught:
        call(*arguments, **more)
    response = caught.value.response
    assert response is not None
    return response.status_code, response.json()["error"]["code"]


def test_an_event_opens_one_incident_for_each_key(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    assert trigger(events) == "lag"
    trigger(events)
    trigger(events, "disk")
    incidents = rest.list_all("/incidents")
    assert [one["incident_key"] for one in incidents] == ["lag", "disk"]
    assert kinds(rest, incidents[0]).count("trigger") == 2


def test_a_resolved_key_opens_a_new_incident(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    trigger(events)
    events.resolve("lag")
    trigger(events)
    assert [one["status"] for one in rest.list_all("/incidents")] == ["resolved", "triggered"]


def test_an_acknowledge_and_a_resolve_leave_their_log_entries(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    trigger(events)
    events.acknowledge("lag")
    events.resolve("lag")
    incident = rest.list_all("/incidents")[0]
    assert kinds(rest, incident) == ["resolve", "acknowledge", "notify", "assign", "trigger"]
    assert kinds(rest, incident, is_overview="true") == ["resolve", "acknowledge", "assign", "trigger"]


def test_a_resolve_of_nothing_is_taken_and_does_nothing(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    assert events.resolve("nothing") == "nothing"
    assert rest.list_all("/incidents") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"routing_key": None}, "'routing_key' is missing or blank"),
        ({"routing_key": "short"}, "Length of 'routing_key' is incorrect"),
        ({"routing_key": "x" * 32}, "Invalid routing key"),
        ({"event_action": "shout"}, "'event_action' is invalid"),
        ({"payload": None}, "'payload' is missing or blank"),
        ({"payload": {"summary": "x" * 1025, "source": "x", "severity": "info"}}, "'payload.summary' is too long"),
        ({"payload": {"summary": "x", "source": "x", "severity": "bad"}}, "'payload.severity' is invalid"),
        ({"payload": {"summary": "x", "severity": "info"}}, "'payload.source' is missing or blank"),
        ({"event_action": "resolve", "dedup_key": None}, "'dedup_key' is missing or blank"),
        ({"dedup_key": "x" * 256}, "'dedup_key' is too long"),
    ],
)
def test_a_wrong_event_is_refused_with_the_reason(
    web: httpx.Client, receivers_site: Site, change: Doc, problem: str
) -> None:
    payload = {"summary": "x" * 1024, "source": "x", "severity": "critical"}
    key = receivers_site.secret("pagerduty-routing-key")
    event = {"routing_key": key, "event_action": "trigger", "dedup_key": "k", "payload": payload, **change}
    answer = web.post("/pagerduty/v2/enqueue", json=event)
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid event")
    assert problem in answer.json()["errors"][0]


def test_an_event_at_the_limits_passes(events: EventsApiV2Client) -> None:
    assert trigger(events, "k" * 255, summary="x" * 1024) == "k" * 255


def test_severity_becomes_urgency_and_priority(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    trigger(events, "a", severity="critical")
    trigger(events, "b", severity="warning")
    trigger(events, "c", severity="error", custom_details={"priority": "P0"})
    found = [(one["urgency"], one["priority"]["summary"]) for one in rest.list_all("/incidents")]
    assert found == [("high", "P1"), ("low", "P3"), ("high", "P0")]


def test_pages_of_incidents_miss_nothing(events: EventsApiV2Client, rest: RestApiV2Client) -> None:
    for number in range(7):
        trigger(events, str(number))
    found = list(rest.iter_all("/incidents", page_size=3))
    assert [one["incident_key"] for one in found] == [str(number) for number in range(7)]


def test_incidents_are_chosen_by_window_and_status(rest: RestApiV2Client, web: httpx.Client) -> None:
    now = datetime.now(UTC)
    for hours in (30, 10, 2):
        planted = {"title": f"{hours} h ago", "created_at": str(now - timedelta(hours=hours))}
        if hours == 10:
            planted["resolved_at"] = str(now - timedelta(hours=9))
        web.post("/_seed/pagerduty", json=planted).raise_for_status()
    since = (now - timedelta(hours=14)).isoformat()
    assert [one["title"] for one in rest.list_all("/incidents", params={"since": since})] == ["10 h ago", "2 h ago"]
    waiting = rest.list_all("/incidents", params={"date_range": "all", "statuses[]": ["triggered", "acknowledged"]})
    assert [one["title"] for one in waiting] == ["30 h ago", "2 h ago"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/incidents?since=yesterday", 400, 2004),
        ("/incidents?since=2025-01-01&until=2026-01-01", 400, 2005),
        ("/incidents?statuses[]=open", 400, 2001),
        ("/incidents?limit=101", 400, 2001),
        ("/incidents/NONE", 404, 2100),
        ("/incidents/NONE/log_entries", 404, 2100),
        ("/unheard_of", 404, 2100),
    ],
)
def test_a_wrong_question_is_refused_with_its_code(
    web: httpx.Client, receivers_site: Site, path: str, status: int, code: int
) -> None:
    headers = {"Authorization": f"Token token={receivers_site.secret('pagerduty-api-token')}"}
    answer = web.get(f"/pagerduty{path}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Token token=wrong"}, {"Authorization": "Bearer {}"}])
def test_only_the_token_after_its_scheme_opens_the_api(
    web: httpx.Client, receivers_site: Site, header: dict[str, str]
) -> None:
    token = receivers_site.secret("pagerduty-api-token")
    answer = web.get("/pagerduty/incidents", headers={name: value.format(token) for name, value in header.items()})
    assert answer.status_code == 401
    assert answer.json() == {"error": {"message": "Authentication Failed", "code": 2006, "errors": []}}


def test_a_person_opens_moves_and_annotates_an_incident(rest: RestApiV2Client) -> None:
    service = {"id": "PDATABS", "type": "service_reference"}
    opened = rest.rpost("/incidents", json={"type": "incident", "title": "slow", "service": service})
    path = f"/incidents/{opened['id']}"
    rest.rput(path, json={"type": "incident_reference", "status": "acknowledged"})
    rest.rpost(f"{path}/notes", json={"content": "looking"})
    rest.rput(path, json={"type": "incident_reference", "priority": {"id": "PPRIOR0", "type": "priority_reference"}})
    closed = rest.rput(path, json={"type": "incident_reference", "status": "resolved", "resolution": "restarted"})
    assert (closed["status"], closed["priority"]["summary"]) == ("resolved", "P0")
    assert closed["last_status_change_by"]["summary"] == "Alice"
    assert [one["content"] for one in rest.rget(f"{path}/notes")] == ["looking", "restarted"]
    assert error_of(rest.rput, path, json={"type": "incident_reference", "status": "acknowledged"}) == (400, 2001)


def test_a_write_needs_a_known_sender(rest: RestApiV2Client, events: EventsApiV2Client) -> None:
    trigger(events)
    path = f"/incidents/{rest.list_all('/incidents')[0]['id']}"
    body = {"type": "incident_reference", "status": "resolved"}
    assert error_of(rest.rput, path, json=body, headers={"From": "nobody@example.com"}) == (400, 1008)
    assert error_of(rest.rput, path, json=body, headers={"From": ""}) == (400, 2001)
    assert rest.rget(path)["status"] == "triggered"


def test_the_buttons_of_the_page_act_as_that_person(
    web: httpx.Client, rest: RestApiV2Client, events: EventsApiV2Client
) -> None:
    trigger(events)
    incident = rest.list_all("/incidents")[0]
    assert "Acknowledge" in web.get("/pagerduty/").text
    web.post(f"/pagerduty/page/{incident['id']}", data={"status": "acknowledged", "person": "PBOB001"})
    changed = rest.rget(f"/incidents/{incident['id']}")
    assert (changed["status"], changed["acknowledgements"][0]["acknowledger"]["summary"]) == ("acknowledged", "Bob")


def test_a_service_shows_its_worst_open_incident(rest: RestApiV2Client, events: EventsApiV2Client) -> None:
    trigger(events)
    states = {one["id"]: one["status"] for one in rest.list_all("/services")}
    assert states == {"PAIORCH": "critical", "PDATABS": "active"}


def test_people_take_turns_by_the_week(rest: RestApiV2Client) -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    turns = [on_call(1, monday + timedelta(weeks=week)) for week in range(4)]
    assert len(set(turns[:3])) == 3
    assert turns[3] == turns[0]
    assert [one["escalation_level"] for one in rest.list_all("/oncalls")] == [1, 2]


def test_an_escalation_hands_it_to_the_next_level(rest: RestApiV2Client, events: EventsApiV2Client) -> None:
    trigger(events)
    incident = rest.list_all("/incidents")[0]
    moved = rest.rput(f"/incidents/{incident['id']}", json={"type": "incident_reference", "escalation_level": 2})
    assert moved["assignments"][0]["assignee"]["id"] == on_call(2, datetime.now(UTC))
    assert kinds(rest, incident)[0] == "escalate"
