"""Workloads, pods, nodes and their use (H-05, H-06, H-07, F-04, F-05, F-06)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from include.checks import usage, workloads
from include.checks.inquiry import Question, inquire
from include.findings import Finding, Report
from include.probes import kubernetes as probe
from include.probes.kubernetes import Pod, Reader
from include.settings import KubernetesLimits

METRICS_STEP = "is metrics-server running? kubectl get apiservice v1beta1.metrics.k8s.io"
RESTARTS = "H-05"
"""The item whose earlier values hold yesterday's restart counts."""


def round_kubernetes(
    reader: Reader,
    *,
    namespace: str,
    limits: KubernetesLimits,
    previous: Callable[[], Mapping[str, float]],
    now: datetime,
    deadline_s: float,
) -> Report:
    """Ask the API server for everything at once.

    :param previous: yields the restart count of each `pod/<name>` a day ago, or nothing.
    """
    size = limits.page_size
    looks = {
        "workloads": lambda: probe.workloads(reader, namespace, size),
        "pods": lambda: probe.pods(reader, namespace, size),
        "jobs": lambda: probe.jobs(reader, namespace, size),
        "events": lambda: probe.warning_events(reader, namespace, size),
        "autoscalers": lambda: probe.autoscalers(reader, namespace, size),
        "budgets": lambda: probe.disruption_budgets(reader, namespace, size),
        "nodes": lambda: probe.nodes(reader, size),
        "node_usage": lambda: probe.node_usage(reader, size),
        "pod_usage": lambda: probe.pod_usage(reader, namespace, size),
        "previous": previous,
    }
    return inquire("kubernetes", looks, questions(namespace, limits, now), deadline_s=deadline_s)


def questions(namespace: str, limits: KubernetesLimits, now: datetime) -> list[Question]:
    """Return what is asked of the answers."""
    dated: dict[str, Any] = {"limits": limits, "now": now}
    ready = partial(workloads.judge_workloads, namespace=namespace)
    inside = partial(_question, "H-05", f"namespace/{namespace}")

    def healthy(pods: Sequence[Pod], before: Mapping[str, float]) -> Iterable[Finding]:
        return workloads.judge_pods(pods, namespace=namespace, previous=before, **dated)

    return [
        inside("workloads_ready", ["workloads"], ready),
        inside("pods_healthy", ["pods", "previous"], healthy),
        inside("jobs_finished", ["jobs"], partial(workloads.judge_jobs, **dated)),
        inside("warning_events", ["events"], partial(workloads.judge_events, **dated)),
        inside("autoscalers", ["autoscalers"], workloads.judge_autoscalers),
        inside("disruption_budgets", ["budgets"], workloads.judge_budgets),
        _question("H-06", "nodes", "nodes_ready", ["nodes"], usage.judge_nodes),
        _question("H-06", "nodes", "node_usage", ["nodes", "node_usage"], partial(usage.judge_node_usage, **dated)),
        _question("H-07", "pods", "pod_usage", ["pods", "pod_usage"], partial(usage.judge_pod_usage, **dated)),
    ]


def _question(item: str, subject: str, check: str, needs: list[str], judge: Callable[..., object]) -> Question:
    step = METRICS_STEP if check.endswith("_usage") else "check connections.kubernetes and the setting namespace"
    return Question(item=item, check=check, subject=subject, needs=tuple(needs), judge=judge, next_step=step)  # type: ignore[arg-type]
