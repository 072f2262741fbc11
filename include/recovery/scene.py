"""Who works in the namespace: every workload, its pods and its jobs, and who among them may write to the database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.probes.kubernetes import Json, Reader, list_all
from include.recovery.cluster import PATHS
from include.settings import RecoveryLimits

PREFIX = "recovery.ai-orchestrator.example/"
OP, FENCE, WAS = f"{PREFIX}op", f"{PREFIX}fence", f"{PREFIX}recorded"
"""Annotations of what we stopped: for which operation, by which holder of its lease, and how it ran before."""

SCALED = ("deployment", "statefulset")
AUTOSCALER = "horizontalpodautoscaler"
STARTERS = ("daemonset", "cronjob", *SCALED)
"""Kinds that make pods by themselves; of the others (jobs, bare pods) only those at work count."""

MANAGERS: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "scaledobject.keda.sh/name": "KEDA",
}
"""Labels and annotations by which those who restore counts of their own accord mark what is theirs."""


@dataclass(frozen=True)
class Scene:
    """The objects of a namespace by kind, as the API server listed them."""

    things: Mapping[str, Sequence[Json]]

    def of(self, kind: str) -> Sequence[Json]:
        """Return the objects of a kind."""
        return self.things.get(kind, ())

    def find(self, subject: str) -> Json | None:
        """Return the object called `deployment/worker`, None if there is none."""
        kind, _, name = subject.partition("/")
        return next((thing for thing in self.of(kind) if thing["metadata"]["name"] == name), None)

    def root(self, thing: Json, kind: str) -> str:
        """Return the subject at the end of the chain of owners: of a pod its deployment, of a bare pod itself."""
        owner = controller(thing)
        if owner is None:
            return f"{kind}/{thing['metadata']['name']}"
        above = owner["kind"].lower()
        found = next((it for it in self.of(above) if it["metadata"]["uid"] == owner["uid"]), None)
        return self.root(found, above) if found else f"{above}/{owner['name']}"

    def pods_of(self, subject: str) -> list[Json]:
        """Return the pods that belong to a workload and are not finished; those that were asked to go count."""
        return [pod for pod in self.of("pod") if at_work(pod) and self.root(pod, "pod") == subject]

    def jobs_of(self, subject: str) -> list[Json]:
        """Return the jobs of a cron job that are not finished."""
        return [job for job in self.of("job") if not finished(job) and self.root(job, "job") == subject]


def look(reader: Reader, namespace: str, kinds: Iterable[str] = tuple(PATHS), *, page_size: int = 500) -> Scene:
    """List the objects of these kinds."""
    return Scene({kind: list_all(reader, PATHS[kind].format(namespace), page_size=page_size) for kind in kinds})


def controller(thing: Json) -> Json | None:
    """Return the owner that controls a thing."""
    owners: list[Json] = thing["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def at_work(pod: Json) -> bool:
    """Tell whether a pod's containers run, will run, or were only asked to stop."""
    return pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}


def finished(job: Json) -> bool:
    """Tell whether a job has ended, well or not."""
    conditions: list[Json] = job.get("status", {}).get("conditions") or []
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def marks_of(thing: Json) -> Mapping[str, str]:
    """Return the annotations of a thing."""
    return thing["metadata"].get("annotations") or {}


def managers(thing: Json) -> tuple[str, ...]:
    """Return who else keeps the thing as they want it: `Argo CD (argocd.argoproj.io/tracking-id=shop:apps/Deployment:…)`."""
    marks = {**(thing["metadata"].get("labels") or {}), **marks_of(thing)}
    return tuple(f"{who} ({mark}={marks[mark]})" for mark, who in MANAGERS.items() if mark in marks)


def target(autoscaler: Json) -> str:
    """Return what an autoscaler scales: `deployment/api-gateway`."""
    reference = autoscaler["spec"]["scaleTargetRef"]
    return f"{reference['kind'].lower()}/{reference['name']}"


def replicas(thing: Json) -> int:
    """Return how many replicas a workload wants; 1 is the API's own default."""
    return int(thing["spec"].get("replicas", 1))


def autoscalers(scene: Scene, limits: RecoveryLimits) -> list[Json]:
    """Return the autoscalers of the writers."""
    return [scaler for scaler in scene.of(AUTOSCALER) if target(scaler) in limits.writers]


def writers(scene: Scene) -> set[str]:
    """Return everything in the namespace that makes pods, or is a pod or job at work, by the end of its chain of owners."""
    found = {f"{kind}/{thing['metadata']['name']}" for kind in STARTERS for thing in scene.of(kind)}
    found |= {scene.root(job, "job") for job in scene.of("job") if not finished(job)}
    return found | {scene.root(pod, "pod") for pod in scene.of("pod") if at_work(pod)}


def obstacles(scene: Scene, limits: RecoveryLimits) -> list[str]:
    """Return what must be settled before anything is stopped, one sentence each; nothing is the good answer."""
    return [
        *_unknown(scene, limits),
        *_missing(scene, limits),
        *_managed(scene, limits),
        *_marked(scene, limits),
    ]


def _unknown(scene: Scene, limits: RecoveryLimits) -> Iterator[str]:
    for subject in sorted(writers(scene) - {*limits.writers, *limits.no_writers}):
        yield (
            f"an unknown writer: {subject} would go on while the database is swapped;"
            " list it in recovery.writers, or in recovery.no_writers if it never writes to the database"
        )


def _missing(scene: Scene, limits: RecoveryLimits) -> Iterator[str]:
    for subject in limits.writers:
        if scene.find(subject) is None:
            yield f"{subject} is listed in recovery.writers and is not in the namespace; correct its name or take it out"


def _managed(scene: Scene, limits: RecoveryLimits) -> Iterator[str]:
    for subject, thing in _in_scope(scene, limits):
        for manager in managers(thing):
            if not manager.startswith(limits.managers_paused):
                yield (
                    f"{subject} belongs to {manager}, which would undo the stop: pause it there,"
                    " then name it in recovery.managers_paused"
                )


def _marked(scene: Scene, limits: RecoveryLimits) -> Iterator[str]:
    for subject, thing in _in_scope(scene, limits):
        if op := marks_of(thing).get(OP):
            yield (
                f"{subject} was stopped by operation {op} and ran as {marks_of(thing).get(WAS)} before;"
                " finish that operation, its record is the one that counts"
            )


def _in_scope(scene: Scene, limits: RecoveryLimits) -> Iterator[tuple[str, Json]]:
    for subject in limits.writers:
        if thing := scene.find(subject):
            yield subject, thing
    yield from ((f"{AUTOSCALER}/{it['metadata']['name']}", it) for it in autoscalers(scene, limits))


def told(pod: Json) -> str:
    """Return one line about a pod for an error: its name, node, state, and what keeps it."""
    metadata, status = pod["metadata"], pod.get("status", {})
    parts = [f"pod/{metadata['name']}"]
    parts += [f"on {pod['spec']['nodeName']}"] if pod["spec"].get("nodeName") else []
    if asked := metadata.get("deletionTimestamp"):
        parts.append(f"should have gone by {asked}")
        parts += [f"held by the finalizer {name}" for name in metadata.get("finalizers") or ()]
    else:
        parts.append(f"is {status.get('phase', 'Unknown')}{_reason(status)}")
    return " ".join(parts)


def _reason(status: Json) -> str:
    conditions: list[Json] = status.get("conditions") or []
    unscheduled = [c.get("message", "") for c in conditions if c["type"] == "PodScheduled" and c["status"] != "True"]
    states: list[Any] = [
        c.get("state", {}).get("waiting", {}).get("reason") for c in status.get("containerStatuses") or ()
    ]
    said = next((text for text in (*unscheduled, *states) if text), "")
    return f" ({said[:120]})" if said else ""
