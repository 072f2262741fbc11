"""When the question of a clean-up is asked: at once if somebody is there, in the morning if the schedule began it at night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from include import settings
from include.plans import cleanup
from include.plans.cleanup import Counted, Subject
from include.settings import CleanupLimits
from sre.operators import cleanup as operators
from sre.operators.cleanup import RequestCleanupApprovalOperator
from tests.plugins.fakes import FakeRun, FakeTask

NIGHT = datetime(2030, 2, 1, 4, 30, tzinfo=UTC)  # a Friday
DAY = datetime(2030, 2, 1, 10, 0, tzinfo=UTC)
WEEKEND = datetime(2030, 2, 2, 10, 0, tzinfo=UTC)


class Found:
    def __init__(self, rows: int) -> None:
        self.decisions = cleanup.decide([Counted(subject=Subject.LOGS, rows=rows, total=10 * rows)], CleanupLimits())
        self.over = cleanup.over(self.decisions)


class Reached(Exception):  # noqa: N818 - what the test waits for is no error
    """The question is asked now."""


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> RequestCleanupApprovalOperator:
    made = RequestCleanupApprovalOperator(task_id="request_approval", limits=settings.load().backup)

    def reached(_: Any) -> None:
        raise Reached

    monkeypatch.setattr(operators.CleanupOperator, "execute", lambda _, context: reached(context))
    return made


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return moment

    monkeypatch.setattr(operators, "datetime", Clock)


def context(run_type: str) -> Any:
    return {"ti": FakeTask(), "dag_run": FakeRun(run_type=run_type), "params": {"dry_run": "auto"}}


@pytest.mark.parametrize(
    ("now", "morning"),
    [(NIGHT, datetime(2030, 2, 1, 9, 0, tzinfo=UTC)), (WEEKEND, datetime(2030, 2, 4, 9, 0, tzinfo=UTC))],
)
def test_nobody_is_asked_at_night(
    operator: RequestCleanupApprovalOperator, monkeypatch: pytest.MonkeyPatch, now: datetime, morning: datetime
) -> None:
    at(monkeypatch, now)
    monkeypatch.setattr(operator, "seen", lambda _: (None, Found(2_000_000)))
    with pytest.raises(TaskDeferred) as waiting:
        operator.execute(context("scheduled"))
    assert waiting.value.trigger.moment == morning
    assert waiting.value.timeout == morning - now + timedelta(hours=1)
    with pytest.raises(Reached):
        operator.execute_complete(context("scheduled"))


@pytest.mark.parametrize(
    ("now", "run_type", "rows"), [(DAY, "scheduled", 2_000_000), (NIGHT, "manual", 2_000_000), (NIGHT, "scheduled", 10)]
)
def test_what_need_not_wait_does_not(
    operator: RequestCleanupApprovalOperator, monkeypatch: pytest.MonkeyPatch, now: datetime, run_type: str, rows: int
) -> None:
    at(monkeypatch, now)
    monkeypatch.setattr(operator, "seen", lambda _: (None, Found(rows)))
    with pytest.raises(Reached):
        operator.execute(context(run_type))
