"""For tests and demonstrations: make a service misbehave, read what it got, plant a past, forget everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sandbox.receivers.counter import Here, World
from sandbox.receivers.pagerduty import desk
from sandbox.receivers.pagerduty_desk import SERVICE_OF_THE_KEY, USERS, Desk
from sandbox.receivers.slack_workspace import PEOPLE, WEBHOOK_BOT_ID, Workspace
from sandbox.receivers.store import SERVICES, Doc, Mode

router = APIRouter()


class Strict(BaseModel):
    """A body whose misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class Behaviour(Strict):
    """How a service behaves from now on, or for the next `times` requests."""

    mode: Mode
    times: Annotated[int, Field(ge=1)] | None = None


class PastReply(Strict):
    """What a person answered in a thread."""

    user: str
    text: str
    at: AwareDatetime


class PastMessage(Strict):
    """A message of the past: by a person, or by the webhook if no user is named."""

    channel: str
    text: str
    at: AwareDatetime
    user: str | None = None
    replies: list[PastReply] = []
    reactions: dict[str, list[str]] = {}


class PastIncident(Strict):
    """An incident of the past, as far as it got."""

    title: str
    created_at: AwareDatetime
    priority: Annotated[str, Field(pattern=r"^P[0-3]$")] = "P2"
    urgency: Annotated[str, Field(pattern=r"^(high|low)$")] = "high"
    acknowledged_at: AwareDatetime | None = None
    resolved_at: AwareDatetime | None = None
    by: str = "Alice"
    incident_key: str | None = None


def workspace(here: World) -> Workspace:
    """Return the Slack workspace."""
    return Workspace(here.store, url=here.url("slack"))


def _known(service: str) -> str:
    if service not in SERVICES:
        raise HTTPException(404, f"there is no service {service!r}; there are {', '.join(SERVICES)}")
    return service


@router.get("/_control")
async def modes(here: Here) -> dict[str, str]:
    """Return the mode of every service."""
    return here.store.modes()


@router.post("/_control/{service}")
async def set_mode(here: Here, service: str, behaviour: Behaviour) -> dict[str, str]:
    """Set the mode of one service."""
    here.store.set_mode(_known(service), behaviour.mode, times=behaviour.times)
    return here.store.modes()


@router.get("/_recorded/{service}")
async def recorded(here: Here, service: str, after: int = 0) -> dict[str, list[Doc]]:
    """Return what a service received since the request with that id."""
    return {"recorded": here.store.recorded(_known(service), after=after)}


@router.post("/_reset")
async def reset(here: Here) -> dict[str, str]:
    """Forget everything; ids go on, so nothing is mixed up with what was."""
    here.store.clear()
    return here.store.modes()


@router.post("/_seed/slack")
async def seed_slack(here: Here, past: PastMessage) -> Doc:
    """Plant a message with its thread and its reactions."""
    slack = workspace(here)
    channel = slack.named(past.channel)["id"]
    message = slack.post(channel, {**_author(past.user), "text": past.text}, at=past.at.timestamp())
    for reply in past.replies:
        words = {**_author(reply.user), "text": reply.text}
        slack.post(channel, words, thread_ts=message["ts"], at=reply.at.timestamp())
    for name, people in past.reactions.items():
        for person in people:
            slack.react(channel, message["ts"], name=name, user_id=_person(person, PEOPLE))
    return slack.message(channel, message["ts"])


def _author(name: str | None) -> Doc:
    if name is None:
        return {"subtype": "bot_message", "bot_id": WEBHOOK_BOT_ID, "username": "Alertmanager"}
    return {"user": _person(name, PEOPLE)}


def _person(name: str, people: Mapping[str, str]) -> str:
    if name not in people:
        raise HTTPException(422, f"there is nobody called {name!r}; there are {', '.join(people)}")
    return people[name]


@router.post("/_seed/pagerduty")
async def seed_pagerduty(here: Here, past: PastIncident) -> Doc:
    """Plant an incident with its log entries at their times."""
    at = desk(here)
    service = at.service(SERVICE_OF_THE_KEY)
    key = past.incident_key or f"planted-{here.store.next('planted')}"
    new = {**past.model_dump(include={"title", "priority", "urgency"}), "service": service["id"], "incident_key": key}
    opened = at.open(new, agent=service, channel={"type": "api", "details": {}}, now=past.created_at)
    return _as_far(at, opened, past)


def _as_far(at: Desk, incident: Doc, past: PastIncident) -> Doc:
    agent = at.user(_person(past.by, {name: key for key, name in USERS.items()}))
    if past.acknowledged_at:
        incident = at.acknowledge(incident, agent=agent, now=past.acknowledged_at)
    if past.resolved_at:
        incident = at.resolve(incident, agent=agent, now=past.resolved_at)
    return incident
