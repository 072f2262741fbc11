from __future__ import annotations

from typing import Any

import pytest

from include.configuration import normalise
from include.configuration.normalise import LAST_APPLIED, Object, normalised
from tests.include.configuration.things import config, thing


def test_bug_19_what_the_server_wrote_is_gone_and_what_a_person_wrote_stays() -> None:
    seen = thing(
        "ConfigMap",
        "app",
        metadata={"labels": {"app": "x"}, "annotations": {LAST_APPLIED: "{}", "team": "ops"}},
        data={"a": "1"},
        status={"x": 1},
    )
    wanted = config(a="1")
    wanted["metadata"] |= {"labels": {"app": "x"}, "annotations": {"team": "ops"}}
    assert normalised(seen) == wanted


def test_normalising_twice_changes_nothing_and_never_what_it_was_given() -> None:
    seen = service(port={"port": 80, "nodePort": 30_000})
    before = repr(seen)
    once = normalised(seen)
    assert normalised(once) == once
    assert repr(seen) == before


def service(port: dict[str, Any], *, fields: dict[str, Any] | None = None, **spec: Any) -> Object:
    entries = [{"manager": "kubectl", "fieldsV1": fields or {}}]
    return thing("Service", "web", metadata={"managedFields": entries}, spec={"ports": [port], **spec})


def test_bug_19_addresses_that_were_assigned_are_dropped_and_those_that_were_chosen_stay() -> None:
    assigned = service({"port": 80, "nodePort": 30_000}, clusterIP="10.0.0.7", clusterIPs=["10.0.0.7"])
    assert normalised(assigned)["spec"] == {"ports": [{"port": 80}]}
    chosen: dict[str, Any] = {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:nodePort": {}}}}}
    assert (
        normalised(service({"port": 80, "nodePort": 30_000}, fields=chosen))["spec"]["ports"][0]["nodePort"] == 30_000
    )
    headless = service({"port": 80}, clusterIP="None", clusterIPs=["None"])
    assert normalised(headless)["spec"]["clusterIP"] == "None"


def test_a_claim_forgets_the_volume_that_a_controller_gave_it() -> None:
    by: dict[str, Any] = {"f:spec": {"f:volumeName": {}}}
    for manager, kept in (("kube-controller-manager", False), ("kubectl", True)):
        entries = [{"manager": manager, "fieldsV1": by}]
        claim = thing("PersistentVolumeClaim", "data", metadata={"managedFields": entries}, spec={"volumeName": "pv-1"})
        assert ("volumeName" in normalised(claim)["spec"]) is kept


def test_a_job_forgets_the_selector_that_was_made_for_it() -> None:
    labels = {"controller-uid": "u", "batch.kubernetes.io/job-name": "j", "app": "x"}
    spec = {"selector": {"matchLabels": {}}, "template": {"metadata": {"labels": labels, "creationTimestamp": None}}}
    found = normalised(thing("Job", "j", "batch/v1", spec=spec))
    assert found["spec"] == {"template": {"metadata": {"labels": {"app": "x"}}}}


def test_finalizers_of_kubernetes_go_and_those_of_others_stay() -> None:
    names = ["kubernetes.io/pvc-protection", "foregroundDeletion", "example.com/keep"]
    assert normalised(thing("ConfigMap", "a", metadata={"finalizers": names}))["metadata"]["finalizers"] == [
        "example.com/keep"
    ]


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (thing("Secret", "t", type="kubernetes.io/service-account-token"), "token"),
        (thing("Secret", "sh.helm.release.v1.x", type="helm.sh/release.v1"), "Helm"),
        (thing("ConfigMap", "sh.helm.release.v1.x.v1"), "Helm"),
        (thing("ConfigMap", "kube-root-ca.crt"), "published"),
        (thing("Lease", "l", "coordination.k8s.io/v1"), "lease"),
        (thing("Event", "e"), "event"),
        (thing("ReplicaSet", "r", "apps/v1", metadata={"ownerReferences": [{"uid": "x"}]}), "owner"),
        (thing("ConfigMap", "c", metadata={"deletionTimestamp": "2026-11-26T00:00:00Z"}), "deleted"),
        (thing("Job", "j", "batch/v1", status={"conditions": [{"type": "Complete", "status": "True"}]}), "ended"),
        (thing("Pod", "p", status={"phase": "Succeeded"}), "ended"),
        (thing("Endpoints", "e", metadata={"managedFields": [{"manager": "kube-controller-manager"}]}), "Service"),
    ],
)
def test_what_is_no_configuration_is_left_out_by_a_rule_that_has_a_name(seen: Object, why: str) -> None:
    assert why in normalise.left_out(seen)


@pytest.mark.parametrize(
    "seen",
    [
        thing("Secret", "s", type="Opaque"),
        thing("Secret", "s", type="kubernetes.io/tls"),
        thing("ConfigMap", "c"),
        thing("Job", "j", "batch/v1", status={"active": 1}),
        thing("Endpoints", "by-hand", metadata={"managedFields": [{"manager": "kubectl"}]}),
        thing("Certificate", "c", "cert-manager.io/v1"),
    ],
)
def test_what_a_person_wrote_is_not_left_out(seen: Object) -> None:
    assert normalise.left_out(seen) == ""


def test_what_others_need_comes_first() -> None:
    kinds = ["Ingress", "Deployment", "Service", "ConfigMap", "Secret", "Role", "Namespace", "CustomResourceDefinition"]
    sorted_kinds = sorted(kinds, key=normalise.rank)
    assert sorted_kinds == [
        "Namespace",
        "CustomResourceDefinition",
        "Role",
        "Secret",
        "ConfigMap",
        "Service",
        "Deployment",
        "Ingress",
    ]


def test_a_custom_kind_is_named_with_its_group() -> None:
    assert normalise.name(thing("Certificate", "x", "cert-manager.io/v1")) == "certificate.cert-manager.io/x"
    assert normalise.name(thing("Deployment", "x", "apps/v1")) == "deployment/x"
