"""
# Weekly cache maintenance

Measures every node of the application's Redis (memory, fragmentation, evictions, persistence, its own advice, how often it had what
was asked for since the last look) and what its keys are, by prefix, type, lifetime and bytes: on a replica where there is one, slowly,
and within a budget of time. Changes nothing: expired keys are Redis's own work, and cache keys are removed by `cache_removal` alone,
after an approval.

**If it is red** a node could not be looked at, or something is critical; the report names it with the next step. Safe to run again at
any time. `docs/runbooks/weekly_cache_maintenance.md` has each finding.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.cache import BUDGET_MAX_S, CacheNodesOperator, KeyPatternsOperator
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="weekly_cache_maintenance",
    doc_md=__doc__,
    schedule=slots(
        "0 4 * * SUN", settings.maintenance_time_zone
    ),  # 04:00 in the customers' quietest night: items R-04+
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "budget_s": Param(
            settings.cache.budget_s,
            type="integer",
            minimum=1,
            maximum=BUDGET_MAX_S,
            title="Seconds for looking at keys",
            description="A walk whose time is up goes on there in the next run",
        )
    },
    tags=["read-only", "maintenance", "redis"],
):
    # Later the day is busy: the next window is a week away, and nothing is lost by it.
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="R-04+", max_late=timedelta(hours=1))

    check_nodes = CacheNodesOperator(task_id="check_nodes", limits=settings.cache)
    analyze_keys = KeyPatternsOperator(
        task_id="analyze_keys",
        limits=settings.cache,
        budget_s="{{ params.budget_s }}",
        execution_timeout=timedelta(seconds=BUDGET_MAX_S + 300),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="R-04+",
        reports={check.task_id: check.output for check in (check_nodes, analyze_keys)},
        late_s=guard_slot.output,
        headlines=("hit_ratio", "key_patterns"),
    )

    chain(guard_slot, check_nodes, publish_report)
    chain(check_nodes, analyze_keys, publish_report)  # after it: our own questions are hits of the cache, too
