"""Objects of the cluster, changed one at a time: each write carries the version that it was decided on."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from include.errors import ConfigurationError, OutcomeUnknownError, TransientError
from include.probes.kubernetes import REQUEST_TIMEOUT_S, ApiReader, Json, Reader, list_all, pause_s

MANAGER = "ops-recover-db"
REFUSED_PATCHES = {
    400: "does not understand the patch of",
    401: "does not accept the login of the Connection for",
    403: "forbids the service account of the Connection to patch",
    422: "finds invalid the patch of",
}
PAUSE_S = (0.2, 5.0)
"""The first pause before a write is decided anew, and the longest."""

PATHS: Mapping[str, str] = {
    "deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "statefulset": "/apis/apps/v1/namespaces/{}/statefulsets",
    "daemonset": "/apis/apps/v1/namespaces/{}/daemonsets",
    "replicaset": "/apis/apps/v1/namespaces/{}/replicasets",
    "cronjob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "job": "/apis/batch/v1/namespaces/{}/jobs",
    "pod": "/api/v1/namespaces/{}/pods",
    "horizontalpodautoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
}


class UnsettledError(TransientError):
    """A write was refused for now, or nobody knows what became of it: read back and decide again.

    :param unknown: it was sent and may have been carried out.
    :param pause_s: what the server asks to wait, 0 if it does not say.
    """

    def __init__(self, text: str, *, unknown: bool, pause_s: float = 0.0) -> None:
        super().__init__(text)
        self.unknown = unknown
        self.pause_s = pause_s


class Cluster(Reader, Protocol):
    """Whoever answers GET and PATCH requests to the Kubernetes API with parsed JSON."""

    def patch(self, path: str, body: Json) -> Json:
        """Return the object as it is now; UnsettledError if that is open, a PermanentError if it was refused for good."""


@dataclass(frozen=True)
class ApiCluster(ApiReader):
    """Reads as the health check does, and sends merge patches."""

    def patch(self, path: str, body: Json) -> Json:
        """Send one merge patch, once."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._send(path, body)
        except ApiException as error:
            raise refused_patch(error.status, path, _words(error), pause_s(error.headers)) from None
        except HTTPError as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            raise UnsettledError(f"the Kubernetes API did not answer PATCH {path}: {cause}", unknown=True) from None
        answer: Json = json.loads(response.data)
        return answer

    def _send(self, path: str, body: Json) -> Any:
        # One header decides the kind of patch; urllib3 repeats no PATCH of its own accord.
        return self.api.call_api(
            path,
            "PATCH",
            query_params=[("fieldManager", MANAGER), ("fieldValidation", "Strict")],
            header_params={"Accept": "application/json", "Content-Type": "application/merge-patch+json"},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=REQUEST_TIMEOUT_S,
        )


def _words(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])[:300]
    except (ValueError, TypeError, KeyError):
        return str(error.reason)[:300]


def refused_patch(status: int, path: str, words: str, pause_s: float) -> Exception:
    """Return the error that a status stands for: 404, 409, 410 and 429 changed nothing, 5xx may have."""
    if status in REFUSED_PATCHES:
        hint = "check settings connections.recovery_kubernetes and recovery, and the rights in deploy/kubernetes"
        return ConfigurationError(f"the Kubernetes API {REFUSED_PATCHES[status]} {path} ({status}: {words}); {hint}")
    sentence = f"the Kubernetes API answered PATCH {path} with {status}: {words}"
    return UnsettledError(sentence, unknown=status >= 500, pause_s=pause_s)


@dataclass(frozen=True, kw_only=True)
class Write:
    """One patch that an object needs.

    :param effect: what it does, for a journal: `scale deployment/worker from 12 to 0`.
    :param part: "" or "scale".
    :param change: the merge patch without the versions, which are added.
    """

    effect: str
    change: Json
    part: str = ""


Decide = Callable[[Json | None], Write | None]
"""What an object needs now, None if it is as it should be; is asked with None when there is no such object."""

Before = Callable[[str], None]
"""Called with the effect before each write; whatever it raises keeps the write from happening."""


def nothing(effect: str) -> None:
    """Let every write happen."""


def find(cluster: Cluster, kind: str, namespace: str, name: str) -> Json | None:
    """Return one object as the API server has it now, None if there is none."""
    path = PATHS[kind].format(namespace)
    return next(iter(list_all(cluster, path, page_size=1, fieldSelector=f"metadata.name={name}")), None)


def settle(
    cluster: Cluster, kind: str, namespace: str, name: str, decide: Decide, *, before: Before, within_s: float
) -> Json | None:
    """Patch an object until `decide` finds that nothing is left to do, and return it as it then is.

    A patch names the version it was decided on, so one that was carried out unseen cannot be carried out twice: the repetition
    conflicts, and the look that follows finds it done. TransientError or OutcomeUnknownError after `within_s` without peace.
    """
    patience = Patience(time.monotonic() + within_s, f"{kind}/{name}")
    while True:
        try:
            thing = find(cluster, kind, namespace, name)
            write = decide(thing)
            if write is None:
                return thing
            before(write.effect)
            cluster.patch(_path(kind, namespace, name, write), versioned(write.change, thing))
        except TransientError as error:
            patience.wait(error)


@dataclass
class Patience:
    """How long a write is decided anew.

    :param deadline: by `time.monotonic`.
    """

    deadline: float
    subject: str
    unknown: str = ""
    pause_s: float = PAUSE_S[0]

    def wait(self, error: TransientError) -> None:
        """Sleep before the next look; raise when time is up."""
        if isinstance(error, UnsettledError):
            self.unknown = str(error) if error.unknown else ""
        pause_s = max(self.pause_s * random.uniform(0.5, 1.0), getattr(error, "pause_s", 0.0))  # noqa: S311 - jitter
        if time.monotonic() + pause_s > self.deadline:
            raise self._given_up(error) from error
        time.sleep(pause_s)
        self.pause_s = min(2 * self.pause_s, PAUSE_S[1])

    def _given_up(self, error: TransientError) -> Exception:
        if self.unknown:
            return OutcomeUnknownError(
                f"{self.unknown}, and {self.subject} could not be read back: {error}; look at it before anything else,"
                " then run this step again, which goes on from what the cluster shows"
            )
        return TransientError(
            f"{self.subject} could not be changed, and was left as it is: {error}; run this step again"
        )


def _path(kind: str, namespace: str, name: str, write: Write) -> str:
    return "/".join(part for part in (PATHS[kind].format(namespace), name, write.part) if part)


def versioned(change: Json, thing: Json | None) -> Json:
    """Return the patch with the version and identity of the object that it was decided on."""
    metadata = (thing or {}).get("metadata", {})
    own = {name: metadata[name] for name in ("resourceVersion", "uid") if name in metadata}
    return {**change, "metadata": {**change.get("metadata", {}), **own}}
