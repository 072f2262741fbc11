"""The newest good configuration bundle into an empty namespace, by whoever holds nothing but the keys of disaster recovery (M-03).

Nothing of it may work there: with production's own credentials a worker would take production's work. So workloads are made with no
pods, cron jobs are suspended, and what reaches outside (Ingress, autoscalers, custom kinds) is only tried. All of it is removed again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from include.configuration.applying import RIGHTS, into
from include.configuration.bundle import OpenedBundle
from include.configuration.difference import differences
from include.configuration.normalise import Object, name, normalised, order
from include.configuration.objects import ObjectApi, Refusal
from include.configuration.survey import NEVER, WORKLOADS
from include.errors import RefusedError, RunbookError
from include.probes.kubernetes import Json

log = logging.getLogger(__name__)

EXERCISE = "recovery.ai-orchestrator.example/exercise"
"""Annotation of what an exercise made; what a dead one left is known by it."""
MADE = frozenset(
    {
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "LimitRange",
        "ResourceQuota",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "CronJob",
        *WORKLOADS,
    }
)
"""Kinds that do nothing once they are quiet; all others are only tried."""
NOWHERE = {"recovery.ai-orchestrator.example/nowhere": "true"}


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What came of it.

    :param namespace: of which the bundle is.
    :param made: objects that were made and compared; `tried` by a dry run alone.
    :param refused: what the API server would not take, one sentence each.
    :param differing: what was made and is not as the bundle has it.
    :param rights: roles and their bindings: nobody may grant what he has not, so an administrator makes them.
    :param outside: objects of the cluster, which no namespace can take.
    """

    namespace: str
    made: int = 0
    tried: int = 0
    rights: int = 0
    outside: int = 0
    refused: Sequence[str] = ()
    differing: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether everything came back."""
        return self.made > 0 and not self.refused and not self.differing


def restore_into_empty(api: ObjectApi, opened: OpenedBundle) -> Restored:
    """Restore a bundle into the namespace of the API, compare, and remove it; RefusedError if something else is there."""
    began = time.monotonic()
    inside = [
        each for each in sorted(opened.objects, key=order) if each["metadata"].get("namespace") == opened.namespace
    ]
    rights = [each for each in inside if each["kind"] in RIGHTS]
    wanted = [quiet(into(each, api.namespace)) for each in inside if each["kind"] not in {*NEVER, *RIGHTS}]
    with _only_ours(api, wanted):
        refused = [why for each in wanted if (why := _made(api, each))]
        differing = [why for each in wanted if is_made(each) and (why := _differs(api, each))]
        seconds = time.monotonic() - began
    made = sum(map(is_made, wanted))
    return Restored(
        namespace=opened.namespace,
        made=made,
        tried=len(wanted) - made,
        rights=len(rights),
        outside=len(opened.objects) - len(inside),
        refused=refused,
        differing=[each for each in differing if not any(why.startswith(each.partition(":")[0]) for why in refused)],
        seconds=seconds,
    )


def is_made(thing: Json) -> bool:
    """Whether it is made, and not only tried; every namespace has a default account of its own."""
    return thing["kind"] in MADE and name(thing) != "serviceaccount/default"


def quiet(thing: Object) -> Object:
    """Return an object that does nothing where it is made, with our mark."""
    annotations = {**thing["metadata"].get("annotations", {}), EXERCISE: "true"}
    found = {**thing, "metadata": {**thing["metadata"], "annotations": annotations}}
    if thing["kind"] in {"Deployment", "StatefulSet"}:
        found["spec"] = {**thing["spec"], "replicas": 0}
    elif thing["kind"] == "DaemonSet":
        template = thing["spec"]["template"]
        pod = {**template["spec"], "nodeSelector": NOWHERE}
        found["spec"] = {**thing["spec"], "template": {**template, "spec": pod}}
    elif thing["kind"] == "CronJob":
        found["spec"] = {**thing["spec"], "suspend": True}
    elif thing["kind"] == "Service":
        found["spec"] = _inside(thing["spec"])
    return found


def _inside(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a Service that nobody outside reaches."""
    if spec.get("type") not in {"LoadBalancer", "NodePort"}:
        return spec
    outer = {"externalTrafficPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerIP"}
    return {**{key: value for key, value in spec.items() if key not in outer}, "type": "ClusterIP"}


def _made(api: ObjectApi, thing: Object) -> str:
    """Make one object, or try it; return why the API server would not take it, "" if it did."""
    try:
        api.apply(thing, dry_run=not is_made(thing))
    except Refusal as refusal:
        if refusal.status == 429 or refusal.status >= 500:
            raise refusal.error(f"make {name(thing)}") from None
        return f"{name(thing)}: {refusal.status} {refusal.said}"
    return ""


def _differs(api: ObjectApi, thing: Object) -> str:
    live = api.find(thing)
    if live is None:
        return f"{name(thing)}: it is not there"
    found = differences(normalised(live), thing, EXERCISE.encode())
    return f"{name(thing)}: {', '.join(each.field for each in found[:5])}" if found else ""


@contextmanager
def _only_ours(api: ObjectApi, wanted: Sequence[Object]) -> Iterator[None]:
    """Remove what a dead exercise left, refuse whatever else is there, and remove our own in the end."""
    _remove(api, wanted)
    if there := [name(each) for each in wanted if is_made(each) and api.find(each)]:
        raise RefusedError(
            f"namespace {api.namespace} is not empty: it holds {', '.join(there[:5])}, which no exercise made; nothing was"
            " changed, name an empty one in disaster.namespace"
        )
    try:
        yield
    finally:
        try:
            _remove(api, wanted)
        except RunbookError as error:  # what came of the restore is the news; the next exercise removes it first
            log.warning("something of the exercise is left in %s: %s", api.namespace, error)


def _remove(api: ObjectApi, wanted: Sequence[Object]) -> None:
    for thing in filter(is_made, wanted):
        live = api.find(thing)
        if live and EXERCISE in (live["metadata"].get("annotations") or {}):
            _delete(api, thing, live["metadata"]["uid"])


def _delete(api: ObjectApi, thing: Object, uid: str) -> None:
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    try:
        api.send("DELETE", api.path(thing), options)
    except Refusal as refusal:
        if refusal.status != 404:
            raise refusal.error(f"remove {name(thing)}, which the exercise had made") from None
