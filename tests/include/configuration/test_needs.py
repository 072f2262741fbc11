from __future__ import annotations

from typing import Any

import pytest

from include.configuration import needs
from include.configuration.normalise import Object
from tests.include.configuration.things import thing

PLURALS = {("cert-manager.io", "Certificate"): "certificates", ("apps", "Deployment"): "deployments"}


def of(*things: Object) -> list[str]:
    return [f"{need.plural}/{need.name}" for need in needs.of(things, PLURALS)]


def pods(**spec: Any) -> Object:
    return {"template": {"spec": {"containers": [], **spec}}}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (thing("ConfigMap", "a", data={}), []),
        (
            thing("Certificate", "a", "cert-manager.io/v1", spec={}),
            ["customresourcedefinitions/certificates.cert-manager.io"],
        ),
        (thing("Deployment", "a", "apps/v1", spec=pods(priorityClassName="high")), ["priorityclasses/high"]),
        (
            thing("CronJob", "a", "batch/v1", spec={"jobTemplate": {"spec": pods(runtimeClassName="gvisor")}}),
            ["runtimeclasses/gvisor"],
        ),
        (thing("Pod", "a", spec={"priorityClassName": "high"}), ["priorityclasses/high"]),
        (thing("PersistentVolumeClaim", "a", spec={"storageClassName": "fast"}), ["storageclasses/fast"]),
        (thing("PersistentVolume", "a", spec={"storageClassName": "fast"}), ["storageclasses/fast"]),
        (
            thing(
                "StatefulSet",
                "a",
                "apps/v1",
                spec={"volumeClaimTemplates": [{"spec": {"storageClassName": "fast"}}], **pods()},
            ),
            ["storageclasses/fast"],
        ),
        (thing("Ingress", "a", "networking.k8s.io/v1", spec={"ingressClassName": "front"}), ["ingressclasses/front"]),
        (thing("RoleBinding", "a", roleRef={"kind": "ClusterRole", "name": "view"}), ["clusterroles/view"]),
        (thing("RoleBinding", "a", roleRef={"kind": "Role", "name": "own"}), []),
        (thing("Ingress", "a", "networking.k8s.io/v1", spec={"ingressClassName": ""}), []),
        (thing("Odd", "a", "v1", spec="text"), []),
    ],
)
def test_what_an_object_needs_of_its_cluster(seen: Object, wanted: list[str]) -> None:
    assert of(seen) == wanted


def test_each_is_named_once_whoever_needs_it() -> None:
    both = [thing("PersistentVolumeClaim", name, spec={"storageClassName": "fast"}) for name in "ab"]
    assert of(*both) == ["storageclasses/fast"]


def test_a_binding_of_the_cluster_is_ours_by_an_account_of_the_namespace() -> None:
    ours = {"subjects": [{"kind": "User", "name": "x"}, {"kind": "ServiceAccount", "name": "a", "namespace": "shop"}]}
    assert needs.is_bound_to(ours, "shop")
    assert not needs.is_bound_to(ours, "till")
    assert not needs.is_bound_to({"subjects": None}, "shop")


def test_a_volume_is_ours_by_its_claim() -> None:
    assert needs.is_claimed_by({"spec": {"claimRef": {"namespace": "shop"}}}, "shop")
    assert not needs.is_claimed_by({"spec": {"claimRef": {"namespace": "till"}}}, "shop")
    assert not needs.is_claimed_by({"spec": {}}, "shop")


def test_what_every_cluster_has_of_its_own_accord_is_left_there() -> None:
    assert needs.comes_with_the_cluster(
        thing("ClusterRole", "view", metadata={"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}})
    )
    assert needs.comes_with_the_cluster(thing("PriorityClass", "system-cluster-critical"))
    assert not needs.comes_with_the_cluster(thing("ClusterRole", "orchestrator-nodes"))
