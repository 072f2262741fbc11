from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped

from include.errors import RefusedError, TransientError
from sre.operators.schedule import GuardSlotOperator, lateness
from sre.schedules import slots
from tests.plugins.fakes import FakeEvidence, FakeRun, FakeSlack, context

SLOT = datetime(2030, 1, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def slack(monkeypatch: pytest.MonkeyPatch) -> FakeSlack:
    slack = FakeSlack()
    monkeypatch.setattr("sre.hooks.slack.ReportSlackHook", lambda conn_id: slack)
    return slack


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> FakeEvidence:
    evidence = FakeEvidence()
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda conn_id: evidence)
    return evidence


def run(hours_late: float, kind: str = "scheduled") -> FakeRun:
    return FakeRun(run_type=kind, run_after=datetime.now(UTC) - timedelta(hours=hours_late))


def guard() -> GuardSlotOperator:
    with DAG("d", schedule=None):
        operator = GuardSlotOperator(task_id="guard_slot", item="H-01", max_late=timedelta(hours=6))
        operator >> BaseOperator(task_id="a") >> BaseOperator(task_id="b", trigger_rule=TriggerRule.ALL_DONE)
    return operator


@pytest.mark.parametrize(
    ("kind", "hours", "late"),
    [("scheduled", 1.5, 1.5), ("scheduled", 0, 0), ("scheduled", -1, 0), ("manual", 500, 0), ("asset_triggered", 9, 0)],
)
def test_only_a_scheduled_run_is_late(kind: str, hours: float, late: float) -> None:
    found = lateness(FakeRun(run_type=kind, run_after=SLOT), SLOT + timedelta(hours=hours))
    assert found == timedelta(hours=late)


def test_within_its_limit_the_run_goes_on_and_knows_how_late_it_is(evidence: FakeEvidence) -> None:
    assert guard().execute(context(run(2))) == pytest.approx(7200, abs=60)


@pytest.mark.parametrize(
    ("start", "verdict", "value", "said"),
    [
        ((0, "scheduled"), "OK", 0, "started 0 min after its slot 20"),
        ((0.16, "scheduled"), "OK", 576, "(limit 10 min)"),
        ((2, "scheduled"), "INFO", 7200, "started 2 h after its slot"),
        ((50, "manual"), "OK", None, "no slot to be late for"),
    ],
)
def test_every_run_leaves_one_row_that_says_how_late_it_began(
    evidence: FakeEvidence, start: tuple[float, str], verdict: str, value: float | None, said: str
) -> None:
    guard().execute(context(run(*start)))
    (row,) = evidence.rows
    assert (row.item, row.check, row.verdict) == ("H-01", "slot", verdict)
    assert row.value == (None if value is None else pytest.approx(value, abs=60))
    assert (row.unit, said in row.summary) == ("s", True)


def test_a_start_that_cannot_be_recorded_is_told_and_the_checks_look_all_the_same(
    evidence: FakeEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("sre.operators.schedule.tell_failure", lambda context: told.append(str(context["exception"])))
    evidence.down = True
    assert guard().execute(context(run(2))) == pytest.approx(7200, abs=60)
    assert told == ["its start is not in the evidence, and the run goes on: the evidence database does not answer"]


def test_past_its_limit_everything_behind_is_skipped_by_name_and_one_row_says_so(evidence: FakeEvidence) -> None:
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        guard().execute(context(run(50)))
    assert skipped.value.tasks == ["a", "b"]
    assert [row.summary.split(" 2")[0] for row in evidence.rows] == ["skipped: missed slot"]
    assert "2 d late, at most 6 h is allowed" in evidence.rows[0].summary


def test_a_skipped_slot_is_one_line_in_slack(evidence: FakeEvidence, slack: FakeSlack) -> None:
    with pytest.raises(DownstreamTasksSkipped):
        guard().execute(context(run(50)))
    ((message, thread),) = slack.posted.values()
    assert message.text.startswith("Daily health check: skipped: missed slot 20")
    assert thread is None


def test_a_start_in_time_says_nothing_in_slack(evidence: FakeEvidence, slack: FakeSlack) -> None:
    guard().execute(context(run(2)))
    assert slack.posted == {}


@pytest.mark.parametrize("broken", [TransientError("down"), AttributeError("oops")])
def test_a_slack_that_is_down_does_not_fail_the_skip(
    evidence: FakeEvidence, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    def post(*_: object, **__: object) -> None:
        raise broken

    monkeypatch.setattr(slack, "post", post)
    with pytest.raises(DownstreamTasksSkipped):
        guard().execute(context(run(50)))


def test_a_skip_that_cannot_be_recorded_is_tried_again_and_runs_nothing(evidence: FakeEvidence) -> None:
    evidence.down = True
    with pytest.raises(TransientError):
        guard().execute(context(run(50)))


def test_a_backfill_is_refused(evidence: FakeEvidence) -> None:
    with pytest.raises(RefusedError, match="trigger it by hand"):
        guard().execute(context(run(1, "backfill")))


def test_a_schedule_begins_with_its_next_slot() -> None:
    schedule = slots("0 9 * * *", "Europe/Berlin")
    assert isinstance(schedule, CronTriggerTimetable)
    assert schedule.run_immediately == timedelta(0)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize(
    ("cron", "hour", "minute"), [("0 9 * * *", 9, 0), ("30 1 * * *", 1, 30), ("30 2 * * *", 2, 30)]
)
def test_bug_16_a_schedule_keeps_the_clock_of_its_zone_and_has_one_slot_a_day_when_clocks_change(
    cron: str, hour: int, minute: int, zone: str
) -> None:
    local = [slot.astimezone(ZoneInfo(zone)) for slot in slots_of_2030(cron, zone)]
    assert len({slot.date() for slot in local}) == len(local) == 365
    odd = [slot for slot in local if (slot.hour, slot.minute) != (hour, minute)]
    assert all(skipped_by_the_clock(slot.replace(hour=hour, minute=minute, fold=0)) for slot in odd)


def slots_of_2030(cron: str, zone: str) -> list[datetime]:
    """What the scheduler makes of the schedule: it works with another class than the one that a runbook names."""
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction
    from pendulum import datetime as moment

    timetable = decode_timetable(encode_timetable(slots(cron, zone)))
    year = TimeRestriction(earliest=moment(2030, 1, 1, tz=zone), latest=moment(2030, 12, 31, 23, tz=zone), catchup=True)
    found: list[datetime] = []
    last = None
    while info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=year):
        found.append(datetime.fromtimestamp(info.run_after.timestamp(), UTC))  # pendulum's own repairs what it is given
        last = info.data_interval
    return found


def skipped_by_the_clock(wall: datetime) -> bool:
    """Whether the clocks jumped over this time of day."""
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) != wall.replace(tzinfo=None)
