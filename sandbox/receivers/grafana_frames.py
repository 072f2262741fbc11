"""Prometheus answers as Grafana's data frames, and Grafana's time words: pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.receivers.store import Doc

UNITS: Mapping[str, timedelta] = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
MAX_POINTS = 11_000
"""Prometheus refuses a range query with more."""


@dataclass(frozen=True)
class Span:
    """What to ask Prometheus for."""

    start: datetime
    end: datetime
    step_s: float


def moment(text: str, now: datetime) -> datetime:
    """Read a time as `ds/query` takes it: `now`, `now-6h`, milliseconds, or ISO 8601; ValueError for the rest."""
    if text.isdecimal():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    if found := re.fullmatch(r"now(?:-(\d+)([smhdw]))?", text):
        return now - int(found[1]) * UNITS[found[2]] if found[1] else now
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def span(body: Mapping[str, Any], query: Mapping[str, Any], now: datetime) -> Span:
    """Return the range of one query: as fine as asked for, within `maxDataPoints`."""
    given = query.get("timeRange") or body
    start, end = moment(str(given.get("from", "now-1h")), now), moment(str(given.get("to", "now")), now)
    if end < start:
        raise ValueError("to is before from")
    points = min(int(query.get("maxDataPoints") or 1000), MAX_POINTS)
    step_s = max(float(query.get("intervalMs") or 15_000) / 1000, (end - start).total_seconds() / points, 1.0)
    return Span(start, end, math.ceil(step_s))


def frames(answer: Doc, query: Mapping[str, Any], step_s: float) -> list[Doc]:
    """Return one frame a series; no series gives one frame without fields and values, as Grafana does."""
    found = [_frame(series, answer["resultType"], query, step_s) for series in _series(answer)]
    return found or [{"schema": _schema(query, answer["resultType"], step_s, []), "data": {"values": []}}]


def _series(answer: Doc) -> list[Doc]:
    if answer["resultType"] in ("scalar", "string"):
        return [{"metric": {}, "value": answer["result"]}]
    return list(answer["result"])


def _frame(series: Doc, kind: str, query: Mapping[str, Any], step_s: float) -> Doc:
    points = series.get("values") or [series["value"]]
    numbers = [float(value) for _, value in points]
    odd = {name: where for name, where in _odd(numbers).items() if where}
    time = {"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}, "config": {"interval": step_s * 1000}}
    name = query.get("legendFormat") or _label_text(series["metric"])
    value = {"name": "Value", "type": "number", "typeInfo": {"frame": "float64"}, "labels": series["metric"]}
    fields = [time, {**value, "config": {"displayNameFromDS": name}}]
    values = [[round(at * 1000) for at, _ in points], [one if math.isfinite(one) else None for one in numbers]]
    return {
        "schema": {**_schema(query, kind, step_s, fields), "name": name},
        "data": {"values": values, **({"entities": [None, odd]} if odd else {})},
    }


def _odd(numbers: list[float]) -> dict[str, list[int]]:
    """Where the values are that JSON cannot carry."""
    return {
        "NaN": [place for place, one in enumerate(numbers) if math.isnan(one)],
        "Inf": [place for place, one in enumerate(numbers) if one == math.inf],
        "NegInf": [place for place, one in enumerate(numbers) if one == -math.inf],
    }


def _schema(query: Mapping[str, Any], kind: str, step_s: float, fields: list[Doc]) -> Doc:
    asked = f"Expr: {query['expr']}\nStep: {step_s:g}s"
    meta = {"type": "timeseries-multi", "typeVersion": [0, 1], "custom": {"resultType": kind}}
    return {"refId": query.get("refId", "A"), "meta": {**meta, "executedQueryString": asked}, "fields": fields}


def _label_text(labels: Mapping[str, str]) -> str:
    inner = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{inner}}}" if inner else labels.get("__name__", "Value")
