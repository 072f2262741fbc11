"""Where the control plane keeps its files, which certificates it shows to whom, and the kubeconfigs that lead to it."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

from sandbox.certificates import Authority, Pair, signing_keys
from sandbox.site import Site

LOOPBACK = ("127.0.0.1", "localhost")
NAMESPACE = "ai-orchestrator"
METRICS_SERVICE = "metrics-server.kube-system.svc"
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"


def folder(site: Site, *parts: str) -> Path:
    """Return a folder below the cluster's own; it exists."""
    path = site.folder("kubernetes").joinpath(*parts)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def cluster(site: Site) -> Authority:
    """Who signs for the API server, its clients, and the servers that it calls."""
    return Authority(folder(site, "certificates"), "cluster")


def storage(site: Site) -> Authority:
    """Who signs for etcd and its clients."""
    return Authority(folder(site, "certificates"), "storage")


def front(site: Site) -> Authority:
    """Who vouches that a call to an extension server comes from the API server."""
    return Authority(folder(site, "certificates"), "front-proxy")


def server(site: Site, name: str, *hosts: str) -> Pair:
    """Return the pair that a server on loopback shows."""
    return cluster(site).server(name, (*LOOPBACK, *hosts))


def token_keys(site: Site) -> Pair:
    """Return the keys that sign and check the tokens of service accounts."""
    keys = Pair(folder(site, "certificates") / "tokens.pub", folder(site, "certificates") / "tokens.key")
    signing_keys(keys.key, keys.certificate)
    return keys


def admin(site: Site) -> Path:
    """Return the kubeconfig of the one who may do everything."""
    return client_kubeconfig(site, "admin", "sandbox-admin", "system:masters")


def client_kubeconfig(site: Site, name: str, user: str, *groups: str) -> Path:
    """Return a kubeconfig whose user shows a client certificate."""
    pair = cluster(site).client(name, user, groups)
    shown = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    return _write_kubeconfig(site, name, shown)


def token_kubeconfig(site: Site, name: str, token: str) -> Path:
    """Return a kubeconfig whose user shows a service account's token."""
    return _write_kubeconfig(site, name, {"token": token})


def _write_kubeconfig(site: Site, name: str, user: dict[str, str]) -> Path:
    authority = base64.b64encode(cluster(site).ca.certificate.read_bytes()).decode()
    address = {"server": site.url("kube_apiserver", "https"), "certificate-authority-data": authority}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": address}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "sandbox", "user": name, "namespace": NAMESPACE}}],
        "current-context": name,
    }
    return replace_private(folder(site) / f"{name}.kubeconfig", content)


def replace_private(path: Path, content: dict[str, Any]) -> Path:
    """Write JSON (which is YAML too) that only we can read; who reads meanwhile sees the old or the new one, whole."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=1))
    return draft.replace(path)


def trusted(site: Site, authority: Authority, client: Pair) -> ssl.SSLContext:
    """Return how we look at a server of that authority, as that client."""
    context = ssl.create_default_context(cafile=str(authority.ca.certificate))
    context.load_cert_chain(client.certificate, client.key)
    return context
