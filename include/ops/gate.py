"""The one gate before everything that changes production: a plan is stored, people approve it, and it is used once.

The rules (who may approve, how long an answer counts, that the newest plan of an operation is meant and its hash is still that of what
would be done) hold inside the ops database, in `ops.approve_plan` and `ops.use_plan`; nothing that Airflow stores is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.errors import ConfigurationError, RefusedError
from include.ops import journal
from include.ops.database import OpsDatabase
from include.ops.journal import Journal, Phase

USE = "use the plan"
"""First step of every operation that is approved: until its outcome stands in the journal nothing was touched."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done to production, as people read it and as it is hashed.

    :param op_id: of the operation.
    :param kind: `database recovery`.
    :param target: what it is done to, by a name that cannot be mistaken: `orchestrator on cluster 7412…`.
    :param steps: what is done, in order, for people.
    :param facts: what was seen and what follows from it; JSON values.
    :param seen: lines for people about what changes by itself (rows written since, the time): shown and stored, not hashed.
    :param code_version: of the code that would do it.
    """

    op_id: str
    kind: str
    target: str
    steps: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen: Sequence[str] = ()
    code_version: str = "unknown"

    @property
    def hash(self) -> str:
        """SHA-256 in hex of all that must still hold when it is carried out."""
        body = {
            "op_id": self.op_id,
            "kind": self.kind,
            "target": self.target,
            "steps": list(self.steps),
            "facts": dict(self.facts),
            "code_version": self.code_version,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    @property
    def text(self) -> str:
        """What a person is asked to approve: what it would cost first, then what would be done; no line can pretend to be two."""
        steps = (f"{number}. {step}" for number, step in enumerate(self.steps, 1))
        return "\n".join(" ".join(line.split()) for line in [f"{self.kind} of {self.target}", *self.seen, *steps])


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A plan in the ops database.

    :param requester: who asked for it; None if that is not a person whom Airflow knows.
    :param people: how many must stand behind it, the requester counted.
    """

    id: int
    plan: Plan
    hash: str
    requester: str | None
    people: int
    made_at: datetime
    used: bool


def store(ops: OpsDatabase, plan: Plan, *, requester: str | None, people: int) -> int:
    """Store a plan and return its id; from now on it is the only one of its operation that counts."""
    from psycopg.types.json import Jsonb

    content = Jsonb({"steps": list(plan.steps), "facts": dict(plan.facts), "seen": list(plan.seen)})
    arguments = (
        plan.op_id,
        plan.kind,
        plan.target,
        requester,
        people,
        plan.text,
        content,
        plan.hash,
        plan.code_version,
    )
    return int(ops.ask("store_plan", *arguments))


def newest(ops: OpsDatabase, op_id: str) -> Stored:
    """Return the plan of an operation that counts; RefusedError if it has none."""
    with ops.session() as session:
        row = session.execute(
            """
            select p.id, p.kind, p.target, p.content, p.hash, p.code_version, p.requester, p.people, p.made_at,
                u.plan_id is not null
            from ops.plan as p left join ops.plan_use as u on u.plan_id = p.id
            where p.op_id = %s order by p.id desc limit 1
            """,
            [op_id],
        ).fetchone()
    if row is None:
        raise RefusedError(f"operation {op_id} has no plan; its first task makes one, trigger the runbook again")
    number, kind, target, content, hash_, code, requester, people, made_at, used = row
    plan = Plan(op_id=op_id, kind=kind, target=target, code_version=code, **content)
    if plan.hash != hash_:
        raise RefusedError(f"plan {number} of operation {op_id} is not what its hash says; make a new one")
    return Stored(id=number, plan=plan, hash=hash_, requester=requester, people=people, made_at=made_at, used=used)


def approve(ops: OpsDatabase, plan_id: int, *, person: str, reason: str, answered_at: datetime) -> None:
    """Record that a person approved a plan; RefusedError says why that does not count."""
    if why := ops.ask("approve_plan", plan_id, person, reason, answered_at, False, None):
        raise RefusedError(f"the approval of plan {plan_id} by {person} does not count: {why}; nothing was changed")


def break_glass(
    ops: OpsDatabase, plan_id: int, *, person: str, reason: str, typed_target: str, answered_at: datetime
) -> None:
    """Record that a person acts alone; RefusedError says why that does not count."""
    if why := ops.ask("approve_plan", plan_id, person, reason, answered_at, True, typed_target):
        raise RefusedError(f"the glass of plan {plan_id} stays whole: {why}; nothing was changed")


def use(ops: OpsDatabase, stored: Stored, now: Plan, *, by: str) -> None:
    """Mark the plan used if it still is what would be done and enough people stand behind it; RefusedError says what is missing."""
    if stored.plan.op_id != now.op_id:
        raise ConfigurationError(f"plan {stored.id} is of operation {stored.plan.op_id}, not {now.op_id}")
    if why := ops.ask("use_plan", stored.id, now.hash, by):
        raise RefusedError(
            f"plan {stored.id} of {now.target} must not be carried out: {why}; nothing was changed, trigger the runbook again"
        )


def authorise(ops: OpsDatabase, writing: Journal, plan_again: Callable[[Stored], Plan]) -> Mapping[str, Any]:
    """Use the plan of an operation, once, and return its facts; a later process of the operation goes on with the same.

    :param plan_again: returns what would be done now, for what the stored plan was asked.
    """
    lines = writing.entries()
    if line := journal.last(lines, USE):
        return line.detail
    stored = newest(ops, writing.op_id)
    if not (stored.used and journal.last(lines, USE, Phase.INTENT)):  # else killed between the two, by our own hand
        now = plan_again(stored)
        writing.intend(USE)
        use(ops, stored, now, by=writing.by)
    writing.record(USE, **stored.plan.facts)
    return stored.plan.facts


def approved(writing: Journal) -> Mapping[str, Any]:
    """Return the facts of the plan that the operation carries out; RefusedError if it never began."""
    line = journal.last(writing.entries(), USE)
    if not line:
        raise RefusedError(f"operation {writing.op_id} never began: there is nothing to go on with or to take back")
    return line.detail
