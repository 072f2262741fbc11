"""The steps of `daily_configuration_backup` one after the other, at a real cluster and a real bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include import settings
from include.errors import PermanentError
from include.findings import Report, Severity
from include.settings import BackupLimits
from sandbox.components import airflow
from sandbox.components.kubernetes.layout import NAMESPACE
from sandbox.site import Site
from sre.operators.backup import is_bad
from sre.operators.configuration import (
    CompareConfigurationOperator,
    ListConfigurationBackupsOperator,
    ProveConfigurationOperator,
    TakeConfigurationOperator,
)
from tests.integration.morning import connected
from tests.plugins.fakes import FakeEvidence, FakeRun, context

LIMITS = BackupLimits()


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> FakeEvidence:
    evidence = FakeEvidence()
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda conn_id: evidence)
    return evidence


@pytest.fixture
def placed(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The settings and Connections of the site, as Airflow's processes have them."""
    for name, value in airflow.environment(site).items():
        if name.startswith("OPS_"):
            monkeypatch.setenv(name, value)
    settings.load.cache_clear()
    with connected(site):
        yield monkeypatch
    settings.load.cache_clear()


def ran(step: Any, run: Any) -> Report:
    """Execute a step, and return the report that it left, whether it ended well or not."""
    try:
        step.execute(run)
    except PermanentError as error:
        run["ti"].states["failed"] = str(error)
    return Report.from_json(run["ti"].xcom["return_value"])


def a_run() -> Any:
    return context(FakeRun(dag_id="daily_configuration_backup"))


def take() -> tuple[Report, str]:
    """What a take left, and why it failed, if it did."""
    run = a_run()
    before = ran(ListConfigurationBackupsOperator(task_id="list_backups", limits=LIMITS), run)
    run = a_run()
    report = ran(TakeConfigurationOperator(task_id="take", limits=LIMITS, before=before.to_json()), run)
    return report, run["ti"].states.get("failed", "")


def after(step: type[Any], taken: Report) -> tuple[Report, str]:
    run = a_run()
    report = ran(step(task_id="after", limits=LIMITS, taken=taken.to_json()), run)
    return report, run["ti"].states.get("failed", "")


def severities(report: Report, item: str) -> set[Severity]:
    return {each.severity for each in report.findings if each.item == item}


@pytest.mark.integration
def test_a_night_on_which_nothing_happened_is_proved_and_has_no_line_of_drift(placed: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        taken, failed = take()
        assert (failed, taken.severity) == ("", Severity.OK)
        proof, failed = after(ProveConfigurationOperator, taken)
        assert (failed, proof.severity) == ("", Severity.OK)
    drift, failed = after(CompareConfigurationOperator, taken)
    assert failed == ""
    assert drift.severity <= Severity.INFO  # an autoscaler may have been at work
    assert drift.findings[-1].summary.endswith("differ from the last good backup, 0 objects unexpectedly")


@pytest.mark.integration
def test_bug_22_a_refused_kind_turns_the_take_red_and_the_rest_is_proved_and_counts(placed: pytest.MonkeyPatch) -> None:
    placed.setenv("OPS_CONFIGURATION__LEAVE_OUT", "[]")
    settings.load.cache_clear()
    taken, failed = take()
    assert failed.startswith("could not look at all of configuration: logs.kwok.x-k8s.io: ")
    assert severities(taken, "B-09") == {Severity.OK, Severity.UNKNOWN}
    proof, failed = after(ProveConfigurationOperator, taken)
    assert (failed, proof.severity) == ("", Severity.OK)


@pytest.mark.integration
def test_a_folder_that_is_not_mounted_turns_the_take_red(placed: pytest.MonkeyPatch) -> None:
    placed.setenv("OPS_CONFIGURATION__FOLDERS__CONFIG", "/nowhere")
    settings.load.cache_clear()
    taken, failed = take()
    assert failed.startswith("could not look at all of configuration: folder config: /nowhere is not mounted here")
    assert Severity.UNKNOWN in severities(taken, "B-12")


@pytest.mark.integration
def test_a_scratch_namespace_that_is_not_there_condemns_nothing(placed: pytest.MonkeyPatch) -> None:
    taken, _ = take()
    placed.setenv("OPS_CONFIGURATION__SCRATCH_NAMESPACE", "nowhere")
    settings.load.cache_clear()
    proof, failed = after(ProveConfigurationOperator, taken)
    assert "the scratch namespace nowhere cannot be seen" in failed
    assert not is_bad(proof.to_json())
    (finding,) = proof.findings
    assert (finding.severity, finding.subject) == (Severity.CRITICAL, f"configuration/{NAMESPACE}")
    assert finding.next_step.startswith("docs/runbooks/daily_configuration_backup.md")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPS_CONFIGURATION__RECIPIENTS__ESCROW", "age1x", "configuration.recipients.escrow is no age recipient"),
        ("OPS_NAMESPACE", "no-such-namespace", "correct the setting namespace"),
    ],
)
def test_what_is_set_wrongly_is_one_sentence_and_nothing_is_stored(
    placed: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    placed.setenv(name, value)
    settings.load.cache_clear()
    taken, failed = take()
    assert said in failed
    assert not any(each.check == "uploaded" for each in taken.findings)


@pytest.mark.parametrize("step", [ProveConfigurationOperator, CompareConfigurationOperator])
def test_where_nothing_was_taken_the_steps_after_it_are_skipped(step: type[Any]) -> None:
    for taken in (None, Report(source="configuration", checked=0, findings=()).to_json()):
        with pytest.raises(AirflowSkipException, match="nothing was taken"):
            step(task_id="after", limits=LIMITS, taken=taken).execute(a_run())
