"""metrics-server, which answers `kubectl top` from what the simulated kubelets report."""

from __future__ import annotations

import time

from sandbox.binaries import program
from sandbox.component import Component, SetupError
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import (
    METRICS_SERVICE,
    NAMESPACE,
    admin,
    client_kubeconfig,
    cluster,
    folder,
    server,
)
from sandbox.components.kubernetes.manifests import MANIFESTS, objects
from sandbox.components.kubernetes.probes import answers
from sandbox.site import Site

METRICS_WITHIN_S = 60
PODS_WITHIN_S = 15


def _prepare(site: Site) -> None:
    client_kubeconfig(site, "metrics-server", "metrics-server")
    server(site, "metrics-server", METRICS_SERVICE)
    api = Api(admin(site))
    _await_pods(api)
    _start_counters(site, api)


def _await_pods(api: Api) -> None:
    # It knows a pod's usage at the second look, ten seconds after the first: let the first one find them all. A deployment
    # that somebody made sick must not keep the platform from starting, so there is an end to waiting.
    deadline = time.monotonic() + PODS_WITHIN_S
    while time.monotonic() < deadline:
        workloads = api.call("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")["items"]
        if all(item["status"].get("readyReplicas", 0) >= item["spec"]["replicas"] for item in workloads):
            return
        time.sleep(0.3)


def _start_counters(site: Site, api: Api) -> None:
    # The simulated kubelets count from the first time that they are asked, the very first question of all finds one of them
    # without pods, and metrics-server throws zeros away: asked twice beforehand, it has every pod at its second look.
    names = [node["metadata"]["name"] for node in api.call("GET", "/api/v1/nodes")["items"]]
    for name in names * 2:
        time.sleep(0.3)
        answers(site, "kwok", f"/metrics/nodes/{name}/metrics/resource")


def _command(site: Site) -> list[str]:
    own, access = server(site, "metrics-server"), folder(site) / "metrics-server.kubeconfig"
    return [
        str(program("metrics-server")),
        "--bind-address=127.0.0.1",
        f"--secure-port={site.ports['metrics_server']}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        f"--kubeconfig={access}",
        f"--authentication-kubeconfig={access}",
        f"--authorization-kubeconfig={access}",
        f"--kubelet-certificate-authority={cluster(site).ca.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-use-node-status-port",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]


def _publish(site: Site) -> None:
    api = Api(admin(site))
    for thing in objects(site, MANIFESTS / "metrics"):
        api.apply(thing, force=True)
    _wait_for(api, "/apis/metrics.k8s.io/v1beta1/nodes", 3)
    _wait_for(api, f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods", 1)


def _wait_for(api: Api, path: str, count: int) -> None:
    deadline = time.monotonic() + METRICS_WITHIN_S
    while (found := len(api.list_or_nothing(path))) < count:
        if time.monotonic() > deadline:
            raise SetupError(
                f"{path} lists {found} of {count} after {METRICS_WITHIN_S} s; look at the logs of kwok and metrics-server"
            )
        time.sleep(0.5)


METRICS_SERVER = Component(
    name="metrics-server",
    prepare=_prepare,
    command=_command,
    ready=lambda site: answers(site, "metrics_server", "/readyz"),
    after=_publish,
    needs=("kube-controller-manager", "kube-scheduler", "kwok"),
    ports=("metrics_server",),
    ready_within_s=90,
)
