"""When the maintenance may begin: after the backup of its night, and not at all without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include import settings
from include.errors import ConfigurationError, RefusedError, TransientError
from include.findings import Report, Severity
from include.ops.standing import Standing
from sre.operators import maintenance
from sre.operators.maintenance import AwaitBackupOperator, MaintainDatabaseOperator, wanted_since
from sre.operators.reaper import _way_out
from tests.plugins.fakes import FakeEvidence, FakeRun, context

BACKUP = settings.BackupLimits()
SUNDAY = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> FakeEvidence:
    evidence = FakeEvidence()
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda conn_id: evidence)
    return evidence


def a_run(kind: str = "scheduled", dry_run: str = "auto", slot: datetime = SUNDAY) -> Any:
    run = FakeRun(run_type=kind, run_after=slot, dag_id="weekly_database_maintenance")
    return {**context(run), "params": {"dry_run": dry_run}}


def backup_of(at: datetime | None, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = SimpleNamespace(key="daily/1/", at=at, manifest=None) if at else None
    monkeypatch.setattr(maintenance, "newest_good", lambda limits: newest)


def maintain(run: Any) -> tuple[Report, str]:
    """Its report, and why it was skipped."""
    step = MaintainDatabaseOperator(task_id="maintain", limits=BACKUP, maintenance=settings.MaintenanceLimits())
    with pytest.raises(AirflowSkipException) as skipped:
        step.execute(run)
    return Report.from_json(run["ti"].xcom["return_value"]), str(skipped.value)


@pytest.mark.parametrize(
    ("slot", "since"),
    [
        (SUNDAY, SUNDAY),  # the same minute: that backup is waited for
        (SUNDAY + timedelta(hours=5), SUNDAY),  # 02:00 in New York
        (SUNDAY - timedelta(hours=9), SUNDAY - timedelta(days=1)),  # 02:00 in Tokyo
    ],
)
def test_d_01_tonights_backup_is_the_last_one_whose_time_had_come(slot: datetime, since: datetime) -> None:
    assert wanted_since(a_run(slot=slot), BACKUP) == since


def test_d_01_without_tonights_good_backup_nothing_is_maintained(monkeypatch: pytest.MonkeyPatch) -> None:
    backup_of(SUNDAY - timedelta(seconds=1), monkeypatch)
    report, why = maintain(a_run())
    assert why.startswith("nothing is maintained: the newest good backup is daily/1/ of 2026-11-29 01:59 UTC")
    assert report.severity is Severity.INFO
    backup_of(None, monkeypatch)
    assert maintain(a_run())[1].startswith("nothing is maintained: there is no good backup")


def test_by_hand_it_is_a_dry_run_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    backup_of(None, monkeypatch)
    assert maintain(a_run("manual"))[1].startswith("dry run: nothing was changed")
    assert maintain(a_run("scheduled", "yes"))[1].startswith("dry run: nothing was changed")
    assert maintain(a_run("manual", "no"))[1].startswith("nothing is maintained")


def test_bad_input_and_backfills_are_refused_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    backup_of(SUNDAY + timedelta(hours=1), monkeypatch)
    step = MaintainDatabaseOperator(task_id="maintain", limits=BACKUP, maintenance=settings.MaintenanceLimits())
    with pytest.raises(ConfigurationError, match="dry_run is one of auto, yes, no, not 'maybe'"):
        step.look(a_run(dry_run="maybe"))
    with pytest.raises(RefusedError, match="cannot be backfilled"):
        step.look(a_run("backfill"))


def waits(run: Any) -> bool:
    step = AwaitBackupOperator(task_id="wait", limits=BACKUP, wait_s=7200)
    assert step.reschedule
    return not step.poke(run)


def test_it_waits_for_the_backup_and_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = datetime.now(UTC).replace(microsecond=0)
    before, since = slot - timedelta(days=2), wanted_since(a_run(slot=slot), BACKUP)
    backup_of(before, monkeypatch)
    assert waits(a_run(slot=slot))
    backup_of(since + timedelta(minutes=5), monkeypatch)
    assert not waits(a_run(slot=slot))
    backup_of(before, monkeypatch)
    assert not waits(a_run(slot=slot - timedelta(hours=2, seconds=1)))
    assert not waits(a_run("manual", slot=slot))


def test_a_bucket_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(limits: object) -> None:
        raise TransientError("the bucket does not answer")

    monkeypatch.setattr(maintenance, "newest_good", down)
    assert waits(a_run(slot=datetime.now(UTC)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_s", 0),
        ("dead_percent", 101),
        ("freeze_age", 5),
        ("lock_timeout_s", 0),
        ("index_min_bytes", -1),
        ("dead_min", "x"),
    ],
)
def test_limits_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        settings.MaintenanceLimits(**{name: value})


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("", "clear its task to go on"),
        ("database recovery", "clear its task to go on, or python -m include.recovery rollback op"),
        ("configuration recovery", "clear its task to go on, or python -m include.configuration rollback op"),
    ],
)
def test_what_stands_still_names_a_way_out_that_exists(kind: str, says: str) -> None:
    stands = Standing(op_id="op", by="a task", step="a step", ended=False, since=SUNDAY, going_back=False, kind=kind)
    assert _way_out(stands) == says
