from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.configuration import drift
from include.configuration.bundle import Bundle, KindRead
from include.configuration.normalise import Object
from tests.include.configuration.things import CANARY, clear, config, secret


def said(before: Bundle, now: Bundle) -> list[str]:
    return [f"{each.subject} {each}" for each in drift.differences(before, now)]


def workload(*containers: Object, **spec: Any) -> Object:
    template = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": template, **spec},
    }


def test_nothing_is_said_of_what_is_equal_in_another_order() -> None:
    one, two = {"name": "a", "image": "x"}, {"name": "b", "image": "y"}
    assert said(clear(workload(one, two), config()), clear(config(), workload(two, one))) == []


def test_each_field_is_named_with_both_values() -> None:
    before, now = (
        workload({"name": "a", "image": "x:1"}, replicas=1),
        workload({"name": "a", "image": "x:2"}, replicas=3),
    )
    assert said(clear(before), clear(now)) == [
        "deployment/web spec.replicas: 1 -> 3",
        "deployment/web spec.template.spec.containers[a].image: x:1 -> x:2",
    ]


def test_rules_that_nothing_tells_apart_are_compared_one_by_one() -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "shop"},
    }
    one, other = {"resources": ["pods"], "verbs": ["get"]}, {"resources": ["pods"], "verbs": ["get", "delete"]}
    rest = {"resources": ["services"], "verbs": ["get"]}
    assert said(clear({**role, "rules": [one, rest]}), clear({**role, "rules": [other, rest]})) == [
        'role/r rules[0].verbs: ["get"] -> ["get", "delete"]'
    ]
    (line,) = said(clear({**role, "rules": [one]}), clear({**role, "rules": [one, rest]}))
    assert line.startswith("role/r rules: [")


def test_what_came_and_what_went_is_said_once_each() -> None:
    assert said(clear(config("a")), clear(config("b"))) == ["configmap/a is gone", "configmap/b is new"]


def test_a_secret_value_is_told_by_its_fingerprint_alone() -> None:
    (line,) = said(clear(secret(password=CANARY)), clear(secret(password="another")))
    assert line.startswith("secret/login data.password has a new value (fingerprint ")
    assert CANARY not in line
    assert "another" not in line


def test_keys_of_a_secret_that_came_and_went_are_named() -> None:
    lines = said(clear(secret(a="1")), clear(secret(b="2")))
    assert [line.partition(" (")[0] for line in lines] == ["secret/login data.a is gone", "secret/login data.b is new"]


def test_a_password_where_none_belongs_is_not_repeated() -> None:
    (line,) = said(clear(config(db_password="hunter2")), clear(config(db_password="hunter3")))
    assert line == "configmap/app data.db_password is changed"


def test_a_kind_that_could_not_be_read_has_not_lost_its_objects() -> None:
    dark = KindRead(group="", version="v1", kind="ConfigMap", plural="configmaps", namespaced=True, unread="403")
    before, now = clear(config(), secret()), clear(secret(), kinds=(dark,))
    assert said(before, now) == []
    assert said(now, before) == []


def test_a_group_that_did_not_answer_has_not_lost_its_objects() -> None:
    dark = KindRead(group="apps", version="v1", kind="*", plural="*", namespaced=True, unread="503")
    assert said(clear(workload()), clear(kinds=(dark,))) == []


def test_a_file_that_changed_is_told_by_its_fingerprint_and_an_unmounted_folder_is_not() -> None:
    one = {"path": "config/a.yaml", "bytes": 1, "fingerprint": "f" * 32, "private": False}
    before, now = replace(clear(), files=(one,)), replace(clear(), files=({**one, "fingerprint": "e" * 32},))
    assert said(before, now) == ["file/config/a.yaml content: fingerprint ffffffff -> fingerprint eeeeeeee"]
    assert said(before, replace(clear(), unmounted={"folder config": "not mounted"})) == []
    assert said(before, clear()) == ["file/config/a.yaml content: fingerprint ffffffff -> nothing"]


def entry(manager: str, at: str, fields: Object) -> Object:
    return {"manager": manager, "time": f"2026-11-25T{at}:00Z", "fieldsV1": fields}


LIVE: Object = {
    "metadata": {
        "managedFields": [
            entry("helm", "01:00", {"f:spec": {"f:replicas": {}, "f:template": {}}}),
            entry("kubectl-edit", "02:00", {"f:spec": {"f:template": {"f:spec": {'k:{"name":"a"}': {"f:image": {}}}}}}),
            entry("kube-controller-manager", "03:00", {"f:status": {"f:replicas": {}}}),
        ]
    }
}


@pytest.mark.parametrize(
    ("path", "who"),
    [
        (("spec", "replicas"), "helm, 2026-11-25 01:00 UTC"),
        (("spec", "template", "spec", ("name", "a"), "image"), "kubectl-edit, 2026-11-25 02:00 UTC"),
        (("spec", "template", "spec", ("name", "b"), "image"), "kubectl-edit, 2026-11-25 02:00 UTC"),
    ],
)
def test_who_wrote_a_field_is_who_owns_the_longest_part_of_its_path(path: tuple[drift.Step, ...], who: str) -> None:
    assert f"{drift.writer(LIVE, path)}" == who


def test_of_what_is_gone_nobody_knows_who() -> None:
    assert drift.writer(None, ()) is None
    assert drift.writer({"metadata": {}}, ("spec",)) is None
