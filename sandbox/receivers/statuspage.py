"""Statuspage's API: incidents, scheduled maintenance and components (https://developer.statuspage.io)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from sandbox.receivers.answers import Refusal, authorized
from sandbox.receivers.counter import Asked, Call, ServiceRoute, World, world
from sandbox.receivers.store import Doc, Store

PAGE = "orchestrator"
COMPONENTS: Mapping[str, str] = {
    "cmpapi000001": "API",
    "cmpauth00001": "Sign-in",
    "cmpworkflows": "Workflows",
    "cmpdashboard": "Dashboard",
}
COMPONENT_STATUSES = ("operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage")
REALTIME = ("investigating", "identified", "monitoring", "resolved")
SCHEDULED = ("scheduled", "in_progress", "verifying", "completed")
OVER = ("resolved", "completed")
IMPACTS = ("none", "maintenance", "minor", "major", "critical")
TIMES = ("scheduled_for", "scheduled_until")
SWITCHES: Mapping[str, bool] = {
    "scheduled_remind_prior": False,
    "scheduled_auto_in_progress": False,
    "scheduled_auto_completed": False,
    "auto_transition_to_maintenance_state": False,
    "auto_transition_to_operational_state": False,
    "auto_transition_deliver_notifications_at_start": False,
    "auto_transition_deliver_notifications_at_end": False,
}
UNSENT = "deliver_notifications"

router = APIRouter(prefix="/statuspage/v1/pages", route_class=ServiceRoute)


def time_text(moment: datetime) -> str:
    """Return a time as Statuspage writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class StatusPage:
    """The page: reads and writes incidents and components."""

    def __init__(self, store: Store, *, url: str) -> None:
        self._store, self.url = store, url
        if not store.get("component", next(iter(COMPONENTS))):
            self._found()

    def _found(self) -> None:
        now = time_text(datetime.now(UTC))
        for position, (key, name) in enumerate(COMPONENTS.items(), 1):
            self._store.put("component", key, _component(key, name, position, now))

    def components(self) -> list[Doc]:
        """Return the components as customers see them, in their order."""
        return sorted(self._store.all("component"), key=lambda component: component["position"])

    def component(self, key: str) -> Doc:
        """Return one component."""
        return _known(self._store.get("component", key))

    def set_component(self, key: str, status: str) -> Doc:
        """Show a component in that state."""
        changed = {**self.component(key), "status": status, "updated_at": time_text(datetime.now(UTC))}
        self._store.put("component", key, changed)
        return changed

    def incidents(self, now: datetime) -> list[Doc]:
        """Return every incident, newest first, moved on where the clock does that."""
        found = [self.as_of(incident, now) for incident in self._store.all("status_incident")]
        return sorted(found, key=lambda incident: incident["created_at"], reverse=True)

    def incident(self, key: str, now: datetime) -> Doc:
        """Return one incident."""
        return self.as_of(_known(self._store.get("status_incident", key)), now)

    def as_of(self, incident: Doc, now: datetime) -> Doc:
        """Return a maintenance in the state that it has by now; the change is kept."""
        due = status_by_clock(incident, now)
        if due == incident["status"]:
            return incident
        return self.save({**incident, "status": due}, body=f"The maintenance is now {due}.", now=now)

    def save(self, incident: Doc, *, body: str, now: datetime, deliver: bool = True) -> Doc:
        """Write an incident with an update that says what changed; components follow."""
        at = time_text(now)
        update = _update(incident, body, at, deliver=deliver)
        over = {"resolved_at": at} if incident["status"] in OVER else {}
        updates = [update, *incident["incident_updates"]]
        saved = {**incident, **over, "updated_at": at, "incident_updates": updates}
        self._store.put("status_incident", saved["id"], saved)
        self._move_components(saved)
        return saved

    def _move_components(self, incident: Doc) -> None:
        status = component_status(incident)
        for component in incident["components"] if status else ():
            self.set_component(component["id"], status)


def _known(found: Doc | None) -> Doc:
    if not found:
        raise Refusal(404, {"error": "Not found"})
    return found


def _component(key: str, name: str, position: int, now: str) -> Doc:
    return {
        "id": key,
        "page_id": PAGE,
        "name": name,
        "status": "operational",
        "position": position,
        "created_at": now,
        "updated_at": now,
        "description": None,
        "showcase": True,
        "group": False,
        "group_id": None,
        "only_show_if_degraded": False,
    }


def _update(incident: Doc, body: str, at: str, *, deliver: bool) -> Doc:
    return {
        "id": secrets.token_hex(6),
        "incident_id": incident["id"],
        "status": incident["status"],
        "body": body,
        "created_at": at,
        "display_at": at,
        "deliver_notifications": deliver,
    }


def status_by_clock(incident: Doc, now: datetime) -> str:
    """Return the status of a maintenance by now: only where the automatic transitions are switched on."""
    status = str(incident["status"])
    started = incident["scheduled_auto_in_progress"] and now >= _time(incident["scheduled_for"])
    ended = incident["scheduled_auto_completed"] and now >= _time(incident["scheduled_until"])
    if status in ("in_progress", "verifying") and ended:
        return "completed"
    return "in_progress" if status == "scheduled" and started else status


def component_status(incident: Doc) -> str:
    """Return what a maintenance does to its components; nothing unless the automatic states are switched on."""
    if incident["status"] == "in_progress" and incident["auto_transition_to_maintenance_state"]:
        return "under_maintenance"
    if incident["status"] == "completed" and incident["auto_transition_to_operational_state"]:
        return "operational"
    return ""


def _time(text: str | None) -> datetime:
    if not text:
        return datetime.max.replace(tzinfo=UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def at_page(request: Request, page: str) -> StatusPage:
    """Return the page for a caller with the key; 401 for anyone else, 404 for another page."""
    here = world(request)
    if not authorized(request, "OAuth ", here.tokens.statuspage):
        raise Refusal(401, {"error": "Could not authenticate"})
    if page != PAGE:
        raise Refusal(404, {"error": "Not found"})
    return status_page(here)


def status_page(here: World) -> StatusPage:
    """Return the page."""
    return StatusPage(here.store, url=here.url("statuspage"))


AtPage = Annotated[StatusPage, Depends(at_page)]


def _inner(asked: Call, name: str) -> Doc:
    if asked.malformed or not isinstance(asked.body, dict):
        raise Refusal(400, {"error": "Bad request: the body is no JSON object"})
    found = asked.body.get(name)
    if not isinstance(found, dict):
        raise Refusal(400, {"error": f"{name} is missing"})
    return found


@router.get("/{page}/incidents")
async def list_incidents(request: Request, at: AtPage) -> JSONResponse:
    """Return incidents, newest first, a page at a time; `q` looks into names and updates."""
    wanted = request.query_params.get("q", "").lower()
    found = [incident for incident in at.incidents(datetime.now(UTC)) if wanted in _words(incident)]
    return _paged(request, found)


def _words(incident: Doc) -> str:
    return " ".join((incident["name"], *(update["body"] for update in incident["incident_updates"]))).lower()


def _paged(request: Request, found: list[Doc]) -> JSONResponse:
    limit, page = (request.query_params.get(name, default) for name, default in (("limit", "100"), ("page", "1")))
    if not (limit.isdecimal() and page.isdecimal() and 1 <= int(limit) <= 100 and int(page) >= 1):
        raise Refusal(400, {"error": "limit must be 1 to 100, page at least 1"})
    start = (int(page) - 1) * int(limit)
    return JSONResponse(found[start : start + int(limit)])


@router.get("/{page}/incidents/{selection}")
async def get_incident(request: Request, at: AtPage, selection: str) -> JSONResponse:
    """Return one incident, or a named selection of them: unresolved, scheduled, upcoming, active_maintenance."""
    now = datetime.now(UTC)
    if selection not in SELECTIONS:
        return JSONResponse(at.incident(selection, now))
    statuses = SELECTIONS[selection]
    return _paged(request, [incident for incident in at.incidents(now) if incident["status"] in statuses])


SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "unresolved": REALTIME[:-1],
    "scheduled": SCHEDULED[:-1],
    "upcoming": ("scheduled",),
    "active_maintenance": ("in_progress", "verifying"),
}


@router.post("/{page}/incidents")
async def create_incident(at: AtPage, asked: Asked) -> JSONResponse:
    """Publish an incident or announce a maintenance."""
    wanted, now = _inner(asked, "incident"), datetime.now(UTC)
    if not wanted.get("name"):
        raise Refusal(422, {"error": ["Name can't be blank"]})
    blank = _blank(at, secrets.token_hex(6), now)
    return JSONResponse(_written(at, blank, wanted, now), 201)


@router.patch("/{page}/incidents/{key}")
@router.put("/{page}/incidents/{key}")
async def update_incident(at: AtPage, asked: Asked, key: str) -> JSONResponse:
    """Move an incident on, or change it."""
    now = datetime.now(UTC)
    return JSONResponse(_written(at, at.incident(key, now), _inner(asked, "incident"), now))


def _blank(at: StatusPage, key: str, now: datetime) -> Doc:
    return {
        "id": key,
        "page_id": PAGE,
        "created_at": time_text(now),
        "started_at": time_text(now),
        "monitoring_at": None,
        "resolved_at": None,
        "shortlink": f"{at.url}/#{key}",
        "incident_updates": [],
        "components": [],
        "metadata": {},
        "impact": "none",
        "impact_override": None,
        "status": None,
        **dict.fromkeys(TIMES),
        **SWITCHES,
    }


def _written(at: StatusPage, incident: Doc, wanted: Mapping[str, Any], now: datetime) -> Doc:
    changed = {**incident, **_changes(wanted)}
    changed["status"] = changed["status"] or ("scheduled" if changed["scheduled_for"] else "investigating")
    if problems := list(incident_problems(changed, wanted)):
        raise Refusal(422, {"error": problems})
    states = _component_states(wanted)
    known = {component["id"] for component in changed["components"]} | set(states)
    for key, status in states.items():
        if status:
            at.set_component(key, status)
    changed["impact"] = changed["impact_override"] or ("maintenance" if changed["scheduled_for"] else "none")
    changed["components"] = [at.component(key) for key in sorted(known)]
    deliver = wanted.get(UNSENT) is not False
    return _fresh(at, at.save(changed, body=str(wanted.get("body") or ""), now=now, deliver=deliver))


def _fresh(at: StatusPage, incident: Doc) -> Doc:
    return {**incident, "components": [at.component(component["id"]) for component in incident["components"]]}


def _changes(wanted: Mapping[str, Any]) -> Doc:
    kept = ("name", "status", "impact_override", "metadata", *TIMES, *SWITCHES)
    return {name: wanted[name] for name in kept if name in wanted}


def _component_states(wanted: Mapping[str, Any]) -> dict[str, str]:
    return {**dict.fromkeys(wanted.get("component_ids") or (), ""), **(wanted.get("components") or {})}


def incident_problems(incident: Doc, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is wrong with an incident as it would be."""
    allowed = SCHEDULED if incident["scheduled_for"] else REALTIME
    if incident["status"] not in allowed:
        yield f"Status must be one of {', '.join(allowed)}"
    if incident["impact_override"] not in (None, *IMPACTS):
        yield f"Impact override must be one of {', '.join(IMPACTS)}"
    yield from _time_problems(incident)
    for key, status in _component_states(wanted).items():
        if key not in COMPONENTS:
            yield f"Component {key} does not exist"
        if status not in ("", *COMPONENT_STATUSES):
            yield f"Component status must be one of {', '.join(COMPONENT_STATUSES)}"


def _time_problems(incident: Doc) -> Iterator[str]:
    try:
        start, end = (_time(incident[name]) for name in TIMES)
    except ValueError:
        yield "Scheduled for and scheduled until must be ISO 8601 times"
        return
    if incident["scheduled_for"] and not incident["scheduled_until"]:
        yield "Scheduled until can't be blank"
    elif incident["scheduled_for"] and start >= end:
        yield "Scheduled until must be after scheduled for"


@router.get("/{page}/components")
async def list_components(request: Request, at: AtPage) -> JSONResponse:
    """Return the components."""
    return _paged(request, at.components())


@router.get("/{page}/components/{key}")
async def get_component(at: AtPage, key: str) -> JSONResponse:
    """Return one component."""
    return JSONResponse(at.component(key))


@router.patch("/{page}/components/{key}")
@router.put("/{page}/components/{key}")
async def update_component(at: AtPage, asked: Asked, key: str) -> JSONResponse:
    """Show a component in another state."""
    at.component(key)
    status = _inner(asked, "component").get("status")
    if status not in COMPONENT_STATUSES:
        raise Refusal(422, {"error": [f"Status must be one of {', '.join(COMPONENT_STATUSES)}"]})
    return JSONResponse(at.set_component(key, status))


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def unknown(path: str) -> JSONResponse:
    """Answer 404 in Statuspage's words."""
    raise Refusal(404, {"error": "Not found"})
