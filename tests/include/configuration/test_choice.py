from __future__ import annotations

import pytest

from include.configuration.choice import Choice
from include.configuration.normalise import Object, name
from include.errors import ConfigurationError, RefusedError

THINGS: list[Object] = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "api-config", "labels": {"app": "api", "tier": "front"}},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-tls", "labels": {"app": "api"}}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker", "labels": {"app": "worker"}}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "worker"}},
]
ALL = {"configmap/api-config", "secret/api-tls", "deployment/worker", "configmap/worker"}


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (Choice(), ALL),
        (Choice(kinds="  "), ALL),
        (Choice(kinds="configmap, SECRET"), {"configmap/api-config", "secret/api-tls", "configmap/worker"}),
        (Choice(names="worker"), {"deployment/worker", "configmap/worker"}),
        (Choice(names="deployment/worker"), {"deployment/worker"}),
        (Choice(names="api-*"), {"configmap/api-config", "secret/api-tls"}),
        (Choice(selector="app=api"), {"configmap/api-config", "secret/api-tls"}),
        (Choice(selector="app == api, tier"), {"configmap/api-config"}),
        (Choice(selector="app=api,!tier"), {"secret/api-tls"}),
        (Choice(selector="app!=api"), {"deployment/worker", "configmap/worker"}),
        (Choice(selector="app in (api, worker),tier notin (front)"), {"secret/api-tls", "deployment/worker"}),
        (Choice(kinds="ConfigMap", names="worker", selector="!app"), {"configmap/worker"}),
    ],
)
def test_a_subset_is_what_kubectl_would_select(choice: Choice, meant: set[str]) -> None:
    assert {name(each) for each in choice.of(THINGS)} == meant


def test_a_selector_that_matches_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        RefusedError, match=r"selector 'app=gone': nothing in the bundle matches; nothing was changed.*ConfigMap"
    ):
        Choice(selector="app=gone").of(THINGS)


def test_a_kind_that_the_bundle_lacks_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"kinds: the bundle holds no cronjob, only ConfigMap, Deployment, Secret"
    ):
        Choice(kinds="CronJob").of(THINGS)


@pytest.mark.parametrize("typed", ["app=a b", "=x", "app in api", "app in (a", "a;b", "app=a\nb", "app=$(id)"])
def test_what_is_no_selector_is_refused_and_named(typed: str) -> None:
    with pytest.raises(ConfigurationError, match=r"selector: .* is no label selector"):
        Choice(selector=typed).of(THINGS)
