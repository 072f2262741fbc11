"""What of the cluster is configuration, and what of an object a person wrote: rules, and nothing that looks anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CONTROLLERS = frozenset({"kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubelet", "kwok"})
"""Field managers that are no person and no tool of one."""

ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "IngressClass",
    "RuntimeClass",
    "PersistentVolume",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "Service",
    "Endpoints",
    "EndpointSlice",
)
LAST = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress")
"""Everything else comes between the two: workloads and custom kinds need what is in `ORDER`, and these need them."""

_METADATA = frozenset(
    {
        "managedFields",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
    }
)
_ANNOTATIONS = (
    LAST_APPLIED,  # a copy of the object, of a Secret in plain text too
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/storage-provisioner",
    "control-plane.alpha.kubernetes.io/leader",
    "batch.kubernetes.io/job-tracking",
    "endpoints.kubernetes.io/last-change-trigger-time",
)
_JOB_LABELS = frozenset(
    {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
)
_LEASES_AND_LIKE = {
    ("", "Event"): "an event",
    ("events.k8s.io", "Event"): "an event",
    ("coordination.k8s.io", "Lease"): "a lease",
}
_SECRETS = {
    "kubernetes.io/service-account-token": "a service account's token",
    "helm.sh/release.v1": "a release of Helm",
    "bootstrap.kubernetes.io/token": "a bootstrap token",
}


def group(thing: Mapping[str, Any]) -> str:
    """Return the API group, "" for the core."""
    return str(thing["apiVersion"]).rpartition("/")[0]


def is_group_left_out(group: str) -> bool:
    """Whether a group only measures; one that is down would keep the whole backup waiting."""
    return group.endswith("metrics.k8s.io")


def is_kind_left_out(group: str, kind: str) -> bool:
    """Whether no object of the kind is configuration, so that it need not be listed."""
    return (group, kind) in _LEASES_AND_LIKE


def left_out(thing: Mapping[str, Any]) -> str:
    """Return the rule by which an object is no configuration, "" if it is."""
    return next(filter(None, _reasons(thing)), "")


def _reasons(thing: Mapping[str, Any]) -> Iterator[str]:
    kind, metadata = thing["kind"], thing["metadata"]
    yield _LEASES_AND_LIKE.get((group(thing), kind), "")
    if metadata.get("ownerReferences"):
        yield "made by its owner"
    if metadata.get("deletionTimestamp"):
        yield "being deleted"
    if rule := _RULES.get(kind):
        yield rule(thing)


def _no_secret_of_ours(thing: Mapping[str, Any]) -> str:
    return _SECRETS.get(thing.get("type", ""), "")


def _no_config_map_of_ours(thing: Mapping[str, Any]) -> str:
    if thing["metadata"]["name"] == "kube-root-ca.crt":
        return "published into every namespace"
    return _SECRETS["helm.sh/release.v1"] if thing["metadata"]["name"].startswith("sh.helm.release.v1.") else ""


def _made_for_a_service(thing: Mapping[str, Any]) -> str:
    return "made for a Service" if _is_made_by_a_controller(thing) else ""


def _ended(thing: Mapping[str, Any]) -> str:
    return "it has ended, and would run again" if _is_over(thing) else ""


_RULES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "Secret": _no_secret_of_ours,
    "ConfigMap": _no_config_map_of_ours,
    "Endpoints": _made_for_a_service,
    "EndpointSlice": _made_for_a_service,
    "Job": _ended,
    "Pod": _ended,
}


def _is_made_by_a_controller(thing: Mapping[str, Any]) -> bool:
    managers = {entry.get("manager") for entry in thing["metadata"].get("managedFields", ())}
    by_label = any("managed-by" in name and ".k8s.io/" in name for name in thing["metadata"].get("labels", {}))
    return (bool(managers) and managers <= CONTROLLERS) or by_label


def _is_over(thing: Mapping[str, Any]) -> bool:
    status = thing.get("status", {})
    ended = any(
        each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in status.get("conditions") or ()
    )
    return ended or status.get("phase") in {"Succeeded", "Failed"}


def normalised(thing: Mapping[str, Any]) -> Object:
    """Return the object as it can be applied again: what the server and its controllers wrote is gone."""
    found: Object = {name: deepcopy(value) for name, value in thing.items() if name not in {"status", "metadata"}}
    found["metadata"] = _metadata(thing["metadata"])
    if rule := _OF_A_KIND.get((group(thing), thing["kind"])):
        rule(found, thing)
    _forget_null_times(found)
    return found


def _metadata(metadata: Mapping[str, Any]) -> Object:
    kept = {name: deepcopy(value) for name, value in metadata.items() if name not in _METADATA}
    annotations = {
        name: value for name, value in kept.pop("annotations", {}).items() if not name.startswith(_ANNOTATIONS)
    }
    finalizers = [name for name in kept.pop("finalizers", ()) if not _is_of_kubernetes(name)]
    return (
        kept
        | ({"annotations": annotations} if annotations else {})
        | ({"finalizers": finalizers} if finalizers else {})
    )


def _is_of_kubernetes(finalizer: str) -> bool:
    domain = finalizer.partition("/")[0] if "/" in finalizer else ""
    return not domain or domain == "kubernetes.io" or domain.endswith(".kubernetes.io")


def _forget_null_times(found: Object) -> None:
    for spec in (found.get("spec"), (found.get("spec") or {}).get("jobTemplate")):
        template = (spec or {}).get("template") if isinstance(spec, dict) else None
        for holder in (template, spec):
            if isinstance(holder, dict) and isinstance(holder.get("metadata"), dict):
                holder["metadata"].pop("creationTimestamp", None)
    for claim in (
        (found.get("spec") or {}).get("volumeClaimTemplates", ()) if isinstance(found.get("spec"), dict) else ()
    ):
        claim.pop("status", None)
        claim.get("metadata", {}).pop("creationTimestamp", None)


def is_written(thing: Mapping[str, Any], *path: str) -> bool:
    """Whether somebody who is no controller of Kubernetes wrote a field: `f:spec`, `f:type`."""
    entries = (entry for entry in thing["metadata"].get("managedFields", ()) if entry.get("manager") not in CONTROLLERS)
    return any(_holds(entry.get("fieldsV1", {}), path) for entry in entries)


def _holds(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    if not path:
        return True
    names = [name for name in fields if name.startswith("k:")] if path[0] == "*" else [path[0]]
    return any(name in fields and _holds(fields[name], path[1:]) for name in names)


def _service(found: Object, thing: Mapping[str, Any]) -> None:
    spec = found.get("spec", {})
    if spec.get("clusterIP") != "None":  # that one is a choice, not an address
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    spec.pop("healthCheckNodePort", None)
    if not is_written(thing, "f:spec", "f:ports", "*", "f:nodePort"):
        for port in spec.get("ports", ()):
            port.pop("nodePort", None)


def _claim(found: Object, thing: Mapping[str, Any]) -> None:
    if not is_written(thing, "f:spec", "f:volumeName"):
        found.get("spec", {}).pop("volumeName", None)


def _volume(found: Object, _: Mapping[str, Any]) -> None:
    for name in ("uid", "resourceVersion"):
        (found.get("spec", {}).get("claimRef") or {}).pop(name, None)


def _job(found: Object, _: Mapping[str, Any]) -> None:
    spec = found["spec"]
    for labels in (found["metadata"].get("labels"), spec["template"].get("metadata", {}).get("labels")):
        for name in _JOB_LABELS if labels else ():
            labels.pop(name, None)
    if not spec.get("manualSelector"):
        spec.pop("selector", None)


def _account(found: Object, thing: Mapping[str, Any]) -> None:
    kept = [
        each
        for each in found.pop("secrets", ())
        if not each.get("name", "").startswith(f"{thing['metadata']['name']}-token-")
    ]
    if kept:
        found["secrets"] = kept


def _namespace(found: Object, _: Mapping[str, Any]) -> None:
    found.pop("spec", None)


def _pod(found: Object, _: Mapping[str, Any]) -> None:
    spec = found["spec"]
    spec.pop("nodeName", None)
    spec["volumes"] = [each for each in spec.get("volumes", ()) if not each["name"].startswith("kube-api-access-")]
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        mounts = [each for each in container.get("volumeMounts", ()) if not each["name"].startswith("kube-api-access-")]
        container["volumeMounts"] = mounts


_OF_A_KIND: Mapping[tuple[str, str], Callable[[Object, Mapping[str, Any]], None]] = {
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "ServiceAccount"): _account,
    ("", "Namespace"): _namespace,
    ("", "Pod"): _pod,
    ("batch", "Job"): _job,
}


def rank(kind: str) -> int:
    """Return where a kind comes when objects are applied one after the other."""
    if kind in ORDER:
        return ORDER.index(kind)
    return len(ORDER) + 1 + LAST.index(kind) if kind in LAST else len(ORDER)


def order(thing: Mapping[str, Any]) -> tuple[int, str, str, str, str]:
    """Return by what objects are sorted: as they are applied, and always the same way."""
    metadata = thing["metadata"]
    return rank(thing["kind"]), group(thing), thing["kind"], metadata.get("namespace", ""), metadata["name"]


def name(thing: Mapping[str, Any]) -> str:
    """Return `configmap/api-config`, with the group where it is not one of Kubernetes' own: `certificate.cert-manager.io/x`."""
    of = group(thing)
    kind = thing["kind"].lower()
    return (
        f"{kind}.{of}/{thing['metadata']['name']}"
        if "." in of and not of.endswith(".k8s.io")
        else f"{kind}/{thing['metadata']['name']}"
    )
