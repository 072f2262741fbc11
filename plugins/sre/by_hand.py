"""A run whose state somebody sets by hand says so in the evidence and in Slack: its colour is a person's word then, not ours.

Airflow calls this in its API server, which no channel that is down may hold up.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

BY_HAND = "manually set"
"""How Airflow's message tells a state that a person set from one that came of itself."""

TAG = "changes-production"
SAID = "state set by hand: {state}; no task of ours says so, Airflow's audit log says who did it"


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Tell that a run was made green."""
    _heard(dag_run, msg, "success")


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Tell that a run was made red."""
    _heard(dag_run, msg, "failed")


def _heard(dag_run: Any, msg: str, state: str) -> None:
    if BY_HAND in (msg or "") and TAG in set(getattr(dag_run.dag, "tags", None) or ()):
        threading.Thread(target=tell, args=(dag_run.dag_id, dag_run.run_id, state), daemon=True).start()


def tell(dag_id: str, run_id: str, state: str) -> None:
    """Keep it and post it, each whatever becomes of the other. Never raises: nobody would hear it."""
    for name, deed in (("evidence", _keep), ("Slack", _post)):
        try:
            deed(dag_id, run_id, state)
        except Exception:
            log.warning("%s was not told that the state of %s was set by hand", name, run_id, exc_info=True)


def _keep(dag_id: str, run_id: str, state: str) -> None:
    from include import settings
    from include.findings import Finding, Severity
    from include.ops.evidence import Evidence, Try
    from sre.hooks.evidence import EvidenceHook

    chosen = settings.load()
    finding = Finding(
        item="X-06",
        check="state_by_hand",
        subject=f"run/{state}",
        severity=Severity.WARNING,
        summary=SAID.format(state=state),
    )
    by = Try(dag_id=dag_id, task_id="", run_id=run_id, try_number=0, code_version=chosen.code_version)
    row = Evidence.of(finding, source="airflow", by=by, observed_at=datetime.now(UTC))
    EvidenceHook(chosen.connections.evidence).append([row])


def _post(dag_id: str, run_id: str, state: str) -> None:
    from include import settings
    from include.reporting import slack
    from sre import runs
    from sre.hooks.slack import ReportSlackHook

    chosen = settings.load()
    message = slack.skipped(runs.named(dag_id, run_id), SAID.format(state=state))
    ReportSlackHook(chosen.connections.slack).post(chosen.reporting.channel, message, op_id=runs.op_id(dag_id, run_id))
