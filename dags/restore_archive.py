"""
# Restore archive

Brings a day of the archive back into its table: what a clean-up took away, for a complaint, an audit or an inquiry. Triggered by hand:
the form asks for the table, the day (UTC) and why. It only says what lies there, unless `dry_run` is `no`. Rows that are there already
stay as they are, so doing it again does nothing. The next clean-up takes the rows away once more.

**If it is red** the report says what did not fit; rows that came back before that stay, and the archive is untouched. Trigger it again
when that is mended. `docs/runbooks/restore_archive.md` has each case, and how to open the archive by hand.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from include.settings import load
from sre.defaults import RUNBOOK_DEFAULTS, WRITING_DEFAULTS
from sre.operators.cleanup import RestoreArchiveOperator
from sre.operators.reporting import PublishReportOperator
from sre.runs import DRY_RUN
from sre.schedules import BY_HAND

settings = load()

with DAG(
    dag_id="restore_archive",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    allowed_run_types=BY_HAND,
    default_args=RUNBOOK_DEFAULTS,
    params={
        "table": Param(
            "execution_logs",
            type="string",
            enum=["execution_logs", "audit_logs", "workflow_versions"],
            title="Table",
        ),
        "day": Param(
            "",
            type="string",
            maxLength=10,
            title="Day",
            description="UTC, when the rows were made (versions: when they were archived): 2026-08-20",
        ),
        "reason": Param(
            "", type="string", maxLength=500, title="Why", description="At least ten characters; kept as evidence"
        ),
        "dry_run": Param("auto", type="string", enum=[*DRY_RUN], title="Only look (auto, yes), or bring it back (no)"),
    },
    tags=["changes-production", "maintenance", "postgres", "s3"],
):
    restore_day = RestoreArchiveOperator(
        task_id="restore_day",
        limits=settings.backup,
        table="{{ params.table }}",
        day="{{ params.day }}",
        reason="{{ params.reason }}",
        **(
            WRITING_DEFAULTS
            | {"retries": 2, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(hours=4)}
        ),
    )
    publish_report = PublishReportOperator(
        task_id="publish_report",
        item="D-08",
        reports={restore_day.task_id: restore_day.output},
        headlines=("restored",),
    )

    chain(restore_day, publish_report)
