"""What every start lays on the API server: nodes, the namespace and all that lives in it, rights, and tokens for those who call."""

from __future__ import annotations

import time

from sandbox.components.kubernetes import mounts
from sandbox.components.kubernetes.api import Api, Object
from sandbox.components.kubernetes.layout import NAMESPACE, admin, token_kubeconfig
from sandbox.components.kubernetes.manifests import MANIFESTS, RIGHTS, objects
from sandbox.components.kubernetes.ownership import refuse_foreign_namespace
from sandbox.site import Site

ACCOUNTS = (
    "ops-read",
    "ops-config-backup",
    "ops-recover-config",
    "ops-recover-db",
    "ops-recover-window",
    "ops-watchdog",
    "simulator",
)
SCRATCH, DISASTER, STAGING = "ai-orchestrator-scratch", "ai-orchestrator-dr", "ai-orchestrator-staging"
ELSEWHERE = {SCRATCH: "ops-config-prove", DISASTER: "ops-disaster-config", STAGING: "ops-failover"}
"""The account of each namespace that has one of its own."""
TOKEN_LIFETIME_S = 366 * 24 * 3600  # a new one at every start; a platform that never stops lives a year
ESTABLISHED_WITHIN_S = 20


def lay(site: Site) -> None:
    """Apply all of it. Rights are always what the files say; elsewhere what a person changed stays."""
    access = admin(site)
    refuse_foreign_namespace(access, NAMESPACE)
    api = Api(access)
    _define_kinds(api, site)
    for source in (MANIFESTS / "cluster", RIGHTS, RIGHTS / "disaster", MANIFESTS / "staging", RIGHTS / "staging"):
        for thing in objects(site, source):
            api.apply(thing, force=True)
    mounts.lay(site)
    for thing in objects(site, MANIFESTS / "namespace"):
        if note := api.apply_once(thing):
            print(f"  {note}", flush=True)
    for account in ACCOUNTS:
        token_kubeconfig(site, account, token(api, account))
    for namespace, account in ELSEWHERE.items():
        token_kubeconfig(site, account, token(api, account, namespace))


def _define_kinds(api: Api, site: Site) -> None:
    kinds = list(objects(site, MANIFESTS / "crds"))
    for kind in kinds:
        api.apply(kind, force=True)
    deadline = time.monotonic() + ESTABLISHED_WITHIN_S
    while not all(_established(api.read(api.path(kind))) for kind in kinds) and time.monotonic() < deadline:
        time.sleep(0.1)


def _established(kind: Object | None) -> bool:
    conditions = (kind or {}).get("status", {}).get("conditions", ())
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def token(api: Api, account: str, namespace: str = NAMESPACE) -> str:
    """Return a fresh token of a service account of a namespace."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(api.call("POST", path, request)["status"]["token"])
