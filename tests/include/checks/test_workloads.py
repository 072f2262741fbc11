from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import workloads
from include.findings import Finding, Severity
from include.probes.kubernetes import Autoscaler, Container, DisruptionBudget, Job, Pod, WarningEvent, Workload
from include.settings import KubernetesLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = KubernetesLimits()


def workload(**changes: Any) -> Workload:
    return Workload(**{"kind": "Deployment", "name": "worker", "want": 6, "ready": 6, "updated": 6, **changes})


def pod(*containers: Container, **changes: Any) -> Pod:
    old = NOW - timedelta(days=10)
    defaults: dict[str, Any] = {
        "name": "worker-1",
        "app": "worker",
        "phase": "Running",
        "ready": True,
        "created_at": old,
    }
    return Pod(**{**defaults, "containers": containers or (container(),), **changes})


def container(**changes: Any) -> Container:
    return Container(**{"name": "worker", "restarts": 0, **changes})


def judged(one: Pod, previous: Mapping[str, float] | None = None) -> Finding:
    (finding,) = workloads.judge_pods([one], namespace="ns", previous=previous or {}, limits=LIMITS, now=NOW)
    return finding


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, Severity.OK),
        ({"ready": 5}, Severity.CRITICAL),
        ({"ready": 5, "rolling": True}, Severity.WARNING),
        ({"ready": 0, "rolling": True}, Severity.CRITICAL),
        ({"updated": 5}, Severity.WARNING),
        ({"total": 7}, Severity.WARNING),  # the surge pod counts as updated, the old one as ready
        ({"total": 7, "stalled": True}, Severity.CRITICAL),
        ({"want": 0, "ready": 0, "updated": 0}, Severity.WARNING),
        ({"kind": "DaemonSet", "want": 0, "ready": 0, "updated": 0}, Severity.OK),
        ({"generation": 3, "observed_generation": 2}, Severity.UNKNOWN),
    ],
)
def test_a_workload_is_healthy_when_all_that_it_wants_is_ready_and_of_the_newest_version(
    changes: dict[str, Any], severity: Severity
) -> None:
    (finding,) = workloads.judge_workloads([workload(**changes)], namespace="ns")
    assert finding.severity is severity


def test_an_empty_namespace_is_unknown_and_names_the_setting() -> None:
    (finding,) = workloads.judge_workloads([], namespace="misspelt")
    assert finding.severity is Severity.UNKNOWN
    assert "misspelt" in finding.summary
    assert "settings namespace" in finding.next_step


def test_a_namespace_without_pods_is_unknown() -> None:
    (finding,) = workloads.judge_pods([], namespace="ns", previous={}, limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    "reason", ["CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"]
)
def test_a_pod_that_cannot_start_is_critical_at_once(reason: str) -> None:
    finding = judged(pod(container(waiting=reason), phase="Pending", ready=False, created_at=NOW))
    assert finding.severity is Severity.CRITICAL
    assert reason in finding.summary


@pytest.mark.parametrize(("age_s", "severity"), [(299, Severity.OK), (300, Severity.CRITICAL)])
def test_a_pod_may_be_pending_for_just_under_five_minutes(age_s: float, severity: Severity) -> None:
    waits = pod(phase="Pending", ready=False, created_at=NOW - timedelta(seconds=age_s), waiting_for="0/3 nodes fit")
    assert judged(waits).severity is severity


@pytest.mark.parametrize("gone_by", [None, NOW - timedelta(hours=1)])
def test_a_pod_of_which_nobody_knows_is_unknown(gone_by: datetime | None) -> None:
    finding = judged(pod(phase="Unknown", gone_by=gone_by, node="node-2"))
    assert finding.severity is Severity.UNKNOWN
    assert "node-2" in finding.next_step


@pytest.mark.parametrize(("late_s", "severity"), [(-30, Severity.OK), (299, Severity.OK), (300, Severity.WARNING)])
def test_a_pod_that_cannot_be_deleted_is_named_five_minutes_after_its_grace(late_s: float, severity: Severity) -> None:
    finding = judged(pod(gone_by=NOW - timedelta(seconds=late_s)))
    assert finding.severity is severity
    assert "is being deleted" in finding.summary


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "runs"),
        ({"phase": "Pending", "ready": False, "created_at": NOW}, "is starting"),
        ({"ready": False, "created_at": NOW}, "is starting"),
    ],
)
def test_only_a_pod_that_is_running_and_ready_runs(changes: dict[str, Any], words: str) -> None:
    assert judged(pod(**changes)).summary.startswith(words)


def test_bug_73_a_running_pod_that_is_not_ready_is_named() -> None:
    finding = judged(pod(ready=False))
    assert finding.severity is Severity.WARNING
    assert "Running but not ready" in finding.summary


@pytest.mark.parametrize(
    ("before", "restarts", "severity"),
    [
        (10.0, 12, Severity.OK),
        (10.0, 13, Severity.WARNING),  # exactly the limit
        (13.0, 2, Severity.OK),  # the name came back with a new counter: nothing is dated, so nothing counts
        (None, 12, Severity.OK),  # ten days old, no end within a day
    ],
)
def test_bug_73_restarts_are_counted_since_yesterday(before: float | None, restarts: int, severity: Severity) -> None:
    previous = {} if before is None else {"pod/worker-1": before}
    assert judged(pod(container(restarts=restarts)), previous).severity is severity


def test_without_yesterdays_count_a_young_pods_restarts_all_count() -> None:
    assert judged(pod(container(restarts=3), created_at=NOW - timedelta(hours=3))).severity is Severity.WARNING


@pytest.mark.parametrize(("hours", "severity"), [(23, Severity.WARNING), (25, Severity.OK)])
def test_a_pod_killed_for_its_memory_is_named_for_a_day(hours: int, severity: Severity) -> None:
    killed = container(restarts=1, killed_for="OOMKilled", ended_at=NOW - timedelta(hours=hours))
    assert judged(pod(killed)).severity is severity


def test_a_finished_pod_is_no_fault() -> None:
    assert judged(pod(phase="Succeeded", ready=False)).severity is Severity.OK


def test_the_restart_count_is_evidence_for_tomorrow() -> None:
    assert judged(pod(container(restarts=2), container(restarts=5))).evidence["value"] == 7


def test_a_failed_job_is_named_for_a_day() -> None:
    jobs = [
        Job(name="new", owner="report-billing", failed_at=NOW - timedelta(hours=2), reason="BackoffLimitExceeded"),
        Job(name="old", owner="report-billing", failed_at=NOW - timedelta(days=2)),
        Job(name="fine", owner="report-billing", failed_at=None),
    ]
    (finding,) = workloads.judge_jobs(jobs, limits=LIMITS, now=NOW)
    assert (finding.subject, finding.severity) == ("job/new", Severity.WARNING)


@pytest.mark.parametrize(("count", "severity"), [(19, Severity.OK), (20, Severity.WARNING)])
def test_a_warning_event_is_named_when_it_repeats(count: int, severity: Severity) -> None:
    event = WarningEvent(subject="pod/x", reason="Unhealthy", message="probe failed", count=count, last_at=NOW)
    (finding,) = workloads.judge_events([event], limits=LIMITS, now=NOW)
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("desired", "hindered", "severity"),
    [(5, "", Severity.OK), (6, "", Severity.WARNING), (3, "FailedGetResourceMetric", Severity.WARNING)],
)
def test_an_autoscaler_warns_at_its_most_and_when_it_cannot_scale(
    desired: int, hindered: str, severity: Severity
) -> None:
    scaler = Autoscaler(name="api-gateway", current=desired, desired=desired, most=6, hindered=hindered)
    (finding,) = workloads.judge_autoscalers([scaler])
    assert finding.severity is severity


@pytest.mark.parametrize(("healthy", "severity"), [(2, Severity.OK), (1, Severity.WARNING)])
def test_a_disruption_budget_warns_below_its_least(healthy: int, severity: Severity) -> None:
    (finding,) = workloads.judge_budgets([DisruptionBudget(name="api-gateway", healthy=healthy, least=2)])
    assert finding.severity is severity
