"""Pods as the simulator sees them: read from the API's JSON, judged without a look at anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.images import behaviour_of

SERVICES = ("api-gateway", "auth-service", "worker", "scheduler")


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What matters of a pod.

    :param behaviour: a key of `sandbox.images.DIGESTS`, by the image of the first container.
    :param ready: the Ready condition holds and nobody has asked the pod to go.
    :param running: its containers use processor and memory, whether they are ready or not.
    :param restarts: of the first container.
    """

    name: str
    app: str
    container: str
    node: str
    behaviour: str
    ready: bool
    running: bool
    restarts: int
    created: str

    @property
    def serves(self) -> bool:
        """Whether it is a replica of a service that we play, and may work."""
        return self.ready and self.app in SERVICES


def pod_from(raw: Mapping[str, Any]) -> Pod:
    """Read one pod of the API's JSON."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    container = spec["containers"][0]
    return Pod(
        name=metadata["name"],
        app=metadata.get("labels", {}).get("app", ""),
        container=container["name"],
        node=spec.get("nodeName", ""),
        behaviour=behaviour_of(container["image"]),
        ready=_is_ready(status) and "deletionTimestamp" not in metadata,
        running=_is_running(status),
        restarts=_restarts(status),
        created=metadata.get("creationTimestamp", ""),
    )


def replicas(pods: Iterable[Pod]) -> dict[str, Pod]:
    """Return the pods that do the application's work, by name."""
    return {pod.name: pod for pod in pods if pod.serves}


def _is_ready(status: Mapping[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    return status.get("phase") == "Running" and conditions.get("Ready") == "True"


def _is_running(status: Mapping[str, Any]) -> bool:
    states = (container.get("state", {}) for container in status.get("containerStatuses", ()))
    return status.get("phase") == "Running" and any("running" in state for state in states)


def _restarts(status: Mapping[str, Any]) -> int:
    return next((int(container["restartCount"]) for container in status.get("containerStatuses", ())), 0)
