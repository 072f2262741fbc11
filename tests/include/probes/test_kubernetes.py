from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import ConfigurationError, TransientError
from include.probes import kubernetes as probe
from include.probes.kubernetes import ExpiredListError, refusal
from include.probes.quantities import quantity

Query = Mapping[str, str | int]


class Fake:
    """Answers lists in pages of what it was given; the page size is the caller's."""

    def __init__(self, items: Mapping[str, list[Any]], *, expires_after: int = 0) -> None:
        self.items = items
        self.asked: list[tuple[str, Query]] = []
        self.expires_after = expires_after

    def get(self, path: str, query: Query) -> Mapping[str, Any]:
        self.asked.append((path, query))
        if self.expires_after and len(self.asked) == self.expires_after:
            raise ExpiredListError("410")
        start, size = int(query.get("continue", 0)), int(query["limit"])
        found = self.items.get(path.rpartition("/")[2], [])
        more = str(start + size) if start + size < len(found) else ""
        return {"items": found[start : start + size], "metadata": {"continue": more}}


POD: dict[str, Any] = {
    "metadata": {"name": "worker-1", "labels": {"app": "worker"}, "creationTimestamp": "2026-03-01T09:00:00Z"},
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "worker", "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}}],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "worker",
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": "2026-03-02T08:00:00Z"}},
            }
        ],
    },
}


def test_a_list_is_read_page_by_page_to_its_end() -> None:
    fake = Fake({"pods": [POD] * 5})
    assert len(probe.pods(fake, "ns", 2)) == 5
    assert [query.get("continue") for _, query in fake.asked] == [None, "2", "4"]


def test_a_list_that_expires_in_the_middle_is_begun_again_and_not_cut() -> None:
    fake = Fake({"pods": [POD] * 5}, expires_after=2)
    assert len(probe.pods(fake, "ns", 2)) == 5


def test_bug_74_every_namespaced_list_names_its_namespace() -> None:
    fake = Fake({})
    reads: list[Callable[[Fake, str, int], object]] = [
        probe.workloads,
        probe.pods,
        probe.jobs,
        probe.warning_events,
        probe.autoscalers,
        probe.disruption_budgets,
        probe.pod_usage,
    ]
    for read in reads:
        read(fake, "ai-orchestrator", 500)
    assert all("/namespaces/ai-orchestrator/" in path for path, _ in fake.asked)


def test_bug_73_a_pod_is_read_with_its_readiness_its_restarts_and_why_it_died() -> None:
    (pod,) = probe.pods(Fake({"pods": [POD]}), "ns", 500)
    (container,) = pod.containers
    assert (pod.phase, pod.ready, pod.restarts) == ("Running", False, 4)
    assert (container.waiting, container.killed_for) == ("CrashLoopBackOff", "OOMKilled")
    assert (container.cpu_request, container.memory_limit, container.cpu_limit) == (0.25, 1024**3, None)


def test_a_pod_that_is_being_deleted_says_by_when_it_should_be_gone() -> None:
    ends = POD | {"metadata": POD["metadata"] | {"deletionTimestamp": "2026-03-02T08:59:30Z"}}
    found = [pod.gone_by for pod in probe.pods(Fake({"pods": [POD, ends]}), "ns", 500)]
    assert found == [None, datetime(2026, 3, 2, 8, 59, 30, tzinfo=UTC)]


def test_a_rollout_that_the_controller_gave_up_is_stalled() -> None:
    conditions = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    status = {
        "replicas": 7,
        "readyReplicas": 6,
        "updatedReplicas": 1,
        "observedGeneration": 2,
        "conditions": conditions,
    }
    item = {"metadata": {"name": "worker", "generation": 2}, "spec": {"replicas": 6}, "status": status}
    (found,) = probe.workloads(Fake({"deployments": [item]}), "ns", 500)
    assert (found.want, found.ready, found.total, found.stalled, found.rolling) == (6, 6, 7, True, False)


def test_warnings_about_one_thing_are_added_up() -> None:
    def event(count: int, moment: str) -> dict[str, Any]:
        involved = {"kind": "Pod", "name": "x"}
        return {
            "metadata": {},
            "involvedObject": involved,
            "reason": "BackOff",
            "count": count,
            "lastTimestamp": moment,
        }

    fake = Fake({"events": [event(3, "2026-03-02T08:00:00Z"), event(4, "2026-03-02T08:30:00Z")]})
    (found,) = probe.warning_events(fake, "ns", 500)
    assert (found.subject, found.count, found.last_at) == ("pod/x", 7, datetime(2026, 3, 2, 8, 30, tzinfo=UTC))
    assert fake.asked[0][1]["fieldSelector"] == "type=Warning"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, ConfigurationError),
        (410, ExpiredListError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
    ],
)
def test_a_refusal_is_an_error_and_never_an_empty_list(status: int, kind: type[Exception]) -> None:
    error = refusal(status, "/api/v1/nodes", "reason")
    assert isinstance(error, kind)
    assert "/api/v1/nodes" in str(error)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("4", 4),
        ("1.5Gi", 1.5 * 1024**3),
        ("128974848", 128974848),
        ("1e3", 1000),
        ("5n", 5e-9),
        (None, None),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str | None, number: float | None) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "four", "1Zi", "1 Gi", "1Gi\n"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no Kubernetes quantity"):
        quantity(text)
