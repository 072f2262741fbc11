"""Grafana's alert rules, and the named panels' own queries run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.probes.http import ask, refusal

if TYPE_CHECKING:
    import httpx

    from include.settings import Panel

WEEK = timedelta(weeks=1)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alert rule and how it stands."""

    name: str
    group: str
    state: str
    health: str
    severity: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Firing:
    """An alert that Grafana's Alertmanager holds."""

    name: str
    severity: str
    started_at: datetime
    summary: str
    silenced: bool


@dataclass(frozen=True, kw_only=True)
class PanelData:
    """The numbers of one panel now and in the same hour a week ago; a panel without numbers has none here."""

    dashboard: str
    panel: int
    title: str
    now: Sequence[float]
    week_ago: Sequence[float]
    query: str

    @property
    def subject(self) -> str:
        """`panel orchestrator-overview/2 (error rate)`."""
        return f"panel {self.dashboard}/{self.panel} ({self.title})"


def rules(client: httpx.Client) -> list[Rule]:
    """Return every alert rule."""
    body = ask(client, "Grafana", "GET", "api/prometheus/grafana/api/v1/rules")
    return [_rule(group, rule) for group in body["data"]["groups"] for rule in group["rules"]]


def _rule(group: Mapping[str, Any], rule: Mapping[str, Any]) -> Rule:
    return Rule(
        name=rule["name"],
        group=group.get("name", ""),
        state=rule.get("state", "inactive"),
        health=rule.get("health", "ok"),
        severity=rule.get("labels", {}).get("severity", ""),
        error=rule.get("lastError", ""),
    )


def firing(client: httpx.Client) -> list[Firing]:
    """Return the alerts that are active, silenced ones included."""
    body = ask(client, "Grafana", "GET", "api/alertmanager/grafana/api/v2/alerts", params={"active": "true"})
    return [_firing(alert) for alert in body]


def _firing(alert: Mapping[str, Any]) -> Firing:
    labels, notes = alert.get("labels", {}), alert.get("annotations", {})
    return Firing(
        name=labels.get("alertname", "alert"),
        severity=labels.get("severity", ""),
        started_at=datetime.fromisoformat(alert["startsAt"]),
        summary=notes.get("summary", ""),
        silenced=bool(alert.get("status", {}).get("silencedBy")),
    )


def panel(client: httpx.Client, wanted: Panel, *, now: datetime, window_s: float) -> PanelData:
    """Run a panel's own queries for the last hour and for the same hour a week ago."""
    found = _find(client, wanted)
    queries = [_query(target, found) for target in found.get("targets") or ()]
    if not queries:
        raise ConfigurationError(
            f"Grafana's panel {wanted.dashboard}/{wanted.panel} has no query; change the setting grafana.panels"
        )
    return PanelData(
        dashboard=wanted.dashboard,
        panel=wanted.panel,
        title=wanted.title or found.get("title", ""),
        now=_run(client, queries, now, window_s),
        week_ago=_run(client, queries, now - WEEK, window_s),
        query="; ".join(str(query.get("expr", query.get("rawSql", ""))) for query in queries),
    )


def _find(client: httpx.Client, wanted: Panel) -> Mapping[str, Any]:
    body = ask(client, "Grafana", "GET", f"api/dashboards/uid/{wanted.dashboard}")
    for each in _panels(body["dashboard"].get("panels") or ()):
        if each.get("id") == wanted.panel:
            return each
    raise ConfigurationError(
        f"Grafana's dashboard {wanted.dashboard} has no panel {wanted.panel}; change the setting grafana.panels"
    )


def _panels(given: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for each in given:
        yield each
        yield from _panels(each.get("panels") or ())  # a collapsed row holds its panels inside


def _query(target: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {"refId": "A", "datasource": found.get("datasource"), "intervalMs": 60_000, "maxDataPoints": 500, **target}


def _run(client: httpx.Client, queries: Sequence[Mapping[str, Any]], end: datetime, window_s: float) -> list[float]:
    start = end - timedelta(seconds=window_s)
    moments = {"from": str(round(start.timestamp() * 1000)), "to": str(round(end.timestamp() * 1000))}
    body = ask(client, "Grafana", "POST", "api/ds/query", json={"queries": list(queries), **moments})
    for name, result in body["results"].items():
        _refuse_failed(name, result)
    return [
        number
        for result in body["results"].values()
        for frame in result.get("frames") or ()
        for number in _numbers(frame)
    ]


def _refuse_failed(name: str, result: Mapping[str, Any]) -> None:
    # Of several queries Grafana answers 207 when one fails: the others' numbers are then half of the panel.
    if result.get("error"):
        raise refusal("Grafana", f"query {name} of the panel", result.get("status", 500), str(result["error"])[:160])


def _numbers(frame: Mapping[str, Any]) -> Iterator[float]:
    fields = frame.get("schema", {}).get("fields") or ()
    for field, column in zip(fields, frame.get("data", {}).get("values") or (), strict=False):
        if field.get("type") == "number":
            yield from (float(value) for value in column if value is not None)
