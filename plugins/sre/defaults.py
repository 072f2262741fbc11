"""What every runbook shares: who owns it, what is tried again, how long a task may take, who hears of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowNotFoundException

from include import settings
from include.errors import PermanentError, TransientError
from sre.notifiers.failure import tell_failure

READS = ExceptionRetryPolicy(
    rules=[
        RetryRule(PermanentError, RetryAction.FAIL, reason="the same look would fail the same way"),
        RetryRule(AirflowNotFoundException, RetryAction.FAIL, reason="a Connection is missing"),
    ],
    default=RetryAction.RETRY,
)
"""Looking changes nothing: look again, unless the answer would be the same."""

WRITES = ExceptionRetryPolicy(
    rules=[RetryRule(TransientError, RetryAction.RETRY, reason="the target said later, and nothing was sent")],
    default=RetryAction.FAIL,
)
"""A write is repeated only if it is known that nothing happened. Not asked when a process dies: writes have no retries besides."""

RUNBOOK_DEFAULTS: dict[str, Any] = {
    "owner": "sre",
    "retries": 2,
    "retry_delay": timedelta(seconds=settings.load().looking.retry_delay_s),
    "retry_policy": READS,
    "execution_timeout": timedelta(minutes=5),
    "on_failure_callback": tell_failure,
}
"""`default_args` of runbooks that look."""

WRITING_DEFAULTS: dict[str, Any] = RUNBOOK_DEFAULTS | {"retries": 0, "retry_policy": WRITES}
"""`default_args` of tasks that change something; one that can resume from its journal may raise `retries`."""
