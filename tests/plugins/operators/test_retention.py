"""The steps of `backup_retention` at the real store, as a scheduled run and as one by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include import settings
from include.backups import retire
from include.backups.catalogue import Verdict
from include.backups.retire import MARK
from include.errors import ConfigurationError, PermanentError, RefusedError, TransientError, VerificationError
from include.findings import Report, Severity
from include.settings import BackupLimits, RetentionLimits
from sandbox.connections import all_of
from sandbox.site import Site
from sre.operators.backup import SweepBackupsOperator
from sre.operators.retention import (
    ActingOperator,
    DeleteMarkedOperator,
    MarkBackupsOperator,
    PlanRetentionOperator,
    SweepLeftoversOperator,
    good_since,
)
from tests.faults.storefront import Storefront, storefront
from tests.include.backups.aged import Aged
from tests.plugins.fakes import FakeEvidence, FakeRun, context

SLOT = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
STEPS = (PlanRetentionOperator, MarkBackupsOperator, DeleteMarkedOperator)


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> FakeEvidence:
    evidence = FakeEvidence()
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda conn_id: evidence)
    return evidence


@pytest.fixture
def front(site: Site) -> Iterator[Storefront]:
    with storefront(site.ports["s3"]) as opened:
        yield opened


@pytest.fixture
def here(site: Site, front: Storefront, monkeypatch: pytest.MonkeyPatch) -> Aged:
    """A bucket where one may be deleted and one marked; the steps reach it through the storefront."""
    here = Aged(site)
    operations = settings.load().connections.operations
    monkeypatch.setenv(f"AIRFLOW_CONN_{operations.upper()}", json.dumps(all_of(site)[operations]))
    users = {f"orchestrator_s3_{user}": user for user in ("backup_verifier", "backup_reaper")}
    monkeypatch.setattr("sre.hooks.backups.store", lambda conn_id: here.world.store(users[conn_id], front.port))
    return here


def a_run(kind: str, dry_run: str = "auto", slot: datetime | None = None) -> Any:
    run = FakeRun(run_type=kind, run_after=slot or datetime.now(UTC), dag_id="backup_retention")
    return {**context(run), "params": {"dry_run": dry_run}}


def step(of: type[Any], here: Aged) -> Any:
    return of(task_id="a_step", limits=BackupLimits(database=here.database), retention=here.limits)


def told(of: type[Any], here: Aged, run: Any) -> tuple[Report, str]:
    """The report of a step, and why it was skipped, if it was."""
    try:
        step(of, here).execute(run)
    except AirflowSkipException as skipped:
        return Report.from_json(run["ti"].xcom["return_value"]), str(skipped)
    return Report.from_json(run["ti"].xcom["return_value"]), ""


def changes(front: Storefront) -> list[str]:
    return [asked.operation for asked in front.requests if asked.method not in {"GET", "HEAD"}]


@pytest.mark.integration
def test_b_06_a_scheduled_run_acts_and_one_by_hand_does_not(here: Aged, front: Storefront) -> None:
    old, marked, _ = here.backup(40), here.marked(41), here.week()
    for run in (a_run("manual"), a_run("scheduled", "yes")):
        for each in STEPS:
            report, skipped = told(each, here, run)
            assert report.severity <= Severity.INFO
            assert skipped.startswith("dry run: ") is (each is not PlanRetentionOperator)
    assert changes(front) == []
    for each in STEPS:
        assert told(each, here, a_run("scheduled"))[1] == ""
    assert changes(front) == ["PutObjectTagging", *["DeleteObject"] * 4]
    assert MARK in here.tags(old)
    assert marked not in here.keys()  # noqa: SIM118 - a method of ours


@pytest.mark.integration
def test_a_scheduled_run_without_a_good_backup_of_its_day_skips_and_says_so(here: Aged, front: Storefront) -> None:
    here.marked(41)
    here.week()
    tomorrow = a_run("scheduled", slot=datetime.now(UTC) + timedelta(days=1))
    report, skipped = told(PlanRetentionOperator, here, tomorrow)
    assert (report.severity, skipped) == (Severity.WARNING, "")
    for each in (MarkBackupsOperator, DeleteMarkedOperator):
        report, skipped = told(each, here, tomorrow)
        assert skipped.startswith("today's backup is not good: the newest good one is backups/database/retired_")
        assert report.findings[0].summary == skipped
    assert changes(front) == []


@pytest.mark.integration
def test_what_is_locked_after_the_look_is_no_error(here: Aged, monkeypatch: pytest.MonkeyPatch) -> None:
    old, _ = here.marked(41), here.week()
    plan = here.plan()
    (dump,) = [each for each in here.versions() if each.key == f"{old}dump.age"]
    here.store("backup_verifier").lock(dump.key, dump.id, datetime.now(UTC) + timedelta(seconds=60))
    report = step(DeleteMarkedOperator, here).act(plan, lambda: None)
    assert [finding.severity for finding in report.findings] == [Severity.OK, Severity.INFO]
    assert "is still locked until" in report.findings[1].summary
    assert report.findings[0].summary.startswith("0 deleted, 0 B freed; ")


@pytest.mark.integration
def test_what_a_person_must_look_at_is_a_warning_and_what_is_not_ours_is_named(here: Aged) -> None:
    torn, foreign = here.backup(40, Verdict.BAD), f"{here.prefix}notes.txt"
    here.put(f"{torn}manifest.json", b"{}")
    here.put(foreign, b"x")
    here.week()
    report, _ = told(PlanRetentionOperator, here, a_run("manual"))
    found = {finding.check: finding for finding in report.findings}
    assert found["strange"].severity is Severity.WARNING
    assert found["strange"].summary.startswith(f"{torn}: its manifest cannot be read")
    assert found["foreign"].summary == f"1 objects are none of ours and stay: {foreign}"


@pytest.mark.integration
@pytest.mark.parametrize("kind", [MarkBackupsOperator, DeleteMarkedOperator])
def test_a_wrong_choice_or_a_backfill_is_refused_before_the_store_is_asked(
    here: Aged, front: Storefront, kind: type[ActingOperator]
) -> None:
    for run, error in ((a_run("manual", "maybe"), ConfigurationError), (a_run("backfill", "no"), RefusedError)):
        with pytest.raises(PermanentError):
            told(kind, here, run)
        (finding,) = Report.from_json(run["ti"].xcom["return_value"]).findings
        assert finding.blind
        assert finding.blind.error == error.__name__
    assert front.requests == []


@pytest.mark.integration
def test_the_sweep_is_dry_in_a_dry_run_and_does_nothing_when_a_clock_is_wrong(
    here: Aged, front: Storefront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SweepBackupsOperator, "look", lambda self, run: pytest.fail("it swept"))
    assert told(SweepLeftoversOperator, here, a_run("manual"))[1] == "dry run: nothing is swept"
    wrong = (datetime.now(UTC), datetime.now(UTC) - timedelta(seconds=61))
    monkeypatch.setattr(retire, "clocks", lambda store: wrong)
    assert (
        "clock and the store's are 61 s apart (limit 60 s)" in told(SweepLeftoversOperator, here, a_run("scheduled"))[1]
    )


@pytest.mark.parametrize(
    ("kind", "slot", "since"),
    [
        ("scheduled", SLOT, SLOT.replace(hour=0)),
        ("scheduled", SLOT.astimezone(timezone(timedelta(hours=14))), SLOT.replace(hour=0)),
        ("manual", SLOT, None),
    ],
)
def test_a_scheduled_run_asks_for_a_good_backup_of_its_own_day_in_utc(
    kind: str, slot: datetime, since: datetime | None
) -> None:
    assert good_since(a_run(kind, slot=slot)) == since


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (TransientError("x"), Severity.UNKNOWN),
        (PermanentError("x"), Severity.UNKNOWN),
        (VerificationError("x"), Severity.CRITICAL),
    ],
)
def test_only_a_deletion_that_went_wrong_pages(error: Any, severity: Severity) -> None:
    limits = SimpleNamespace(database="d")
    finding = DeleteMarkedOperator(task_id="x", limits=limits, retention=RetentionLimits())._failure(error)
    assert (finding.severity, finding.next_step) == (severity, "docs/runbooks/backup_retention.md")


def test_the_connections_are_those_of_who_marks_and_of_who_deletes() -> None:
    ids = settings.load().connections
    assert (ids.backup_verifier, ids.backup_reaper) == (
        "orchestrator_s3_backup_verifier",
        "orchestrator_s3_backup_reaper",
    )
