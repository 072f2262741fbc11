"""kwok plays the kubelets of three nodes; what a pod does follows the digest of its image (see sandbox/manifests/stages)."""

from __future__ import annotations

from sandbox.binaries import program
from sandbox.component import Component, NotReadyError
from sandbox.components.kubernetes.api import Api, Object
from sandbox.components.kubernetes.layout import admin, client_kubeconfig, folder, server
from sandbox.components.kubernetes.manifests import MANIFESTS, rendered
from sandbox.components.kubernetes.probes import answers
from sandbox.site import Site


def _prepare(site: Site) -> None:
    folder(site, "pod-logs")
    client_kubeconfig(site, "kwok", "kwok", "system:masters")
    server(site, "kubelet")
    stages = [rendered(site, file) for file in sorted((MANIFESTS / "stages").glob("*.yaml"))]
    (folder(site) / "stages.yaml").write_text("\n---\n".join(stages))


def _command(site: Site) -> list[str]:
    own, port = server(site, "kubelet"), site.ports["kwok"]
    return [
        str(program("kwok")),
        f"--kubeconfig={folder(site) / 'kwok.kubeconfig'}",
        f"--config={folder(site) / 'stages.yaml'}",
        "--enable-crds=Logs",
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        f"--node-port={port}",
        f"--server-address=127.0.0.1:{port}",
        "--node-lease-duration-seconds=40",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
    ]


def _ready(site: Site) -> None:
    answers(site, "kwok", "/healthz")
    nodes = Api(admin(site)).call("GET", "/api/v1/nodes")["items"]
    if waiting := [node["metadata"]["name"] for node in nodes if not _registered(node)]:
        raise NotReadyError(f"nodes without a word from their kubelet: {', '.join(waiting)}")


def _registered(node: Object) -> bool:
    return any(condition["type"] == "Ready" for condition in node.get("status", {}).get("conditions", ()))


KWOK = Component(
    name="kwok",
    prepare=_prepare,
    command=_command,
    ready=_ready,
    needs=("kube-apiserver",),
    ports=("kwok",),
)
