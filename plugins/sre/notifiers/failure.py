"""Who hears of a task that failed: the channel always, the pager where the runbook says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include import settings
from include.errors import VerdictError
from include.masking import one_line
from include.reporting import pagerduty, slack
from sre import runs

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def tell_failure(context: Context) -> None:
    """Tell Slack, and PagerDuty if a tag of the DAG says that it pages. Never raises: the task has failed already."""
    error = context.get("exception")
    ti = context["ti"]
    if isinstance(error, VerdictError) or getattr(context.get("task"), "told_by_report", False):
        return
    reason = (
        one_line(f"{type(error).__name__}: {error}", 500) if error else "it ended without an exception; see its log"
    )
    _tried("Slack", lambda: _post(ti, reason))
    if pages(getattr(context.get("dag"), "tags", ())):
        _tried("PagerDuty", lambda: _page(ti, reason))


def pages(tags: Any) -> bool:
    """Return whether one of the DAG's tags says that its failure wakes somebody."""
    return bool(set(tags or ()) & set(settings.load().reporting.pages))


def _post(ti: Any, reason: str) -> None:
    from sre.hooks.slack import ReportSlackHook

    message = slack.failure(runs.shown(ti), task_id=ti.task_id, try_number=ti.try_number, reason=reason)
    hook = ReportSlackHook(settings.load().connections.slack)
    hook.post(settings.load().reporting.channel, message, op_id=runs.op_id(ti.dag_id, ti.run_id))


def _page(ti: Any, reason: str) -> None:
    from sre.hooks.pagerduty import PagerDutyEventsHook

    event = pagerduty.failure(ti.dag_id, ti.task_id, runs.url(ti.dag_id, ti.run_id), reason)
    PagerDutyEventsHook(settings.load().connections.pagerduty_events).send(event)


def _tried(channel: str, deed: Callable[[], None]) -> None:
    try:
        deed()
    except Exception:
        log.warning("the failure could not be told to %s", channel, exc_info=True)
