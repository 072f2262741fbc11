"""A namespace with something of every kind that a person writes, and what somebody may change of each."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

from include.configuration.normalise import Object
from sandbox.components.kubernetes.api import Api, ApiException
from tests.include.configuration.things import CANARY

SOMEBODY = "kubectl-edit"
PODS: Object = {
    "containers": [{"name": "main", "image": "registry.example/main:1", "env": [{"name": "MODE", "value": "a"}]}]
}


def _template(name: str, **more: Any) -> Object:
    return {"metadata": {"labels": {"app": name}}, "spec": {**deepcopy(PODS), **more}}


def _workload(name: str, **more: Any) -> Object:
    return {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": _template(name), **more}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


Change = Mapping[str, Any]
"""A merge patch."""

JOB: Object = {"template": {"spec": {**PODS, "restartPolicy": "Never"}}}

KINDS: Mapping[str, tuple[str, Any, Change]] = {
    "ConfigMap": ("v1", lambda _: {"data": {"level": "info", "mode": "a"}}, {"data": {"level": "debug"}}),
    "Secret": (
        "v1",
        lambda _: {"type": "Opaque", "data": {"password": _encoded(CANARY)}},
        {"data": {"password": _encoded("another value")}},
    ),
    "ServiceAccount": ("v1", lambda _: {"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}),
    "Service": (
        "v1",
        lambda name: {"spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]}},
        {"spec": {"selector": {"app": "another"}}},
    ),
    "PersistentVolumeClaim": (
        "v1",
        lambda _: {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        {"metadata": {"labels": {"tier": "other"}}},
    ),
    "ResourceQuota": (
        "v1",
        lambda _: {"spec": {"hard": {"count/secrets": "900"}}},
        {"spec": {"hard": {"count/secrets": "901"}}},
    ),
    "LimitRange": (
        "v1",
        lambda _: {"spec": {"limits": [{"type": "Container", "max": {"cpu": "8"}}]}},
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "9"}}]}},
    ),
    "PodTemplate": (
        "v1",
        lambda name: {"template": _template(name)},
        {"template": {"metadata": {"labels": {"app": "x"}}}},
    ),
    "Pod": ("v1", lambda _: {"spec": deepcopy(PODS)}, {"metadata": {"labels": {"debugged": "yes"}}}),
    "ReplicationController": (
        "v1",
        lambda name: {"spec": {"replicas": 0, "selector": {"app": name}, "template": _template(name)}},
        {"spec": {"minReadySeconds": 5}},
    ),
    "Deployment": (
        "apps/v1",
        lambda name: {"spec": _workload(name)},
        {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.example/main:2"}]}}}},
    ),
    "StatefulSet": (
        "apps/v1",
        lambda name: {"spec": _workload(name, serviceName=name)},
        {"spec": {"minReadySeconds": 7}},
    ),
    "DaemonSet": (
        "apps/v1",
        lambda name: {
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": _template(name, nodeSelector={"no": "where"}),
            }
        },
        {"spec": {"minReadySeconds": 9}},
    ),
    "CronJob": (
        "batch/v1",
        lambda _: {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": JOB}}},
        {"spec": {"schedule": "30 0 1 1 *"}},
    ),
    "Job": ("batch/v1", lambda _: {"spec": {"suspend": True, **JOB}}, {"spec": {"activeDeadlineSeconds": 77}}),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        lambda name: {
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "maxReplicas": 3}
        },
        {"spec": {"maxReplicas": 30}},
    ),
    "PodDisruptionBudget": (
        "policy/v1",
        lambda name: {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}}},
        {"spec": {"minAvailable": 0}},
    ),
    "NetworkPolicy": (
        "networking.k8s.io/v1",
        lambda _: {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        {"spec": {"podSelector": {"matchLabels": {"open": "yes"}}}},
    ),
    "Ingress": (
        "networking.k8s.io/v1",
        lambda name: {"spec": {"defaultBackend": {"service": {"name": name, "port": {"number": 80}}}}},
        {"spec": {"defaultBackend": {"service": {"port": {"number": 81}}}}},
    ),
    "Role": (
        "rbac.authorization.k8s.io/v1",
        lambda _: {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]},
    ),
    "RoleBinding": (
        "rbac.authorization.k8s.io/v1",
        lambda name: {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
        {"subjects": [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]},
    ),
    "Certificate": (
        "cert-manager.io/v1",
        lambda name: {"spec": {"secretName": name, "dnsNames": ["a.example"], "issuerRef": {"name": "own"}}},
        {"spec": {"dnsNames": ["a.example", "b.example"]}},
    ),
}
"""By kind: its API, what it is made of, and what somebody changes of it."""


def made(kind: str, name: str, namespace: str) -> Object:
    """Return an object to apply."""
    api, fields, _ = KINDS[kind]
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **fields(name)}


def fill(api: Api, namespace: str, each: int) -> list[Object]:
    """Apply some objects of every kind."""
    things = [made(kind, f"{kind.lower()}-{number}", namespace) for number in range(each) for kind in KINDS]
    for thing in things:
        api.apply(thing)
    return things


def change(api: Api, thing: Object, patch: Change) -> None:
    """Change an object as a person does with an editor."""
    client = api.client
    client.call_api(
        api.path(thing),
        "PATCH",
        query_params=[("fieldManager", SOMEBODY)],
        header_params={"Accept": "application/json", "Content-Type": _kind_of_patch(thing)},
        body=patch,
        auth_settings=["BearerToken"],
        response_types_map={},
        _preload_content=False,
    )


def _kind_of_patch(thing: Object) -> str:
    custom = "." in thing["apiVersion"] and not thing["apiVersion"].partition("/")[0].endswith(".k8s.io")
    return "application/merge-patch+json" if custom else "application/strategic-merge-patch+json"


@contextmanager
def namespace(api: Api, name: str) -> Iterator[str]:
    """Make a namespace, and remove it with all that is in it."""
    with suppress(ApiException):
        api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        yield name
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{name}")
