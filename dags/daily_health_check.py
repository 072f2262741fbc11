"""
# Daily health check

Looks at every part of the platform before the working day starts, and posts one verdict to Slack. Changes nothing.

**If it is red** something is critical, or a check could not look at its target; the report names it, worst first, with the next
step. Safe to run again at any time. What each check looks at, its limits, and what to do about each finding:
`docs/runbooks/daily_health_check.md`.

**If it pages** a finding is critical; the page names the source, and resolves itself when a later run sees it well. A
report that Slack does not take pages too, until one is posted.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS
from sre.operators.business import BusinessHealthOperator
from sre.operators.grafana import GrafanaHealthOperator
from sre.operators.kubernetes import KubernetesHealthOperator
from sre.operators.pagerduty import PagerDutyIncidentsOperator
from sre.operators.postgres import PostgresHealthOperator
from sre.operators.prometheus import PerformanceHealthOperator
from sre.operators.redis import RedisHealthOperator
from sre.operators.reporting import PublishReportOperator
from sre.operators.schedule import GuardSlotOperator
from sre.operators.slack import SlackAlertsOperator
from sre.schedules import NOT_FOR_THE_PAST, slots

settings = load()

with DAG(
    dag_id="daily_health_check",
    doc_md=__doc__,
    schedule=slots("0 9 * * *", settings.time_zone),  # 09:00 in the team's morning: items H-01, F-01
    catchup=False,
    max_active_runs=1,
    allowed_run_types=NOT_FOR_THE_PAST,
    default_args=RUNBOOK_DEFAULTS,
    tags=["read-only", "health"],
):
    guard_slot = GuardSlotOperator(task_id="guard_slot", item="H-01", max_late=timedelta(hours=6))

    checks = [
        SlackAlertsOperator(task_id="check_alerts", limits=settings.alerts),
        PagerDutyIncidentsOperator(task_id="check_pagerduty", limits=settings.alerts),
        GrafanaHealthOperator(task_id="check_grafana", limits=settings.grafana),
        KubernetesHealthOperator(task_id="check_kubernetes", limits=settings.kubernetes),
        PostgresHealthOperator(task_id="check_postgres", limits=settings.postgres),
        RedisHealthOperator(task_id="check_redis", limits=settings.redis),
        PerformanceHealthOperator(task_id="check_performance", limits=settings.performance),
        BusinessHealthOperator(task_id="check_business", limits=settings.business),
    ]

    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="H-17+",
        reports={check.task_id: check.output for check in checks},
        late_s=guard_slot.output,
    )

    chain(guard_slot, checks, publish_report)
