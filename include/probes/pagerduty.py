"""The incidents of PagerDuty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, TransientError
from include.probes.http import ask

if TYPE_CHECKING:
    import httpx

PAGE = 100
PAGES_MAX = 100
"""PagerDuty itself refuses offsets beyond 10,000."""
HISTORIES_MAX = 50


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One incident: how urgent, and who took it when.

    :param key: what the event that opened it was known by; empty for one that a person opened.
    """

    id: str
    number: int
    title: str
    status: str
    urgency: str
    priority: str
    service: str
    address: str
    created_at: datetime
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    by: str = ""
    key: str = ""


def incidents(client: httpx.Client, *, since: datetime, until: datetime, service_ids: Sequence[str]) -> list[Incident]:
    """Return the incidents of a window and all that are still open, however old.

    A token that sees no service sees no incident either: that is an error and never silence.
    """
    _require_services(client, service_ids)
    services = {"service_ids[]": list(service_ids)} if service_ids else {}
    window = {"since": since.isoformat(), "until": until.isoformat(), **services}
    still_open = {"statuses[]": ["triggered", "acknowledged"], "date_range": "all", **services}
    raw = {each["id"]: each for query in (window, still_open) for each in _pages(client, "incidents", query)}
    return [_incident(client, each, with_history=index < HISTORIES_MAX) for index, each in enumerate(raw.values())]


def _require_services(client: httpx.Client, wanted: Sequence[str]) -> None:
    seen = {each["id"] for each in _pages(client, "services", {})}
    missing = sorted(set(wanted) - seen)
    if missing:
        raise ConfigurationError(
            f"PagerDuty shows no service {', '.join(missing)}; correct the setting alerts.pagerduty_service_ids"
        )
    if not seen:
        raise ConfigurationError(
            "PagerDuty shows no service at all; check the rights of the token in connections.pagerduty_api"
        )


def _pages(client: httpx.Client, name: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for page in range(PAGES_MAX):
        body = ask(client, "PagerDuty", "GET", name, params={**query, "limit": PAGE, "offset": page * PAGE})
        yield from body[name.rpartition("/")[2]]
        if not body.get("more"):
            return
    raise TransientError(f"PagerDuty lists more than {PAGE * PAGES_MAX} {name}; set alerts.pagerduty_service_ids")


def _incident(client: httpx.Client, raw: Mapping[str, Any], *, with_history: bool) -> Incident:
    history = list(_history(client, raw["id"])) if with_history else []
    acknowledged = _first(history, "acknowledge_log_entry")
    resolved = _first(history, "resolve_log_entry")
    taken = acknowledged or resolved or {}
    return Incident(
        id=raw["id"],
        number=raw.get("incident_number", 0),
        title=raw.get("title", ""),
        status=raw["status"],
        urgency=raw.get("urgency", "high"),
        priority=(raw.get("priority") or {}).get("summary", ""),
        service=(raw.get("service") or {}).get("summary", ""),
        address=raw.get("html_url", ""),
        created_at=datetime.fromisoformat(raw["created_at"]),
        acknowledged_at=_at(acknowledged),
        resolved_at=_at(resolved),
        by=(taken.get("agent") or {}).get("summary", ""),
        key=raw.get("incident_key") or "",
    )


def _history(client: httpx.Client, incident_id: str) -> Iterator[Mapping[str, Any]]:
    yield from _pages(client, f"incidents/{incident_id}/log_entries", {"is_overview": "true"})


def _first(history: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return min(
        (entry for entry in history if entry.get("type") == kind), key=lambda entry: entry["created_at"], default=None
    )


def _at(entry: Mapping[str, Any] | None) -> datetime | None:
    return datetime.fromisoformat(entry["created_at"]) if entry else None
