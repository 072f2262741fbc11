"""Cache and broker (H-05) and the work queue (H-12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from include.checks import redis as check
from include.checks.inquiry import Question, inquire
from include.findings import Finding, Report
from include.probes import redis as probe
from include.settings import RedisLimits

if TYPE_CHECKING:
    from redis import Redis

STEP = "check connections.redis; is the server up, and reachable from the workers?"
EVICTIONS = "redis/evictions"
"""The subject whose earlier value is the counter of the last look."""


def round_redis(
    client: Redis, *, limits: RedisLimits, previous: Callable[[], Mapping[str, float]], now: datetime, deadline_s: float
) -> Report:
    """Ask for both at once; the client's pool gives each its own connection."""
    looks = {
        "server": lambda: probe.server(client),
        "queue": lambda: probe.queue(client, limits.queue),
        "previous": previous,
    }
    return inquire("redis", looks, questions(limits, now), deadline_s=deadline_s)


def questions(limits: RedisLimits, now: datetime) -> list[Question]:
    """Return what is asked of the answers."""
    ask = partial(Question, next_step=STEP)
    queue = partial(check.judge_queue, limits=limits, now=now)

    def server(seen: probe.Server, before: Mapping[str, float]) -> Iterable[Finding]:
        return check.judge_server(seen, limits=limits, evicted_before=before.get(EVICTIONS))

    return [
        ask(item="H-05", check="server", subject="redis", needs=("server", "previous"), judge=server),
        ask(item="H-12", check="queue_depth", subject=limits.queue, needs=("queue",), judge=queue),
    ]
