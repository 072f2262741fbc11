"""What Prometheus has recorded: instant and range queries, always as a form body, never in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, TransientError
from include.probes.http import ask

if TYPE_CHECKING:
    import httpx

QUERY_TIMEOUT = "8s"
"""Prometheus gives up before our own deadline does, so that no query outlives its asker."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a result: its labels and its points, oldest first; NaN and infinite points are left out."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The newest point."""
        return self.points[-1][1]

    def label(self, name: str) -> str:
        """Return a label, or "" where it has none."""
        return self.labels.get(name, "")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The series of a query and its text, which is evidence."""

    query: str
    series: Sequence[Series]
    warnings: Sequence[str] = field(default=())

    @property
    def total(self) -> float:
        """The sum of the newest points; 0 when there is none, so ask `series` first."""
        return sum(each.value for each in self.series)


@dataclass(frozen=True)
class Prometheus:
    """A server behind an HTTP client that knows its address and login."""

    client: httpx.Client

    def instant(self, query: str, at: datetime) -> Answer:
        """Evaluate at one moment."""
        result = self._data("query", {"query": query, "time": str(at.timestamp())})
        return self._answer(query, result, lambda line: [line["value"]])

    def range(self, query: str, *, start: datetime, end: datetime, step_s: int) -> Answer:
        """Evaluate at every step from start to end."""
        moments = {"start": str(start.timestamp()), "end": str(end.timestamp()), "step": str(step_s)}
        return self._answer(query, self._data("query_range", {"query": query, **moments}), lambda line: line["values"])

    def _data(self, endpoint: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        body = ask(self.client, "Prometheus", "POST", f"api/v1/{endpoint}", data={**form, "timeout": QUERY_TIMEOUT})
        if not isinstance(body, Mapping) or body.get("status") not in {"success", "error"}:
            raise ConfigurationError("what answers as Prometheus is something else; check the host of its Connection")
        if body["status"] == "error":
            raise TransientError(f"Prometheus could not evaluate {form['query']}: {body.get('error', '')}")
        return body

    @staticmethod
    def _answer(query: str, body: Mapping[str, Any], points: Any) -> Answer:
        lines = [Series(labels=line["metric"], points=_numbers(points(line))) for line in body["data"]["result"]]
        return Answer(
            query=query, series=[line for line in lines if line.points], warnings=tuple(body.get("warnings") or ())
        )


def _numbers(points: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    pairs = ((float(at), float(value)) for at, value in points)
    return [(at, value) for at, value in pairs if isfinite(value)]
