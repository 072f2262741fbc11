"""The steps of `weekly_cache_maintenance` and `cache_removal`: look at nodes and keys; plan, (approve,) remove."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import ConfigurationError, RunbookError
from include.findings import Finding, Report, Severity
from include.ops import gate
from include.ops.leases import HeldBackError
from include.settings import CacheLimits
from sre import runs
from sre.operators.backup import BackupOperator
from sre.operators.base import CheckOperator
from sre.operators.gate import ApprovePlanOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.cache.removal import Removal
    from include.checks.cache import Counters
    from include.ops.evidence import Measured
    from include.probes.cache import Node, Nodes

PAGE = "docs/runbooks/cache_removal.md"
EARLIER = timedelta(days=35)
"""How far back a look counts as the last one: a month without one is a month that nobody knows."""
BUDGET_MAX_S = 1800
GRACE_S = 60


class CacheOperator(CheckOperator):
    """A look at the cache that remembers the look before.

    :param limits: thresholds and budgets.
    """

    def __init__(self, *, limits: CacheLimits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits

    def nodes(self) -> Nodes:
        """Look at every node."""
        from sre.hooks import cache

        return cache.look(settings.load().looking.deadline_s)

    def measured(self, context: Context, item: str, check: str, subject: str) -> list[Measured]:
        """Return what earlier runs measured, oldest first; what this run did before it was tried again is none of it."""
        from sre.hooks.evidence import EvidenceHook

        now = datetime.now(UTC)
        hook = EvidenceHook(self.evidence_conn_id)
        found = hook.measured(item, check, subject, since=now - EARLIER, before=now)
        return [each for each in found if each.run_id != context["ti"].run_id]

    def before(self, context: Context, node: Node) -> Counters | None:
        """Return what a node had counted when it was looked at last."""
        from include.checks.cache import COUNTERS, Counters

        earlier = self.measured(context, "F-10", COUNTERS, f"redis/{node.name}")
        return Counters.from_json(earlier[-1].detail["counters"]) if earlier else None


class CacheNodesOperator(CacheOperator):
    """Look at memory, fragmentation, evictions, persistence and advice of every node, and at the hit ratio since the last look."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="cache nodes", item="R-01", **kwargs)

    def look(self, context: Context) -> Report:
        """Look at all of them."""
        from include.checks.cache import judge_replicas

        found = self.nodes()
        judged = [finding for node in found.seen for finding in self._judged(node, context)]
        whole = judge_replicas(found.seen, settings.load().redis.expected_replicas)
        return Report(source=self.source, checked=len(found.seen), findings=(*judged, *whole, *self._dark(found)))

    def _judged(self, node: Node, context: Context) -> Iterator[Finding]:
        from include.checks.cache import Counters, judge_node

        counters = Counters.of(node, datetime.now(UTC))
        yield from judge_node(node, self.limits, counters.since(self.before(context, node)) if counters else None)

    def _dark(self, found: Nodes) -> Iterator[Finding]:
        step = "can the worker reach it at that address? else name all nodes in the extra of connections.cache_reader"
        for name, why in found.dark.items():
            yield Finding.unseen(item=self.item, check="node", subject=f"redis/{name}", blind=why, next_step=step)


class KeyPatternsOperator(CacheOperator):
    """Walk over the keys of a replica, or of the primary if it has none, within a budget; measure a random part; read no value.

    :param budget_s: seconds, as the run's form says, rendered.
    """

    template_fields = ("budget_s",)

    def __init__(self, *, budget_s: Any, **kwargs: Any) -> None:
        super().__init__(source="cache keys", item="F-11", deadline_s=BUDGET_MAX_S + GRACE_S, **kwargs)
        self.budget_s = budget_s

    def look(self, context: Context) -> Report:
        """Walk, judge, and leave the counters behind our own questions for the next look."""
        from include.cache.walk import walk
        from include.cache.wire import Wire
        from include.checks.keys import judge_walk, table
        from include.probes.cache import READER
        from sre.hooks import cache

        budget = seconds(self.budget_s)
        node, connect = self.nodes().walked, cache.connect(settings.load().looking.deadline_s)
        with connect(node.place) as client, Wire(client, READER) as wire:
            began, seed = self._cursor(context, node), int.from_bytes(os.urandom(8))
            walked = walk(wire, self.limits, budget_s=budget, seed=seed, began=began)
        findings = judge_walk(walked, self.limits, node=node.name, run_id=node.run_id)
        kept = (*findings, *self._counters())
        return Report(source=self.source, checked=walked.tally.seen, findings=kept, table=table(walked, self.limits))

    def _cursor(self, context: Context, node: Node) -> int:
        """Return where the last walk's time was up, if it was at the same process of the same node."""
        from include.checks.keys import PATTERNS

        earlier = self.measured(context, "F-11", PATTERNS, "redis/keys")
        last = earlier[-1].detail if earlier else {}
        return int(last["cursor"]) if last.get("run_id") == node.run_id else 0

    def _counters(self) -> Iterator[Finding]:
        from include.checks.cache import keep_counters

        for node in self.nodes().seen:
            yield from keep_counters(node)


class CacheEfficiencyOperator(CacheOperator):
    """Say how the cache did over the week, and which prefixes would gain from a change, from what the weekly looks have left.

    One task, which `weekly_performance_optimization` takes as it is: it asks for INFO and reads evidence.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="cache", item="W-09", **kwargs)

    def look(self, context: Context) -> Report:
        """Look at the primary, and at the evidence."""
        from include.checks import cache_week
        from include.checks.cache import COUNTERS, RATIO
        from include.checks.keys import PATTERNS

        node, now = self.nodes().primary, datetime.now(UTC)
        subject = f"redis/{node.name}"
        counted = self.measured(context, "F-10", COUNTERS, subject)
        walks = self.measured(context, "F-11", PATTERNS, "redis/keys")
        week = cache_week.interval(node, counted, walks, now)
        earlier = self.measured(context, "W-09", RATIO, subject)
        ratio = cache_week.judge_week(node, week, earlier, self.limits)
        prefixes = cache_week.judge_prefixes(walks, week, self.limits, now)
        return Report(source=self.source, checked=1 + bool(walks), findings=(*ratio, *prefixes))


def seconds(budget: object) -> int:
    """Return the budget of a run's form; ConfigurationError if it is none."""
    text = str(budget)
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= BUDGET_MAX_S:
        raise ConfigurationError(
            f"budget_s: a whole number of seconds from 1 to {BUDGET_MAX_S}, not {text[:40]!r}; nothing was looked at"
        )
    return int(text)


# --- removal ------------------------------------------------------------------------------------------------------------------


class RemovalOperator(BackupOperator):
    """A step of the removal.

    :param prefix: below which keys are removed; `which`: of them; `reason`: why; all as rendered.
    """

    template_fields = ("prefix", "which", "reason")

    def __init__(self, *, prefix: str, which: str, reason: str, **kwargs: Any) -> None:
        super().__init__(limits=settings.load().backup, item="R-02", **kwargs)
        self.prefix = prefix
        self.which = which
        self.reason = reason

    @property
    def subject(self) -> str:
        """What all findings are about."""
        return "redis/cache"

    def removal(self, context: Context) -> Removal:
        """Return what was asked for; an error names the field of the form that is unusable."""
        from include.cache.removal import Removal
        from include.plans.cache_removal import Request
        from sre.hooks import cache

        runs.refuse_backfill(context)
        ti, chosen = context["ti"], settings.load()
        request = Request(
            op_id=runs.op_id(ti.dag_id, ti.run_id), prefix=self.prefix, which=self.which, reason=self.reason
        )
        request.refuse(chosen.cache)
        return Removal(request=request, redis=cache.remover, chosen=chosen)

    def _failure(self, error: RunbookError) -> Finding:
        return replace(super()._failure(error), severity=Severity.UNKNOWN, next_step=PAGE)


class PlanRemovalOperator(RemovalOperator):
    """Count the keys that would go, and store the plan that people approve; changes nothing else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="plan", failed="planned", **kwargs)

    def look(self, context: Context) -> Report:
        """Plan and store."""
        from sre.hooks.operations import operations

        plan = self.removal(context).plan()
        self.log.info("%s", plan.text)
        requester = context["dag_run"].triggering_user_name
        number = gate.store(operations(), plan, requester=requester, people=settings.load().gate.recovery_people)
        facts = {"plan": number, "hash": plan.hash, "op_id": plan.op_id, **plan.facts}
        said = self.found("R-02", self.failed, f"plan {number}: {plan.seen[0]}", **facts)
        return Report(source=self.source, checked=1, findings=(said,), table=tuple(plan.text.splitlines()))


class ApproveRemovalOperator(ApprovePlanOperator):
    """Ask for an approval, unless there is nothing to remove."""

    def execute(self, context: Context) -> Any:
        """Ask, or say that nobody needs to be asked."""
        if self._told(context, lambda: runs.acts(context) and nothing_to_do(context)):
            return self._left(context, "there is nothing to remove: nobody is asked", Severity.INFO)
        return super().execute(context)


class RemoveKeysOperator(RemovalOperator):
    """Carry the approved plan out, or go on where a try before was killed. It believes the ops database, and nothing of Airflow's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="removal", failed="removed", **kwargs)

    def look(self, context: Context) -> Report:
        """Act, unless the run was only to plan or there is nothing to do."""
        from include.cache import removal
        from sre.hooks import cache
        from sre.hooks.operations import operations

        its, ti = self.removal(context), context["ti"]
        if not runs.acts(context):
            return self._said("dry_run", "only planned: trigger it with dry_run = no to carry it out")
        if nothing_to_do(context):
            return self._said(self.failed, f"there is nothing below {self.prefix} to remove")
        holder = f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"
        became = removal.act(its, operations(), cache.keeper(), holder=holder, wait_s=self.limits.lease_wait_s)
        return Report(source=self.source, checked=1, findings=tuple(self._findings(became, its.request.op_id)))

    def on_kill(self) -> None:
        """Stand still when somebody marks or clears the task: what is done stays, and a later try goes on."""
        if self.at_work:
            raise HeldBackError(
                "the removal was ended from outside and stands still; clear the task to go on, or take it back with"
                " `python -m include.cache undo`"
            )

    def _said(self, check: str, words: str) -> Report:
        found = self.found("R-02", check, words, Severity.INFO)
        return Report(source=self.source, checked=1, findings=(found,))

    def _findings(self, became: Mapping[str, Any], op_id: str) -> Iterator[Finding]:
        back = f"python -m include.cache undo {op_id} brings them back"
        said = f"{became.get('removed', 0)} keys below {self.prefix} were removed, and {became['remaining']} are there; {back}"
        yield self.found("R-02", self.failed, said, value=became.get("removed", 0), unit="keys", op_id=op_id, **became)
        left = {name: became[name] for name in LEFT if became.get(name)}
        if left:
            words = ", ".join(f"{count} {LEFT[name]}" for name, count in left.items())
            yield replace(self.found("R-02", "left", f"not removed: {words}", Severity.WARNING), next_step=PAGE)


LEFT = {
    "in_use": "changed while they were looked at",
    "too_large": "are too large to copy",
    "beyond_the_approval": "are more than were approved",
}
"""Why keys that were meant are still there."""


def nothing_to_do(context: Context) -> bool:
    """Whether the plan of this run is to remove nothing."""
    from sre.hooks.operations import operations

    ti = context["ti"]
    stored = gate.newest(operations(), runs.op_id(ti.dag_id, ti.run_id))
    return stored.plan.facts.get("most") == 0
