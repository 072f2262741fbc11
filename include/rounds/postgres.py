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
    return inquire("postgres", looks, questions(limits), deadline_s=deadline_s)


def questions(limits: PostgresLimits) -> list[Question]:
    """Return what is asked of the answers."""
    ask = partial(Question, next_step=STEP)
    vitals, workflows = partial(judge_vitals, limits=limits), partial(judge_workflows, limits=limits)
    return [
        ask(item="H-08", check="session", subject="sessions", needs=("vitals",), judge=vitals),
        ask(item="H-08", check="write_probe", subject="ops_probe.writable", needs=("writing",), judge=judge_writing),
        ask(item="H-11", check="workflow_success", subject="workflows", needs=("workflows",), judge=workflows),
    ]
