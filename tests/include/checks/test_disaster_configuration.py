from __future__ import annotations

from typing import Any

import pytest

from include.checks.disaster import judge_configuration
from include.disaster.configuration import Restored, is_made, quiet
from include.findings import Severity
from include.settings import BackupLimits


@pytest.mark.parametrize(
    ("restored", "severity"),
    [
        (Restored(namespace="shop", made=20, tried=3, rights=2), Severity.OK),
        (Restored(namespace="shop", tried=3), Severity.CRITICAL),
        (Restored(namespace="shop", made=20, refused=["ingress/front: 422 spec"]), Severity.CRITICAL),
        (Restored(namespace="shop", made=20, differing=["secret/login: data.password"]), Severity.CRITICAL),
    ],
)
def test_m_03_a_configuration_counts_only_when_all_of_it_came_back(restored: Restored, severity: Severity) -> None:
    found = judge_configuration(restored, "backups/configuration/shop/1/", 4.2, BackupLimits())
    assert (found.severity, found.subject) == (severity, "configuration/shop")
    assert found.evidence["wrong"] == [*restored.refused, *restored.differing]
    assert bool(found.next_step) is (severity is not Severity.OK)


def thing(kind: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "dr"}, "spec": spec}


def test_nothing_that_is_made_can_work() -> None:
    assert quiet(thing("Deployment", replicas=3))["spec"]["replicas"] == 0
    assert quiet(thing("StatefulSet", replicas=3))["spec"]["replicas"] == 0
    assert quiet(thing("CronJob", schedule="* * * * *"))["spec"]["suspend"] is True
    agent = quiet(thing("DaemonSet", template={"spec": {"nodeSelector": {"os": "linux"}}}))
    assert "os" not in agent["spec"]["template"]["spec"]["nodeSelector"]
    outside = quiet(thing("Service", type="LoadBalancer", loadBalancerIP="1.2.3.4", ports=[]))
    assert outside["spec"] == {"type": "ClusterIP", "ports": []}


@pytest.mark.parametrize(
    "kind", ["Ingress", "HorizontalPodAutoscaler", "PersistentVolumeClaim", "Certificate", "Job", "Pod"]
)
def test_what_reaches_outside_is_only_tried(kind: str) -> None:
    assert not is_made(thing(kind))
