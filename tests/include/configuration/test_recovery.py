"""Configuration recoveries of a namespace on the real API server, by whoever may do everything there."""

from __future__ import annotations

import base64
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from include.configuration import operation
from include.configuration.normalise import LAST_APPLIED, Object, name, rank
from include.configuration.objects import ObjectApi, Refusal
from include.configuration.request import table
from include.configuration.survey import Deed
from include.errors import ConfigurationError, RefusedError, TransientError, VerificationError
from include.ops import journal
from include.probes.kubernetes import Json
from sandbox.components.kubernetes.api import Api
from sandbox.images import image
from tests.include.configuration.village import CANARY, Village

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DEBUG = {"data": {"log_level": "debug"}}


def planned(here: Village, **choice: Any) -> dict[str, Any]:
    """What would be done about each object, by its name."""
    return {each.subject: each for each in here.recovery(**choice).planned()[1]}


# --- there and back -----------------------------------------------------------------------------------------------------


def test_bug_37_a_deleted_namespace_comes_back_in_order_field_by_field_and_a_second_time_nothing_changes(
    here: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    was, sent = here.live(), list[str]()
    real = ObjectApi.apply

    def recording(self: ObjectApi, thing: Json, **how: Any) -> Json:
        if not how.get("dry_run"):
            sent.append(thing["kind"])
        return real(self, thing, **how)

    monkeypatch.setattr(ObjectApi, "apply", recording)
    here.delete_namespace()
    facts = here.recover()
    here.wait_until_ready()
    assert {name(each): each for each in here.live()} == {name(each): each for each in was}
    assert facts["compare"]["differing"] == {}
    assert set(facts["restart"]["ready"].values()) == {""}
    assert [rank(kind) for kind in sent] == sorted(rank(kind) for kind in sent)
    assert sent[0] == "Namespace"
    assert max(map(sent.index, ("Secret", "ConfigMap", "PersistentVolumeClaim"))) < sent.index("Deployment")

    before = here.versions()
    again = here.recover()
    assert again["apply"]["applied"] == []
    assert here.versions() == before


def test_x_07_what_was_changed_added_and_removed_is_as_it_was_and_who_did_it_is_named(here: Village) -> None:
    here.change(
        "ConfigMap", "front-config", {"data": {"log_level": "debug", "added": "1", "rate": None}}, "kubectl-edit"
    )
    here.change("Service", "front", {"metadata": {"labels": {"added": "1"}}}, "kubectl-label")
    plan, entries = here.recovery().planned()
    acting = {each.subject for each in entries if each.acts}
    assert acting == {"configmap/front-config", "service/front"}
    lines = "\n".join(table(entries))
    assert "configmap/front-config  data.log_level: debug -> info (kubectl-edit, 20" in lines
    assert "data.added: 1 -> nothing (kubectl-edit" in lines
    assert "data.rate: nothing -> 600" in lines
    assert "Taken from others: configmap/front-config: data.log_level (kubectl-edit)" in plan.text
    facts = here.recover()
    assert here.the("ConfigMap", "front-config")["data"] == {"log_level": "info", "rate": "600", "empty": ""}
    assert not here.the("Service", "front")["metadata"].get("labels")
    assert set(facts["apply"]["applied"]) == acting


def test_bug_38_only_what_was_chosen_is_applied_and_nothing_that_runs_again(here: Village) -> None:
    here.change("ConfigMap", "front-config", DEBUG)
    here.change("ConfigMap", "back-config", DEBUG)
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old"}, "spec": {"containers": []}}
    assert here.whole
    here.bundle = here.bundle_of([*here.whole.objects, pod])
    facts = here.recover(names="back-config, old")
    assert facts["apply"]["applied"] == ["configmap/back-config"]
    assert here.the("ConfigMap", "front-config")["data"]["log_level"] == "debug"
    assert here.objects.find(pod) is None
    assert facts["use the plan"]["entries"]["pod/old"]["deed"] == Deed.NEVER


def test_a_count_that_the_autoscaler_chose_stays(here: Village) -> None:
    here.change("Deployment", "front", {"spec": {"replicas": 3, "revisionHistoryLimit": 7}})
    assert here.recover(names="deployment/front")["apply"]["applied"] == ["deployment/front"]
    spec = here.the("Deployment", "front")["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (3, 10)


# --- secrets ------------------------------------------------------------------------------------------------------------


def test_bug_39_a_secret_comes_back_without_a_copy_in_annotations_plan_journal_or_log(
    here: Village, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = base64.b64encode(b"wrong").decode()
    here.change("Secret", "login", {"data": {"password": wrong}})
    op_id = here.approved(kinds="Secret")
    plan, entries = here.recovery(op_id, kinds="Secret").planned()
    here.recover(op_id)
    live = here.the("Secret", "login")
    assert base64.b64decode(live["data"]["password"]).decode() == CANARY
    assert LAST_APPLIED not in live["metadata"].get("annotations", {})
    said = [plan.text, str(plan.facts), *table(entries), caplog.text, str(journal.entries(here.ops, op_id))]
    assert "secret/login data.password has a new value (fingerprint " in plan.text
    for form in (CANARY, base64.b64encode(CANARY.encode()).decode(), quote(CANARY, safe="")):
        assert not [text for text in said if form in text]


# --- restarts -----------------------------------------------------------------------------------------------------------


def test_bug_40_only_the_readers_of_what_changed_are_restarted_one_by_one(here: Village) -> None:
    apps = ("front", "files", "back", "agent")
    before = {app: here.pods(app) for app in apps}
    here.change("ConfigMap", "front-config", DEBUG)
    here.change("ConfigMap", "back-config", DEBUG)
    facts = here.recover(kinds="ConfigMap")
    assert list(facts["restart"]["restarted"]) == ["deployment/front", "statefulset/back"]
    after = {app: here.pods(app) for app in apps}
    assert {app for app in apps if not before[app] & after[app]} == {"front", "back"}
    assert {app for app in apps if before[app] == after[app]} == {"files", "agent"}
    assert here.recover(kinds="ConfigMap")["restart"]["restarted"] == {}


def test_a_rollout_that_stands_is_taken_back_and_the_others_are_untouched(here: Village) -> None:
    """No pod may be added, so the first deployment that rolls cannot."""
    before = {app: here.pods(app) for app in ("front", "files", "back")}
    here.change("ConfigMap", "front-config", DEBUG)
    here.change("ConfigMap", "back-config", DEBUG)
    here.limits["rollout_within_s"] = 3
    here.__dict__.pop("chosen", None)
    with no_more_pods(here):
        facts = here.recover(kinds="ConfigMap")
    assert facts["restart"]["stuck"]["workload"] == "deployment/front"
    assert facts["restart"]["stuck"]["taken_back"] == ["configmap/front-config", "deployment/front"]
    assert facts["restart"]["left"] == ["statefulset/back"]
    assert here.the("ConfigMap", "front-config")["data"]["log_level"] == "debug"
    assert here.the("ConfigMap", "back-config")["data"]["log_level"] == "info"
    assert {app: here.pods(app) for app in ("front", "files", "back")} == before
    assert "deployment/front did not come back" in next(operation.problems(facts))


@contextmanager
def no_more_pods(here: Village) -> Iterator[None]:
    path = f"/api/v1/namespaces/{here.namespace}"
    hard = {"pods": str(len(here.api.call("GET", f"{path}/pods")["items"]))}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": hard}}
    here.api.call("POST", f"{path}/resourcequotas", quota)
    here._eventually(lambda: here.api.call("GET", f"{path}/resourcequotas/full").get("status", {}).get("used"))
    try:
        yield
    finally:
        here.limits.pop("rollout_within_s", None)
        here.__dict__.pop("chosen", None)
        here.api.call("DELETE", f"{path}/resourcequotas/full")


def test_a_version_that_never_gets_ready_is_taken_back_before_anything_restarts(here: Village) -> None:
    here.change("ConfigMap", "back-config", DEBUG)
    here.edited("deployment/files", lambda thing: containers(thing)[0].update(image=image("worker", "never-ready")))
    here.limits["rollout_within_s"] = 4
    here.__dict__.pop("chosen", None)
    try:
        facts = here.recover(kinds="ConfigMap, Deployment")
    finally:
        here.limits.pop("rollout_within_s", None)
        here.__dict__.pop("chosen", None)
    assert facts["apply"]["stuck"]["workload"] == "deployment/files"
    assert facts["apply"]["stuck"]["now"] == "ready"
    assert containers(here.the("Deployment", "files"))[0]["image"] == image("worker")
    assert facts["restart"]["restarted"] == {}


def containers(thing: Object) -> list[Object]:
    found: list[Object] = thing["spec"]["template"]["spec"]["containers"]
    return found


# --- the way back -------------------------------------------------------------------------------------------------------


def test_the_inverse_is_one_call_and_leaves_alone_what_somebody_changed_since(here: Village) -> None:
    here.change("ConfigMap", "front-config", {"data": {"log_level": "debug", "added": "1"}})
    here.change("ConfigMap", "files", {"data": {"more": "1"}})
    here.change("Deployment", "files", {"spec": {"revisionHistoryLimit": 7}})
    before = {name(each): each for each in here.live()}
    op_id = here.approved()
    facts = here.recover(op_id)
    assert set(facts["restart"]["restarted"]) == {"deployment/files", "deployment/front"}
    here.change("ConfigMap", "files", {"data": {"later": "1"}})
    pods = here.pods("front")
    operation.take_back(here.recovery(op_id), here.ops, holder="a test", why="a drill")
    after = {name(each): each for each in here.live()}
    assert after.pop("configmap/files")["data"] == {"app.ini": "[a]\nb = 1\n", "later": "1"}
    before.pop("configmap/files")
    assert after == before
    assert not pods & here.pods("front")
    with pytest.raises(RefusedError, match="is undone already"):
        operation.take_back(here.recovery(op_id), here.ops, holder="a test", why="again")


def test_a_refusal_in_the_middle_takes_back_what_was_applied(here: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    here.change("ConfigMap", "front-config", DEBUG)
    here.change("ConfigMap", "back-config", DEBUG)
    op_id = here.approved(kinds="ConfigMap")
    with monkeypatch.context() as patch:
        failing(patch, "front-config", Refusal(403, "Forbidden"), times=1)
        with pytest.raises(
            VerificationError, match=r"was undone, what it had changed is as it was before.*403: Forbidden"
        ):
            here.recover(op_id)
    assert {n: here.the("ConfigMap", n)["data"]["log_level"] for n in ("front-config", "back-config")} == {
        "front-config": "debug",
        "back-config": "debug",
    }


@pytest.mark.parametrize("status", [410, 429, 503])
def test_an_answer_that_says_later_is_waited_for(here: Village, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    here.change("ConfigMap", "back-config", DEBUG)
    op_id = here.approved(names="back-config")
    with monkeypatch.context() as patch:
        failing(patch, "back-config", Refusal(status, "later"), times=2)
        assert here.recover(op_id)["apply"]["applied"] == ["configmap/back-config"]


def failing(patch: pytest.MonkeyPatch, called: str, refusal: Refusal, *, times: int) -> None:
    """Let the API server refuse to apply one object so many times."""
    real, left = ObjectApi.send, [times]

    def send(self: ObjectApi, method: str, path: str, body: Json | None = None, **how: Any) -> Json:
        if method == "PATCH" and path.endswith(f"/{called}") and "dryRun" not in how and left[0]:
            left[0] -= 1
            raise refusal
        return real(self, method, path, body, **how)

    patch.setattr(ObjectApi, "send", send)


def test_what_somebody_changes_after_the_approval_is_not_overwritten(here: Village) -> None:
    here.change("ConfigMap", "back-config", DEBUG)
    op_id = here.approved(names="back-config")
    here.change("ConfigMap", "back-config", {"data": {"log_level": "error"}})
    with pytest.raises(RefusedError, match="what would be done now is not what was planned"):
        here.recover(op_id)
    assert here.the("ConfigMap", "back-config")["data"]["log_level"] == "error"


def test_what_somebody_writes_in_the_moment_of_the_apply_is_not_overwritten(
    here: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.change("ConfigMap", "back-config", DEBUG)
    op_id = here.approved(names="back-config")
    real, meanwhile = ObjectApi.apply, [{"data": {"log_level": "error"}}]

    def late(self: ObjectApi, thing: Json, **how: Any) -> Json:
        if meanwhile and not how.get("dry_run"):
            here.change("ConfigMap", "back-config", meanwhile.pop())
        return real(self, thing, **how)

    monkeypatch.setattr(ObjectApi, "apply", late)
    with pytest.raises(
        VerificationError, match="somebody changed it meanwhile, and nobody has approved to overwrite that"
    ):
        here.recover(op_id)
    assert here.the("ConfigMap", "back-config")["data"]["log_level"] == "error"


# --- what is listed and not done ----------------------------------------------------------------------------------------


def test_what_would_have_to_be_made_anew_is_listed_and_left(here: Village) -> None:
    here.edited("persistentvolumeclaim/spool", lambda thing: thing["spec"].update(storageClassName="another"))
    here.change("ConfigMap", "back-config", DEBUG)
    entry = planned(here)["persistentvolumeclaim/spool"]
    assert (entry.deed, entry.acts) == (Deed.RECREATE, False)
    assert entry.why == "spec: immutable"
    plan = here.recovery().plan()
    assert "Not done, for a decision of its own: persistentvolumeclaim/spool would have to be deleted" in plan.text
    assert here.recover()["apply"]["applied"] == ["configmap/back-config"]


# --- bad input ----------------------------------------------------------------------------------------------------------


def test_a_bundle_of_another_cluster_is_refused(here: Village) -> None:
    assert here.whole
    here.bundle = replace(here.whole, cluster=str(uuid.uuid4()))
    with pytest.raises(RefusedError, match=r"the bundle is of cluster .* and this is .*: nothing was changed"):
        here.recovery().plan()


def test_a_bundle_of_another_namespace_is_refused(here: Village) -> None:
    assert here.whole
    here.bundle = replace(here.whole, namespace="shop")
    with pytest.raises(RefusedError, match="the bundle is of namespace shop"):
        here.recovery().plan()


def test_a_selector_that_matches_nothing_is_refused(here: Village) -> None:
    with pytest.raises(RefusedError, match="selector 'app=gone': nothing in the bundle matches"):
        here.recovery(selector="app=gone").plan()


def test_a_namespace_that_is_not_there_is_refused_unless_the_bundle_brings_it(here: Village) -> None:
    gone = f"gone-{uuid.uuid4().hex[:6]}"
    away = replace(here.recovery(kinds="ConfigMap"), chosen=here.chosen.model_copy(update={"namespace": gone}))
    assert here.whole
    here.bundle = replace(here.whole, namespace=gone)
    access = here.access(api=ObjectApi(here.api.client, namespace=gone))
    with pytest.raises(RefusedError, match=f"there is no namespace {gone}, and what was chosen does not bring it"):
        replace(away, access=access).plan()


def test_an_account_that_may_not_look_is_named(here: Village) -> None:
    reader = Api(here.site.path("kubernetes", "ops-read.kubeconfig"))
    access = here.access(api=ObjectApi(reader.client, namespace=here.namespace))
    with pytest.raises(ConfigurationError, match="may not read namespace/kube-system"):
        here.recovery(access=access).plan()


def test_a_server_that_says_later_while_planning_leaves_nothing(here: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ObjectApi, thing: Json, **how: Any) -> Json:
        raise Refusal(429, "TooManyRequests")

    here.change("ConfigMap", "back-config", DEBUG)
    before = here.versions()
    monkeypatch.setattr(ObjectApi, "apply", refuse)
    with pytest.raises(TransientError, match="answered 429 when asked to try configmap/back-config"):
        here.recovery().plan()
    assert here.versions() == before


def test_a_reason_is_needed(here: Village) -> None:
    recovery = here.recovery()
    with pytest.raises(ConfigurationError, match="reason: at least 10 characters"):
        replace(recovery, request=replace(recovery.request, reason="  why ")).plan()
