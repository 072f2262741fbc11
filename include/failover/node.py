"""Drain a node of staging by the eviction API, see that its pods come back elsewhere, and give it back."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from include.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from include.failover.exercise import told
from include.probes.kubernetes import REQUEST_TIMEOUT_S, ApiReader, Json, list_all
from include.settings import FailoverLimits

ENVIRONMENT = "ai-orchestrator.example/environment"
"""Label of the namespace; its value must be `staging`."""
MAY_DRAIN = "ai-orchestrator.example/failover-exercise"
"""Label of the nodes that may be drained; its value must be `allowed`."""
CORDONED = "failover.ai-orchestrator.example/cordoned"
"""Annotation of a node that this exercise cordoned: only such a node does it ever uncordon."""
MIRROR = "kubernetes.io/config.mirror"
WATCH_EVERY_S = 0.2
POLL_S = 0.5
AGAIN_S = 5.0

Ready = Mapping[str, int]
"""Ready pods by workload, as their label `app` names it."""


@dataclass(frozen=True)
class ApiDrainer(ApiReader):
    """Reads, cordons, and evicts."""

    def cordon(self, node: str, *, cordoned: bool) -> None:
        """Bar a node for new pods, or open it; the mark says that it was us."""
        mark = {CORDONED: "yes" if cordoned else None}
        body = {"metadata": {"annotations": mark}, "spec": {"unschedulable": cordoned or None}}
        self._send("PATCH", f"/api/v1/nodes/{node}", body, "application/merge-patch+json")

    def evict(self, namespace: str, pod: str) -> bool:
        """Ask for an eviction; False if a disruption budget says not now, True too if the pod is gone already."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        status = self._send(
            "POST", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body, "application/json", fine=(404, 429)
        )
        return status != 429

    def _send(self, method: str, path: str, body: Json, content: str, *, fine: tuple[int, ...] = ()) -> int:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._order(method, path, body, content)
        except ApiException as error:
            if error.status in fine:
                return int(error.status)
            raise refusal(method, path, error) from None
        except HTTPError as error:
            raise OutcomeUnknownError(f"{method} {path} was sent and not answered ({type(error).__name__})") from None
        return int(response.status)

    def _order(self, method: str, path: str, body: Json, content: str) -> Any:
        return self.api.call_api(
            path,
            method,
            query_params=[("fieldManager", "ops-failover")] if method == "PATCH" else [],
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=REQUEST_TIMEOUT_S,
        )


def refusal(method: str, path: str, error: Any) -> RunbookError:
    """Return the error that an HTTP status of a write stands for."""
    try:
        words = str(json.loads(error.body)["message"])[:200]
    except (ValueError, TypeError, KeyError):
        words = str(error.reason)
    said = f"the Kubernetes API answered {method} {path} with {error.status}: {words}"
    if error.status in (400, 401, 403, 404, 422):
        return ConfigurationError(f"{said}; check connections.failover_kubernetes and deploy/kubernetes/staging")
    return OutcomeUnknownError(said) if error.status >= 500 else TransientError(said)


@dataclass(frozen=True, kw_only=True)
class Drained:
    """A drain that was taken back.

    :param gap_s: the longest time in which some workload had no ready pod.
    :param fewest_ready: the lowest count that was seen of each workload.
    :param brought_home: nodes that an earlier exercise had left cordoned.
    """

    node: str
    evicted: int
    lasted_s: float
    gap_s: float
    fewest_ready: Ready
    brought_home: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How many pods of each workload were ready at a moment of the monotonic clock."""

    at: float
    ready: Ready


def would(cluster: ApiReader, limits: FailoverLimits) -> str:
    """Look only, and return what an exercise would do; RefusedError if it would be refused."""
    identify(cluster, limits.node_namespace)
    chosen = choose(nodes(cluster), list_pods(cluster, limits.node_namespace))
    return f"{chosen} would be cordoned, drained and uncordoned"


def exercise_drain(cluster: ApiDrainer, limits: FailoverLimits) -> Drained:
    """Cordon, evict, wait until all that left is ready elsewhere, uncordon; the node is uncordoned whatever happens.

    RefusedError before anything was changed: not staging, or not whole; and after the node was given back: a disruption budget
    forbids it.
    """
    place = limits.node_namespace
    identify(cluster, place)
    brought_home = come_home(cluster)
    before = list_pods(cluster, place)
    wanted = ready(before)
    node = choose(nodes(cluster), before)
    began = time.monotonic()
    with watching(cluster, place) as watch:
        try:
            cluster.cordon(node, cordoned=True)
            evicted = _empty(cluster, node, wanted, limits)
        except BaseException as error:
            raise told(error, _given_back(cluster, node)) from error
        cluster.cordon(node, cordoned=False)
    verify(cluster, node, wanted, place)
    return Drained(
        node=node,
        evicted=evicted,
        lasted_s=time.monotonic() - began,
        gap_s=longest_without(watch.samples, wanted),
        fewest_ready=fewest(watch.samples, wanted),
        brought_home=brought_home,
    )


def identify(cluster: ApiReader, namespace: str) -> None:
    """Refuse any namespace that is not labelled as staging."""
    labels = cluster.get(f"/api/v1/namespaces/{namespace}", {})["metadata"].get("labels", {})
    if (found := labels.get(ENVIRONMENT)) != "staging":
        raise RefusedError(
            f"namespace {namespace} is not the staging target (label {ENVIRONMENT} is {found!r}, not 'staging');"
            " nothing was changed, correct failover.node_namespace"
        )


def come_home(cluster: ApiDrainer) -> tuple[str, ...]:
    """Uncordon what an exercise that was killed left behind, and nothing that anybody else cordoned."""
    ours = tuple(_name(node) for node in nodes(cluster) if CORDONED in node["metadata"].get("annotations", {}))
    for node in ours:
        cluster.cordon(node, cordoned=False)
    return ours


def nodes(cluster: ApiReader) -> list[Json]:
    """Return the nodes that may be drained."""
    return list_all(cluster, "/api/v1/nodes", page_size=500, labelSelector=f"{MAY_DRAIN}=allowed")


def list_pods(cluster: ApiReader, namespace: str) -> list[Json]:
    """Return the pods of the namespace that have not ended."""
    found = list_all(cluster, f"/api/v1/namespaces/{namespace}/pods", page_size=500)
    return [pod for pod in found if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]


def choose(found: Sequence[Json], pods: Sequence[Json]) -> str:
    """Return the node with most pods to evict; RefusedError if there is none, or nowhere for them to go."""
    free = [_name(node) for node in found if not node["spec"].get("unschedulable") and _is_ready(node)]
    if len(free) < 2:
        raise RefusedError(
            f"{len(free)} nodes with the label {MAY_DRAIN}=allowed are ready, and a drain needs a second one;"
            " nothing was changed"
        )
    if bare := [_name(pod) for pod in pods if not pod["metadata"].get("ownerReferences")]:
        raise RefusedError(f"pod {bare[0]} belongs to no controller and would not come back; nothing was changed")
    if waiting := [_name(pod) for pod in pods if not _is_ready(pod)]:
        raise RefusedError(f"pod {waiting[0]} is not ready before the drain; nothing was changed, mend it first")
    counts = Counter(pod["spec"].get("nodeName") for pod in pods if is_evictable(pod))
    node = max(free, key=lambda name: counts[name])
    if not counts[node]:
        raise RefusedError("no pod of staging stands on a node that may be drained; nothing was changed")
    return node


def is_evictable(pod: Json) -> bool:
    """Whether a drain moves it: those of a DaemonSet and of the kubelet itself stay."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", ())}
    return "DaemonSet" not in owners and MIRROR not in pod["metadata"].get("annotations", {})


def ready(pods: Sequence[Json]) -> Ready:
    """Count the ready pods of each workload."""
    counts = {_workload(pod): 0 for pod in pods}
    for pod in pods:
        counts[_workload(pod)] += _is_ready(pod)
    return counts


def _empty(cluster: ApiDrainer, node: str, wanted: Ready, limits: FailoverLimits) -> int:
    """Evict until the node is empty and everything is ready elsewhere; return how many pods were evicted."""
    deadline = time.monotonic() + limits.node_drain_within_s
    asked: set[str] = set()
    while time.monotonic() < deadline:
        pods = list_pods(cluster, limits.node_namespace)
        there = [pod for pod in pods if pod["spec"].get("nodeName") == node and is_evictable(pod)]
        if not there and all(ready(pods).get(name, 0) >= count for name, count in wanted.items()):
            return len(asked)
        asked |= set(_evict(cluster, limits.node_namespace, there))
        time.sleep(POLL_S)
    raise _not_emptied(node, [_name(pod) for pod in there], asked, limits.node_drain_within_s)


def _evict(cluster: ApiDrainer, namespace: str, pods: Sequence[Json]) -> Iterator[str]:
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"] and cluster.evict(namespace, _name(pod)):
            yield _name(pod)


def _not_emptied(node: str, there: Sequence[str], asked: set[str], within_s: float) -> RunbookError:
    if kept := [name for name in there if name not in asked]:
        return RefusedError(
            f"a disruption budget forbids to evict {', '.join(kept[:3])} from {node} (429 for {within_s:g} s);"
            " give the workload one replica more than its budget asks for"
        )
    left = f"{', '.join(there[:3])} had not ended" if there else "what was evicted was not ready elsewhere"
    return VerificationError(f"{node} was drained for {within_s:g} s and {left}; look at the events of the namespace")


def _given_back(cluster: ApiDrainer, node: str) -> str:
    try:
        cluster.cordon(node, cordoned=False)
    except RunbookError as error:
        return f"{node} could not be uncordoned: {error}; run the exercise again, it begins with that"
    return f"{node} is uncordoned"


def verify(cluster: ApiDrainer, node: str, wanted: Ready, namespace: str) -> None:
    """Look whether all is as it was; VerificationError if not."""
    deadline = time.monotonic() + AGAIN_S
    while True:
        barred = [_name(each) for each in nodes(cluster) if _name(each) == node and each["spec"].get("unschedulable")]
        now = ready(list_pods(cluster, namespace))
        short = [name for name, count in wanted.items() if now.get(name, 0) < count]
        if not barred and not short:
            return
        if time.monotonic() > deadline:
            said = (
                f"{node} is still cordoned"
                if barred
                else f"{short[0]} has {now.get(short[0], 0)} of {wanted[short[0]]} ready"
            )
            raise VerificationError(f"after the drain of {node} {said}; look at the events of {namespace}")
        time.sleep(POLL_S)


@dataclass
class Watch:
    """Counts ready pods in a thread of its own."""

    cluster: ApiReader
    namespace: str
    samples: list[Sample] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Sample until stopped; an API server that does not answer leaves a hole, and the last sample counts on."""
        while not self.stop.wait(WATCH_EVERY_S):
            try:
                found = ready(list_pods(self.cluster, self.namespace))
            except RunbookError:
                continue
            self.samples.append(Sample(at=time.monotonic(), ready=found))


@contextmanager
def watching(cluster: ApiReader, namespace: str) -> Iterator[Watch]:
    """Watch while the block lasts."""
    watch = Watch(cluster, namespace)
    thread = threading.Thread(target=watch.run, name="failover-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        thread.join()


def longest_without(samples: Sequence[Sample], wanted: Ready) -> float:
    """Return the longest time in seconds in which some workload had no ready pod."""
    return max((_longest_zero(samples, name) for name in wanted), default=0.0)


def _longest_zero(samples: Sequence[Sample], workload: str) -> float:
    # From the last sample with a ready pod to the next one with: never less than it was, at most two periods more.
    longest, up, down = 0.0, samples[0].at if samples else 0.0, False
    for sample in samples:
        down = down or not sample.ready.get(workload, 0)
        longest = max(longest, sample.at - up) if down else longest
        if sample.ready.get(workload, 0):
            up, down = sample.at, False
    return longest


def fewest(samples: Sequence[Sample], wanted: Ready) -> Ready:
    """Return the lowest count of ready pods that was seen of each workload."""
    return {
        name: min((sample.ready.get(name, 0) for sample in samples), default=count) for name, count in wanted.items()
    }


def _name(thing: Json) -> str:
    return str(thing["metadata"]["name"])


def _workload(pod: Json) -> str:
    return str(pod["metadata"].get("labels", {}).get("app", _name(pod)))


def _is_ready(thing: Json) -> bool:
    conditions = thing.get("status", {}).get("conditions", ())
    alive = "deletionTimestamp" not in thing["metadata"]
    return alive and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
