"""The cluster that the user brings: a namespace that we make, the rights of the runbooks in it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubernetes.config import kube_config

from sandbox import own
from sandbox.component import Component
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.foundation import token
from sandbox.components.kubernetes.layout import NAMESPACE, folder, replace_private
from sandbox.components.kubernetes.manifests import RIGHTS, objects
from sandbox.components.kubernetes.ownership import refuse_foreign_namespace
from sandbox.site import Site

ACCOUNTS = ("ops-read", "ops-recover-db", "ops-watchdog")


def _lay_rights(site: Site) -> None:
    access = Path(own.given(site, "KUBECONFIG") or "")
    refuse_foreign_namespace(access, NAMESPACE)
    api = Api(access)
    for thing in objects(site, RIGHTS):
        api.apply(thing, force=True)
    for account in ACCOUNTS:
        replace_private(folder(site) / f"{account}.kubeconfig", _kubeconfig(access, account, token(api, account)))


def _kubeconfig(access: Path, account: str, secret: str) -> dict[str, Any]:
    """Return the user's kubeconfig with the cluster as it is and another one logging in."""
    loader = kube_config._get_kube_config_loader(filename=str(access))  # noqa: SLF001 - the client's only reader of one
    cluster = dict(loader._cluster.value)  # noqa: SLF001
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": cluster}],
        "users": [{"name": account, "user": {"token": secret}}],
        "contexts": [{"name": account, "context": {"cluster": "own", "user": account, "namespace": NAMESPACE}}],
        "current-context": account,
    }


OWN_CLUSTER = Component(name="own-cluster", prepare=_lay_rights)
