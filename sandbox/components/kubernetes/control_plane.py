"""etcd, the API server, the controllers and the scheduler, as `kubeadm` would start them, on loopback."""

from __future__ import annotations

import time
from pathlib import Path

from sandbox.binaries import program
from sandbox.component import Component
from sandbox.components.kubernetes import foundation
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import (
    FIRST_SERVICE,
    SERVICE_RANGE,
    admin,
    client_kubeconfig,
    cluster,
    folder,
    front,
    server,
    storage,
    token_keys,
)
from sandbox.components.kubernetes.probes import answers
from sandbox.site import PROJECT, Site

FREE_NODES_WITHIN_S = 10
AUDIT_POLICY = PROJECT / "sandbox" / "manifests" / "audit-policy.yaml"


def _prepare_etcd(site: Site) -> None:
    folder(site, "etcd")
    storage(site).server("etcd", ("127.0.0.1", "localhost"))


def _etcd(site: Site) -> list[str]:
    pair, authority = storage(site).server("etcd", ("127.0.0.1", "localhost")), storage(site).ca.certificate
    address, peer = site.url("etcd", "https"), site.url("etcd_peer", "https")
    return [
        str(program("etcd")),
        "--name=sandbox",
        f"--data-dir={folder(site, 'etcd')}",
        f"--listen-client-urls={address}",
        f"--advertise-client-urls={address}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        f"--cert-file={pair.certificate}",
        f"--key-file={pair.key}",
        f"--trusted-ca-file={authority}",
        "--client-cert-auth",
        f"--peer-cert-file={pair.certificate}",
        f"--peer-key-file={pair.key}",
        f"--peer-trusted-ca-file={authority}",
        "--peer-client-cert-auth",
        "--unsafe-no-fsync",  # a power cut may cost the simulated cluster; nothing else depends on it
        "--log-level=warn",
    ]


def _etcd_ready(site: Site) -> None:
    answers(site, "etcd", "/health", authority=storage(site), client=storage(site).client("probe", "probe"))


def _prepare_apiserver(site: Site) -> None:
    folder(site, "audit")
    token_keys(site)
    front(site).client("apiserver", "front-proxy-client")
    server(site, "apiserver", FIRST_SERVICE, "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    admin(site)


def _apiserver(site: Site) -> list[str]:
    own = server(site, "apiserver")
    to_storage = storage(site).client("apiserver", "apiserver")
    to_kubelets = cluster(site).client("apiserver-kubelet-client", "apiserver", ("system:masters",))
    to_extensions = front(site).client("apiserver", "front-proxy-client")
    keys = token_keys(site)
    authority = cluster(site).ca.certificate
    return [
        str(program("kube-apiserver")),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # an endpoint may not be a loopback address
        f"--secure-port={site.ports['kube_apiserver']}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        f"--client-ca-file={authority}",
        f"--etcd-servers={site.url('etcd', 'https')}",
        f"--etcd-cafile={storage(site).ca.certificate}",
        f"--etcd-certfile={to_storage.certificate}",
        f"--etcd-keyfile={to_storage.key}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys.certificate}",
        f"--service-account-signing-key-file={keys.key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--kubelet-certificate-authority={authority}",
        f"--kubelet-client-certificate={to_kubelets.certificate}",
        f"--kubelet-client-key={to_kubelets.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={front(site).ca.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={to_extensions.certificate}",
        f"--proxy-client-key-file={to_extensions.key}",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={folder(site, 'audit') / 'audit.log'}",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=2",
        "--profiling=false",
    ]


def _apiserver_ready(site: Site) -> None:
    answers(site, "kube_apiserver", "/readyz")


def _prepare_controllers(site: Site) -> None:
    client_kubeconfig(site, "controller-manager", "system:kube-controller-manager")
    server(site, "controller-manager")


def _controllers(site: Site) -> list[str]:
    authority = cluster(site).ca
    return [
        *_of_the_control_plane(site, "kube-controller-manager", "controller-manager", "kube_controller_manager"),
        f"--root-ca-file={authority.certificate}",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        f"--service-account-private-key-file={token_keys(site).key}",
        "--use-service-account-credentials",
        # Its first look comes one period after the start, when there are metrics: no warnings on a healthy morning.
        "--horizontal-pod-autoscaler-sync-period=60s",
    ]


def _prepare_scheduler(site: Site) -> None:
    client_kubeconfig(site, "scheduler", "system:kube-scheduler")
    server(site, "scheduler")
    _await_free_nodes(Api(admin(site)))


def _await_free_nodes(api: Api) -> None:
    # A new node is barred until the controllers have seen it ready; a pod that finds no node meanwhile leaves a warning
    # behind. A node that somebody made sick stays barred, so there is an end to waiting.
    deadline = time.monotonic() + FREE_NODES_WITHIN_S
    while time.monotonic() < deadline:
        if not any(node["spec"].get("taints") for node in api.call("GET", "/api/v1/nodes")["items"]):
            return
        time.sleep(0.2)


def _scheduler(site: Site) -> list[str]:
    return _of_the_control_plane(site, "kube-scheduler", "scheduler", "kube_scheduler")


def _of_the_control_plane(site: Site, binary: str, name: str, port: str) -> list[str]:
    access: Path = folder(site) / f"{name}.kubeconfig"
    own = server(site, name)
    return [
        str(program(binary)),
        "--bind-address=127.0.0.1",
        f"--secure-port={site.ports[port]}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        f"--kubeconfig={access}",
        f"--authentication-kubeconfig={access}",
        f"--authorization-kubeconfig={access}",
        "--leader-elect=false",
        "--profiling=false",
    ]


COMPONENTS = (
    Component(
        name="etcd",
        prepare=_prepare_etcd,
        command=_etcd,
        ready=_etcd_ready,
        ports=("etcd", "etcd_peer"),
    ),
    Component(
        name="kube-apiserver",
        prepare=_prepare_apiserver,
        command=_apiserver,
        ready=_apiserver_ready,
        after=foundation.lay,
        needs=("etcd",),
        ports=("kube_apiserver",),
        ready_within_s=120,
    ),
    Component(
        name="kube-controller-manager",
        prepare=_prepare_controllers,
        command=_controllers,
        ready=lambda site: answers(site, "kube_controller_manager", "/healthz"),
        needs=("kube-apiserver",),
        ports=("kube_controller_manager",),
    ),
    Component(
        name="kube-scheduler",
        prepare=_prepare_scheduler,
        command=_scheduler,
        ready=lambda site: answers(site, "kube_scheduler", "/healthz"),
        needs=("kwok", "kube-controller-manager"),
        ports=("kube_scheduler",),
    ),
)
