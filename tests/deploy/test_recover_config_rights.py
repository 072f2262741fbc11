"""What the account of the configuration recovery may do at a real API server: try at any time, write only in its window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from include.configuration.objects import ObjectApi
from include.configuration.window import Window, opened, shut_forgotten
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Mode, Wanted
from sandbox.components.kubernetes.api import Api, ApiException, Object
from sandbox.components.kubernetes.layout import NAMESPACE
from sandbox.components.postgres import dsn
from sandbox.site import Site

pytestmark = pytest.mark.integration

CORE, APPS = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/apps/v1/namespaces/{NAMESPACE}"
RBAC = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried"}, "data": {"a": "1"}}
PATCH: Object = {"metadata": {"annotations": {"tried": "yes"}}}
APPLY = {"fieldManager": "a-test", "force": "true"}
DRY = {"dryRun": "All"}
OP = "3f0c9a2e-0000-4000-8000-000000000001"

WANTED = Wanted(resource="configuration/tried", mode=Mode.CONFIG_RESTORE, op_id=OP, holder="a test")

MAY_NOT = (
    ("DELETE", f"{CORE}/configmaps/worker-config"),
    ("DELETE", f"{CORE}/secrets/database-credentials"),
    ("DELETE", f"{APPS}/deployments/worker"),
    ("GET", f"{CORE}/secrets"),  # one that the bundle names, never a list of all
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/namespaces"),
    ("GET", f"{CORE}/pods"),
    ("POST", f"{CORE}/pods/postgres-0/exec"),
    ("POST", f"{CORE}/serviceaccounts/ops-recover-db/token"),
    ("PATCH", f"{CORE}/pods/postgres-0"),
    ("PATCH", f"{RBAC}/roles/ops-read"),
    ("PATCH", f"{RBAC}/rolebindings/ops-read"),
    ("PATCH", f"/api/v1/namespaces/{NAMESPACE}"),
    ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/ai-orchestrator-ops-recover-config"),
    ("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/certificates.cert-manager.io"),
    ("PATCH", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ops-recover-config"),  # its own window
    ("PATCH", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"),
)
KEEPER_MAY_NOT = (
    ("GET", f"{CORE}/configmaps/worker-config"),
    ("GET", f"{CORE}/secrets/database-credentials"),
    ("PATCH", f"{CORE}/configmaps/worker-config"),
    ("PATCH", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/another"),
    ("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ops-recover-config"),
)


def ops_of(site: Site) -> OpsDatabase:
    return OpsDatabase({"conninfo": dsn(site, "ops_runner", "ops", "postgres_ops")})


def api(site: Site, account: str) -> Api:
    return Api(site.path("kubernetes", f"{account}.kubeconfig"))


@pytest.fixture
def window(site: Site) -> Iterator[Window]:
    window = Window(ObjectApi(api(site, "ops-recover-window").client, namespace=NAMESPACE))
    window.shut()
    yield window
    window.shut()


@pytest.mark.parametrize(("method", "path"), MAY_NOT)
def test_the_account_may_not(site: Site, method: str, path: str) -> None:
    refused(site, "ops-recover-config", method, path)


@pytest.mark.parametrize(("method", "path"), KEEPER_MAY_NOT)
def test_who_opens_the_window_may_do_nothing_else(site: Site, method: str, path: str) -> None:
    refused(site, "ops-recover-window", method, path)


def refused(site: Site, account: str, method: str, path: str) -> None:
    with pytest.raises(ApiException) as refusal:
        api(site, account).call(method, path, PATCH if method in {"PATCH", "POST"} else None, **DRY)
    assert refusal.value.status == 403


def test_it_tries_at_any_time_and_writes_only_while_its_window_is_open(site: Site, window: Window) -> None:
    lease = leases.acquire(ops_of(site), WANTED)
    account = api(site, "ops-recover-config")
    path = f"{CORE}/configmaps/tried"
    try_it(account, path)
    assert not writes(account, path)
    with leases.keep(lease) as held, opened(window, held):
        assert window.holder() == OP
        eventually(lambda: writes(account, path))
    eventually(lambda: not writes(account, path))
    api(site, "admin").call("DELETE", path)


def try_it(account: Api, path: str) -> None:
    account.call("PATCH", path, {**MAP, "metadata": {"name": "tried", "namespace": NAMESPACE}}, **APPLY, **DRY)


def writes(account: Api, path: str) -> bool:
    """Whether a write in earnest goes through; any refusal but that of the window is an error."""
    try:
        account.call("PATCH", path, {**MAP, "metadata": {"name": "tried", "namespace": NAMESPACE}}, **APPLY)
    except ApiException as error:
        if "the window of ops-recover-config is shut" not in str(error.body):
            raise
        return False
    return True


def eventually(look: Callable[[], bool]) -> None:
    """What the API server has heard of a moment later."""
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_window_that_was_left_open_is_shut_unless_a_recovery_is_at_work(site: Site, window: Window) -> None:
    ops = ops_of(site)
    window.open(OP)
    with leases.keep(leases.acquire(ops, WANTED)):
        assert shut_forgotten(window, ops) == ""
        assert window.holder() == OP
    assert shut_forgotten(window, ops) == OP
    assert window.holder() == ""
    assert shut_forgotten(window, ops) == ""
