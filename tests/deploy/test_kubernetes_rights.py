from __future__ import annotations

import json

import pytest
import yaml
from kubernetes import client

from sandbox.components.kubernetes.api import Api, ApiException, Object
from sandbox.components.kubernetes.layout import NAMESPACE
from sandbox.components.kubernetes.manifests import RIGHTS
from sandbox.site import Site

pytestmark = pytest.mark.integration

CORE = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
HPA = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
DRY = {"dryRun": "All"}

MAY_READ = {
    "ops-read": (
        f"{CORE}/pods",
        f"{CORE}/events",
        f"{APPS}/deployments",
        f"{APPS}/statefulsets",
        f"{APPS}/daemonsets",
        f"{APPS}/replicasets",
        f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs",
        f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs",
        f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events",
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers",
        f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
        f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods",
        f"/apis/cert-manager.io/v1/namespaces/{NAMESPACE}/certificates",
        f"/apis/aquasecurity.github.io/v1alpha1/namespaces/{NAMESPACE}/vulnerabilityreports",
        "/api/v1/nodes",
        "/apis/metrics.k8s.io/v1beta1/nodes",
    ),
    "ops-watchdog": (f"{CORE}/configmaps/api-config",),
    "ops-recover-db": (
        f"{CORE}/pods",
        f"{APPS}/deployments",
        f"{APPS}/statefulsets",
        f"{APPS}/daemonsets",
        f"{APPS}/replicasets",
        f"{BATCH}/jobs",
        f"{BATCH}/cronjobs",
        f"{HPA}",
    ),
}

PATCH: Object = {"metadata": {"annotations": {"tried": "yes"}}}
MAY_NOT = (
    ("GET", f"{CORE}/secrets"),
    ("GET", f"{CORE}/secrets/database-credentials"),
    ("GET", f"{CORE}/configmaps"),
    ("GET", f"{CORE}/configmaps/worker-config"),
    ("GET", f"{CORE}/serviceaccounts"),
    ("GET", f"{CORE}/services"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/pods"),
    ("GET", "/api/v1/namespaces"),
    ("GET", "/api/v1/namespaces/kube-system/pods"),
    ("GET", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("GET", f"{CORE}/pods/postgres-0/exec?command=id&stdout=true"),
    ("POST", f"{CORE}/pods/postgres-0/exec?command=id&stdout=true"),
    ("POST", f"{CORE}/pods/postgres-0/attach?stdout=true"),
    ("POST", f"{CORE}/pods/postgres-0/portforward"),
    ("POST", f"{CORE}/pods/postgres-0/eviction"),
    ("DELETE", f"{CORE}/pods/postgres-0"),
    ("PATCH", f"{CORE}/pods/postgres-0"),
    ("PATCH", f"{CORE}/configmaps/api-config"),
    ("PATCH", f"{APPS}/statefulsets/postgres"),
    ("PATCH", f"{APPS}/statefulsets/postgres/scale"),
    ("PATCH", f"{APPS}/deployments/another"),
    ("PATCH", f"{APPS}/deployments/another/scale"),
    ("PATCH", f"{APPS}/deployments/api-gateway/status"),
    ("PUT", f"{APPS}/deployments/api-gateway"),
    ("PUT", f"{APPS}/deployments/api-gateway/scale"),
    ("DELETE", f"{APPS}/deployments"),
    ("DELETE", f"{HPA}/api-gateway"),
    ("DELETE", f"{BATCH}/cronjobs/report-billing"),
    ("DELETE", f"{APPS}/deployments/api-gateway"),
    ("POST", f"{APPS}/deployments"),
    ("POST", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"),
    ("POST", f"{CORE}/serviceaccounts/ops-read/token"),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("PATCH", "/api/v1/nodes/node-1"),
    ("DELETE", "/api/v1/nodes/node-1"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
)
ACCOUNTS = tuple(MAY_READ)
READERS = ("ops-read", "ops-watchdog")

MARK: Object = {"metadata": {"annotations": {"recovery.ai-orchestrator.example/op": "1"}}}
FROZEN: Object = {"minReplicas": 1, "behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}
GATEWAY, REPORT, SCALER = f"{APPS}/deployments/api-gateway", f"{BATCH}/cronjobs/report-billing", f"{HPA}/api-gateway"
MAY_PATCH: tuple[tuple[str, Object], ...] = (
    (GATEWAY, MARK),
    (f"{GATEWAY}/scale", {"spec": {"replicas": 0}}),
    (f"{APPS}/deployments/worker/scale", {"spec": {"replicas": 0}}),
    (f"{APPS}/deployments/scheduler/scale", {"spec": {"replicas": 0}}),
    (f"{APPS}/deployments/auth-service/scale", {"spec": {"replicas": 0}}),
    (REPORT, {**MARK, "spec": {"suspend": True}}),
    (SCALER, {**MARK, "spec": FROZEN}),
)
MAY_NOT_PATCH: tuple[tuple[str, Object], ...] = (
    (GATEWAY, {"spec": {"replicas": 0}}),
    (GATEWAY, {"spec": {"paused": True}}),
    (GATEWAY, {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}),
    (GATEWAY, {"spec": {"template": {"spec": {"serviceAccountName": "ops-recover-db"}}}}),
    (GATEWAY, {"metadata": {"annotations": {"sandbox.ai-orchestrator.example/applied": None}}}),
    (GATEWAY, {"metadata": {"annotations": {"sandbox.ai-orchestrator.example/applied": "other"}}}),
    (GATEWAY, PATCH),
    (GATEWAY, {"metadata": {"labels": {"tried": "yes"}}}),
    (GATEWAY, {"metadata": {"finalizers": ["example.com/held"]}}),
    (REPORT, {"spec": {"schedule": "* * * * *"}}),
    (REPORT, {"spec": {"startingDeadlineSeconds": 9}}),
    (REPORT, {"spec": {"jobTemplate": {"spec": {"backoffLimit": 9}}}}),
    (SCALER, {"spec": {"maxReplicas": 60}}),
    (SCALER, {"spec": {"scaleTargetRef": {"name": "worker"}}}),
    (SCALER, {"spec": {"metrics": None}}),
    (
        f"/apis/autoscaling/v1/namespaces/{NAMESPACE}/horizontalpodautoscalers/api-gateway",
        {"spec": {"maxReplicas": 60}},
    ),
)
EVERYBODY = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
"""What Kubernetes lets any account ask about itself."""


def _api(site: Site, account: str) -> Api:
    return Api(site.path("kubernetes", f"{account}.kubeconfig"))


@pytest.mark.parametrize(("account", "path"), [(who, path) for who in ACCOUNTS for path in MAY_READ[who]])
def test_may_look(site: Site, account: str, path: str) -> None:
    assert _api(site, account).call("GET", path)["kind"]


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize(("method", "path"), MAY_NOT)
def test_may_not(site: Site, account: str, method: str, path: str) -> None:
    path, _, query = path.partition("?")
    asked = dict(part.split("=") for part in query.split("&") if part)
    with pytest.raises(ApiException) as refused:
        _api(site, account).call(method, path, PATCH if method in {"PATCH", "POST"} else None, **asked, **DRY)
    assert refused.value.status == 403


@pytest.mark.parametrize("path", MAY_READ["ops-read"])
def test_the_watchdog_sees_nothing_else(site: Site, path: str) -> None:
    with pytest.raises(ApiException) as refused:
        _api(site, "ops-watchdog").call("GET", path)
    assert refused.value.status == 403


@pytest.mark.parametrize("account", READERS)
@pytest.mark.parametrize("path", [path for path, _ in MAY_PATCH])
def test_who_reads_may_not_patch(site: Site, account: str, path: str) -> None:
    with pytest.raises(ApiException) as refused:
        _api(site, account).call("PATCH", path, PATCH, **DRY)
    assert refused.value.status == 403


@pytest.mark.parametrize(("path", "change"), MAY_PATCH)
def test_the_recovery_may_stop_a_writer(site: Site, path: str, change: Object) -> None:
    assert _patched(site, path, change)["kind"]


@pytest.mark.parametrize(("path", "change"), MAY_NOT_PATCH)
def test_the_recovery_may_change_nothing_else_of_a_writer(site: Site, path: str, change: Object) -> None:
    with pytest.raises(ApiException) as refused:
        _patched(site, path, change)
    assert refused.value.status == 403
    assert "ops-recover-db" in str(refused.value.body)


def _patched(site: Site, path: str, change: Object) -> Object:
    answer: Object = json.loads(
        _api(site, "ops-recover-db")
        .client.call_api(
            path,
            "PATCH",
            query_params=list(DRY.items()),
            header_params={"Accept": "application/json", "Content-Type": "application/merge-patch+json"},
            body=change,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
        )
        .data
    )
    return answer


def test_may_read_a_log(site: Site) -> None:
    file = site.folder("kubernetes") / "pod-logs" / NAMESPACE / "postgres-0" / "postgres.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("2026-01-01T00:00:00.000000000Z stdout F ready to accept connections\n")
    core = client.CoreV1Api(_api(site, "ops-read").client)
    answer = core.read_namespaced_pod_log("postgres-0", NAMESPACE, _preload_content=False)
    assert b"ready to accept" in answer.data


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_server_grants_what_the_file_says_and_no_more(site: Site, account: str) -> None:
    request = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": NAMESPACE},
    }
    answer = _api(site, account).call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", request)
    granted = _flat(rule for rule in answer["status"]["resourceRules"] if not set(rule["resources"]) <= EVERYBODY)
    assert granted == _flat(rule for role in _written(account) for rule in role["rules"])


def test_each_right_of_the_recovery_is_tried() -> None:
    granted = _flat(rule for role in _written("ops-recover-db") for rule in role["rules"])
    assert {(kind, name) for _, kind, verb, name in granted if verb == "patch"} == {
        *(_kind_and_name(path) for path, _ in MAY_PATCH),
        *(("deployments", name) for name in ("worker", "scheduler", "auth-service")),
    }
    read = {kind for _, kind, verb, name in granted if verb in {"get", "list"} and name == "any"}
    assert read == {path.rpartition("/")[2] for path in MAY_READ["ops-recover-db"]}
    assert {verb for _, _, verb, _ in granted} == {"get", "list", "patch"}


def _kind_and_name(path: str) -> tuple[str, str]:
    kind, name, *part = path.split("/")[6:]
    return "/".join((kind, *part)), name


@pytest.mark.parametrize("account", READERS)
def test_each_right_is_tried_and_only_reads(account: str) -> None:
    granted = _flat(rule for role in _written(account) for rule in role["rules"])
    tried = {path.removesuffix("/api-config").rpartition("/")[2] for path in MAY_READ[account]}
    tried |= {"pods/log"} if account == "ops-read" else set()
    assert {resource for _, resource, _, _ in granted} == tried
    assert {verb for _, _, verb, _ in granted} <= {"get", "list", "watch"}


def _written(account: str) -> list[Object]:
    return [thing for thing in yaml.safe_load_all((RIGHTS / f"{account}.yaml").read_text()) if "rules" in thing]


def _flat(rules: object) -> set[tuple[str, str, str, str]]:
    assert hasattr(rules, "__iter__")
    return {
        (group, resource, verb, name)
        for rule in rules
        for group in rule.get("apiGroups", [""])
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or ["any"]
    }
