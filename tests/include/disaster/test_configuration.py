"""A bundle into an empty namespace of a real API server: all of it there, none of it at work, and nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.backups import sealing
from include.configuration import reading
from include.configuration.bundle import OpenedBundle
from include.configuration.normalise import name
from include.configuration.objects import ObjectApi
from include.disaster import configuration
from include.disaster.configuration import EXERCISE, restore_into_empty
from include.errors import RefusedError
from sandbox import age_keys
from sandbox.components.kubernetes.api import Api, ApiException
from sandbox.components.kubernetes.foundation import DISASTER
from sandbox.site import Site
from tests.include.configuration.village import Village
from tests.include.configuration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bundle(site: Site) -> Iterator[OpenedBundle]:
    village = Village.built(site)
    yield village.take()
    village.remove()


@pytest.fixture
def empty(site: Site) -> Village:
    here = Village(site, "disaster-test")
    path = "/api/v1/namespaces/disaster-test"
    if not here.api.read(path):
        here.api.call("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "disaster-test"}})
    return here


def test_m_03_all_of_a_bundle_is_there_none_of_it_works_and_nothing_is_left(
    empty: Village, bundle: OpenedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = configuration._differs

    def looking(api: ObjectApi, thing: dict[str, object]) -> str:
        if not seen:
            seen.extend(name(each) for each in empty.live() if EXERCISE in each["metadata"].get("annotations", {}))
            seen.extend(empty.pods("front"))
        return real(api, thing)

    monkeypatch.setattr(configuration, "_differs", looking)
    restored = restore_into_empty(empty.objects, bundle)
    assert (restored.refused, restored.differing) == ([], [])
    assert restored.is_whole
    assert restored.made == len(seen)  # and no pod
    assert {"deployment/front", "secret/login", "cronjob/nightly", "service/front"} <= set(seen)
    assert restored.tried >= 4
    assert [each for each in empty.live() if EXERCISE in each["metadata"].get("annotations", {})] == []


def test_a_namespace_that_holds_something_is_refused_and_left(empty: Village, bundle: OpenedBundle) -> None:
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "front-config"}, "data": {"mine": "1"}}
    empty.objects.apply(mine)
    try:
        with pytest.raises(RefusedError, match="is not empty: it holds configmap/front-config"):
            restore_into_empty(empty.objects, bundle)
        assert empty.the("ConfigMap", "front-config")["data"] == {"mine": "1"}
        assert empty.objects.find({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}) is None
    finally:
        empty.objects.send("DELETE", empty.objects.path(mine))


def test_what_a_dead_exercise_left_is_removed_first(empty: Village, bundle: OpenedBundle) -> None:
    left = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "front-config", "annotations": {EXERCISE: "true"}},
    }
    empty.objects.apply(left)
    assert restore_into_empty(empty.objects, bundle).is_whole


def test_the_account_of_disaster_recovery_restores_the_platform_and_lets_nothing_run(site: Site) -> None:
    world = World(site)
    taken = world.take()
    opened = reading.read(world.store("backup_dr"), taken.manifest.facts.key, recovery_key(site))
    account = Api(site.path("kubernetes", "ops-disaster-config.kubeconfig"))
    restored = restore_into_empty(ObjectApi(account.client, namespace=DISASTER, manager="ops-disaster-config"), opened)
    assert (restored.refused, restored.differing) == ([], [])
    assert restored.is_whole
    assert restored.rights >= 4
    with pytest.raises(ApiException) as refused:
        account.call("GET", "/api/v1/namespaces/ai-orchestrator/configmaps/api-config")
    assert refused.value.status == 403


def recovery_key(site: Site) -> Any:
    return sealing.identity(age_keys.private(site, age_keys.RECOVERY), "the key of disaster recovery")
