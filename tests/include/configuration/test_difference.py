from __future__ import annotations

import copy
import re
from typing import Any

from include.configuration.difference import RESTARTED, bare, differences, fingerprint, is_rolled, keeping
from tests.include.configuration.things import secret

KEY = b"k" * 32
CONTAINERS: list[dict[str, Any]] = [
    {"name": "app", "image": "a:1", "env": [{"name": "MODE", "value": "fast"}], "args": ["--x", "--y"]},
    {"name": "side", "image": "s:1"},
]
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "worker"},
    "spec": {"replicas": 3, "template": {"spec": {"containers": CONTAINERS}}},
}


def changed(change: Any) -> dict[str, Any]:
    thing = copy.deepcopy(DEPLOYMENT)
    change(thing["spec"])
    return thing


def paths(live: Any, wanted: Any) -> list[str]:
    return [each.field for each in differences(live, wanted, KEY)]


def test_a_field_is_named_by_the_names_on_its_way() -> None:
    wanted = changed(lambda spec: spec["template"]["spec"]["containers"][0].update(image="a:2"))
    assert paths(DEPLOYMENT, wanted) == ["spec.template.spec.containers[app].image"]


def test_the_order_of_named_things_is_no_difference_and_that_of_words_is() -> None:
    assert paths(DEPLOYMENT, changed(lambda spec: spec["template"]["spec"]["containers"].reverse())) == []
    turned = changed(lambda spec: spec["template"]["spec"]["containers"][0]["args"].reverse())
    assert paths(DEPLOYMENT, turned) == ["spec.template.spec.containers[app].args"]


def test_what_only_the_cluster_has_is_extra() -> None:
    live = changed(lambda spec: spec["template"]["spec"]["containers"][0]["env"].append({"name": "BAD", "value": "1"}))
    (found,) = differences(live, DEPLOYMENT, KEY)
    assert (found.field, found.is_extra) == ("spec.template.spec.containers[app].env[BAD]", True)
    (other,) = differences(DEPLOYMENT, live, KEY)
    assert not other.is_extra


def test_the_owner_is_the_last_who_wrote_the_field() -> None:
    def entry(manager: str, at: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {"manager": manager, "time": at, "fieldsV1": {"f:spec": fields}}

    image: dict[str, Any] = {"f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}}}}}}
    managed = {
        "metadata": {
            "managedFields": [
                entry("kubectl-edit", "2026-11-26T08:00:00Z", image),
                entry("helm", "2026-11-25T08:00:00Z", {**image, "f:replicas": {}}),
                entry("other", "2026-11-27T08:00:00Z", {"f:paused": {}}),
            ]
        }
    }
    wanted = changed(
        lambda spec: spec["template"]["spec"]["containers"][0].update(image="a:2") or spec.update(replicas=2)
    )
    assert [str(each) for each in differences(DEPLOYMENT, wanted, KEY, managed)] == [
        "spec.replicas: 3 -> 2 (helm, 2026-11-25 08:00 UTC)",
        "spec.template.spec.containers[app].image: a:1 -> a:2 (kubectl-edit, 2026-11-26 08:00 UTC)",
    ]


def test_a_count_that_an_autoscaler_chose_and_a_restart_are_no_difference_and_are_kept() -> None:
    live = changed(lambda spec: spec.update(replicas=7))
    live["spec"]["template"]["metadata"] = {
        "annotations": {RESTARTED: "op", "kubectl.kubernetes.io/restartedAt": "now"}
    }
    assert differences(bare(live, autoscaled=True), bare(DEPLOYMENT, autoscaled=True), KEY) != []
    live["spec"]["template"]["metadata"]["annotations"]["own"] = "1"
    wanted = copy.deepcopy(DEPLOYMENT)
    wanted["spec"]["template"]["metadata"] = {"annotations": {"own": "1", RESTARTED: "older"}}
    assert differences(bare(live, autoscaled=True), bare(wanted, autoscaled=True), KEY) == []
    sent = keeping(wanted, live, autoscaled=True)
    assert sent["spec"]["replicas"] == 7
    assert sent["spec"]["template"]["metadata"]["annotations"] == live["spec"]["template"]["metadata"]["annotations"]
    assert wanted["spec"]["replicas"] == 3


def test_only_a_template_makes_new_pods() -> None:
    assert not is_rolled(differences(DEPLOYMENT, changed(lambda spec: spec.update(replicas=2)), KEY))
    assert is_rolled(differences(DEPLOYMENT, changed(lambda spec: spec["template"]["spec"].update(priority=1)), KEY))


def test_a_secret_is_told_by_keyed_fingerprints() -> None:
    old, new = secret(password="old"), secret(password="new")
    (found,) = differences(old, new, KEY)
    assert re.fullmatch(r"data.password has a new value \(fingerprint [0-9a-f]{8} -> [0-9a-f]{8}\)", str(found))
    assert fingerprint(old, KEY) != fingerprint(new, KEY)
    assert fingerprint(old, KEY) != fingerprint(old, b"another key")
