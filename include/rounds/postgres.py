"""Login, role, writing, sessions, replication (H-08) and the outcome of workflows (H-11)."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from include.checks.inquiry import Question, inquire
from include.checks.postgres import judge_vitals, judge_workflows, judge_writing
from include.findings import Report
from include.probes import postgres as probe
from include.probes.postgres import Server
from include.settings import PostgresLimits

STEP = "check connections.postgres; is the server up, and reachable from the workers?"


def round_postgres(server: Server, *, limits: PostgresLimits, now: datetime, deadline_s: float) -> Report:
    """Log in three times, so that a lock or a slow query holds up its own question only, and no pool is filled by looking."""
    looks = {
        "vitals": lambda: probe.vitals(server),
        "writing": lambda: probe.write(server),
        "workflows": lambda: probe.workflows(
            server,
            now=now,
            recent_s=limits.recent_s,
            stuck_factor=limits.stuck_factor,
            stuck_floor_s=limits.stuck_floor_s,
        ),
    }
    ask = partial(Question, next_step=STEP)
    questions = [
        ask(
            item="H-08",
            check="session",
            subject="sessions",
            needs=("vitals",),
            judge=partial(judge_vitals, limits=limits),
        ),
        ask(item="H-08", check="write_probe", subject="ops_probe.writable", needs=("writing",), judge=judge_writing),
        ask(
            item="H-11",
            check="workflow_success",
            subject="workflows",
            needs=("workflows",),
            judge=partial(judge_workflows, limits=limits),
        ),
    ]
    return inquire("postgres", looks, questions, deadline_s=deadline_s)
