"""What the accounts of the configuration's backup may do at a real API server, and what they may not."""

from __future__ import annotations

import pytest
import yaml

from sandbox.components.kubernetes.api import Api, ApiException, Object
from sandbox.components.kubernetes.foundation import SCRATCH
from sandbox.components.kubernetes.layout import NAMESPACE
from sandbox.components.kubernetes.manifests import RIGHTS
from sandbox.site import Site

integration = pytest.mark.integration

READS, TRIES = "ops-config-backup", "ops-config-prove"
MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried"}, "data": {"a": "1"}}
DRY = {"dryRun": "All"}


def api(site: Site, account: str) -> Api:
    return Api(site.path("kubernetes", f"{account}.kubeconfig"))


def roles(account: str) -> list[Object]:
    return [thing for thing in yaml.safe_load_all((RIGHTS / f"{account}.yaml").read_text()) if "rules" in thing]


def listed() -> list[str]:
    """The address of every list that the role names."""
    (role,) = [role for role in roles(READS) if role["kind"] == "Role"]
    versions = {"": "v1", "aquasecurity.github.io": "v1alpha1"}
    return [
        f"{'/apis/' + group if group else '/api'}/{versions.get(group, 'v1')}/namespaces/{NAMESPACE}/{kind}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    ]


def test_who_reads_writes_nothing_and_who_tries_reads_nothing() -> None:
    assert {verb for role in roles(READS) for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}
    (tries,) = roles(TRIES)
    assert [rule["resources"] for rule in tries["rules"] if "get" in rule["verbs"]] == [["namespaces"]]
    assert {verb for rule in tries["rules"] for verb in rule["verbs"]} == {"get", "create", "patch"}


def test_all_that_is_read_can_be_tried() -> None:
    (reads,) = [role for role in roles(READS) if role["kind"] == "Role"]
    (tries,) = roles(TRIES)
    kinds = [
        {(group, kind) for rule in role["rules"] for group in rule["apiGroups"] for kind in rule["resources"]}
        for role in (reads, tries)
    ]
    assert kinds[0] == kinds[1] - {("", "namespaces")}


@integration
def test_it_reads_every_kind_that_its_role_names(site: Site) -> None:
    reader, found = api(site, READS), []
    for path in listed():
        try:
            reader.call("GET", path)
        except ApiException as error:
            found.append((path, error.status))
    # Kinds that stand behind a feature gate are not served by every cluster.
    assert {status for _, status in found} <= {404}
    assert not [path for path, _ in found if "resource.k8s.io" not in path and "scheduling.k8s.io" not in path]


@integration
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/secrets"),
        ("GET", f"/api/v1/namespaces/{SCRATCH}/secrets"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/nodes"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/postgres-0/exec"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
        ("PATCH", f"/api/v1/namespaces/{NAMESPACE}/configmaps/api-config"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/database-credentials"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/ops-read/token"),
    ],
)
def test_who_reads_may_not(site: Site, method: str, path: str) -> None:
    with pytest.raises(ApiException) as refused:
        api(site, READS).call(
            method, path, MAP if method in {"POST", "PATCH"} else None, **({} if method == "GET" else DRY)
        )
    assert refused.value.status == 403


@integration
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/namespaces/{SCRATCH}/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
        ("PATCH", f"/api/v1/namespaces/{NAMESPACE}/configmaps/api-config"),
        ("DELETE", f"/api/v1/namespaces/{SCRATCH}/configmaps/tried"),
    ],
)
def test_who_tries_may_not(site: Site, method: str, path: str) -> None:
    with pytest.raises(ApiException) as refused:
        api(site, TRIES).call(
            method, path, MAP if method in {"POST", "PATCH"} else None, **({} if method == "GET" else DRY)
        )
    assert refused.value.status == 403


@integration
def test_who_tries_keeps_nothing_even_if_it_wanted_to(site: Site) -> None:
    place = f"/api/v1/namespaces/{SCRATCH}/configmaps"
    assert api(site, TRIES).call("POST", place, MAP, **DRY)["data"] == {"a": "1"}
    with pytest.raises(ApiException, match="its calls are dry runs") as refused:
        api(site, TRIES).call("POST", place, MAP)
    assert refused.value.status in {403, 422}
