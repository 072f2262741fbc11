from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from sandbox.component import SetupError
from sandbox.components.kubernetes import foundation, refuse_foreign_namespace
from sandbox.components.kubernetes.api import Api, Object
from sandbox.components.kubernetes.layout import NAMESPACE, admin, folder
from sandbox.components.kubernetes.manifests import MANIFESTS, RIGHTS, objects, rendered
from sandbox.images import BEHAVIOURS, DIGESTS, image
from sandbox.site import Site

OWN = "kubernetes-test"
WANTED = {"api-gateway": 3, "auth-service": 2, "worker": 6, "scheduler": 1}
INSIDE = f"/api/v1/namespaces/{NAMESPACE}"


# Without a server


@pytest.mark.parametrize("file", [*MANIFESTS.rglob("*.yaml"), *RIGHTS.rglob("*.yaml")], ids=lambda file: file.name)
def test_a_manifest_is_filled_in_whole_and_is_yaml(empty_site: Site, file: Path) -> None:
    things = [thing for thing in yaml.safe_load_all(rendered(empty_site, file)) if thing]
    assert things
    assert all(thing["kind"] and thing["apiVersion"] for thing in things)


def test_every_failing_behaviour_has_stages_of_its_own(empty_site: Site) -> None:
    failures = rendered(empty_site, MANIFESTS / "stages" / "failures.yaml")
    assert {name for name in BEHAVIOURS if DIGESTS[name] in failures} == {"crashes", "never-ready", "unpullable"}


SEE_SECRETS = {"ops-config-backup", "ops-config-prove", "ops-recover-config", "ops-disaster-config"}
"""Who backs Secrets up, who tries into a scratch namespace whether they could be restored, and who restores them."""


def test_rights_hold_no_wildcard_and_no_way_up() -> None:
    roles = [
        thing for file in RIGHTS.rglob("*.yaml") for thing in yaml.safe_load_all(file.read_text()) if "rules" in thing
    ]
    assert roles
    nobody = {"*", "escalate", "bind", "impersonate", "pods/exec", "pods/attach"}
    for name, rule in ((role["metadata"]["name"], rule) for role in roles for rule in role["rules"]):
        words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not words & (nobody if name in SEE_SECRETS else {*nobody, "secrets"}), rule


def test_kubeconfigs_and_keys_are_ours_alone(empty_site: Site) -> None:
    admin(empty_site)
    private = [*folder(empty_site).glob("*.kubeconfig"), *folder(empty_site, "certificates").rglob("*.key")]
    assert private
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}


# With the control plane


@pytest.fixture(scope="module")
def api(site: Site) -> Api:
    return Api(admin(site))


@pytest.fixture(scope="module")
def own(site: Site, api: Api) -> Iterator[str]:
    """A namespace for deployments that come and go, so that nobody else's test sees them."""
    refuse_foreign_namespace(admin(site), OWN)
    yield OWN
    api.call("DELETE", f"/api/v1/namespaces/{OWN}")


def _eventually(look: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen!r}"
        time.sleep(0.3)


def _deployment(name: str, behaviour: str, replicas: int = 1) -> Object:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": name, "image": image(name, behaviour)}], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": OWN}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _containers(api: Api, name: str) -> list[Object]:
    pods = api.call("GET", f"/api/v1/namespaces/{OWN}/pods", labelSelector=f"app={name}")["items"]
    return [status for pod in pods for status in pod["status"].get("containerStatuses", ())]


@pytest.mark.integration
def test_the_workloads_are_there_and_ready(api: Api) -> None:
    _eventually(lambda: _ready(api, "deployments") == WANTED)
    _eventually(lambda: _ready(api, "statefulsets") == {"postgres": 1, "redis": 1})


def _ready(api: Api, kind: str) -> dict[str, int]:
    found = api.call("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}")["items"]
    return {item["metadata"]["name"]: item["status"].get("readyReplicas", 0) for item in found}


@pytest.mark.integration
def test_the_first_start_leaves_no_warnings_behind(api: Api) -> None:
    # Later ones may be the doing of another test, which made the platform sick on purpose.
    began = _moment(api.call("GET", f"/api/v1/namespaces/{NAMESPACE}"))
    events = api.call("GET", f"{INSIDE}/events", fieldSelector="type=Warning")["items"]
    early = [event for event in events if (_moment(event) - began).total_seconds() < 30]
    assert [f"{event['involvedObject']['name']}: {event['reason']}" for event in early] == []


def _moment(thing: Object) -> datetime:
    return datetime.fromisoformat(thing["metadata"]["creationTimestamp"])


@pytest.mark.integration
def test_a_new_image_rolls_out(api: Api, own: str) -> None:
    api.apply(_deployment("rolls", "good", replicas=2))
    _eventually(lambda: [status["ready"] for status in _containers(api, "rolls")] == [True, True])
    api.apply(_deployment("rolls", "slow", replicas=2))
    _eventually(lambda: {status["image"] for status in _containers(api, "rolls")} == {image("rolls", "slow")})
    _eventually(lambda: all(status["ready"] for status in _containers(api, "rolls")))


@pytest.mark.integration
def test_a_crashing_image_restarts_again_and_again(api: Api, own: str) -> None:
    api.apply(_deployment("crashing", "crashes"))
    _eventually(lambda: any(status["restartCount"] >= 2 for status in _containers(api, "crashing")), within_s=40)

    def waits() -> list[Object]:
        return [
            s for s in _containers(api, "crashing") if s["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        ]

    _eventually(waits)
    ended = waits()[0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (1, "Error")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(ended["finishedAt"])).total_seconds()) < 60
    assert not waits()[0]["ready"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("behaviour", "state", "reason"),
    [("never-ready", "running", None), ("unpullable", "waiting", "ImagePullBackOff")],
)
def test_an_image_that_never_serves(api: Api, own: str, behaviour: str, state: str, reason: str | None) -> None:
    api.apply(_deployment(behaviour, behaviour))
    _eventually(
        lambda: (
            [s["state"].get(state, {}).get("reason") for s in _containers(api, behaviour) if state in s["state"]]
            == [reason]
        )
    )
    assert [status["ready"] for status in _containers(api, behaviour)] == [False]
    about = api.call("GET", f"/api/v1/namespaces/{OWN}/events", fieldSelector="type=Warning")["items"]
    assert any(event["involvedObject"]["name"].startswith(behaviour) for event in about)


@pytest.mark.integration
def test_a_pod_says_what_its_log_file_holds(site: Site, api: Api, own: str) -> None:
    api.apply(_deployment("talks", "good"))
    _eventually(lambda: [status["ready"] for status in _containers(api, "talks")] == [True])
    pod = api.call("GET", f"/api/v1/namespaces/{OWN}/pods", labelSelector="app=talks")["items"][0]["metadata"]["name"]
    file = folder(site, "pod-logs", OWN, pod) / "talks.log"
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    file.write_text("".join(f"{moment}.{number:09d}Z stdout F line {number}\n" for number in range(5)))

    core = client.CoreV1Api(api.client)

    answer = core.read_namespaced_pod_log(pod, OWN, tail_lines=2, _preload_content=False)
    assert answer.data == b"line 3\nline 4\n"


@pytest.mark.integration
def test_usage_of_nodes_and_pods_is_known(api: Api) -> None:
    nodes = api.call("GET", "/apis/metrics.k8s.io/v1beta1/nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"node-1", "node-2", "node-3"}
    pods = api.call("GET", f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods")["items"]
    assert len(pods) >= sum(WANTED.values())
    assert all(usage["usage"]["memory"] != "0" for pod in pods for usage in pod["containers"])


@pytest.mark.integration
def test_certificates_say_of_themselves_what_is_in_the_secret(site: Site, api: Api) -> None:
    found = api.call("GET", f"/apis/cert-manager.io/v1/namespaces/{NAMESPACE}/certificates")["items"]
    assert {item["metadata"]["name"] for item in found} == {"api-gateway-tls", "auth-service-tls"}
    for item in found:
        remaining = datetime.fromisoformat(item["status"]["notAfter"]) - datetime.now(UTC)
        assert 30 <= remaining.days <= 90
        assert item["status"]["conditions"][0]["status"] == "True"


def by_people(thing: Object) -> object:
    """What a start could have changed: a controller that writes the status moves the version of the whole too."""
    kept = {key: value for key, value in thing["metadata"].items() if key not in {"resourceVersion", "managedFields"}}
    return {**thing, "metadata": kept, "status": None}


@pytest.mark.integration
def test_a_second_start_changes_nothing(site: Site, api: Api) -> None:
    wanted = [*objects(site, MANIFESTS / "namespace"), *objects(site, RIGHTS), *objects(site, RIGHTS / "disaster")]
    before = {api.path(thing): api.read(api.path(thing)) for thing in wanted}

    foundation.lay(site)

    for path, was in before.items():
        now = api.read(path)
        assert was is not None
        assert now is not None
        assert by_people(now) == by_people(was), path


@pytest.mark.integration
def test_a_start_leaves_alone_what_a_person_changed(site: Site, api: Api) -> None:
    path = f"{INSIDE}/configmaps/worker-config"
    was = api.call("GET", path)
    changed = copy.deepcopy(was)
    changed["data"]["concurrency"] = "8"
    api.call("PUT", path, changed, fieldManager="a-person")
    try:
        foundation.lay(site)
        assert api.call("GET", path)["data"]["concurrency"] == "8"
    finally:
        changed["metadata"].pop("resourceVersion")
        api.call("PUT", path, {**changed, "data": was["data"]}, fieldManager="a-person")


@pytest.mark.integration
def test_a_namespace_of_somebody_else_is_refused(site: Site, api: Api) -> None:
    with pytest.raises(SetupError, match="was not made by this sandbox"):
        refuse_foreign_namespace(admin(site), "kube-system")


@pytest.mark.integration
def test_a_cluster_that_does_not_let_us_look_is_named(site: Site) -> None:
    with pytest.raises(SetupError, match="answers 403"):
        refuse_foreign_namespace(site.path("kubernetes", "ops-read.kubeconfig"), NAMESPACE)


def test_a_cluster_that_does_not_answer_is_named(empty_site: Site, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no usable kubeconfig"):
        refuse_foreign_namespace(tmp_path / "missing", NAMESPACE)


@pytest.mark.integration
def test_the_audit_log_names_the_caller_and_holds_no_secret(site: Site, api: Api) -> None:
    api.call("GET", f"{INSIDE}/secrets/database-credentials")
    log = folder(site, "audit") / "audit.log"
    _eventually(lambda: "secrets/database-credentials" in log.read_text())
    text = log.read_text()
    assert '"username":"sandbox-admin"' in text
    assert site.secret("postgres-orchestrator_app") not in text
