"""What the two HTTP services answer, how often they are asked at the peak of a day, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Route:
    """One method of one path.

    :param per_second: synthetic requests at the peak; 0 where only real requests come.
    :param keyed: whether customers' programs use it, with a key of theirs.
    """

    service: str
    method: str
    path: str
    well: int
    per_second: float = 0.0
    keyed: bool = False


ROUTES = (
    Route("api-gateway", "GET", "/workflows", 200, 6.0, keyed=True),
    Route("api-gateway", "POST", "/workflows", 201, 2.0),
    Route("api-gateway", "GET", "/workflows/{id}", 200, 5.0, keyed=True),
    Route("api-gateway", "DELETE", "/workflows/{id}", 204),
    Route("api-gateway", "POST", "/workflows/{id}/runs", 202),
    Route("api-gateway", "GET", "/executions", 200, 3.5, keyed=True),
    Route("api-gateway", "GET", "/executions/{id}", 200),
    Route("api-gateway", "GET", "/health", 200, 0.5),
    Route("auth-service", "POST", "/auth/token", 200, 2.5),
    Route("auth-service", "GET", "/health", 200, 0.5),
)
HTTP_SERVICES = ("api-gateway", "auth-service")
CODES = (200, 201, 202, 204, 401, 403, 404, 422, 429, 500, 502, 503)

API_KEYS = tuple(f"key-{number:02d}" for number in range(1, 9))
_SHARES = tuple(accumulate(0.30 / number for number in range(1, 9)))


def api_key(draw: float) -> str | None:
    """Return the key that a customer's program uses, given a number in 0..1; None for a person in a browser."""
    return next((key for key, share in zip(API_KEYS, _SHARES, strict=True) if draw < share), None)


def routes_of(service: str) -> list[Route]:
    """Return the routes of one service."""
    return [route for route in ROUTES if route.service == service]
