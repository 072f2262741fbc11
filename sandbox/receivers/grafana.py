"""Grafana's HTTP API over the real Prometheus and Alertmanager (https://grafana.com/docs/grafana/latest/developers/http_api)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from sandbox.receivers.answers import Refusal, authorized, grafana_error
from sandbox.receivers.counter import Asked, Call, ServiceRoute, World, world
from sandbox.receivers.grafana_frames import Span, frames, span
from sandbox.receivers.store import Doc

DASHBOARDS = Path(__file__).parent / "dashboards"
FOLDER = {"folderUid": "ai-orchestrator", "folderTitle": "AI Orchestrator"}
DATASOURCE = {"id": 1, "uid": "prometheus", "name": "Prometheus", "type": "prometheus", "isDefault": True}
VERSION = "12.1.0"
STATES = {"firing": "Alerting", "pending": "Pending", "inactive": "Normal"}
HEALTHS = {"err": "error", "unknown": "nodata"}
TIMEOUT_S = 15.0

router = APIRouter(prefix="/grafana/api", route_class=ServiceRoute)


@cache
def dashboards() -> dict[str, Doc]:
    """Return the dashboards by uid, from their files."""
    found = (json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json")))
    return {dashboard["uid"]: dashboard for dashboard in found}


def allowed(request: Request) -> World:
    """Return the world to a caller with the service account's token; 401 to anyone else."""
    here = world(request)
    if not request.headers.get("authorization"):
        raise grafana_error(401, "Unauthorized", messageId="auth.unauthorized", statusCode=401, traceID="")
    if not authorized(request, "Bearer ", here.tokens.grafana):
        raise grafana_error(401, "Invalid API key", messageId="api-key.invalid", statusCode=401, traceID="")
    return here


Allowed = Annotated[World, Depends(allowed)]


async def ask(here: World, component: str, path: str, **params: Any) -> Any:
    """Ask Prometheus or Alertmanager; a refusal of theirs, or silence, is an error of ours and never an empty answer."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            response = await client.get(f"{here.site.url(component)}{path}", params=params)
    except httpx.HTTPError as error:
        raise grafana_error(502, f"{component} does not answer: {type(error).__name__}") from None
    if response.is_error:
        raise grafana_error(400 if response.status_code < 500 else 502, _reason(response))
    return response.json()


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"


@router.get("/health")
async def health() -> JSONResponse:
    """Say that it runs; needs no token."""
    return JSONResponse({"commit": "sandbox", "database": "ok", "version": VERSION})


@router.get("/search")
async def search(request: Request, here: Allowed) -> JSONResponse:
    """Return the dashboards that a query names."""
    query = request.query_params
    words, tags = query.get("query", "").lower(), set(query.getlist("tag"))
    wanted_type = query.get("type", "dash-db") == "dash-db"
    found = [one for one in dashboards().values() if words in one["title"].lower() and tags <= set(one["tags"])]
    return JSONResponse([_hit(one) for one in found] if wanted_type else [])


def _hit(dashboard: Doc) -> Doc:
    named = {name: dashboard[name] for name in ("id", "uid", "title", "tags")}
    url = f"/grafana/d/{dashboard['uid']}"
    return {**named, **FOLDER, "url": url, "uri": f"db/{dashboard['uid']}", "type": "dash-db", "isStarred": False}


@router.get("/dashboards/uid/{uid}")
async def get_dashboard(here: Allowed, uid: str) -> JSONResponse:
    """Return a dashboard with its panels."""
    found = dashboards().get(uid)
    if not found:
        raise Refusal(404, {"message": "Dashboard not found", "status": "not-found"})
    meta = {"type": "db", "slug": uid, "url": f"/grafana/d/{uid}", "version": found["version"], "canEdit": False}
    return JSONResponse({"meta": {**meta, **FOLDER, "provisioned": True}, "dashboard": found})


@router.get("/datasources")
async def list_datasources(here: Allowed) -> JSONResponse:
    """Return the one data source."""
    return JSONResponse([{**DATASOURCE, "url": here.site.url("prometheus"), "access": "proxy"}])


@router.get("/prometheus/grafana/api/v1/rules")
async def rules(here: Allowed) -> JSONResponse:
    """Return the alerting rules that Prometheus evaluates, in Grafana's words."""
    answer = await ask(here, "prometheus", "/api/v1/rules", type="alert")
    groups = [_group(group) for group in answer["data"]["groups"] if group["rules"]]
    return JSONResponse({"status": "success", "data": {"groups": groups, "totals": _totals(groups)}})


def _group(group: Doc) -> Doc:
    named = {name: group.get(name) for name in ("name", "interval", "lastEvaluation", "evaluationTime")}
    return {**named, "file": FOLDER["folderTitle"], **FOLDER, "rules": [_rule(rule) for rule in group["rules"]]}


def _rule(rule: Doc) -> Doc:
    alerts = [{**alert, "state": STATES.get(alert["state"], alert["state"])} for alert in rule.get("alerts", [])]
    health = HEALTHS.get(rule["health"], rule["health"])
    return {**rule, "type": "alerting", "health": health, "alerts": alerts, **FOLDER}


def _totals(groups: list[Doc]) -> dict[str, int]:
    states = [rule["state"] for group in groups for rule in group["rules"]]
    return {state: states.count(state) for state in sorted(set(states))}


@router.get("/alertmanager/grafana/api/v2/alerts")
async def alerts(request: Request, here: Allowed) -> JSONResponse:
    """Return what Alertmanager holds, with the filters that it knows."""
    known = ("active", "silenced", "inhibited", "receiver")
    params: dict[str, Any] = {name: value for name, value in request.query_params.items() if name in known}
    filters = request.query_params.getlist("filter")
    return JSONResponse(await ask(here, "alertmanager", "/api/v2/alerts", **params, filter=filters))


@router.post("/ds/query")
async def query_datasource(here: Allowed, asked: Asked) -> JSONResponse:
    """Run PromQL and return data frames; a query that fails makes the whole answer a 400, with the reason under its refId."""
    queries = _queries(asked)
    results = await asyncio.gather(*(run(here, asked.body, query) for query in queries))
    failed = any(result["status"] != 200 for result in results)
    named = {query.get("refId", "A"): result for query, result in zip(queries, results, strict=True)}
    return JSONResponse({"results": named}, 400 if failed else 200)


def _queries(asked: Call) -> list[Doc]:
    if asked.malformed or not isinstance(asked.body, dict):
        raise grafana_error(400, "bad request data")
    queries = asked.body.get("queries")
    if not isinstance(queries, list) or not queries:
        raise grafana_error(400, "No queries found in query", messageId="query.noQueries", statusCode=400)
    if any((query.get("datasource") or {}).get("uid") != DATASOURCE["uid"] for query in queries):
        raise grafana_error(404, "Data source not found", messageId="datasources.notFound", statusCode=404)
    return queries


async def run(here: World, body: Mapping[str, Any], query: Mapping[str, Any]) -> Doc:
    """Return the result of one query, or what is wrong with it."""
    if not query.get("expr"):
        return _failed(400, "query expression is missing")
    try:
        asked = span(body, query, datetime.now(UTC))
        answer = await _prometheus(here, query, asked)
    except ValueError as error:
        return _failed(400, f"time range: {error}")
    except Refusal as refusal:
        return _failed(refusal.status, refusal.body["message"])
    return {"status": 200, "frames": frames(answer, query, asked.step_s)}


def _failed(status: int, reason: str) -> Doc:
    return {"status": status, "error": reason, "errorSource": "downstream", "frames": []}


async def _prometheus(here: World, query: Mapping[str, Any], asked: Span) -> Doc:
    expression, end = query["expr"], asked.end.timestamp()
    if query.get("instant") and not query.get("range"):
        answer = await ask(here, "prometheus", "/api/v1/query", query=expression, time=end)
    else:
        window = {"start": asked.start.timestamp(), "end": end, "step": asked.step_s}
        answer = await ask(here, "prometheus", "/api/v1/query_range", query=expression, **window)
    data: Doc = answer["data"]
    return data


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def unknown(here: Allowed, path: str) -> JSONResponse:
    """Answer 404 in Grafana's words."""
    raise grafana_error(404, "Not found")
