from __future__ import annotations

from typing import Any

import pytest

from include.configuration.references import readers, reads


def workload(kind: str = "Deployment", called: str = "w", **pod: Any) -> dict[str, Any]:
    api = "apps/v1"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": called}, "spec": {"template": {"spec": pod}}}


@pytest.mark.parametrize(
    ("pod", "what"),
    [
        (
            {"containers": [{"envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}]}]},
            "configmap/a secret/b",
        ),
        ({"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "a", "key": "k"}}}]}]}, "configmap/a"),
        ({"initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}]}]}, "secret/b"),
        ({"volumes": [{"configMap": {"name": "a"}}, {"secret": {"secretName": "b"}}]}, "configmap/a secret/b"),
        (
            {"volumes": [{"projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}}]},
            "configmap/a secret/b",
        ),
        ({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "b"}}}]}, "secret/b"),
        ({"imagePullSecrets": [{"name": "b"}]}, "secret/b"),
        ({"containers": [{"env": [{"name": "PLAIN", "value": "configmap/a"}]}], "volumes": [{"emptyDir": {}}]}, ""),
    ],
)
def test_every_way_of_reading_counts(pod: dict[str, Any], what: str) -> None:
    assert reads(workload(**pod)) == set(what.split())


def test_bug_40_only_readers_of_what_changed_are_restarted_stateful_ones_too() -> None:
    reading = {"imagePullSecrets": [{"name": "b"}]}
    things = [
        workload("Deployment", "front", **reading),
        workload("StatefulSet", "back", **reading),
        workload("DaemonSet", "agent", imagePullSecrets=[{"name": "other"}]),
    ]
    assert readers(things, {"secret/b", "configmap/z"}) == {
        "deployment/front": ["secret/b"],
        "statefulset/back": ["secret/b"],
    }
