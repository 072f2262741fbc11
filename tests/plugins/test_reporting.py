from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from include.errors import ConfigurationError, PermanentError, RefusedError, TransientError, VerdictError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.reporting.slack import Message
from sre.hooks.slack import MessageGoneError, Posted, ReportSlackHook
from sre.operators.base import CheckOperator
from sre.operators.reporting import PublishReportOperator, read
from tests.include.reporting.test_slack import before, finding, recorded, report
from tests.plugins.fakes import FakeEvidence, FakePager, FakeRun, FakeSlack, context


@dataclass
class World:
    evidence: FakeEvidence = field(default_factory=FakeEvidence)
    slack: FakeSlack = field(default_factory=FakeSlack)
    pager: FakePager = field(default_factory=FakePager)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(PublishReportOperator, "evidence_hook", world.evidence)
    monkeypatch.setattr(PublishReportOperator, "slack_hook", world.slack)
    monkeypatch.setattr(PublishReportOperator, "pagerduty_hook", world.pager)
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda conn_id: world.evidence)
    return world


def publish(late_s: float | None = None, /, **reports: Report | None) -> PublishReportOperator:
    given = {task_id: each.to_json() if each else None for task_id, each in reports.items()}
    return PublishReportOperator(task_id="publish_report", item="H-17+", reports=given, late_s=late_s)


HEALTHY = report(finding("a"))
CRITICAL = report(finding("b", Severity.CRITICAL))


def unseen() -> Report:
    why = blind(TransientError("no answer"))
    return report(Finding.unseen(item="H-08", check="login", subject="postgres", blind=why), source="postgres")


def test_a_healthy_run_is_told_kept_and_green(world: World) -> None:
    publish(check_kubernetes=HEALTHY).execute(context())
    assert [(row.check, row.verdict) for row in world.evidence.rows] == [("verdict", "OK")]
    assert world.slack.posted["1.0"][0].text.startswith("Daily health check: OK")
    assert world.slack.posted["2.0"][1] == "1.0"
    assert paged(world) == [("resolve", "report/slack")]


@pytest.mark.parametrize("severity", [Severity.UNKNOWN, Severity.CRITICAL])
def test_a_blind_or_critical_run_is_told_first_and_then_red(world: World, severity: Severity) -> None:
    with pytest.raises(VerdictError, match="worst: "):
        publish(check_kubernetes=report(finding("x", severity))).execute(context())
    assert len(world.slack.posted) == 2
    assert world.evidence.rows[0].verdict == severity.name


@pytest.mark.parametrize("severity", [Severity.OK, Severity.INFO, Severity.WARNING])
def test_a_small_fault_is_news_and_not_red(world: World, severity: Severity) -> None:
    publish(check_kubernetes=report(finding("x", severity))).execute(context())
    assert len(world.slack.posted) == 2


def test_a_check_that_died_is_unknown_and_leaves_a_row(world: World) -> None:
    with pytest.raises(VerdictError):
        publish(check_kubernetes=HEALTHY, check_redis=None).execute(context())
    assert [(row.check, row.subject, row.verdict) for row in world.evidence.rows] == [
        ("verdict", "run", "UNKNOWN"),
        ("left_a_report", "check_redis", "UNKNOWN"),
    ]
    assert "check_redis ended without a report" in world.slack.posted["1.0"][0].text


def test_a_step_that_an_earlier_one_kept_from_beginning_is_no_second_fault(world: World) -> None:
    here = context()
    here["ti"].states = {"recover": "upstream_failed"}
    with pytest.raises(VerdictError, match="1 unknown"):
        publish(approve_plan=unseen(), recover=None).execute(here)
    assert "recover" not in world.slack.posted["1.0"][0].text
    assert "left_a_report" not in [row.check for row in world.evidence.rows]


def test_a_step_that_did_not_begin_is_told_where_nothing_says_why(world: World) -> None:
    here = context()
    here["ti"].states = {"recover": "upstream_failed"}
    with pytest.raises(VerdictError, match="recover ended without a report"):
        publish(approve_plan=HEALTHY, recover=None).execute(here)


def test_a_step_that_began_and_died_is_told_beside_the_one_before(world: World) -> None:
    here = context()
    here["ti"].states = {"recover": "failed"}
    with pytest.raises(VerdictError, match="2 unknown"):
        publish(approve_plan=unseen(), recover=None).execute(here)


@pytest.mark.parametrize("severity", [Severity.OK, Severity.INFO, Severity.CRITICAL])
def test_what_a_run_was_for_is_said_once_in_the_message(world: World, severity: Severity) -> None:
    done = report(finding("database", severity, check="recovered", summary="recovered from a backup"))
    task = PublishReportOperator(
        task_id="publish_report", item="X-06", reports={"recover": done.to_json()}, headlines=["recovered"]
    )
    with suppress(VerdictError):
        task.execute(context())
    assert world.slack.posted["1.0"][0].text.count("recovered from a backup") == 1


def test_no_reports_at_all_are_not_green(world: World) -> None:
    with pytest.raises(VerdictError):
        publish().execute(context())


def test_critical_pages_and_what_is_gone_is_resolved(world: World) -> None:
    world.evidence.before = before(recorded("gone", Severity.CRITICAL))
    with pytest.raises(VerdictError):
        publish(check_kubernetes=CRITICAL).execute(context())
    assert paged(world) == [("trigger", "H-05/b"), ("resolve", "H-05/gone"), ("resolve", "report/slack")]


def test_the_verdict_says_whose_page_it_ended_and_not_before_pagerduty_took_it(world: World) -> None:
    world.evidence.before = before(recorded("gone", Severity.CRITICAL))
    world.pager.down = True
    with pytest.raises(TransientError):
        publish(check_kubernetes=HEALTHY).execute(context())
    world.pager.down = False
    publish(check_kubernetes=HEALTHY).execute(context())
    assert [row.detail["ended"] for row in world.evidence.rows] == [[], [["H-05", "gone"]]]


def test_what_was_there_and_is_not_is_told_kept_and_its_page_stays_open(world: World) -> None:
    was = replace(recorded("deployment/worker", Severity.CRITICAL), check="workloads_ready")
    world.evidence.before = before(was)
    other = finding("deployment/api-gateway", check="workloads_ready")
    publish(check_kubernetes=report(other)).execute(context())
    assert paged(world) == [("resolve", "report/slack")]
    assert [(row.check, row.subject, row.verdict) for row in world.evidence.rows] == [
        ("verdict", "run", "WARNING"),
        ("still_there", "deployment/worker", "WARNING"),
    ]
    said = world.slack.posted["1.0"][0].text
    assert "deployment/worker: was there on 2030-01-01 08:00 UTC, is not there today" in said
    assert "Better" not in said


def test_earlier_runs_that_cannot_be_read_are_not_a_first_run(world: World) -> None:
    world.evidence.down = True
    with pytest.raises(TransientError):
        publish(check_kubernetes=HEALTHY).execute(context())
    said = world.slack.posted["1.0"][0].text
    assert "What earlier runs found could not be read: what changed is not known" in said
    assert "First run" not in said


def test_a_report_that_slack_did_not_take_pages_until_one_is_posted(world: World) -> None:
    given = context()
    for refused in (1, 2):  # the message itself, then its thread
        world.slack.down_from = world.slack.calls + refused
        with pytest.raises(TransientError):
            publish(check_kubernetes=HEALTHY).execute(given)
        world.slack.down_from = None
    assert paged(world) == [("trigger", "report/slack")] * 2
    assert "Slack says 503" in world.pager.events[0].summary
    publish(check_kubernetes=HEALTHY).execute(given)
    assert paged(world)[2:] == [("resolve", "report/slack")]


def test_a_pager_that_is_down_does_not_redden_a_run_that_needs_no_page(world: World) -> None:
    world.pager.down = True
    publish(check_kubernetes=HEALTHY).execute(context())
    assert len(world.slack.posted) == 2


def paged(world: World) -> list[tuple[str, str]]:
    return [(event.action, event.dedup_key.removeprefix("daily_health_check/")) for event in world.pager.events]


@pytest.mark.parametrize("down", ["slack", "pager", "evidence"])
def test_a_channel_that_is_down_does_not_silence_the_others_and_the_task_tries_again(world: World, down: str) -> None:
    world.slack.down_from = 1 if down == "slack" else None
    world.pager.down = down == "pager"
    world.evidence.down = down == "evidence"
    with pytest.raises(TransientError, match="not delivered everywhere"):
        publish(check_kubernetes=CRITICAL).execute(context())
    assert bool(world.slack.posted) == (down != "slack")
    assert bool(world.pager.events) == (down != "pager")
    assert bool(world.evidence.rows) == (down != "evidence")
    if world.slack.posted and down != "slack":
        assert "Not all of this report was delivered" in world.slack.posted["1.0"][0].text


def test_a_mistake_of_ours_in_one_channel_does_not_silence_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(event: object) -> None:
        raise AttributeError("oops")

    monkeypatch.setattr(world.pager, "send", broken)
    with pytest.raises(PermanentError, match="AttributeError"):
        publish(check_kubernetes=CRITICAL).execute(context())
    assert len(world.slack.posted) == 2
    assert len(world.evidence.rows) == 1


@pytest.mark.parametrize("down_from", [1, 2])
def test_another_try_finishes_the_thread_and_posts_nothing_twice(world: World, down_from: int) -> None:
    given = context()
    world.slack.down_from = down_from
    with pytest.raises(TransientError):
        publish(check_kubernetes=HEALTHY).execute(given)
    world.slack.down_from = None
    for _ in range(2):
        publish(check_kubernetes=HEALTHY).execute(given)
    assert [thread for _, thread in world.slack.posted.values()] == [None, "1.0"]


class BrokenStore:
    def get(self, key: str) -> Any:
        raise RuntimeError("the store does not answer")

    def set(self, key: str, value: Any) -> None:
        raise RuntimeError("the store does not answer")


def test_a_store_that_does_not_answer_does_not_stop_the_post(world: World) -> None:
    given = context()
    given["task_state_store"] = BrokenStore()
    publish(check_kubernetes=HEALTHY).execute(given)
    assert [thread for _, thread in world.slack.posted.values()] == [None, "1.0"]


@pytest.mark.parametrize(
    ("gone", "posted_anew"), [({"1.0"}, [(None, "3.0"), ("3.0", "4.0")]), ({"2.0"}, [("1.0", "3.0")])]
)
def test_a_message_that_somebody_deleted_is_posted_anew(
    world: World, gone: set[str], posted_anew: list[tuple[str | None, str]]
) -> None:
    given = context()
    publish(check_kubernetes=HEALTHY).execute(given)
    world.slack.gone = gone
    for _ in range(2):
        publish(check_kubernetes=HEALTHY).execute(given)
    assert [(thread, ts) for ts, (_, thread) in world.slack.posted.items()][2:] == posted_anew


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("message_not_found", MessageGoneError),
        ("cant_update_message", MessageGoneError),
        ("token_revoked", ConfigurationError),
        ("internal_error", TransientError),
    ],
)
def test_what_slack_says_of_an_update(monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]) -> None:
    def refuse(**_: object) -> None:
        raise SlackApiError("no", {"ok": False, "error": code})  # type: ignore[no-untyped-call]

    monkeypatch.setattr(ReportSlackHook, "client", type("Client", (), {"chat_update": staticmethod(refuse)}))
    with pytest.raises(error):
        ReportSlackHook("slack").update(Posted("C1", "1.0"), Message(text="x", blocks=[]), op_id="o")


@pytest.mark.parametrize(("late_s", "said"), [(None, False), (0, False), (600, False), (5700, True)])
def test_lateness_is_said_when_it_matters(world: World, late_s: float | None, said: bool) -> None:
    publish(late_s, check_kubernetes=HEALTHY).execute(context())
    assert ("Late by 95 min" in world.slack.posted["1.0"][0].text) == said


def test_a_backfill_is_refused_before_anything_is_told(world: World) -> None:
    with pytest.raises(RefusedError):
        publish(check_kubernetes=CRITICAL).execute(context(FakeRun(run_type="backfill")))
    assert (world.slack.posted, world.pager.events, world.evidence.rows) == ({}, [], [])


class TrialOperator(CheckOperator):
    def __init__(self, *, answer: Any, **kwargs: Any) -> None:
        super().__init__(source="trial", item="H-05", deadline_s=0.1, **kwargs)
        self.answer = answer

    def look(self, context: Any) -> Report:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, float):
            time.sleep(self.answer)
        assert isinstance(self.answer, Report)
        return self.answer


def trial(answer: Any) -> TrialOperator:
    return TrialOperator(task_id="check_trial", answer=answer)


@pytest.mark.parametrize("answer", [HEALTHY, CRITICAL, report(finding("x", Severity.UNKNOWN))])
def test_a_finding_does_not_fail_the_check_however_bad(world: World, answer: Report) -> None:
    given = context()
    trial(answer).execute(given)
    assert Report.from_json(given["ti"].xcom["return_value"]) == answer
    assert len(world.evidence.rows) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (TransientError("no answer"), TransientError),
        (OSError("reset"), TransientError),
        (ConfigurationError("no such namespace"), PermanentError),
        (unseen(), TransientError),
    ],
)
def test_being_unable_to_look_fails_the_check_after_report_and_evidence_are_safe(
    world: World, answer: Any, error: type[Exception]
) -> None:
    given = context()
    with pytest.raises(error, match="could not look"):
        trial(answer).execute(given)
    assert Report.from_json(given["ti"].xcom["return_value"]).severity is Severity.UNKNOWN
    assert [row.verdict for row in world.evidence.rows] == ["UNKNOWN"]


def test_a_look_that_hangs_ends_at_its_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_LOOKING__GRACE_S", "0")
    from include import settings

    settings.load.cache_clear()
    started = time.monotonic()
    with pytest.raises(TransientError, match="did not answer within"):
        trial(20.0).execute(context())
    settings.load.cache_clear()
    assert time.monotonic() - started < 10


def test_nothing_to_look_at_is_unknown_and_recorded(world: World) -> None:
    given = context()
    trial(Report(source="trial", checked=0, findings=())).execute(given)
    assert Report.from_json(given["ti"].xcom["return_value"]).severity is Severity.UNKNOWN
    assert world.evidence.rows[0].summary.startswith("nothing was there")


def test_without_evidence_the_report_is_safe_and_the_check_tries_again(world: World) -> None:
    given = context()
    world.evidence.down = True
    with pytest.raises(TransientError, match="evidence"):
        trial(HEALTHY).execute(given)
    assert "return_value" in given["ti"].xcom


def test_a_check_whose_evidence_could_not_be_kept_makes_the_run_red_and_says_so(world: World) -> None:
    given = context()
    world.evidence.down = True
    with pytest.raises(TransientError):
        trial(HEALTHY).execute(given)
    world.evidence.down = False
    pushed = Report.from_json(given["ti"].xcom["return_value"])
    assert [(each.check, each.item, each.severity.name) for each in pushed.findings] == [
        ("ready", "H-05", "OK"),
        ("evidence_kept", "H-05", "UNKNOWN"),
    ]
    with pytest.raises(VerdictError, match="1 unknown"):
        publish(check_trial=pushed).execute(context())
    assert "what was found is not in the evidence" in world.slack.posted["1.0"][0].text


@pytest.mark.parametrize(
    "value", ["forged", 7, [], {}, {"source": "x"}, {"source": "x", "checked": 1, "findings": ["y"]}]
)
def test_what_somebody_wrote_into_an_xcom_is_no_report_and_is_told(value: Any) -> None:
    (finding,) = read("recover", value, "X-06").findings
    assert finding.severity is Severity.UNKNOWN
    assert "what recover left is no report of ours" in finding.summary
