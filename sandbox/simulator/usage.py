"""Processor and memory of nodes and containers, by the load of the hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from sandbox.simulator.metrics import Metrics
from sandbox.simulator.pods import Pod

NODES = ("node-1", "node-2", "node-3")
NODE_CORES = 8
NODE_MEMORY = 32 * 2**30
PERIODS_PER_S = 10


@dataclass(frozen=True)
class Appetite:
    """Cores when idle, more cores at the peak, MiB."""

    idle: float
    more: float
    mib: int


_APPETITES = {
    "api-gateway": Appetite(0.05, 0.30, 220),
    "auth-service": Appetite(0.02, 0.10, 140),
    "worker": Appetite(0.05, 0.50, 380),
    "scheduler": Appetite(0.03, 0.05, 160),
    "postgres": Appetite(0.10, 0.60, 900),
    "redis": Appetite(0.02, 0.08, 120),
}
_OTHERS = Appetite(0.02, 0.05, 100)


def cores(pod: Pod, load: float) -> float:
    """Return the cores that a container uses; a slow build burns twice as much."""
    appetite = _APPETITES.get(pod.app, _OTHERS)
    return (appetite.idle + appetite.more * load) * (2 if pod.behaviour == "slow" else 1)


def memory_bytes(pod: Pod, load: float) -> float:
    """Return the working set of a container."""
    return _APPETITES.get(pod.app, _OTHERS).mib * 2**20 * (0.9 + 0.1 * load)


def tick(metrics: Metrics, dice: Random, pods: Iterable[Pod], load: float, seconds: float) -> None:
    """Add what was used in that time."""
    for node in NODES:
        _node(metrics, dice, node, load, seconds)
    for pod in pods:
        if pod.running:
            _container(metrics, dice, pod, load, seconds)


def _node(metrics: Metrics, dice: Random, node: str, load: float, seconds: float) -> None:
    user, system, waiting = (0.08 + 0.3 * load) * dice.uniform(0.9, 1.1), 0.03 + 0.05 * load, 0.005
    shares = {"idle": 1 - user - system - waiting, "user": user, "system": system, "iowait": waiting}
    for mode, share in shares.items():
        metrics.node_cpu.labels(metrics.namespace, node, mode).inc(NODE_CORES * seconds * share)
    metrics.node_memory.labels(metrics.namespace, node).set(NODE_MEMORY)
    available = NODE_MEMORY * (0.62 - 0.12 * load + dice.uniform(-0.01, 0.01))
    metrics.node_available.labels(metrics.namespace, node).set(round(available))


def _container(metrics: Metrics, dice: Random, pod: Pod, load: float, seconds: float) -> None:
    labels = (metrics.namespace, pod.name, pod.container)
    metrics.cpu.labels(*labels).inc(cores(pod, load) * seconds * dice.uniform(0.9, 1.1))
    metrics.memory.labels(*labels).set(round(memory_bytes(pod, load) * dice.uniform(0.98, 1.02)))
    metrics.periods.labels(*labels).inc(PERIODS_PER_S * seconds)
    throttled = PERIODS_PER_S * seconds * 0.01 * load
    metrics.throttled.labels(*labels).inc(int(throttled + dice.random()))
