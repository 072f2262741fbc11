"""What a namespace needs of its cluster: the definitions of its custom kinds, its volumes, classes and rights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.configuration.bundle import KindRead
from include.configuration.normalise import Object, group

RBAC = "rbac.authorization.k8s.io"
BINDINGS = KindRead(group=RBAC, version="v1", kind="ClusterRoleBinding", plural="clusterrolebindings", namespaced=False)
VOLUMES = KindRead(group="", version="v1", kind="PersistentVolume", plural="persistentvolumes", namespaced=False)


@dataclass(frozen=True, kw_only=True)
class Need:
    """One object of the cluster, by its address."""

    group: str
    version: str
    kind: str
    plural: str
    name: str


def of(things: Iterable[Object], plurals: Mapping[tuple[str, str], str]) -> list[Need]:
    """Return what these need, each once, in a stable order.

    :param plurals: of the namespaced kinds, by group and kind.
    """
    found = {need for thing in things for need in _needs(thing, plurals)}
    return sorted(found, key=lambda need: (need.group, need.plural, need.name))


def _needs(thing: Object, plurals: Mapping[tuple[str, str], str]) -> Iterator[Need]:
    kind, spec = thing["kind"], thing.get("spec")
    plural = plurals.get((group(thing), kind))
    if plural and "." in group(thing):  # every other group is built in
        yield _definition(f"{plural}.{group(thing)}")
    if kind in {"RoleBinding", "ClusterRoleBinding"} and thing["roleRef"]["kind"] == "ClusterRole":
        yield Need(group=RBAC, version="v1", kind="ClusterRole", plural="clusterroles", name=thing["roleRef"]["name"])
    if isinstance(spec, dict):
        yield from _classes(kind, spec)


def _definition(name: str) -> Need:
    api, kind = "apiextensions.k8s.io", "CustomResourceDefinition"
    return Need(group=api, version="v1", kind=kind, plural="customresourcedefinitions", name=name)


def _classes(kind: str, spec: Mapping[str, Any]) -> Iterator[Need]:
    if kind == "PersistentVolumeClaim":
        yield from _named("storage.k8s.io", "StorageClass", "storageclasses", spec.get("storageClassName"))
    if kind == "PersistentVolume":
        yield from _named("storage.k8s.io", "StorageClass", "storageclasses", spec.get("storageClassName"))
    if kind == "Ingress":
        yield from _named("networking.k8s.io", "IngressClass", "ingressclasses", spec.get("ingressClassName"))
    for claim in spec.get("volumeClaimTemplates") or ():
        name = claim.get("spec", {}).get("storageClassName")
        yield from _named("storage.k8s.io", "StorageClass", "storageclasses", name)
    if pod := _pod(kind, spec):
        yield from _named("scheduling.k8s.io", "PriorityClass", "priorityclasses", pod.get("priorityClassName"))
        yield from _named("node.k8s.io", "RuntimeClass", "runtimeclasses", pod.get("runtimeClassName"))


def _pod(kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    template = (spec.get("jobTemplate") or {}).get("spec", spec).get("template")
    inside = template.get("spec") if isinstance(template, dict) else None
    return spec if kind == "Pod" else inside if isinstance(inside, dict) else {}


def _named(group: str, kind: str, plural: str, name: object) -> Iterator[Need]:
    if isinstance(name, str) and name:
        yield Need(group=group, version="v1", kind=kind, plural=plural, name=name)


def is_bound_to(binding: Mapping[str, Any], namespace: str) -> bool:
    """Whether a binding of the whole cluster gives rights to an account of the namespace."""
    return any(
        each.get("kind") == "ServiceAccount" and each.get("namespace") == namespace
        for each in binding.get("subjects") or ()
    )


def is_claimed_by(volume: Mapping[str, Any], namespace: str) -> bool:
    """Whether a volume holds data of the namespace."""
    return bool((volume["spec"].get("claimRef") or {}).get("namespace") == namespace)


LISTED: Sequence[tuple[KindRead, Callable[[Mapping[str, Any], str], bool]]] = (
    (BINDINGS, is_bound_to),
    (VOLUMES, is_claimed_by),
)
"""Kinds of the cluster that name the namespace themselves, and are therefore listed."""


def comes_with_the_cluster(thing: Mapping[str, Any]) -> bool:
    """Whether every cluster has it of its own accord."""
    labels = thing["metadata"].get("labels") or {}
    return labels.get("kubernetes.io/bootstrapping") == "rbac-defaults" or thing["metadata"]["name"].startswith(
        "system-"
    )
