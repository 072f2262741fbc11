"""What becomes of one request or one execution: drawn at random from how a build behaves. Pure but for the dice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from sandbox.simulator.routes import Route

SIGMA = 0.73
"""Spread of the log-normal durations: the 95th percentile is 3.3 times the median."""

_MEDIAN_S = {"api-gateway": 0.085, "auth-service": 0.045}
_SLOW_MEDIAN_S = 0.75  # its 95th percentile is 2.5 s: no reading of "p95 under a second" lets it pass
_SERVER_ERROR_SHARE = {"errors": 0.03}
_HEALTHY_ERROR_SHARE = 0.002
_CLIENT_ERRORS = ((404, 0.005), (401, 0.003), (403, 0.001), (429, 0.001))
_REFUSED_LOGINS = ((401, 0.02), (429, 0.002))

_FAILED_SHARE = {"errors": 0.25}
_HEALTHY_FAILED_SHARE = 0.015
_WORK_MEDIAN_S = 8.0
_WORK_SIGMA = 0.35
_HURRY_FROM = 5  # items waiting; from there on workers take whole batches
ERROR_CLASSES = ("UpstreamTimeout", "UpstreamTimeout", "UpstreamError", "ValidationError", "RateLimited", "OutOfMemory")


@dataclass(frozen=True)
class Outcome:
    """Answer of a request."""

    code: int
    duration_s: float


def answer(dice: Random, route: Route, behaviour: str, *, able: bool) -> Outcome:
    """Draw the answer to a request; a replica that cannot reach what it needs answers 503 at once.

    :param able: whether the replica has its database session and the cache answers.
    """
    if not able:
        return Outcome(503, 0.01 + dice.random() * 0.05)
    return Outcome(_code(dice, route, behaviour), duration_s(dice, route.service, behaviour))


def duration_s(dice: Random, service: str, behaviour: str) -> float:
    """Draw how long an answer takes."""
    median = _SLOW_MEDIAN_S if behaviour == "slow" else _MEDIAN_S[service]
    return dice.lognormvariate(math.log(median), SIGMA)


def server_fails(dice: Random, behaviour: str) -> bool:
    """Draw whether a request ends in a server error."""
    return dice.random() < _SERVER_ERROR_SHARE.get(behaviour, _HEALTHY_ERROR_SHARE)


def _code(dice: Random, route: Route, behaviour: str) -> int:
    if server_fails(dice, behaviour):
        return dice.choice((500, 500, 502))
    refusals = _REFUSED_LOGINS if route.service == "auth-service" else _CLIENT_ERRORS
    draw = dice.random()
    for code, share in refusals:
        draw -= share
        if draw < 0:
            return code
    return route.well


def work_s(dice: Random, behaviour: str, waiting: int) -> float:
    """Draw how long a worker takes for one item, given how many wait behind it."""
    if waiting >= _HURRY_FROM:
        return 0.5 + dice.random()
    return dice.lognormvariate(math.log(_WORK_MEDIAN_S), _WORK_SIGMA) * (3 if behaviour == "slow" else 1)


def failure(dice: Random, behaviour: str, failed_share: float | None) -> str | None:
    """Draw the error class of an execution, None when it succeeds.

    :param failed_share: share of failures that somebody ordered; None for what the build does by itself.
    """
    share = _FAILED_SHARE.get(behaviour, _HEALTHY_FAILED_SHARE) if failed_share is None else failed_share
    return dice.choice(ERROR_CLASSES) if dice.random() < share else None
