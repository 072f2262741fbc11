"""Against the Kubernetes API of the platform in small, whose kubelets are simulated."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest
from kubernetes import config
from kubernetes.client.exceptions import ApiException

from include.errors import RefusedError
from include.failover.node import (
    CORDONED,
    ENVIRONMENT,
    ApiDrainer,
    Sample,
    choose,
    exercise_drain,
    fewest,
    list_pods,
    longest_without,
    nodes,
    ready,
)
from include.settings import FailoverLimits
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.foundation import STAGING
from sandbox.components.kubernetes.layout import admin, folder
from sandbox.site import Site
from tests.include.failover.pair import eventually

LIMITS = FailoverLimits(node_drain_within_s=40)
BUDGET = f"/apis/policy/v1/namespaces/{STAGING}/poddisruptionbudgets/api-gateway"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{STAGING}/deployments/api-gateway"


def drainer(site: Site) -> ApiDrainer:
    return ApiDrainer(config.new_client_from_config(config_file=str(folder(site) / "ops-failover.kubeconfig")))


@pytest.fixture
def cluster(site: Site) -> Iterator[ApiDrainer]:
    """The account of the exercise; staging is whole before and after."""
    found = drainer(site)
    eventually(lambda: ready(list_pods(found, STAGING)) == {"api-gateway": 2}, 40)
    yield found
    eventually(lambda: ready(list_pods(found, STAGING)) == {"api-gateway": 2}, 40)
    assert cordoned(found) == []


@pytest.fixture
def api(site: Site) -> Api:
    return Api(admin(site))


def cordoned(cluster: ApiDrainer) -> list[str]:
    return [node["metadata"]["name"] for node in nodes(cluster) if node["spec"].get("unschedulable")]


def with_spec(api: Api, path: str, **spec: object) -> None:
    while True:
        found = api.call("GET", path)
        found["spec"] |= spec
        try:
            api.call("PUT", path, found)
        except ApiException as error:
            if error.status != 409:  # its controller was faster: look again
                raise
        else:
            return


@pytest.mark.integration
def test_a_node_is_drained_its_pods_come_back_elsewhere_and_it_is_given_back(cluster: ApiDrainer) -> None:
    before = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in list_pods(cluster, STAGING)}
    result = exercise_drain(cluster, LIMITS)
    assert result.node in before.values()
    assert result.evicted == sum(1 for node in before.values() if node == result.node) > 0
    after = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in list_pods(cluster, STAGING)}
    assert {name for name, node in before.items() if node == result.node}.isdisjoint(after)
    assert result.node not in after.values()
    assert cordoned(cluster) == []
    assert result.gap_s == 0  # the budget keeps one pod ready
    assert result.fewest_ready["api-gateway"] >= 1


@pytest.mark.integration
def test_a_budget_that_forbids_it_is_obeyed_and_the_node_uncordoned(cluster: ApiDrainer, api: Api) -> None:
    with_spec(api, BUDGET, minAvailable=2)
    before = {pod["metadata"]["name"] for pod in list_pods(cluster, STAGING)}
    try:
        eventually(lambda: api.call("GET", BUDGET)["status"]["disruptionsAllowed"] == 0)
        with pytest.raises(RefusedError, match=r"a disruption budget forbids to evict .*; node-\d is uncordoned"):
            exercise_drain(cluster, LIMITS.model_copy(update={"node_drain_within_s": 2}))
        assert {pod["metadata"]["name"] for pod in list_pods(cluster, STAGING)} == before
        assert cordoned(cluster) == []
    finally:
        with_spec(api, BUDGET, minAvailable=1)
        eventually(lambda: api.call("GET", BUDGET)["status"]["disruptionsAllowed"] == 1)


@pytest.mark.integration
def test_a_single_pod_without_a_budget_leaves_a_gap_that_is_measured(cluster: ApiDrainer, api: Api) -> None:
    with_spec(api, BUDGET, minAvailable=0)
    with_spec(api, DEPLOYMENT, replicas=1)
    try:
        eventually(lambda: len(list_pods(cluster, STAGING)) == 1)
        eventually(lambda: api.call("GET", BUDGET)["status"]["disruptionsAllowed"] == 1)
        result = exercise_drain(cluster, LIMITS)
    finally:
        with_spec(api, DEPLOYMENT, replicas=2)
        with_spec(api, BUDGET, minAvailable=1)
    assert result.gap_s > 0.5
    assert result.fewest_ready == {"api-gateway": 0}


def drain_until_killed(state: object, ports: dict[str, int]) -> None:
    site = Site(state, ports)  # type: ignore[arg-type]
    exercise_drain(drainer(site), LIMITS)


@pytest.mark.integration
def test_a_drain_that_was_killed_leaves_a_mark_and_the_next_one_uncordons(
    site: Site, cluster: ApiDrainer, api: Api
) -> None:
    killed = multiprocessing.get_context("spawn").Process(
        target=drain_until_killed, args=(site.state, dict(site.ports))
    )
    killed.start()
    eventually(lambda: cordoned(cluster), 60)
    killed.kill()
    killed.join()
    (left,) = cordoned(cluster)
    eventually(lambda: ready(list_pods(cluster, STAGING)) == {"api-gateway": 2}, 40)
    result = exercise_drain(cluster, LIMITS)
    assert result.brought_home == (left,)
    assert CORDONED not in api.call("GET", f"/api/v1/nodes/{left}")["metadata"]["annotations"]


@pytest.mark.integration
def test_a_node_that_a_person_cordoned_stays_so_and_a_drain_without_a_second_one_is_refused(
    cluster: ApiDrainer, api: Api
) -> None:
    with_spec(api, "/api/v1/nodes/node-3", unschedulable=True)
    try:
        with pytest.raises(RefusedError, match=r"1 nodes with the label .*nothing was changed"):
            exercise_drain(cluster, LIMITS)
        assert cordoned(cluster) == ["node-3"]
    finally:
        with_spec(api, "/api/v1/nodes/node-3", unschedulable=False)


@pytest.mark.integration
def test_refuses_a_namespace_without_the_label_of_staging(site: Site) -> None:
    anybody = ApiDrainer(config.new_client_from_config(config_file=str(admin(site))))
    limits = LIMITS.model_copy(update={"node_namespace": "ai-orchestrator"})
    with pytest.raises(RefusedError, match=f"label {ENVIRONMENT} is None.*nothing was changed"):
        exercise_drain(anybody, limits)
    assert cordoned(anybody) == []


def thing(
    name: str, *, ready: bool = True, node: str = "", owner: str = "ReplicaSet", **spec: object
) -> dict[str, object]:
    owners = [{"kind": owner}] if owner else []
    return {
        "metadata": {"name": name, "ownerReferences": owners, "labels": {"app": name.partition("-")[0]}},
        "spec": {"nodeName": node, **spec},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


TWO = [thing("a"), thing("b")]


def test_chooses_the_node_with_most_pods_that_a_drain_would_move() -> None:
    pods = [thing("w-1", node="a"), thing("w-2", node="b"), thing("w-3", node="b")]
    daemons = [thing(f"d-{number}", node="a", owner="DaemonSet") for number in range(5)]
    assert choose(TWO, [*pods, *daemons]) == "b"


@pytest.mark.parametrize(
    ("found", "pods", "said"),
    [
        ([thing("a")], [thing("w-1", node="a")], "1 nodes"),
        ([thing("a"), thing("b", ready=False)], [thing("w-1", node="a")], "1 nodes"),
        ([thing("a"), thing("b", unschedulable=True)], [thing("w-1", node="a")], "1 nodes"),
        (TWO, [thing("w-1", node="a", owner="")], "belongs to no controller"),
        (TWO, [thing("w-1", node="a", ready=False)], "is not ready before"),
        (TWO, [thing("w-1", node="elsewhere")], "no pod of staging"),
        (TWO, [], "no pod of staging"),
    ],
)
def test_refuses_before_anything_is_changed(found: list[object], pods: list[object], said: str) -> None:
    with pytest.raises(RefusedError, match=f"{said}.*nothing was changed"):
        choose(found, pods)  # type: ignore[arg-type]


def test_the_gap_lasts_from_the_last_sample_with_a_pod_to_the_next_with_one() -> None:
    counts = [2, 1, 0, 0, 1, 0, 1, 2]
    samples = [Sample(at=float(at), ready={"w": count}) for at, count in enumerate(counts)]
    assert longest_without(samples, {"w": 2}) == 3
    assert fewest(samples, {"w": 2}) == {"w": 0}
    assert longest_without(samples, {"w": 2, "gone": 1}) == 7
    assert longest_without([], {"w": 2}) == 0
