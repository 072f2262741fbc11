"""The steps of the exercise as Airflow runs them, through the Connections that `make up` writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.errors import ConfigurationError, PermanentError, RefusedError
from include.findings import Finding, Severity
from include.settings import FailoverLimits, Settings
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from sre import doctor
from sre.hooks import failover
from sre.operators.base import CheckOperator
from sre.operators.failover import (
    ExerciseNodeDrainOperator,
    ExerciseOperator,
    ExercisePostgresFailoverOperator,
    ExerciseRedisFailoverOperator,
)
from tests.plugins.fakes import FakeRun, context

LIMITS = FailoverLimits(steady_s=0.6)
OPERATORS: dict[str, type[Any]] = {
    "postgres": ExercisePostgresFailoverOperator,
    "redis": ExerciseRedisFailoverOperator,
    "node": ExerciseNodeDrainOperator,
}


@pytest.fixture
def connections(staging: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    fields = all_of(staging)
    for name, given in fields.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(given))
    return fields


def operator(name: str, limits: FailoverLimits = LIMITS) -> ExerciseOperator:
    made: ExerciseOperator = OPERATORS[name](task_id=f"exercise_{name}", limits=limits)
    return made


def chosen(dry_run: str, run: FakeRun | None = None) -> Any:
    return {**context(run), "params": {"dry_run": dry_run}}


def run(name: str, limits: FailoverLimits = LIMITS, *, dry_run: str = "no") -> dict[str, Finding]:
    report = operator(name, limits).report(chosen(dry_run))
    return {finding.check: finding for finding in report.findings}


@pytest.mark.integration
@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("name", OPERATORS)
def test_an_exercise_leaves_what_it_measured_under_its_item(name: str) -> None:
    found = run(name)
    assert {finding.item for finding in found.values()} == {"M-02"}
    assert found["exercised"].severity is Severity.OK
    assert found["unavailable"].evidence["unit"] == "s"
    if name != "node":
        assert found["lost_writes"].evidence["value"] == 0
        assert found["lost_writes"].evidence["n"] > 20
    assert max(finding.severity for finding in found.values()) is Severity.OK


@pytest.mark.integration
@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("name", OPERATORS)
def test_a_dry_run_looks_and_says_what_it_would_do(name: str) -> None:
    found = run(name, dry_run="auto")  # by hand
    assert list(found) == ["exercised"]
    assert found["exercised"].severity is Severity.INFO
    assert "would" in found["exercised"].summary


@pytest.mark.integration
@pytest.mark.usefixtures("connections")
def test_the_doctor_says_what_an_exercise_would_do() -> None:
    said = {name: ask() for name, ask in doctor.of_failover(Settings()).items()}
    assert said.keys() == {IDS.failover_postgres, IDS.failover_redis, IDS.failover_kubernetes}
    assert all("would" in each for each in said.values()), said


def test_the_doctor_asks_for_production_only_where_that_may_be_exercised() -> None:
    limits = LIMITS.model_copy(update={"production_system_identifier": "7412"})
    asked = doctor.of_failover(Settings().model_copy(update={"failover": limits}))
    assert IDS.production_failover_postgres in asked


@pytest.mark.integration
@pytest.mark.usefixtures("connections")
def test_a_gap_above_the_target_is_critical() -> None:
    found = run("redis", LIMITS.model_copy(update={"redis_gap_target_s": 0.001}))
    assert found["unavailable"].severity is Severity.CRITICAL
    assert found["exercised"].severity is Severity.OK


@pytest.mark.integration
@pytest.mark.parametrize("dry_run", ["yes", "no"])
def test_an_exercise_that_is_refused_is_critical_says_why_and_fails_the_task(
    dry_run: str, connections: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[object] = []
    monkeypatch.setattr(CheckOperator, "keep", lambda _, report, __: kept.append(report))
    limits = LIMITS.model_copy(update={"postgres_system_identifier": "1"})
    around = chosen(dry_run)
    with pytest.raises(PermanentError, match="nothing was changed"):
        operator("postgres", limits).execute(around)
    (told,) = around["ti"].xcom["return_value"]["findings"]
    assert told["severity"] == "CRITICAL"
    assert len(kept) == 1


def test_means_now_and_is_not_backfilled() -> None:
    with pytest.raises(RefusedError, match="cannot be backfilled"):
        operator("redis").look(chosen("no", FakeRun(run_type="backfill")))


def test_nobody_knows_what_another_word_than_those_of_the_form_means() -> None:
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        operator("redis").look(chosen("maybe"))


@pytest.mark.integration
@pytest.mark.usefixtures("connections")
def test_a_runbook_without_that_choice_exercises() -> None:
    assert "lost_writes" in {finding.check for finding in operator("redis").report(context()).findings}


def test_ended_from_outside_in_the_middle_it_goes_back_first() -> None:
    task = operator("redis")
    task.on_kill()
    task.at_work = True
    with pytest.raises(RefusedError, match="in the middle of the exercise"):
        task.on_kill()


@pytest.mark.parametrize("members", [None, [], ["one:1"], ["one", "two"], "one:1,two:2", [1, 2]])
def test_a_connection_without_a_pair_is_refused_with_the_way_out(
    members: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"conn_type": "redis", "extra": {"members": members}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{IDS.failover_redis.upper()}", json.dumps(given))
    with pytest.raises(ConfigurationError, match=r"names no pair; write .*members"):
        failover.redis(LIMITS, "run")


def test_an_authority_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ["one:1", "two:2"]
    for conn_id, extra in ((IDS.failover_postgres, {}), (IDS.failover_patroni, {"authority": "/nowhere/ca.crt"})):
        given = {"conn_type": "http", "login": "any", "password": "any", "extra": {"members": pair, **extra}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(given))
    with pytest.raises(ConfigurationError, match=r"/nowhere/ca.crt, which cannot be read"):
        failover.postgres(LIMITS, "run")
