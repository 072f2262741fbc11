"""Cache and broker (H-05) and the work queue (H-12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from include.checks import redis as check
from include.checks.inquiry import Question, inquire
from include.findings import Report
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
    questions = [
        Question(
            item="H-05",
            check="server",
            subject="redis",
            needs=("server", "previous"),
            judge=lambda server, before: check.judge_server(
                server, limits=limits, evicted_before=before.get(EVICTIONS)
            ),
            next_step=STEP,
        ),
        Question(
            item="H-12",
            check="queue_depth",
            subject=limits.queue,
            needs=("queue",),
            judge=partial(check.judge_queue, limits=limits, now=now),
            next_step=STEP,
        ),
    ]
    return inquire("redis", looks, questions, deadline_s=deadline_s)
