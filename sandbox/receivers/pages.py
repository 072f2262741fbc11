"""The pages for people: what each service holds, and the buttons that a person would press there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from sandbox.receivers import mrkdwn
from sandbox.receivers.answers import Refusal
from sandbox.receivers.control import workspace
from sandbox.receivers.counter import Here, World
from sandbox.receivers.grafana import ask, dashboards, run
from sandbox.receivers.grafana_frames import Span, span
from sandbox.receivers.pagerduty import desk, moved
from sandbox.receivers.pagerduty_desk import USERS
from sandbox.receivers.slack_workspace import CHANNELS, NAMES, PEOPLE, Workspace
from sandbox.receivers.statuspage import OVER, status_page
from sandbox.receivers.store import MODES, SERVICES, Doc, Page

HERE = Path(__file__).parent
SHOWN = 100
router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(HERE / "templates")


def _clock(value: Any) -> str:
    """Return a time of any of the services as a person reads it."""
    text = str(value)
    is_number = text.replace(".", "", 1).isdecimal()
    moment = datetime.fromtimestamp(float(text), UTC) if is_number else datetime.fromisoformat(text)
    return moment.strftime("%d %b %H:%M:%S")


templates.env.filters.update(
    mrkdwn=mrkdwn.render,
    text_object=mrkdwn.text_object,
    emoji=mrkdwn.emoji,
    clock=_clock,
    pretty=lambda value: json.dumps(value, indent=1, ensure_ascii=False),
)


def page(request: Request, name: str, **values: Any) -> Response:
    """Render a page."""
    return templates.TemplateResponse(request, f"{name}.html", {"services": SERVICES, **values})


@router.get("/")
async def index(request: Request, here: Here) -> Response:
    """Link all."""
    counts = {service: here.store.count(service) for service in SERVICES}
    return page(request, "index", modes=here.store.modes(), counts=counts)


@router.get("/received/{service}")
async def received(request: Request, here: Here, service: str) -> Response:
    """Show the latest requests to a service, and its mode."""
    known = service if service in SERVICES else SERVICES[0]
    requests = here.store.recorded(known, limit=SHOWN)[::-1]
    return page(request, "received", service=known, requests=requests, mode=here.store.modes()[known], modes=MODES)


@router.post("/received/{service}")
async def choose_mode(here: Here, service: str, mode: Annotated[str, Form()]) -> Response:
    """Set the mode from the page."""
    if service in SERVICES and mode in MODES:
        here.store.set_mode(service, mode)
    return RedirectResponse(f"/received/{service}", 303)


@router.get("/slack/")
async def slack_home(here: Here) -> Response:
    """Open the first channel."""
    return RedirectResponse(f"/slack/channels/{workspace(here).named('alerts')['name']}", 303)


@router.get("/slack/channels/{name}")
async def slack_channel(request: Request, here: Here, name: str) -> Response:
    """Show a channel with its threads, the newest on top: that is what one comes for."""
    slack = workspace(here)
    known = list(CHANNELS.values())
    channels = sorted(slack.channels(), key=lambda one: known.index(one["id"]) if one["id"] in known else len(known))
    channel = next((one for one in channels if name in (one["name"], one["id"])), channels[0])
    messages = [_threaded(slack, channel["id"], one) for one in slack.history(channel["id"], LATEST)]
    return page(request, "slack", channels=channels, channel=channel, messages=messages, people=PEOPLE)


LATEST = Page(limit=SHOWN, newest_first=True)


def _threaded(slack: Workspace, channel_id: str, message: Doc) -> Doc:
    replies = slack.replies(channel_id, message["ts"]) if message.get("reply_count") else []
    return {**_signed(message), "replies": [_signed(reply) for reply in replies]}


def _signed(message: Doc) -> Doc:
    author = message.get("username") or NAMES.get(message.get("user", ""), "unknown")
    people = [{**one, "names": ", ".join(NAMES[user] for user in one["users"])} for one in message.get("reactions", [])]
    return {**message, "author": author, "is_bot": "bot_id" in message, "reactions": people}


@router.get("/slack/archives/{channel_id}/p{digits}")
async def slack_permalink(here: Here, channel_id: str, digits: str) -> Response:
    """Open the message that a permalink means, or the start of its thread."""
    return RedirectResponse(f"/slack/channels/{channel_id}#{digits[:-6]}.{digits[-6:]}", 303)


class Said(BaseModel):
    """What a person typed or pressed below a message, or below the channel where `ts` is empty."""

    person: str
    form: str = "say"
    text: str = ""
    ts: str = ""


@router.post("/slack/channels/{name}")
async def slack_say(here: Here, name: str, said: Annotated[Said, Form()]) -> Response:
    """Say something, reply or react as a person."""
    slack = workspace(here)
    # A second 👍 of the same person, or a thread that was reset meanwhile: the page shows what is there.
    with suppress(Refusal):
        _say(slack, slack.named(name)["id"], said)
    return RedirectResponse(f"/slack/channels/{name}", 303)


def _say(slack: Workspace, channel_id: str, said: Said) -> None:
    user = PEOPLE.get(said.person, PEOPLE["alice"])
    if said.form == "react":
        slack.react(channel_id, said.ts, name="+1", user_id=user)
    elif said.text.strip():
        slack.post(channel_id, {"user": user, "text": mrkdwn.escaped(said.text.strip())}, thread_ts=said.ts)


@router.get("/pagerduty/")
async def pagerduty_page(request: Request, here: Here) -> Response:
    """Show the incidents, open ones first, with their log."""
    at = desk(here)
    incidents = [{**one, "log": at.log_entries(one["id"]), "notes": at.notes(one["id"])} for one in at.incidents()]
    newest = sorted(incidents, key=lambda one: (one["status"] != "resolved", one["incident_number"]), reverse=True)
    oncalls = at.oncalls(datetime.now(UTC))
    return page(request, "pagerduty", incidents=newest[:SHOWN], oncalls=oncalls, people=USERS)


@router.post("/pagerduty/page/{incident_id}")
async def pagerduty_act(
    here: Here, incident_id: str, status: Annotated[str, Form()], person: Annotated[str, Form()]
) -> Response:
    """Acknowledge or resolve as a person."""
    at = desk(here)
    incident = at.incident(incident_id)
    if incident and person in USERS and status in ("acknowledged", "resolved"):
        moved(at, incident, status, agent=at.user(person), now=datetime.now(UTC))
    return RedirectResponse(f"/pagerduty/#{incident_id}", 303)


@router.get("/statuspage/")
async def statuspage_page(request: Request, here: Here) -> Response:
    """Show the page that customers see."""
    at = status_page(here)
    incidents = at.incidents(datetime.now(UTC))
    current = [one for one in incidents if one["status"] not in (*OVER, "scheduled")]
    upcoming = [one for one in incidents if one["status"] == "scheduled"]
    past = [one for one in incidents if one["status"] in OVER][:SHOWN]
    return page(request, "statuspage", components=at.components(), current=current, upcoming=upcoming, past=past)


@router.get("/grafana/")
async def grafana_home() -> Response:
    """Open the first dashboard."""
    return RedirectResponse(f"/grafana/d/{next(iter(dashboards()))}", 303)


@router.get("/grafana/d/{uid}")
async def grafana_dashboard(request: Request, here: Here, uid: str) -> Response:
    """Draw a dashboard from the real Prometheus, with the rules that fire."""
    dashboard = dashboards().get(uid) or next(iter(dashboards().values()))
    panels = [await _panel(here, dashboard, panel) for panel in dashboard["panels"]]
    rules, error = await _rules(here)
    return page(request, "grafana", dashboard=dashboard, panels=panels, rules=rules, error=error)


async def _panel(here: World, dashboard: Doc, panel: Doc) -> Doc:
    query = {**panel["targets"][0], "maxDataPoints": 240}
    result = await run(here, dashboard["time"], query)
    lines = [frame["data"]["values"] for frame in result["frames"] if frame["data"]["values"]]
    window = span(dashboard["time"], query, datetime.now(UTC))
    drawn = drawing(lines[0], panel["fieldConfig"]["defaults"]["unit"], window) if lines else None
    return {**panel, "drawn": drawn, "error": result.get("error", "")}


async def _rules(here: World) -> tuple[list[Doc], str]:
    try:
        answer = await ask(here, "prometheus", "/api/v1/rules", type="alert")
    except Refusal as refusal:
        return [], str(refusal.body["message"])
    return [rule for group in answer["data"]["groups"] for rule in group["rules"]], ""


def drawing(values: list[list[Any]], unit: str, window: Span, *, width: int = 560, height: int = 120) -> Doc | None:
    """Return a path for SVG over the whole window, with its extremes and last value in words; None without a point."""
    points = [(at, one) for at, one in zip(*values, strict=True) if one is not None]
    if not points:
        return None
    numbers = [one for _, one in points]
    low, high = min(numbers), max(numbers)
    start, end = window.start.timestamp() * 1000, window.end.timestamp() * 1000
    across = [(at, (at - start) / (end - start) * width, _drop(one, low, high) * height) for at, one in points]
    path = " ".join(_strokes(across, gap_ms=window.step_s * 1500))
    named = {"high": high, "low": low, "last": numbers[-1]}
    words = {name: in_words(one, unit) for name, one in named.items()}
    return {"path": path, "width": width, "height": height, **words}


def _drop(value: float, low: float, high: float) -> float:
    """Return how far below the top a value lies, from 0 to 1; a flat line runs through the middle."""
    return (high - value) / (high - low) if high > low else 0.5


def _strokes(across: list[tuple[float, float, float]], *, gap_ms: float) -> Iterator[str]:
    """Yield the pen's moves: it is lifted where points are missing, so that a gap is seen as one."""
    before = float("-inf")
    for at, x, y in across:
        yield f"M{x:.1f},{y:.1f}h0" if at - before > gap_ms else f"L{x:.1f},{y:.1f}"
        before = at


def in_words(value: float, unit: str) -> str:
    """Return a number with its unit as Grafana would show it."""
    if unit == "percentunit":
        return f"{value:.2%}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.2f} s"
    return f"{value:,.1f}"
