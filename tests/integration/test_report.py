"""The last word of a run, through the real Slack, PagerDuty and evidence hooks into the platform's own servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from slack_sdk import WebClient

from include.errors import VerdictError
from include.findings import Finding, Report, Severity
from sandbox.components.postgres import connect
from sandbox.site import Site
from sre.operators.reporting import POSTED, PublishReportOperator
from tests.include.reporting.test_slack import finding
from tests.integration.morning import connected
from tests.plugins.fakes import FakeTask, Store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def connections(site: Site) -> Iterator[None]:
    with connected(site):
        yield


@pytest.fixture
def dag_id() -> str:
    """A runbook of its own, so that no other run is the one before."""
    return f"drill_{uuid4().hex[:12]}"


def run(dag_id: str, *findings: Finding) -> Store:
    """One run that reports these findings; what it remembers."""
    task, store = FakeTask(), Store()
    task.dag_id, task.run_id = dag_id, f"manual__{uuid4()}"
    given: Any = {
        "ti": task,
        "dag_run": type("Run", (), {"run_type": "manual", "dag_id": dag_id}),
        "task_state_store": store,
    }
    report = Report(source="kubernetes", checked=len(findings), findings=findings)
    operator = PublishReportOperator(task_id="publish_report", item="H-17+", reports={"check_it": report.to_json()})
    try:
        operator.execute(given)
    except VerdictError:
        store["red"] = True
    store["run_id"] = task.run_id
    return store


def thread(site: Site, store: Store) -> list[Any]:
    channel, ts = store[POSTED][0]
    client = WebClient(site.secret("slack-bot-token"), base_url=f"{site.url('receivers')}/slack/api/")
    messages: list[Any] = client.conversations_replies(channel=channel, ts=ts)["messages"]
    return messages


def test_af_06_a_run_is_one_message_with_its_details_below_it(site: Site, dag_id: str) -> None:
    pods = [finding(f"pod/{number}", summary="x" * 400, severity=Severity.WARNING) for number in range(300)]
    store = run(dag_id, *pods)
    head, *replies = thread(site, store)
    assert head["text"].startswith(dag_id.replace("_", " ").capitalize())
    assert len(replies) == len(store[POSTED]) - 1 >= 1
    assert {reply["thread_ts"] for reply in replies} == {head["ts"]}
    assert len(set(re.findall(r"pod/\d+", str(replies)))) == 300


def test_h_17_one_verdict_worst_first_with_what_changed_and_a_red_run(site: Site, dag_id: str) -> None:
    worst, small = finding("b", Severity.CRITICAL), finding("c", Severity.WARNING)
    first = run(dag_id, finding("a"), small, worst)
    lines = thread(site, first)[0]["text"].splitlines()
    assert lines[0].endswith("CRITICAL (1 critical, 1 warning)")
    assert [subject in line for subject, line in zip("bc", lines[1:3], strict=True)] == [True, True]
    assert "First run with a verdict: nothing to compare with" in lines
    assert verdict(site, first) == ("CRITICAL", "1 critical, 1 warning")
    assert first.get("red")
    assert paged(site, dag_id) == ["trigger"]

    keep(site, dag_id, first, worst, small)
    second = run(dag_id, finding("a"), small, replace(worst, severity=Severity.OK))
    said = thread(site, second)[0]["text"]
    assert re.search(r"Better since .*: b$", said, re.MULTILINE)
    assert verdict(site, second) == ("WARNING", "1 warning")
    assert not second.get("red")
    assert paged(site, dag_id) == ["trigger", "resolve"]


def test_h_17_a_run_that_could_not_see_is_red(site: Site, dag_id: str) -> None:
    store = run(dag_id, finding("a"), finding("b", Severity.UNKNOWN))
    assert store.get("red")
    assert verdict(site, store) == ("UNKNOWN", "1 unknown")


def verdict(site: Site, store: Store) -> tuple[str, str]:
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = "select verdict, summary from ops.evidence where item = 'H-17+' and run_id = %s"
        ((found, summary),) = ops.execute(query, [store["run_id"]]).fetchall()
    return found, summary


def keep(site: Site, dag_id: str, store: Store, *findings: Finding) -> None:
    """The rows that the check of that run would have left."""
    from datetime import UTC, datetime

    from include.ops import evidence

    by = evidence.Try(dag_id=dag_id, task_id="check_it", run_id=store["run_id"], try_number=1)
    now = datetime.now(UTC)
    rows = [evidence.Evidence.of(each, source="kubernetes", by=by, observed_at=now) for each in findings]
    with connect(site, "ops_evidence_writer", "ops", "postgres_ops") as ops:
        assert evidence.append(ops, rows) == len(rows)


def paged(site: Site, dag_id: str) -> list[str]:
    recorded = httpx.get(f"{site.url('receivers')}/_recorded/pagerduty", timeout=10).raise_for_status().json()
    bodies = [each["body"] for each in recorded["recorded"] if "enqueue" in each["path"]]
    mine = [body for body in bodies if dag_id in str(body.get("dedup_key"))]
    return [body["event_action"] for body in mine if not body["dedup_key"].endswith("/report/slack")]
