"""What the account of the node drain may do, and what it may not, against the real API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.components.kubernetes.api import Api, ApiException
from sandbox.components.kubernetes.foundation import STAGING
from sandbox.components.kubernetes.layout import NAMESPACE, folder
from sandbox.site import Site

pytestmark = pytest.mark.integration

CORE = f"/api/v1/namespaces/{STAGING}"
PRODUCTION = f"/api/v1/namespaces/{NAMESPACE}"
CORDON: Mapping[str, Any] = {"spec": {"unschedulable": True}}
MARK = "failover.ai-orchestrator.example/cordoned"


@pytest.fixture(scope="module")
def account(site: Site) -> Api:
    return Api(folder(site) / "ops-failover.kubeconfig")


def status(account: Api, method: str, path: str, body: Mapping[str, Any] | None = None) -> int:
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    try:
        answer = account.client.call_api(
            path,
            method,
            query_params=[("dryRun", "All")] if method != "GET" else [],
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
        )
    except ApiException as error:
        return int(error.status)
    json.loads(answer.data)
    return int(answer.status)


def eviction(name: str, namespace: str) -> Mapping[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": {"dryRun": ["All"]}}


def a_pod(account: Api) -> str:
    return str(account.call("GET", f"{CORE}/pods")["items"][0]["metadata"]["name"])


@pytest.mark.parametrize("path", [f"{CORE}/pods", "/api/v1/nodes", f"/api/v1/namespaces/{STAGING}"])
def test_may_read(account: Api, path: str) -> None:
    assert status(account, "GET", path) == 200


def test_may_evict_in_staging(account: Api) -> None:
    pod = a_pod(account)
    assert status(account, "POST", f"{CORE}/pods/{pod}/eviction", eviction(pod, STAGING)) in (200, 201, 429)


@pytest.mark.parametrize("annotations", [{}, {MARK: "yes"}])
def test_may_cordon_and_mark_a_node_that_is_labelled_for_it(account: Api, annotations: Mapping[str, str]) -> None:
    assert status(account, "PATCH", "/api/v1/nodes/node-3", {**CORDON, "metadata": {"annotations": annotations}}) == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/v1/nodes/node-1", CORDON),
        ("PATCH", "/api/v1/nodes/node-3", {"metadata": {"labels": {"any": "label"}}}),
        ("PATCH", "/api/v1/nodes/node-3", {"metadata": {"annotations": {"any": "annotation"}}}),
        ("PATCH", "/api/v1/nodes/node-3", {"metadata": {"finalizers": ["any.example/finalizer"]}}),
        ("PATCH", "/api/v1/nodes/node-3", {"spec": {"taints": [{"key": "any", "effect": "NoExecute"}]}}),
        ("PATCH", "/api/v1/nodes/node-3", {"spec": {"providerID": "elsewhere"}}),
        ("PATCH", "/api/v1/nodes/node-3/status", {"status": {"allocatable": {"cpu": "0"}}}),
        ("DELETE", "/api/v1/nodes/node-3", None),
        ("POST", f"{PRODUCTION}/pods/postgres-0/eviction", eviction("postgres-0", NAMESPACE)),
        ("DELETE", f"{PRODUCTION}/pods/postgres-0", None),
        ("DELETE", f"{CORE}/pods/any", None),
        ("PATCH", f"{CORE}/pods/any", {"metadata": {"labels": {"any": "label"}}}),
        ("POST", f"{CORE}/pods/any/exec", None),
        ("GET", f"{PRODUCTION}/pods", None),
        ("GET", f"{CORE}/secrets", None),
        ("GET", f"{CORE}/configmaps", None),
        ("GET", "/api/v1/namespaces", None),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}", None),
        ("GET", "/api/v1/pods", None),
    ],
)
def test_may_not(account: Api, method: str, path: str, body: Mapping[str, Any] | None) -> None:
    assert status(account, method, path, body) == 403
