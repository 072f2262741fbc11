"""What runs in the namespace and on the nodes, read in pages as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from include.errors import ConfigurationError, RunbookError, TransientError
from include.probes.quantities import quantity

Json = Mapping[str, Any]
T = TypeVar("T")
REQUEST_TIMEOUT_S = (3.0, 9.0)
RESTARTS_OF_A_LIST = 2
REFUSED = {
    401: "does not accept the login of the Connection",
    403: "forbids the service account of the Connection to read",
    404: "does not serve",
    405: "does not list",
}


class ExpiredListError(TransientError):
    """The list grew too old while it was paged through (410): begin again."""


class DeniedError(ConfigurationError):
    """The server answered that it does not show this: not to us (401, 403), or not at all (404)."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class LaterError(TransientError):
    """The server is busy or on its way (429, 5xx).

    :param pause_s: what it asks to wait, 0 if it does not say.
    """

    def __init__(self, text: str, pause_s: float = 0.0) -> None:
        super().__init__(text)
        self.pause_s = pause_s


class Reader(Protocol):
    """Whoever answers GET requests to the Kubernetes API with parsed JSON."""

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        """Return the body; a RunbookError says why there is none."""


@dataclass(frozen=True)
class ApiReader:
    """Reads through the official client, past its models: they cost more CPU than all the rest of a check."""

    api: Any

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        """Return the body of one GET."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._call(path, query)
        except ApiException as error:
            raise refusal(error.status, path, error.reason, pause_s(error.headers)) from None
        except HTTPError as error:
            raise TransientError(f"the Kubernetes API did not answer GET {path}: {_cause(error)}") from None
        body: Json = json.loads(response.data)
        return body

    def _call(self, path: str, query: Mapping[str, str | int]) -> Any:
        return self.api.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=REQUEST_TIMEOUT_S,
        )


def _cause(error: Exception) -> str:
    return type(getattr(error, "reason", None) or error).__name__


def pause_s(headers: Mapping[str, str] | None) -> float:
    """Return what an answer asks to wait, 0 if it does not say."""
    text = (headers or {}).get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def refusal(status: int, path: str, reason: str, pause_s: float = 0.0) -> RunbookError:
    """Return the error that an HTTP status stands for: no list can be trusted that was not given whole."""
    if status == 410:
        return ExpiredListError(f"the Kubernetes API answered GET {path} with 410: the list expired while it was read")
    if status in REFUSED:
        hint = "check settings connections.kubernetes and namespace, and the rights in deploy/kubernetes"
        return DeniedError(f"the Kubernetes API {REFUSED[status]} {path} ({status}); {hint}", status)
    sentence = f"the Kubernetes API answered GET {path} with {status} {reason}"
    return LaterError(sentence, pause_s) if status == 429 or status >= 500 else TransientError(sentence)


def list_all(reader: Reader, path: str, *, page_size: int, **query: str) -> list[Json]:
    """Return every object of a list, page by page; begins again when the list expires in the middle."""
    return take_all(reader, path, lambda page: list(page.get("items") or ()), page_size=page_size, **query)


def take_all(reader: Reader, path: str, take: Callable[[Json], list[T]], *, page_size: int, **query: str) -> list[T]:
    """Return what `take` makes of each page of a list; begins again when the list expires in the middle."""
    for _ in range(RESTARTS_OF_A_LIST):
        try:
            return [each for page in _pages(reader, path, page_size, query) for each in take(page)]
        except ExpiredListError:
            continue
    return [each for page in _pages(reader, path, page_size, query) for each in take(page)]


def _pages(reader: Reader, path: str, page_size: int, query: Mapping[str, str]) -> Iterator[Json]:
    token = ""
    while True:
        page = reader.get(path, {"limit": page_size, **({"continue": token} if token else {}), **query})
        yield page
        token = page.get("metadata", {}).get("continue") or ""
        if not token:
            return


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet: what it wants and what it has.

    :param total: replicas that exist, those of older versions too; more than `updated` while a rollout is not finished.
    :param rolling: the controller says that the rollout makes progress.
    :param stalled: it says that the rollout does not.
    """

    kind: str
    name: str
    want: int
    ready: int
    updated: int
    generation: int = 1
    observed_generation: int = 1
    total: int = 0
    rolling: bool = False
    stalled: bool = False

    @property
    def subject(self) -> str:
        """`deployment/worker`."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Job and whether Kubernetes gave it up."""

    name: str
    owner: str
    failed_at: datetime | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a pod: its state, its last death, what it may use."""

    name: str
    restarts: int
    waiting: str = ""
    killed_for: str = ""
    ended_at: datetime | None = None
    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request: float | None = None
    memory_limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod and its containers; a finished pod (phase Succeeded) is no fault.

    :param gone_by: end of the grace period of a pod that is being deleted, None of any other.
    """

    name: str
    app: str
    phase: str
    ready: bool
    created_at: datetime
    node: str = ""
    waiting_for: str = ""
    gone_by: datetime | None = None
    containers: tuple[Container, ...] = ()

    @property
    def subject(self) -> str:
        """`pod/worker-6c9f`."""
        return f"pod/{self.name}"

    @property
    def restarts(self) -> int:
        """Of all its containers since the pod was made."""
        return sum(container.restarts for container in self.containers)


@dataclass(frozen=True, kw_only=True)
class WarningEvent:
    """Repeats of one warning about one object, added up."""

    subject: str
    reason: str
    message: str
    count: int
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler and why it cannot scale, if so."""

    name: str
    current: int
    desired: int
    most: int
    hindered: str = ""


@dataclass(frozen=True, kw_only=True)
class DisruptionBudget:
    """A PodDisruptionBudget: healthy pods against the least that it guards."""

    name: str
    healthy: int
    least: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node: ready, under pressure, and what pods may use of it."""

    name: str
    ready: str
    pressures: tuple[str, ...]
    cordoned: bool
    cpu: float
    memory: float


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU cores and bytes of memory of a node or pod, and when they were measured."""

    name: str
    cpu: float
    memory: float
    at: datetime


def workloads(reader: Reader, namespace: str, page_size: int) -> list[Workload]:
    """Return Deployments, StatefulSets and DaemonSets."""
    root = f"/apis/apps/v1/namespaces/{namespace}"
    return [
        read(item)
        for plural, read in WORKLOAD_KINDS.items()
        for item in list_all(reader, f"{root}/{plural}", page_size=page_size)
    ]


def _replicated(kind: str) -> Callable[[Json], Workload]:
    def read(item: Json) -> Workload:
        status, want = item.get("status", {}), item["spec"].get("replicas", 1)
        return Workload(
            kind=kind,
            name=item["metadata"]["name"],
            want=want,
            ready=status.get("readyReplicas", 0),
            updated=status.get("updatedReplicas", 0),
            generation=item["metadata"].get("generation", 1),
            observed_generation=status.get("observedGeneration", 0),
            total=status.get("replicas", 0),
            **_progress(status),
        )

    return read


def _progress(status: Json) -> dict[str, bool]:
    """Tell what the controller says of its rollout; it calls it stalled when its deadline has passed."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    progressing = conditions.get("Progressing", {})
    said = progressing.get("status")
    finished = progressing.get("reason") == "NewReplicaSetAvailable"
    return {"rolling": said == "True" and not finished, "stalled": said == "False"}


def _daemon_set(item: Json) -> Workload:
    status = item.get("status", {})
    return Workload(
        kind="DaemonSet",
        name=item["metadata"]["name"],
        want=status.get("desiredNumberScheduled", 0),
        ready=status.get("numberReady", 0),
        updated=status.get("updatedNumberScheduled", 0),
        generation=item["metadata"].get("generation", 1),
        observed_generation=status.get("observedGeneration", 0),
    )


WORKLOAD_KINDS: Mapping[str, Callable[[Json], Workload]] = {
    "deployments": _replicated("Deployment"),
    "statefulsets": _replicated("StatefulSet"),
    "daemonsets": _daemon_set,
}


def jobs(reader: Reader, namespace: str, page_size: int) -> list[Job]:
    """Return Jobs, those of CronJobs included."""
    return [_job(item) for item in list_all(reader, f"/apis/batch/v1/namespaces/{namespace}/jobs", page_size=page_size)]


def _job(item: Json) -> Job:
    conditions: list[Json] = item.get("status", {}).get("conditions") or []
    failed: Json = next((c for c in conditions if c["type"] == "Failed" and c["status"] == "True"), {})
    owners: list[Json] = item["metadata"].get("ownerReferences") or [{}]
    return Job(
        name=item["metadata"]["name"],
        owner=owners[0].get("name", ""),
        failed_at=_moment(failed.get("lastTransitionTime")),
        reason=failed.get("reason", ""),
    )


def pods(reader: Reader, namespace: str, page_size: int) -> list[Pod]:
    """Return every pod of the namespace."""
    return [_pod(item) for item in list_all(reader, f"/api/v1/namespaces/{namespace}/pods", page_size=page_size)]


def _pod(item: Json) -> Pod:
    metadata, status = item["metadata"], item.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    states = {
        s["name"]: s for s in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    }
    specs = (*(item["spec"].get("initContainers") or ()), *item["spec"]["containers"])
    return Pod(
        name=metadata["name"],
        app=metadata.get("labels", {}).get("app", ""),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        node=item["spec"].get("nodeName", ""),
        waiting_for=conditions.get("PodScheduled", {}).get("message", ""),
        gone_by=_moment(metadata.get("deletionTimestamp")),
        containers=tuple(_container(spec, states.get(spec["name"], {})) for spec in specs),
    )


def _container(spec: Json, state: Json) -> Container:
    ended = state.get("state", {}).get("terminated") or state.get("lastState", {}).get("terminated") or {}
    requests, limits = spec.get("resources", {}).get("requests", {}), spec.get("resources", {}).get("limits", {})
    return Container(
        name=spec["name"],
        restarts=state.get("restartCount", 0),
        waiting=state.get("state", {}).get("waiting", {}).get("reason", ""),
        killed_for=ended.get("reason", ""),
        ended_at=_moment(ended.get("finishedAt")),
        cpu_request=quantity(requests.get("cpu")),
        cpu_limit=quantity(limits.get("cpu")),
        memory_request=quantity(requests.get("memory")),
        memory_limit=quantity(limits.get("memory")),
    )


def warning_events(reader: Reader, namespace: str, page_size: int) -> list[WarningEvent]:
    """Return warnings, those with the same object and reason as one."""
    path = f"/api/v1/namespaces/{namespace}/events"
    grouped: dict[tuple[str, str], list[Json]] = {}
    for item in list_all(reader, path, page_size=page_size, fieldSelector="type=Warning"):
        involved = item["involvedObject"]
        subject = f"{involved.get('kind', 'object').lower()}/{involved.get('name', '')}"
        grouped.setdefault((subject, item.get("reason", "")), []).append(item)
    return [_event(subject, reason, items) for (subject, reason), items in grouped.items()]


def _event(subject: str, reason: str, items: list[Json]) -> WarningEvent:
    moments = [moment for item in items if (moment := _event_moment(item))]
    return WarningEvent(
        subject=subject,
        reason=reason,
        message=items[-1].get("message", ""),
        count=sum((item.get("series") or {}).get("count") or item.get("count") or 1 for item in items),
        last_at=max(moments, default=None),
    )


def _event_moment(item: Json) -> datetime | None:
    series = (item.get("series") or {}).get("lastObservedTime")
    return _moment(
        series or item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    )


def autoscalers(reader: Reader, namespace: str, page_size: int) -> list[Autoscaler]:
    """Return HorizontalPodAutoscalers."""
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    return [_autoscaler(item) for item in list_all(reader, path, page_size=page_size)]


def _autoscaler(item: Json) -> Autoscaler:
    status = item.get("status", {})
    hindered = [
        c
        for c in status.get("conditions") or ()
        if c["type"] in {"ScalingActive", "AbleToScale"} and c["status"] != "True"
    ]
    return Autoscaler(
        name=item["metadata"]["name"],
        current=status.get("currentReplicas", 0),
        desired=status.get("desiredReplicas", 0),
        most=item["spec"]["maxReplicas"],
        hindered=hindered[0].get("reason", "") if hindered else "",
    )


def disruption_budgets(reader: Reader, namespace: str, page_size: int) -> list[DisruptionBudget]:
    """Return PodDisruptionBudgets."""
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    return [
        DisruptionBudget(
            name=item["metadata"]["name"],
            healthy=item.get("status", {}).get("currentHealthy", 0),
            least=item.get("status", {}).get("desiredHealthy", 0),
        )
        for item in list_all(reader, path, page_size=page_size)
    ]


def nodes(reader: Reader, page_size: int) -> list[Node]:
    """Return the nodes of the cluster."""
    return [_node(item) for item in list_all(reader, "/api/v1/nodes", page_size=page_size)]


def _node(item: Json) -> Node:
    conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions") or ()}
    allocatable = item.get("status", {}).get("allocatable", {})
    return Node(
        name=item["metadata"]["name"],
        ready=conditions.get("Ready", "Unknown"),
        pressures=tuple(
            name for name in ("MemoryPressure", "DiskPressure", "PIDPressure") if conditions.get(name) == "True"
        ),
        cordoned=item["spec"].get("unschedulable", False),
        cpu=quantity(allocatable.get("cpu")) or 0.0,
        memory=quantity(allocatable.get("memory")) or 0.0,
    )


def node_usage(reader: Reader, page_size: int) -> list[Usage]:
    """Return what each node uses now, by `metrics.k8s.io`."""
    items = list_all(reader, "/apis/metrics.k8s.io/v1beta1/nodes", page_size=page_size)
    return [_usage(item, [item["usage"]]) for item in items if item.get("timestamp")]


def pod_usage(reader: Reader, namespace: str, page_size: int) -> list[Usage]:
    """Return what each pod uses now, by `metrics.k8s.io`."""
    items = list_all(reader, f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", page_size=page_size)
    # metrics-server lists a pod that it could not sample yet, without a time: that one was not measured.
    sampled = (item for item in items if item.get("timestamp"))
    return [_usage(item, [container["usage"] for container in item["containers"]]) for item in sampled]


def _usage(item: Json, parts: list[Json]) -> Usage:
    return Usage(
        name=item["metadata"]["name"],
        cpu=sum(quantity(part.get("cpu")) or 0.0 for part in parts),
        memory=sum(quantity(part.get("memory")) or 0.0 for part in parts),
        at=datetime.fromisoformat(item["timestamp"]),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
