from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import postgres
from include.findings import Finding, Severity
from include.probes.postgres import (
    ConnectionUse,
    Outcomes,
    Replica,
    Replication,
    Session,
    Slot,
    SlotsTakenError,
    Stuck,
    Writing,
)
from include.settings import PostgresLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = PostgresLimits()


def session(**changes: Any) -> Session:
    defaults: dict[str, Any] = {
        "database": "orchestrator",
        "user": "ops_health",
        "in_recovery": False,
        "read_only": False,
    }
    measured = {"tls": True, "version": "17.10", "started_at": NOW, "connect_ms": 20.0, "ping_ms": 0.3}
    return Session(**{**defaults, **measured, **changes})


def by_check(findings: list[Finding]) -> dict[str, Severity]:
    return {finding.check: finding.severity for finding in findings}


def judged(**changes: Any) -> dict[str, Severity]:
    return by_check(list(postgres.judge_session(session(**changes), limits=LIMITS)))


def test_a_login_to_the_primary_is_healthy() -> None:
    assert set(judged().values()) == {Severity.OK}


def test_bug_75_another_database_is_not_the_one_asked_for() -> None:
    assert judged(database="postgres")["database"] is Severity.UNKNOWN


def test_a_replica_is_not_taken_for_the_primary() -> None:
    assert judged(in_recovery=True)["role"] is Severity.CRITICAL


def test_a_server_that_only_reads_is_critical() -> None:
    assert judged(read_only=True)["role"] is Severity.CRITICAL


@pytest.mark.parametrize(("connect_ms", "severity"), [(499.9, Severity.OK), (500, Severity.WARNING)])
def test_a_login_warns_at_exactly_the_limit(connect_ms: float, severity: Severity) -> None:
    assert judged(connect_ms=connect_ms)["connect_latency"] is severity


@pytest.mark.parametrize(("tls", "severity"), [(True, Severity.OK), (False, Severity.WARNING)])
def test_a_plain_login_warns_where_tls_is_required(tls: bool, severity: Severity) -> None:
    found = by_check(list(postgres.judge_session(session(tls=tls), limits=PostgresLimits(require_tls=True))))
    assert found["tls"] is severity


def test_a_full_server_is_a_finding_about_the_server() -> None:
    (finding,) = postgres.judge_vitals(SlotsTakenError("all slots are taken"), limits=LIMITS)
    assert finding.severity is Severity.CRITICAL
    assert finding.blind is None


def test_a_refused_write_is_critical_and_says_why() -> None:
    (finding,) = postgres.judge_writing(Writing(refused="cannot execute INSERT in a read-only transaction"))
    assert finding.severity is Severity.CRITICAL
    assert "read-only" in finding.summary


@pytest.mark.parametrize(
    ("used", "severity"), [(79, Severity.OK), (80, Severity.WARNING), (94, Severity.WARNING), (95, Severity.CRITICAL)]
)
def test_sessions_warn_at_exactly_the_limit(used: int, severity: Severity) -> None:
    use = ConnectionUse(used=used, most=100, idle_in_transaction=0, waiting_for_locks=0)
    (finding,) = postgres.judge_connection_use(use, limits=LIMITS)
    assert finding.severity is severity


def test_replication_that_nobody_expects_is_not_judged() -> None:
    assert not list(postgres.judge_replication(Replication(replicas=(), slots=()), limits=LIMITS))


def test_a_missing_replica_is_critical() -> None:
    (finding,) = postgres.judge_replication(
        Replication(replicas=(), slots=()), limits=PostgresLimits(expected_replicas=1)
    )
    assert finding.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("lag_s", "severity"),
    [(29.9, Severity.OK), (30, Severity.WARNING), (300, Severity.CRITICAL), (None, Severity.UNKNOWN)],
)
def test_lag_warns_at_exactly_the_limit_and_is_unknown_when_nobody_tells(
    lag_s: float | None, severity: Severity
) -> None:
    replication = Replication(replicas=(Replica(name="r1", state="streaming", lag_s=lag_s),), slots=())
    found = by_check(list(postgres.judge_replication(replication, limits=PostgresLimits(expected_replicas=1))))
    assert found == {"replicas": Severity.OK, "replication_lag": severity}


def test_an_abandoned_slot_warns_though_no_replica_is_expected() -> None:
    slots = (Slot(name="gone", active=False, retained_bytes=LIMITS.slot_retained_warning_bytes),)
    (finding,) = postgres.judge_replication(Replication(replicas=(), slots=slots), limits=LIMITS)
    assert finding.severity is Severity.WARNING


def outcomes(succeeded: int, failed: int, cancelled: int = 0) -> Outcomes:
    causes = ({"error_class": "timeout", "workflow_id": "7", "failures": failed},) if failed else ()
    return Outcomes(
        since=NOW - timedelta(days=1),
        until=NOW,
        succeeded=succeeded,
        failed=failed,
        cancelled=cancelled,
        p99_run_s=60.0,
        causes=causes,
    )


@pytest.mark.parametrize(
    ("succeeded", "failed", "severity"),
    [
        (9_800, 200, Severity.OK),
        (9_500, 500, Severity.CRITICAL),  # exactly 95 % is not more than 95 %
        (9_510, 490, Severity.WARNING),  # more, but the interval reaches the limit
        (99, 0, Severity.UNKNOWN),
        (100, 0, Severity.OK),
        (0, 0, Severity.UNKNOWN),
    ],
)
def test_more_than_95_percent_of_workflows_succeed(succeeded: int, failed: int, severity: Severity) -> None:
    (finding,) = postgres.judge_success(outcomes(succeeded, failed), limits=LIMITS)
    assert finding.severity is severity


def test_cancelled_executions_are_nobodys_fault() -> None:
    (finding,) = postgres.judge_success(outcomes(1_000, 5, cancelled=900), limits=LIMITS)
    assert (finding.severity, finding.evidence["n"]) == (Severity.OK, 1_005)


def test_a_low_success_names_its_first_cause() -> None:
    (finding,) = postgres.judge_success(outcomes(800, 200), limits=LIMITS)
    assert "timeout in workflow 7" in finding.next_step


@pytest.mark.parametrize(
    ("succeeded", "failed", "severity"),
    [
        (6, 6, Severity.WARNING),
        (6, 5, Severity.OK),
        (10, 2, Severity.OK),
        (9, 3, Severity.WARNING),
        (29, 1, Severity.OK),
    ],
)
def test_failures_that_began_minutes_ago_warn_when_there_are_enough_to_tell(
    succeeded: int, failed: int, severity: Severity
) -> None:
    (finding,) = postgres.judge_recent_success(outcomes(succeeded, failed), limits=LIMITS)
    assert finding.severity is severity


def test_stuck_executions_are_named() -> None:
    (finding,) = postgres.judge_stuck([Stuck(id="42", workflow_id="7", running_s=7200)])
    assert finding.severity is Severity.WARNING
    assert "42 (2 h)" in finding.summary
