"""What the platform's metrics look like on a healthy day: the same series as the live ones, drawn for any step and load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from sandbox.seed.shape import EXECUTIONS_AT_PEAK_PER_S
from sandbox.simulator.routes import API_KEYS, HTTP_SERVICES, ROUTES, Route
from sandbox.simulator.usage import NODE_CORES, NODE_MEMORY, NODES

SCRAPED_AS = {"namespace": "ai-orchestrator", "job": "simulator", "instance": "simulator"}
POD = {"pod": "history"}

ASKED = tuple(route for route in ROUTES if route.per_second)
SERVER_ERRORS = 0.002
CALLER_ERRORS = 0.02
LIMITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MEDIAN_S = {"api-gateway": 0.085, "auth-service": 0.045}
SPREAD = 0.73  # of the log-normal durations, as the simulator's
EXECUTIONS = (("succeeded", 0.98), ("failed", 0.014), ("cancelled", 0.006))
CONTAINERS = (  # name, cores when idle, more cores at the peak, MiB
    ("api-gateway", 0.05, 0.30, 220),
    ("auth-service", 0.02, 0.10, 140),
    ("worker", 0.05, 0.50, 380),
    ("scheduler", 0.03, 0.05, 160),
    ("postgres", 0.10, 0.60, 900),
    ("redis", 0.02, 0.08, 120),
)

Sample = Callable[[Random, float, float], Sequence[float]]


@dataclass(frozen=True)
class Family:
    """Series that are drawn together.

    :param series: as they are written, labels included.
    :param sample: random source, load 0..1, seconds since the last sample -> one number a series.
    :param counts: whether the numbers are added up.
    :param of_pods: whether the live series differ by a pod's name, so that these end before those begin.
    """

    series: Sequence[str]
    sample: Sample
    counts: bool
    of_pods: bool = False


def series(name: str, **labels: str) -> str:
    """Write a series as a scrape of the simulator would have stored it."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted({**SCRAPED_AS, **labels}.items()))
    return f"{name}{{{inside}}}"


def families() -> list[Family]:
    """Return all that is backfilled."""
    pods = [_cpu_of_containers(), _memory_of_containers(), _throttling()]
    return [_http(), _keys(), _executions(), _queue(), _cpu_of_nodes(), _memory_of_nodes(), *pods]


def _http() -> Family:
    names = [name for route in ASKED for name in _request_series(route)]
    names += [name for service in HTTP_SERVICES for name in _duration_series(service)]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        answered = dict.fromkeys(HTTP_SERVICES, 0)
        values: list[float] = []
        for route in ASKED:
            counts = _by_outcome(random, route.per_second * load * seconds)
            answered[route.service] += sum(counts)
            values += counts
        for service, count in answered.items():
            values += _durations(count, MEDIAN_S[service] * random.uniform(0.97, 1.03))
        return values

    return Family(names, sample, counts=True)


def _request_series(route: Route) -> Iterator[str]:
    labels = {"service": route.service, "route": route.path, "method": route.method, **POD}
    for code in (route.well, 401 if route.service == "auth-service" else 404, 500):
        yield series("http_requests_total", code=str(code), **labels)


def _duration_series(service: str) -> Iterator[str]:
    name = "http_request_duration_seconds"
    for limit in (*map(str, LIMITS_S), "+Inf"):
        yield series(f"{name}_bucket", service=service, le=limit, **POD)
    yield series(f"{name}_count", service=service, **POD)
    yield series(f"{name}_sum", service=service, **POD)


def _by_outcome(random: Random, expected: float) -> list[int]:
    shares = (1 - CALLER_ERRORS - SERVER_ERRORS, CALLER_ERRORS, SERVER_ERRORS)
    return [_poisson(random, expected * share) for share in shares]


def _durations(count: int, median_s: float) -> list[float]:
    within = [count * _share_within(limit / median_s) for limit in LIMITS_S]
    return [*within, count, count, count * median_s * math.exp(SPREAD**2 / 2)]


def _share_within(medians: float) -> float:
    return (1 + math.erf(math.log(medians) / (SPREAD * math.sqrt(2)))) / 2


def _poisson(random: Random, expected: float) -> int:
    if expected > 8:
        return max(0, round(random.gauss(expected, math.sqrt(expected))))
    limit, count, product = math.exp(-expected), 0, random.random()
    while product > limit:
        count, product = count + 1, product * random.random()
    return count


def _keys() -> Family:
    keyed = [route for route in ASKED if route.keyed]
    rates = {(route.path, key): route.per_second * 0.30 / n for route in keyed for n, key in enumerate(API_KEYS, 1)}
    names = [series("api_requests_total", api_key=key, route=path) for path, key in rates]
    return Family(names, _poisson_at(list(rates.values())), counts=True)


def _executions() -> Family:
    names = [series("workflow_executions_total", status=status) for status, _ in EXECUTIONS]
    return Family(names, _poisson_at([EXECUTIONS_AT_PEAK_PER_S * share for _, share in EXECUTIONS]), counts=True)


def _poisson_at(rates: Sequence[float]) -> Sample:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [_poisson(random, rate * load * seconds) for rate in rates]

    return sample


def _queue() -> Family:
    names = [series("queue_depth", queue="workflows"), series("queue_oldest_item_age_seconds", queue="workflows")]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        depth = min(15, 2 + _poisson(random, 7 * load))
        return [depth, round(1 + depth * random.uniform(0.5, 1.5), 1)]

    return Family(names, sample, counts=False)


def _cpu_of_nodes() -> Family:
    names = [
        series("node_cpu_seconds_total", node=node, mode=mode)
        for node in NODES
        for mode in ("idle", "user", "system", "iowait")
    ]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [value for _ in NODES for value in _node_cpu(random, load, NODE_CORES * seconds)]

    return Family(names, sample, counts=True)


def _node_cpu(random: Random, load: float, core_seconds: float) -> list[float]:
    user, system, waiting = ((0.08 + 0.3 * load) * random.uniform(0.9, 1.1), 0.03 + 0.05 * load, 0.005)
    return [core_seconds * share for share in (1 - user - system - waiting, user, system, waiting)]


def _memory_of_nodes() -> Family:
    names = [
        series(f"node_memory_{which}_bytes", node=node) for node in NODES for which in ("MemTotal", "MemAvailable")
    ]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        free = [round(NODE_MEMORY * (0.62 - 0.12 * load + random.uniform(-0.01, 0.01))) for _ in NODES]
        return [value for available in free for value in (NODE_MEMORY, available)]

    return Family(names, sample, counts=False)


def _of_containers(name: str) -> list[str]:
    return [series(name, container=container, **POD) for container, *_ in CONTAINERS]


def _cpu_of_containers() -> Family:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [(idle + more * load) * random.uniform(0.9, 1.1) * seconds for _, idle, more, _ in CONTAINERS]

    return Family(_of_containers("container_cpu_usage_seconds_total"), sample, counts=True, of_pods=True)


def _memory_of_containers() -> Family:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [round(mib * 2**20 * random.uniform(0.93, 0.97)) for *_, mib in CONTAINERS]

    return Family(_of_containers("container_memory_working_set_bytes"), sample, counts=False, of_pods=True)


def _throttling() -> Family:
    names = _of_containers("container_cpu_cfs_periods_total") + _of_containers(
        "container_cpu_cfs_throttled_periods_total"
    )

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        periods = [10 * seconds for _ in CONTAINERS]
        return [*periods, *(_poisson(random, count * 0.01 * load) for count in periods)]

    return Family(names, sample, counts=True, of_pods=True)
