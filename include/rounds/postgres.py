"""Login, role, writing, sessions, replication (H-08) and the outcome of workflows (H-11)."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from include.checks import postgres as check
from include.checks.inquiry import Question, inquire
from include.findings import Report
from include.probes import postgres as probe
from include.probes.postgres import Server
from include.settings import PostgresLimits

DAY_S = 86_400
STEP = "check connections.postgres; is the server up, and reachable from the workers?"


def round_postgres(server: Server, *, limits: PostgresLimits, now: datetime, deadline_s: float) -> Report:
    """Log in once for each probe, so that a lock or a slow query holds up its own only."""
    looks = {
        "session": lambda: probe.session_or_full(server),
        "writing": lambda: probe.write(server),
        "use": lambda: probe.connection_use(server),
        "replication": lambda: probe.replication(server),
        "day": lambda: probe.outcomes(server, until=now, window_s=DAY_S),
        "recent": lambda: probe.outcomes(server, until=now, window_s=limits.recent_s),
        "stuck": lambda: probe.stuck(
            server, at=now, window_s=DAY_S, factor=limits.stuck_factor, floor_s=limits.stuck_floor_s
        ),
    }
    return inquire("postgres", looks, questions(limits), deadline_s=deadline_s)


def questions(limits: PostgresLimits) -> list[Question]:
    """Return what is asked of the answers."""
    ask = partial(Question, next_step=STEP)
    limited: dict[str, Any] = {"limits": limits}
    return [
        ask(
            item="H-08",
            check="session",
            subject="sessions",
            needs=("session",),
            judge=partial(check.judge_session, **limited),
        ),
        ask(item="H-08", check="write_probe", subject="writing", needs=("writing",), judge=check.judge_writing),
        ask(
            item="H-08",
            check="connections",
            subject="sessions in use",
            needs=("use",),
            judge=partial(check.judge_connection_use, **limited),
        ),
        ask(
            item="H-08",
            check="replication",
            subject="replication",
            needs=("replication",),
            judge=partial(check.judge_replication, **limited),
        ),
        ask(
            item="H-11",
            check="workflow_success",
            subject="workflows",
            needs=("day",),
            judge=partial(check.judge_success, **limited),
        ),
        ask(
            item="H-11",
            check="workflow_success_recent",
            subject="workflows",
            needs=("recent",),
            judge=partial(check.judge_recent_success, **limited),
        ),
        ask(
            item="H-11",
            check="stuck_executions",
            subject="running executions",
            needs=("stuck",),
            judge=check.judge_stuck,
        ),
    ]
