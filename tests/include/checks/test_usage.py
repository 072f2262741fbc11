from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import usage
from include.findings import Finding, Severity
from include.probes.kubernetes import Container, Node, Pod, Usage
from include.settings import KubernetesLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = KubernetesLimits()
GIB = 1024**3


def node(**changes: Any) -> Node:
    defaults: dict[str, Any] = {"name": "node-1", "ready": "True", "pressures": (), "cordoned": False, "cpu": 4.0}
    return Node(**{**defaults, "memory": 8.0 * GIB, **changes})


def sample(name: str = "node-1", *, cpu: float = 1.0, memory: float = GIB, age_s: float = 15) -> Usage:
    return Usage(name=name, cpu=cpu, memory=memory, at=NOW - timedelta(seconds=age_s))


def pod(name: str = "worker-1", *, limit: float | None = GIB, **changes: Any) -> Pod:
    container = Container(name="worker", restarts=0, memory_limit=limit, cpu_request=0.5, memory_request=GIB / 2)
    defaults: dict[str, Any] = {
        "app": "worker",
        "phase": "Running",
        "ready": True,
        "created_at": NOW - timedelta(days=1),
    }
    return Pod(**{"name": name, **defaults, "containers": (container,), **changes})


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, Severity.OK),
        ({"cordoned": True}, Severity.INFO),
        ({"ready": "False"}, Severity.CRITICAL),
        ({"ready": "Unknown"}, Severity.CRITICAL),
        ({"pressures": ("MemoryPressure",)}, Severity.CRITICAL),
    ],
)
def test_a_node_is_judged_by_its_conditions(changes: dict[str, Any], severity: Severity) -> None:
    (finding,) = usage.judge_nodes([node(**changes)])
    assert finding.severity is severity


def test_no_node_is_unknown() -> None:
    (finding,) = usage.judge_nodes([])
    assert finding.severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("cpu", "severity"),
    [(3.39, Severity.OK), (3.4, Severity.WARNING), (3.79, Severity.WARNING), (3.8, Severity.CRITICAL)],
)
def test_a_node_warns_at_exactly_the_limit_of_what_it_can_allocate(cpu: float, severity: Severity) -> None:
    findings = list(usage.judge_node_usage([node()], [sample(cpu=cpu)], limits=LIMITS, now=NOW))
    assert of(findings, "node_usage")[0].severity is severity


def test_bug_74_a_sample_that_is_old_is_no_sample() -> None:
    findings = list(usage.judge_node_usage([node()], [sample(age_s=301)], limits=LIMITS, now=NOW))
    assert {finding.severity for finding in findings} == {Severity.UNKNOWN}


def test_bug_74_a_node_without_usage_is_unknown_and_the_others_are_judged() -> None:
    findings = list(usage.judge_node_usage([node(), node(name="node-2")], [sample()], limits=LIMITS, now=NOW))
    assert [f.subject for f in findings if f.severity is Severity.UNKNOWN] == ["node/node-2", "nodes"]


@pytest.mark.parametrize(("memory", "severity"), [(0.89 * GIB, Severity.OK), (0.9 * GIB, Severity.WARNING)])
def test_a_pod_warns_at_exactly_the_limit_of_its_memory(memory: float, severity: Severity) -> None:
    findings = list(usage.judge_pod_usage([pod()], [sample("worker-1", memory=memory)], limits=LIMITS, now=NOW))
    assert of(findings, "pod_memory")[0].severity is severity


def test_a_pod_without_a_limit_is_listed_but_not_judged() -> None:
    findings = list(usage.judge_pod_usage([pod(limit=None)], [sample("worker-1")], limits=LIMITS, now=NOW))
    assert not of(findings, "pod_memory")
    assert of(findings, "top_pods_by_memory")[0].evidence["top"][0]["pod"] == "worker-1"


def test_a_running_pod_without_usage_is_unknown() -> None:
    findings = list(usage.judge_pod_usage([pod(), pod("worker-2")], [sample("worker-1")], limits=LIMITS, now=NOW))
    assert "worker-2" in of(findings, "pod_usage")[0].summary


def test_a_pod_that_just_started_needs_no_usage_yet() -> None:
    young = pod("worker-2", created_at=NOW - timedelta(seconds=20))
    findings = list(usage.judge_pod_usage([pod(), young], [sample("worker-1")], limits=LIMITS, now=NOW))
    assert not of(findings, "pod_usage")


def test_the_greatest_users_come_first_and_no_more_than_asked_for() -> None:
    names = [f"worker-{number}" for number in range(30)]
    samples = [sample(name, cpu=number / 10) for number, name in enumerate(names)]
    findings = list(usage.judge_pod_usage([pod(name) for name in names], samples, limits=LIMITS, now=NOW))
    top = of(findings, "top_pods_by_cpu")[0]
    assert (top.item, len(top.evidence["top"]), top.evidence["top"][0]["pod"]) == ("F-05", 20, "worker-29")
