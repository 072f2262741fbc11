"""The morning's checks without Airflow's processes: the runbook's own tasks, asked for their reports."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from include.findings import Report
from include.looking import look
from include.reporting import slack
from include.reporting.changes import Changes
from sandbox.connections import all_of
from sandbox.site import PROJECT, Site

if TYPE_CHECKING:
    from sre.operators.base import CheckOperator

DAG_ID = "daily_health_check"
WITHIN_S = 60


@cache
def checks() -> Mapping[str, CheckOperator]:
    """The tasks of the runbook that look, by what they look at."""
    spec = importlib.util.spec_from_file_location(DAG_ID, Path(PROJECT, "dags", f"{DAG_ID}.py"))
    assert spec
    assert spec.loader
    runbook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runbook)
    return {check.source: check for check in runbook.checks}


@contextmanager
def connected(site: Site, instead: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[None]:
    """Let the Connections of a site be found in the environment, some of them replaced, by their ids."""
    with pytest.MonkeyPatch.context() as patch:
        for conn_id, fields in {**all_of(site), **(instead or {})}.items():
            patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        yield


def reports() -> list[Report]:
    """Ask all of them side by side, as a run does."""
    answers = look({name: partial(check.report, {}) for name, check in checks().items()}, WITHIN_S)
    assert all(isinstance(answer, Report) for answer in answers.values()), answers
    return [answer for answer in answers.values() if isinstance(answer, Report)]


def said(found: list[Report]) -> str:
    """What stands in Slack."""
    run = slack.Run(title="Daily health check", url="http://127.0.0.1/", at=datetime.now(UTC), zone=ZoneInfo("UTC"))
    return slack.render(run, found, Changes()).text
