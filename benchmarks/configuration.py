"""What a backup of the configuration costs: 5,000 objects, against `kubectl get … -o yaml` of the same kinds into a file.

Needs no platform: it starts an API server and a store of its own, fills a namespace, measures both ways in turns, each in a process of
its own, and removes all of it. Ours lists every kind, normalises, seals and stores; kubectl writes what it was told to.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measured import Cost, measure, shell
from benchmarks.result import finish, parser
from sandbox.binaries import program
from sandbox.components.kubernetes.api import Api, Object
from sandbox.components.kubernetes.layout import admin
from sandbox.platform import running
from sandbox.site import PROJECT, Site, bypass_proxies, free_ports

NAMESPACE = "many-objects"
TEXT = "# one of many settings\n" * 40
LABELS = {"app.kubernetes.io/part-of": "ai-orchestrator", "app.kubernetes.io/managed-by": "benchmark"}


def _pods(name: str) -> Object:
    container: Object = {
        "name": "main",
        "image": f"registry.example/{name}:1",
        "resources": {"limits": {"memory": "64Mi"}},
    }
    container |= {"env": [{"name": f"SETTING_{number}", "value": f"{number}"} for number in range(10)]}
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}


def _job(name: str) -> Object:
    pods = _pods(name)
    return {"template": {**pods, "spec": {**pods["spec"], "restartPolicy": "Never"}}}


RBAC = "rbac.authorization.k8s.io/v1"
KINDS: dict[str, tuple[int, str, Callable[[str], Object]]] = {
    "ConfigMap": (2000, "v1", lambda _: {"data": {"settings.yaml": TEXT}}),
    "Secret": (1000, "v1", lambda name: {"stringData": {"password": f"password of {name}"}}),
    "Service": (500, "v1", lambda name: {"spec": {"selector": {"app": name}, "clusterIP": "None"}}),
    "ServiceAccount": (500, "v1", lambda _: {"automountServiceAccountToken": False}),
    "Deployment": (
        500,
        "apps/v1",
        lambda name: {"spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": _pods(name)}},
    ),
    "CronJob": (
        200,
        "batch/v1",
        lambda name: {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": _job(name)}}},
    ),
    "Role": (200, RBAC, lambda _: {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]}),
    "NetworkPolicy": (
        100,
        "networking.k8s.io/v1",
        lambda name: {"spec": {"podSelector": {"matchLabels": {"app": name}}}},
    ),
}
"""How many of each, its API, and what it is made of: 5,000 together."""


def things(share: float) -> Iterator[Object]:
    """Yield the objects, or a share of them."""
    for kind, (n, api, fields) in KINDS.items():
        for number in range(round(share * n)):
            name = f"{kind.lower()}-{number}"
            metadata = {"name": name, "namespace": NAMESPACE, "labels": LABELS}
            yield {"apiVersion": api, "kind": kind, "metadata": metadata, **fields(name)}


def fill(site: Site, share: float) -> int:
    """Make the namespace and what is in it; return how many objects that is."""
    api, made = Api(admin(site)), list(things(share))
    api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(api.apply, made))
    return len(made)


def kubectl(site: Site, folder: Path) -> list[str]:
    """Return the document's way: the named kinds as YAML in a file."""
    kinds = ",".join(kind.lower() for kind in KINDS)
    return shell(
        f"{program('kubectl')} --kubeconfig={admin(site)} --namespace={NAMESPACE} get {kinds} -o yaml > {folder}/all.yaml\n"
        f"SAID=$(stat -c '{{\"bytes\": %s}}' {folder}/all.yaml)"
    )


def ours(site: Site, way: str = "taken") -> list[str]:
    """Return our way: `taken`, or `proved` too."""
    return [sys.executable, "-m", "benchmarks.configuration_ours", way, str(site.state), NAMESPACE]


def rounds(site: Site, folder: Path, n: int) -> list[tuple[Cost, Cost]]:
    """Measure both in turns, ours first in every other round."""
    commands = (ours(site), kubectl(site, folder))
    found = []
    for number in range(n):
        turn = [0, 1] if number % 2 else [1, 0]
        costs = {which: _measured(commands[which], folder) for which in turn}
        found.append((costs[0], costs[1]))
    return found


def _measured(command: list[str], folder: Path) -> Cost:
    """Measure one way in an empty folder."""
    shutil.rmtree(folder)
    folder.mkdir()
    return measure(command, folder, {**os.environ, "PYTHONPATH": str(PROJECT)})


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    options = parser(__doc__)
    options.add_argument("--share", type=float, default=1.0, help="of the 5,000 objects")
    chosen = options.parse_args()
    bypass_proxies()
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    try:
        site = Site.create(state, free_ports())
        folder = site.folder("worker")
        with running(site, ["s3", "kube-apiserver"]):
            n = fill(site, chosen.share)
            found = rounds(site, folder, chosen.runs)
            proved = _measured(ours(site, "proved"), folder)
    finally:
        shutil.rmtree(state, ignore_errors=True)
    said: dict[str, Any] = dict(found[0][0].said)
    print(json.dumps(said))
    if chosen.share == 1.0:
        assert said["objects"] >= n
    finish(
        "configuration",
        ratios={"over_kubectl": round(statistics.median(us.seconds / it.seconds for us, it in found), 3)},
        figures={
            "objects": said["objects"],
            "pages": said["pages"],
            "pages_continued": said["continued"],
            "largest_page": said["largest_page"],
            "ours_s": round(statistics.median(us.seconds for us, _ in found), 2),
            "ours_cpu_s": round(statistics.median(us.cpu_s for us, _ in found), 2),
            "ours_peak_mb": round(max(us.peak_mb for us, _ in found), 1),
            "ours_disk_mb": round(max(us.disk_mb for us, _ in found), 1),
            "proved_s": round(proved.seconds, 2),
            "proved_peak_mb": round(proved.peak_mb, 1),
            "kubectl_s": round(statistics.median(it.seconds for _, it in found), 2),
            "kubectl_cpu_s": round(statistics.median(it.cpu_s for _, it in found), 2),
            "kubectl_peak_mb": round(max(it.peak_mb for _, it in found), 1),
        },
        as_json=chosen.json,
    )


if __name__ == "__main__":
    main()
