"""Which workloads read which ConfigMaps and Secrets: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from include.configuration.normalise import name
from include.probes.kubernetes import Json

RESTARTED = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds whose pods live on with what they read at their start; a CronJob's next pod reads anew."""


def reads(workload: Json) -> set[str]:
    """Return what the pods of a workload read: `configmap/api-config`, `secret/database-credentials`."""
    return set(_reads(workload["spec"]["template"]["spec"]))


def readers(workloads: Sequence[Json], changed: set[str]) -> dict[str, list[str]]:
    """Return the workloads that read something of what changed, each with what it reads of it."""
    found = {name(each): sorted(reads(each) & changed) for each in workloads if each["kind"] in RESTARTED}
    return {subject: what for subject, what in sorted(found.items()) if what}


def _reads(pod: Json) -> Iterator[str]:
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        yield from _of_a_container(container)
    for volume in pod.get("volumes") or ():
        yield from _of_a_volume(volume)
    yield from (f"secret/{each['name']}" for each in pod.get("imagePullSecrets") or () if each.get("name"))


def _of_a_container(container: Json) -> Iterator[str]:
    for source in container.get("envFrom") or ():
        yield from _referred(source.get("configMapRef"), source.get("secretRef"))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _referred(source.get("configMapKeyRef"), source.get("secretKeyRef"))


def _of_a_volume(volume: Json) -> Iterator[str]:
    yield from _referred(volume.get("configMap"), volume.get("secret"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _referred(source.get("configMap"), source.get("secret"))
    yield from _referred(None, (volume.get("csi") or {}).get("nodePublishSecretRef"))


def _referred(config_map: Any, secret: Any) -> Iterator[str]:
    for kind, reference in (("configmap", config_map), ("secret", secret)):
        found = (reference or {}).get("name") or (reference or {}).get("secretName")
        if found:
            yield f"{kind}/{found}"
