"""Requests that nobody sends: as many as the hour of the week brings, answered as each replica's build does."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from sandbox.simulator.behaviour import Outcome, answer
from sandbox.simulator.fleet import Replica
from sandbox.simulator.metrics import Metrics
from sandbox.simulator.podlogs import PodLogs, structured
from sandbox.simulator.routes import ROUTES, Route, api_key

DURING_MAINTENANCE = 0.1  # clients honour Retry-After; some do not
_AGENTS = ("orchestrator-sdk/3.2 python", "orchestrator-sdk/3.1 go", "Mozilla/5.0", "orchestrator-cli/2.8")
_NETWORKS = tuple(ipaddress.ip_network(text) for text in ("198.51.100.0/26", "203.0.113.0/27", "192.0.2.0/28"))


@dataclass
class Arrivals:
    """Turns a rate into whole requests: what is left over waits for the next tick."""

    dice: Random
    owed: dict[Route, float] = field(default_factory=dict)

    def of(self, route: Route, load: float, seconds: float) -> int:
        """Return how many came in that time."""
        owed = self.owed.get(route, self.dice.random())
        owed += route.per_second * load * seconds * self.dice.uniform(0.5, 1.5)
        self.owed[route] = owed % 1
        return int(owed)


@dataclass
class Traffic:
    """Feeds the metrics and the log files.

    :param serving: service -> its replicas at work.
    :param cache_up: whether the cache answers, None before the first look; without it nobody's session can be checked.
    """

    dice: Random
    metrics: Metrics
    logs: PodLogs
    serving: Callable[[str], list[Replica]]
    cache_up: Callable[[], bool | None]

    def __post_init__(self) -> None:
        self._arrivals = Arrivals(self.dice)

    def tick(self, load: float, seconds: float, *, maintenance: bool) -> None:
        """Answer what came in that time.

        :param load: 0 to 1, as the seed's shape of the week says.
        """
        for route in ROUTES:
            share = DURING_MAINTENANCE if maintenance and route.service == "api-gateway" else 1.0
            replicas = [replica for replica in self.serving(route.service) if replica.session.was_up]
            for _ in range(self._arrivals.of(route, load * share, seconds) if replicas else 0):
                self._request(route, self.dice.choice(replicas), maintenance=maintenance)

    def _request(self, route: Route, replica: Replica, *, maintenance: bool) -> None:
        outcome = self._outcome(route, replica, maintenance=maintenance)
        self.metrics.request(route, replica.pod.name, outcome.code, outcome.duration_s)
        key = api_key(self.dice.random()) if route.keyed else None
        if key:
            self.metrics.keyed(key, route)
        for text in log_lines(self.dice, route, outcome, key):
            self.logs.write(replica.pod, text)

    def _outcome(self, route: Route, replica: Replica, *, maintenance: bool) -> Outcome:
        if maintenance and route.service == "api-gateway" and route.path != "/health":
            return Outcome(503, 0.002)
        return answer(self.dice, route, replica.pod.behaviour, able=replica.session.up and self.cache_up() is not False)


def log_lines(dice: Random, route: Route, outcome: Outcome, key: str | None) -> Iterator[str]:
    """Return what a replica writes about a request: one access line, and of the auth service what became of a login."""
    client = address(dice)
    yield access_line(
        route, outcome, path=_filled(dice, route.path), client=client, agent=dice.choice(_AGENTS), key=key
    )
    if route.path == "/auth/token":
        yield _login_line(dice, outcome.code, client)


def access_line(route: Route, outcome: Outcome, *, path: str, client: str, agent: str, key: str | None) -> str:
    """Return one structured line of the access log."""
    return structured(
        level="error" if outcome.code >= 500 else "info",
        msg="request",
        service=route.service,
        method=route.method,
        path=path,
        route=route.path,
        status=outcome.code,
        duration_ms=round(outcome.duration_s * 1000, 1),
        client_ip=client,
        user_agent=agent,
        api_key=key,
    )


def address(dice: Random) -> str:
    """Draw a client's address from the ranges that are set aside for documentation."""
    network = dice.choice(_NETWORKS)
    return str(network[dice.randrange(1, network.num_addresses - 1)])


def _filled(dice: Random, path: str) -> str:
    return path.replace("{id}", str(dice.randrange(1, 61)))


def _login_line(dice: Random, code: int, client: str) -> str:
    user = f"user{dice.randrange(1, 240)}@example.com"
    if code == 401:
        reason = dice.choice(("wrong password", "wrong password", "unknown user", "expired key"))
        return structured(level="warning", msg="authentication failed", user=user, client_ip=client, reason=reason)
    ok = code < 400
    return structured(
        level="info" if ok else "error", msg="token issued" if ok else "no token", user=user, client_ip=client
    )
