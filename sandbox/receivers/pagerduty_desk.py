"""PagerDuty's incidents: how they open, are acknowledged, resolved and annotated, with a log entry for each step."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.receivers.store import Doc, Store

EMAIL_DOMAIN = "ai-orchestrator.example"
USERS: Mapping[str, str] = {"PALICE1": "Alice", "PBOB001": "Bob", "PCAROL1": "Carol"}
SERVICES: Mapping[str, str] = {"PAIORCH": "AI Orchestrator", "PDATABS": "Databases"}
SERVICE_OF_THE_KEY = "PAIORCH"
PRIORITIES: Mapping[str, str] = {"PPRIOR0": "P0", "PPRIOR1": "P1", "PPRIOR2": "P2", "PPRIOR3": "P3"}
POLICY = ("PESCPOL", "Platform on call")
SCHEDULE = ("PSCHED1", "Platform primary")
PRIORITY_OF = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P3"}
"""Where the event does not say it: `custom_details.priority` of P0 to P3 does, as an event rule would read it."""
OVERVIEW = frozenset({"trigger", "acknowledge", "resolve", "assign", "escalate"})


def at_text(moment: datetime) -> str:
    """Return a time as PagerDuty writes it: UTC, seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def on_call(level: int, now: datetime) -> str:
    """Return who is on call at an escalation level: they take turns by the week."""
    people = list(USERS)
    return people[(now.isocalendar().week + level - 1) % len(people)]


def email_of(user_id: str) -> str:
    """Return the address that the From header must carry."""
    return f"{USERS[user_id].lower()}@{EMAIL_DOMAIN}"


def user_with(email: str) -> str | None:
    """Return the id of the user with that address."""
    return next((user_id for user_id in USERS if email_of(user_id) == email.strip().lower()), None)


class Desk:
    """Reads and writes incidents; `url` is where the pages are."""

    def __init__(self, store: Store, *, url: str) -> None:
        self._store, self.url = store, url

    def reference(self, kind: str, key: str, summary: str) -> Doc:
        """Return the short form in which one resource points at another."""
        kinds = f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"
        links = {"self": f"{self.url}/{kinds}/{key}", "html_url": f"{self.url}/#{key}"}
        return {"id": key, "type": f"{kind}_reference", "summary": summary, **links}

    def user(self, user_id: str) -> Doc:
        """Return a user as others refer to it."""
        return self.reference("user", user_id, USERS[user_id])

    def service(self, service_id: str) -> Doc:
        """Return a service as others refer to it."""
        return self.reference("service", service_id, SERVICES[service_id])

    def policy(self) -> Doc:
        """Return the only escalation policy as others refer to it."""
        return self.reference("escalation_policy", *POLICY)

    def priority(self, name: str) -> Doc:
        """Return a priority by name."""
        key = next(key for key, value in PRIORITIES.items() if value == name)
        return {**self.reference("priority", key, name), "type": "priority", "name": name}

    def incidents(self) -> list[Doc]:
        """Return every incident, oldest first."""
        return sorted(self._store.all("incident"), key=lambda incident: incident["incident_number"])

    def incident(self, incident_id: str) -> Doc | None:
        """Return one incident, by its id or its number."""
        found = self._store.get("incident", incident_id)
        numbered = (incident for incident in self.incidents() if str(incident["incident_number"]) == incident_id)
        return found or next(numbered, None)

    def open_with_key(self, incident_key: str) -> Doc | None:
        """Return the unresolved incident with that dedup key."""
        found = (one for one in self.incidents() if one["incident_key"] == incident_key and one["status"] != "resolved")
        return next(found, None)

    def open(self, new: Mapping[str, Any], *, agent: Doc, channel: Doc, now: datetime) -> Doc:
        """Open an incident, assign it to whoever is on call and notify them."""
        incident = self._new(new, now)
        self._store.put("incident", incident["id"], incident)
        entry = self.log(incident, "trigger", "Triggered", agent=agent, now=now, channel=channel)
        person = incident["assignments"][0]["assignee"]
        self.log(incident, "assign", f"Assigned to {person['summary']}", agent=agent, now=now, assignees=[person])
        self.log(incident, "notify", f"Notified {person['summary']}", agent=agent, now=now, user=person)
        return self._save({**incident, "first_trigger_log_entry": _pointer(entry)}, now)

    def _new(self, new: Mapping[str, Any], now: datetime) -> Doc:
        number, key, created = self._store.next("incident"), _new_id("Q"), at_text(now)
        service = self.service(new["service"])
        reference = self.reference("incident", key, f"[#{number}] {new['title']}")
        return {
            **reference,
            "type": "incident",
            "incident_number": number,
            "title": new["title"],
            "description": new["title"],
            "body": {"type": "incident_body", "details": new.get("details", "")},
            "created_at": created,
            "updated_at": created,
            "last_status_change_at": created,
            "last_status_change_by": service,
            "resolved_at": None,
            "status": "triggered",
            "incident_key": new["incident_key"],
            "service": service,
            "urgency": new["urgency"],
            "priority": self.priority(new["priority"]) if new.get("priority") else None,
            "assignments": [{"at": created, "assignee": self.user(on_call(1, now))}],
            "assigned_via": "escalation_policy",
            "escalation_policy": self.policy(),
            "acknowledgements": [],
            "pending_actions": [],
            "teams": [],
            "alert_counts": {"all": 1, "triggered": 1, "resolved": 0},
        }

    def _save(self, incident: Doc, now: datetime) -> Doc:
        saved = {**incident, "updated_at": at_text(now)}
        self._store.put("incident", saved["id"], saved)
        return saved

    def log(self, incident: Doc, kind: str, summary: str, *, agent: Doc, now: datetime, **more: Any) -> Doc:
        """Add an entry to the incident's log; the parts that every entry has are filled in."""
        key = _new_id("R")
        entry = {
            **self.reference("log_entry", key, summary),
            "type": f"{kind}_log_entry",
            "created_at": at_text(now),
            "agent": agent,
            "channel": {"type": "api"},
            "service": incident["service"],
            "incident": self.reference("incident", incident["id"], incident["summary"]),
            "teams": [],
            "contexts": [],
            "event_details": {},
            **more,
        }
        order = f"{at_text(now)}/{self._store.next('log_entry'):09d}"
        self._store.put("log_entry", order, entry, parent=incident["id"])
        return entry

    def log_entries(self, incident_id: str) -> list[Doc]:
        """Return an incident's log, newest first."""
        return self._store.all("log_entry", parent=incident_id)[::-1]

    def acknowledge(self, incident: Doc, *, agent: Doc, now: datetime) -> Doc:
        """Acknowledge; a second one is kept too, on a resolved incident nothing happens."""
        if incident["status"] == "resolved":
            return incident
        self.log(incident, "acknowledge", f"Acknowledged by {agent['summary']}", agent=agent, now=now)
        acknowledged = {"at": at_text(now), "acknowledger": agent}
        more = {"acknowledgements": [*incident["acknowledgements"], acknowledged]}
        return self._change(incident, "acknowledged", agent=agent, now=now, more=more)

    def resolve(self, incident: Doc, *, agent: Doc, now: datetime) -> Doc:
        """Resolve; nothing happens if it is."""
        if incident["status"] == "resolved":
            return incident
        self.log(incident, "resolve", f"Resolved by {agent['summary']}", agent=agent, now=now)
        total = incident["alert_counts"]["all"]
        counts = {"all": total, "triggered": 0, "resolved": total}
        more = {"resolved_at": at_text(now), "alert_counts": counts, "assignments": []}
        return self._change(incident, "resolved", agent=agent, now=now, more=more)

    def _change(self, incident: Doc, status: str, *, agent: Doc, now: datetime, more: Doc) -> Doc:
        changed = {"status": status, "last_status_change_at": at_text(now), "last_status_change_by": agent}
        return self._save({**incident, **changed, **more}, now)

    def add_event(self, incident: Doc, channel: Doc, *, agent: Doc, now: datetime) -> Doc:
        """Add a further trigger event to the incident that is open under its key."""
        self.log(incident, "trigger", "Triggered again", agent=agent, now=now, channel=channel)
        return self._save(incident, now)

    def escalate(self, incident: Doc, level: int, *, agent: Doc, now: datetime) -> Doc:
        """Hand it to whoever is on call at that level."""
        person = self.user(on_call(level, now))
        self.log(incident, "escalate", f"Escalated to {person['summary']}", agent=agent, now=now, assignees=[person])
        return self._save({**incident, "assignments": [{"at": at_text(now), "assignee": person}]}, now)

    def edit(self, incident: Doc, fields: Mapping[str, Any], now: datetime) -> Doc:
        """Write fields that need no step of their own: title, urgency, priority."""
        edited = {**incident, **fields}
        return self._save({**edited, "summary": f"[#{edited['incident_number']}] {edited['title']}"}, now)

    def annotate(self, incident: Doc, content: str, *, agent: Doc, now: datetime) -> Doc:
        """Add a note."""
        note = {"id": _new_id("N"), "user": agent, "content": content, "created_at": at_text(now)}
        order = f"{self._store.next('note'):09d}"
        self._store.put("note", order, note, parent=incident["id"])
        self.log(incident, "annotate", f"Note added by {agent['summary']}", agent=agent, now=now, note=content)
        return note

    def notes(self, incident_id: str) -> list[Doc]:
        """Return an incident's notes, oldest first."""
        return self._store.all("note", parent=incident_id)

    def oncalls(self, now: datetime) -> list[Doc]:
        """Return who is on call this week at both levels."""
        monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
        span = {"start": at_text(monday), "end": at_text(monday + timedelta(days=7))}
        schedule = self.reference("schedule", *SCHEDULE)
        return [
            {
                "escalation_policy": self.policy(),
                "escalation_level": level,
                "schedule": schedule,
                "user": self.user(on_call(level, now)),
                **span,
            }
            for level in (1, 2)
        ]


def _new_id(letter: str) -> str:
    return letter + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(13))


def _pointer(entry: Doc) -> Doc:
    return {
        **{name: entry[name] for name in ("id", "summary", "self", "html_url")},
        "type": "trigger_log_entry_reference",
    }


def in_overview(entries: Iterable[Doc]) -> list[Doc]:
    """Return the entries that `is_overview=true` asks for."""
    return [entry for entry in entries if entry["type"].removesuffix("_log_entry") in OVERVIEW]
