"""A namespace with few, quick writers of its own, so that nobody else's test sees them stop."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config

from include.recovery.cluster import PATHS, ApiCluster
from include.recovery.scene import FENCE, OP, WAS
from include.recovery.workloads import Outcome, Recorded, record, start, stop
from include.settings import RecoveryLimits
from sandbox.binaries import program
from sandbox.components.kubernetes.api import Api, ApiException, Object
from sandbox.images import image

NAME = "recovery-test"
OP_ID = "5b1f0000-aaaa-5bbb-8ccc-000000000001"
OTHER_OP = "77770000-aaaa-5bbb-8ccc-000000000002"
COUNTS = {"front": 2, "worker": 1}
NONE = dict.fromkeys(COUNTS, 0)
LIMITS = RecoveryLimits(
    writers=("cronjob/report", "deployment/front", "deployment/worker"),
    no_writers=(),
    gone_within_s=20,
    ready_within_s=30,
    write_within_s=5,
    poll_s=0.05,
)
ONE = LIMITS.model_copy(
    update={"writers": ("deployment/worker",), "no_writers": ("cronjob/report", "deployment/front")}
)
"""One writer, where one is enough: bringing a workload back takes the simulated kubelet a second."""
SUBJECTS = ("horizontalpodautoscaler/front", *LIMITS.writers)


def template(name: str, behaviour: str = "good", **annotations: str) -> Object:
    """A pod that goes at once and is ready within a second."""
    annotations.setdefault("sandbox.ai-orchestrator.example/ready-after", "10ms")
    return {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": name, "image": image(name, behaviour)}],
        },
    }


def deployment(name: str, replicas: int, **more: str) -> Object:
    """A deployment of such pods."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, **more)}
    return _thing("apps/v1", "Deployment", name, spec)


def autoscaler(name: str, least: int, most: int) -> Object:
    """An autoscaler of a deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most}
    return _thing("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)


def cron_job(name: str) -> Object:
    """A cron job that nobody will see run."""
    job = {"template": {**template(name), "spec": {**template(name)["spec"], "restartPolicy": "Never"}}}
    return _thing("batch/v1", "CronJob", name, {"schedule": "0 0 29 2 *", "jobTemplate": {"spec": job}})


def _thing(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAME}, "spec": spec}


@dataclass
class Village:
    """The namespace, seen by one who may do everything."""

    kubeconfig: Path

    def __post_init__(self) -> None:
        self.api = Api(self.kubeconfig)
        self.cluster = client(self.kubeconfig)

    def record(self, limits: RecoveryLimits = LIMITS) -> Recorded:
        """Record it, and read the record back as a journal would."""
        return Recorded.from_json(record(self.cluster, namespace=NAME, limits=limits).to_json())

    def stop(self, recorded: Recorded, limits: RecoveryLimits = LIMITS, **more: Any) -> Outcome:
        """Stop it."""
        given = {"cluster": self.cluster, "op_id": OP_ID, "fence": 1, **more}
        return stop(given.pop("cluster"), recorded, limits=limits, **given)

    def start(self, recorded: Recorded, limits: RecoveryLimits = LIMITS, **more: Any) -> Outcome:
        """Start it."""
        given = {"cluster": self.cluster, "op_id": OP_ID, "fence": 1, **more}
        return start(given.pop("cluster"), recorded, limits=limits, **given)

    def path(self, subject: str, *more: str) -> str:
        """Return the address of `deployment/worker`."""
        kind, _, name = subject.partition("/")
        return "/".join((PATHS[kind].format(NAME), name, *more))

    def get(self, subject: str) -> Object:
        """Return an object."""
        return self.api.call("GET", self.path(subject))

    def patch(self, subject: str, body: Object, *more: str) -> None:
        """Change an object as a person would."""
        self.cluster.patch(self.path(subject, *more), body)

    def scale(self, subject: str, count: int) -> None:
        """Scale a workload as a person would."""
        self.patch(subject, {"spec": {"replicas": count}}, "scale")

    def counts(self) -> dict[str, int]:
        """Return what every deployment wants."""
        return {it["metadata"]["name"]: it["spec"]["replicas"] for it in self._list("deployment")}

    def pods(self, app: str = "") -> list[Object]:
        """Return the pods, of one application if it is named."""
        return [it for it in self._list("pod") if app in {"", it["metadata"].get("labels", {}).get("app")}]

    def _list(self, kind: str) -> list[Object]:
        return list(self.api.call("GET", PATHS[kind].format(NAME))["items"])

    def heal(self) -> None:
        """Bring everything to where every test begins, and take away what a test left."""
        for kind in PATHS:
            for it in self._list(kind):
                if not it["metadata"].get("ownerReferences") and f"{kind}/{it['metadata']['name']}" not in SUBJECTS:
                    self.delete(f"{kind}/{it['metadata']['name']}")
        self.let_go()
        for subject in ("horizontalpodautoscaler/front", "cronjob/report"):
            with suppress(ApiException):
                self.delete(subject)
        for name, count in COUNTS.items():
            self.api.apply(deployment(name, count), force=True)
            self.patch(f"deployment/{name}", {"metadata": {"annotations": dict.fromkeys((OP, FENCE, WAS))}})
        self.api.apply(autoscaler("front", 2, 6), force=True)
        self.api.apply(cron_job("report"), force=True)
        eventually(lambda: all(self.ready(name) == count for name, count in COUNTS.items()))
        eventually(lambda: len(self.pods()) == sum(COUNTS.values()))

    def let_go(self) -> None:
        """Take away what holds pods back; a namespace with such a pod would never go."""
        for pod in self.pods():
            if pod["metadata"].get("finalizers"):
                self.patch(f"pod/{pod['metadata']['name']}", {"metadata": {"finalizers": None}})

    def ready(self, name: str) -> int:
        """Return how many replicas of a deployment are ready."""
        return int(self.get(f"deployment/{name}").get("status", {}).get("readyReplicas", 0))

    def delete(self, subject: str) -> None:
        """Delete an object and what it owns."""
        self.api.call("DELETE", self.path(subject), propagationPolicy="Background")


def client(kubeconfig: Path) -> ApiCluster:
    """Return a client as the runbook's own."""
    return ApiCluster(config.new_client_from_config(config_file=str(kubeconfig)))


def eventually(look: Callable[[], object], within_s: float = 30) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen!r}"
        time.sleep(0.05)


@contextmanager
def quick_autoscaling(kubeconfig: Path, log: Path) -> Iterator[None]:
    """A second controller manager that only scales, and looks every second instead of every minute."""
    command = [
        str(program("kube-controller-manager")),
        f"--kubeconfig={kubeconfig}",
        "--controllers=horizontal-pod-autoscaler-controller",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=10)
