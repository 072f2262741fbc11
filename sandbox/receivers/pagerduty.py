"""PagerDuty's REST API and Events API v2 (https://developer.pagerduty.com/api-reference)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from sandbox.receivers.answers import Refusal, authorized, event_error, matches, pagerduty_error
from sandbox.receivers.counter import Asked, Call, Here, ServiceRoute, World, world
from sandbox.receivers.pagerduty_desk import (
    POLICY,
    PRIORITIES,
    PRIORITY_OF,
    SCHEDULE,
    SERVICE_OF_THE_KEY,
    SERVICES,
    USERS,
    Desk,
    at_text,
    email_of,
    in_overview,
    user_with,
)
from sandbox.receivers.store import Doc

STATUSES = ("triggered", "acknowledged", "resolved")
SEVERITIES = ("critical", "warning", "error", "info")
ACTIONS = ("trigger", "acknowledge", "resolve")
MAX_SUMMARY, MAX_DEDUP_KEY, MAX_EVENT_BYTES = 1024, 255, 512 * 1024
LONGEST_WINDOW = timedelta(days=184)
DEFAULT_WINDOW = timedelta(days=30)


def at_desk(request: Request) -> Desk:
    """Return the incidents for a caller with the REST token; 401 for anyone else."""
    here = world(request)
    if not authorized(request, "Token token=", here.tokens.pagerduty):
        raise pagerduty_error(401, "Authentication Failed", 2006)
    return desk(here)


def desk(here: World) -> Desk:
    """Return the incidents."""
    return Desk(here.store, url=here.url("pagerduty"))


AtDesk = Annotated[Desk, Depends(at_desk)]
rest = APIRouter(prefix="/pagerduty", route_class=ServiceRoute)
events = APIRouter(prefix="/pagerduty/v2", route_class=ServiceRoute)


def invalid(*errors: str) -> Refusal:
    """What the REST API answers to fields that are wrong."""
    return pagerduty_error(400, "Invalid Input Provided", 2001, *errors)


def not_found() -> Refusal:
    """What the REST API answers when there is no such thing."""
    return pagerduty_error(404, "Not Found", 2100)


@rest.get("/incidents")
async def list_incidents(request: Request, at: AtDesk) -> JSONResponse:
    """Return incidents created in a window, oldest first, a page at a time."""
    if set(request.query_params.getlist("statuses[]")) - set(STATUSES):
        raise invalid("Status must be a list of triggered, acknowledged, or resolved.")
    since, until = _window(request, datetime.now(UTC))
    found = [one for one in at.incidents() if since <= one["created_at"] < until and _wanted(request, one)]
    newest_first = request.query_params.get("sort_by", "").endswith(":desc")
    return _paged(request, "incidents", found[::-1] if newest_first else found)


def _window(request: Request, now: datetime) -> tuple[str, str]:
    if request.query_params.get("date_range") == "all":
        return "", "~"
    until = _moment(request, "until", now + timedelta(seconds=1))
    since = _moment(request, "since", until - DEFAULT_WINDOW)
    if since > until or until - since > LONGEST_WINDOW:
        raise pagerduty_error(400, "Invalid Query Date Range", 2005, "since and until: at most 6 months, in this order")
    return at_text(since), at_text(until)


def _moment(request: Request, name: str, default: datetime) -> datetime:
    value = request.query_params.get(name)
    if not value:
        return default
    try:
        moment = datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        raise pagerduty_error(400, "Invalid 'since' or 'until' Parameter", 2004, f"{name}: {value}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _wanted(request: Request, incident: Doc) -> bool:
    query = request.query_params
    return (
        incident["status"] in (query.getlist("statuses[]") or STATUSES)
        and incident["urgency"] in (query.getlist("urgencies[]") or ("high", "low"))
        and incident["service"]["id"] in (query.getlist("service_ids[]") or SERVICES)
        and query.get("incident_key") in (None, incident["incident_key"])
    )


def _paged(request: Request, name: str, found: list[Doc]) -> JSONResponse:
    limit, offset = _number(request, "limit", 25), _number(request, "offset", 0)
    if not 1 <= limit <= 100:
        raise invalid("Limit must be between 1 and 100.")
    if offset + limit > 10_000:
        raise invalid("Offset and limit together must not exceed 10000.")
    more, total = offset + limit < len(found), len(found) if request.query_params.get("total") == "true" else None
    page = {"limit": limit, "offset": offset, "more": more, "total": total}
    return JSONResponse({name: found[offset : offset + limit], **page})


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise invalid(f"{name.capitalize()} must be a number.")
    return int(value)


def _incident(at: Desk, incident_id: str) -> Doc:
    found = at.incident(incident_id)
    if not found:
        raise not_found()
    return found


def _sender(request: Request, at: Desk) -> Doc:
    email = request.headers.get("from", "")
    if not email:
        raise invalid("From header is required: the e-mail address of a user.")
    user_id = user_with(email)
    if not user_id:
        raise pagerduty_error(400, "Requester User Not Found", 1008)
    return at.user(user_id)


def _inner(asked: Call, name: str) -> Doc:
    found = asked.body.get(name) if isinstance(asked.body, dict) else None
    if asked.malformed or not isinstance(found, dict):
        raise pagerduty_error(400, "Missing Arguments", 2003, f"{name} must be an object.")
    return found


@rest.get("/incidents/{incident_id}")
async def get_incident(at: AtDesk, incident_id: str) -> JSONResponse:
    """Return one incident."""
    return JSONResponse({"incident": _incident(at, incident_id)})


@rest.post("/incidents")
async def create_incident(request: Request, at: AtDesk, asked: Asked) -> JSONResponse:
    """Open an incident in the name of a user; a second one under an open key is refused."""
    sender, wanted = _sender(request, at), _inner(asked, "incident")
    if problems := list(_problems_of_new(wanted)):
        raise invalid(*problems)
    key = wanted.get("incident_key") or secrets.token_hex(16)
    if at.open_with_key(key):
        raise pagerduty_error(
            400, "Arguments Caused Error", 2002, "Open incident with matching dedup key already exists"
        )
    now = datetime.now(UTC)
    opened = at.open(_new_incident(wanted, key), agent=sender, channel={"type": "website"}, now=now)
    return JSONResponse({"incident": opened}, 201)


def _problems_of_new(wanted: Mapping[str, Any]) -> Iterator[str]:
    if not wanted.get("title"):
        yield "Title cannot be empty."
    if len(str(wanted.get("title", ""))) > MAX_SUMMARY:
        yield "Title is too long."
    service = wanted.get("service")
    if not isinstance(service, dict) or service.get("id") not in SERVICES:
        yield "Service cannot be empty."
    if wanted.get("urgency", "high") not in ("high", "low"):
        yield "Urgency must be one of high, low."


def _new_incident(wanted: Mapping[str, Any], key: str) -> Doc:
    body, priority = wanted.get("body") or {}, wanted.get("priority") or {}
    return {
        "title": wanted["title"],
        "service": wanted["service"]["id"],
        "urgency": wanted.get("urgency", "high"),
        "incident_key": key,
        "details": body.get("details", ""),
        "priority": PRIORITIES.get(priority.get("id", "")),
    }


@rest.put("/incidents/{incident_id}")
async def update_incident(request: Request, at: AtDesk, asked: Asked, incident_id: str) -> JSONResponse:
    """Acknowledge, resolve, escalate or edit, in the name of a user."""
    sender, incident, wanted = _sender(request, at), _incident(at, incident_id), _inner(asked, "incident")
    if incident["status"] == "resolved" and ("status" in wanted or "escalation_level" in wanted):
        raise invalid("Incident Already Resolved")
    edited = at.edit(incident, _edits(at, wanted), datetime.now(UTC))
    return JSONResponse({"incident": _moved(at, edited, wanted, sender)})


def _edits(at: Desk, wanted: Mapping[str, Any]) -> Doc:
    edits = {name: wanted[name] for name in ("title", "urgency") if wanted.get(name)}
    if edits.get("urgency", "high") not in ("high", "low"):
        raise invalid("Urgency must be one of high, low.")
    if "priority" not in wanted:
        return edits
    name = PRIORITIES.get((wanted["priority"] or {}).get("id", ""))
    if wanted["priority"] and not name:
        raise invalid("Priority not found.")
    return {**edits, "priority": at.priority(name) if name else None}


def _moved(at: Desk, incident: Doc, wanted: Mapping[str, Any], sender: Doc) -> Doc:
    status, now = wanted.get("status"), datetime.now(UTC)
    if status not in (None, *STATUSES[1:]):
        raise invalid("Status must be one of acknowledged, resolved.")
    if level := wanted.get("escalation_level"):
        incident = at.escalate(incident, int(level), agent=sender, now=now)
    if wanted.get("resolution"):
        at.annotate(incident, str(wanted["resolution"]), agent=sender, now=now)
    return moved(at, incident, status, agent=sender, now=now)


def moved(at: Desk, incident: Doc, status: str | None, *, agent: Doc, now: datetime) -> Doc:
    """Return the incident in that status; None leaves it alone."""
    if status is None:
        return incident
    step = at.acknowledge if status == "acknowledged" else at.resolve
    return step(incident, agent=agent, now=now)


@rest.get("/incidents/{incident_id}/log_entries")
async def list_log_entries(request: Request, at: AtDesk, incident_id: str) -> JSONResponse:
    """Return what happened to an incident, newest first."""
    entries = at.log_entries(_incident(at, incident_id)["id"])
    overview = request.query_params.get("is_overview") == "true"
    return _paged(request, "log_entries", in_overview(entries) if overview else entries)


@rest.get("/incidents/{incident_id}/notes")
async def list_notes(at: AtDesk, incident_id: str) -> JSONResponse:
    """Return an incident's notes."""
    return JSONResponse({"notes": at.notes(_incident(at, incident_id)["id"])})


@rest.post("/incidents/{incident_id}/notes")
async def create_note(request: Request, at: AtDesk, asked: Asked, incident_id: str) -> JSONResponse:
    """Add a note in the name of a user."""
    sender, incident, note = _sender(request, at), _incident(at, incident_id), _inner(asked, "note")
    if not note.get("content"):
        raise invalid("Content cannot be empty.")
    return JSONResponse({"note": at.annotate(incident, note["content"], agent=sender, now=datetime.now(UTC))})


@rest.post("/incidents/{incident_id}/responder_requests")
async def request_responders(request: Request, at: AtDesk, asked: Asked, incident_id: str) -> JSONResponse:
    """Ask further people to help; the incident's log shows it."""
    sender, incident = _sender(request, at), _incident(at, incident_id)
    body = asked.body if isinstance(asked.body, dict) else {}
    if not body.get("message") or not body.get("responder_request_targets"):
        raise invalid("Message and responder request targets cannot be empty.")
    now = datetime.now(UTC)
    at.log(incident, "responder_request", "Responders requested", agent=sender, now=now, message=body["message"])
    asked_for = {"incident": at.reference("incident", incident["id"], incident["summary"]), "requester": sender}
    return JSONResponse({"responder_request": {**asked_for, "requested_at": at_text(now), **body}})


@rest.get("/services")
async def list_services(request: Request, at: AtDesk) -> JSONResponse:
    """Return the services; the routing key leads to the first."""
    waiting = [incident for incident in at.incidents() if incident["status"] != "resolved"]
    return _paged(request, "services", [_service(at, key, waiting) for key in SERVICES])


def _service(at: Desk, key: str, waiting: list[Doc]) -> Doc:
    mine = [incident for incident in waiting if incident["service"]["id"] == key]
    critical, warning = (any(one["status"] == status for one in mine) for status in ("triggered", "acknowledged"))
    status = "critical" if critical else "warning" if warning else "active"
    named = {**at.service(key), "type": "service", "name": SERVICES[key]}
    return {**named, "status": status, "escalation_policy": at.policy()}


@rest.get("/oncalls")
async def list_oncalls(request: Request, at: AtDesk) -> JSONResponse:
    """Return who is on call."""
    policies, schedules = (request.query_params.getlist(f"{name}_ids[]") for name in ("escalation_policy", "schedule"))
    hidden = (policies and POLICY[0] not in policies) or (schedules and SCHEDULE[0] not in schedules)
    return _paged(request, "oncalls", [] if hidden else at.oncalls(datetime.now(UTC)))


@rest.get("/users")
async def list_users(request: Request, at: AtDesk) -> JSONResponse:
    """Return the people."""
    query = request.query_params.get("query", "").lower()
    people = [{**at.user(key), "type": "user", "name": USERS[key], "email": email_of(key)} for key in USERS]
    return _paged(request, "users", [one for one in people if query in f"{one['name']} {one['email']}".lower()])


@rest.get("/priorities")
async def list_priorities(request: Request, at: AtDesk) -> JSONResponse:
    """Return the priorities, most urgent first."""
    return _paged(request, "priorities", [at.priority(name) for name in PRIORITIES.values()])


@events.post("/enqueue")
async def enqueue(here: Here, asked: Asked) -> JSONResponse:
    """Take an event: the same dedup key means the same incident as long as that is open."""
    event = _event(here, asked)
    dedup_key = event.get("dedup_key") or secrets.token_hex(16)
    _apply(desk(here), {**event, "dedup_key": dedup_key}, datetime.now(UTC))
    return JSONResponse({"status": "success", "message": "Event processed", "dedup_key": dedup_key}, 202)


@events.post("/change/enqueue")
async def enqueue_change(here: Here, asked: Asked) -> JSONResponse:
    """Take a change event; it opens nothing."""
    body = _keyed(here, asked)
    summary = (body.get("payload") or {}).get("summary")
    if not summary:
        raise event_error(400, "invalid event", "Change event object is invalid", "'payload.summary' is missing")
    return JSONResponse({"status": "success", "message": "Change event processed"}, 202)


def _event(here: World, asked: Call) -> Doc:
    event = _keyed(here, asked)
    if problems := list(event_problems(event)):
        raise event_error(400, "invalid event", "Event object is invalid", *problems)
    return event


def _keyed(here: World, asked: Call) -> Doc:
    if asked.malformed or not isinstance(asked.body, dict):
        raise event_error(400, "invalid event", "Event object format is unrecognized", "JSON parse error")
    if len(json.dumps(asked.body)) > MAX_EVENT_BYTES:
        raise event_error(413, "invalid event", "Event object is too large", f"more than {MAX_EVENT_BYTES} bytes")
    if problem := _key_problem(str(asked.body.get("routing_key") or ""), here.tokens.routing_key):
        raise event_error(400, "invalid event", "Event object is invalid", problem)
    return asked.body


def _key_problem(given: str, routing_key: str) -> str:
    if not given:
        return "'routing_key' is missing or blank"
    if len(given) != 32:
        return "Length of 'routing_key' is incorrect (should be 32 characters)"
    return "" if matches(given, routing_key) else "Invalid routing key"


def event_problems(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is wrong with an event but its routing key."""
    action, payload = event.get("event_action"), event.get("payload")
    if not action:
        yield "'event_action' is missing or blank"
    elif action not in ACTIONS:
        yield "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"
    elif action == "trigger":
        yield from _payload_problems(payload)
    elif not event.get("dedup_key"):
        yield "'dedup_key' is missing or blank"
    if len(str(event.get("dedup_key") or "")) > MAX_DEDUP_KEY:
        yield f"'dedup_key' is too long (maximum is {MAX_DEDUP_KEY} characters)"


def _payload_problems(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    yield from (f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name))
    if len(str(payload.get("summary") or "")) > MAX_SUMMARY:
        yield f"'payload.summary' is too long (maximum is {MAX_SUMMARY} characters)"
    if payload.get("severity") not in SEVERITIES:
        allowed = "'critical', 'warning', 'error' or 'info'"
        yield f"'payload.severity' is invalid (must be one of the following: {allowed})"


def _apply(at: Desk, event: Doc, now: datetime) -> None:
    """Act on an event; one about an incident that is not open changes nothing, and is taken all the same."""
    incident, agent = at.open_with_key(event["dedup_key"]), at.service(SERVICE_OF_THE_KEY)
    if event["event_action"] == "trigger":
        _trigger(at, event, incident, now)
    elif incident:
        status = "acknowledged" if event["event_action"] == "acknowledge" else "resolved"
        moved(at, incident, status, agent=agent, now=now)


def _trigger(at: Desk, event: Doc, incident: Doc | None, now: datetime) -> None:
    channel = {"type": "api", "summary": event["payload"]["summary"], "details": event["payload"]}
    links = {name: event[name] for name in ("client", "client_url", "links", "images") if event.get(name)}
    agent = at.service(SERVICE_OF_THE_KEY)
    if incident:
        at.add_event(incident, {**channel, **links}, agent=agent, now=now)
    else:
        at.open(_from_event(event), agent=agent, channel={**channel, **links}, now=now)


def _from_event(event: Doc) -> Doc:
    payload = event["payload"]
    details = payload.get("custom_details") or {}
    named = details.get("priority") if isinstance(details, dict) else None
    return {
        "title": payload["summary"],
        "service": SERVICE_OF_THE_KEY,
        "urgency": "high" if payload["severity"] in ("critical", "error") else "low",
        "incident_key": event["dedup_key"],
        "details": details,
        "priority": named if named in PRIORITIES.values() else PRIORITY_OF[payload["severity"]],
    }


@rest.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"], include_in_schema=False)
async def unknown(at: AtDesk, path: str) -> JSONResponse:
    """Answer 404 in PagerDuty's words."""
    raise not_found()
