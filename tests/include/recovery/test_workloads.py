"""Every writer stops and comes back exactly as it ran, whatever happens in between; against a real API server and controllers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from include.errors import ConfigurationError, OutcomeUnknownError, RefusedError, TransientError, VerificationError
from include.probes.kubernetes import Json
from include.recovery.cluster import ApiCluster, UnsettledError, find, refused_patch
from include.recovery.gateway import BYPASS_HEADER, smoke
from include.recovery.scene import FENCE, OP, WAS, Scene, obstacles
from include.recovery.workloads import Recorded, differences, record, start, stop, survey
from include.settings import RecoveryLimits
from sandbox.components.kubernetes import refuse_foreign_namespace
from sandbox.components.kubernetes.layout import NAMESPACE, admin
from sandbox.components.kubernetes.manifests import RIGHTS
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.recovery import village as home
from tests.include.recovery.village import (
    COUNTS,
    LIMITS,
    NONE,
    ONE,
    OP_ID,
    OTHER_OP,
    Village,
    eventually,
    quick_autoscaling,
)
from tests.proof import Proof

# Without a server


def _thing(kind: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    metadata = {"name": name, "uid": f"{kind}-{name}", **more.pop("metadata", {})}
    return kind, {"metadata": metadata, "spec": more.pop("spec", {}), **more}


def _owned(kind: str, name: str) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": name, "uid": f"{kind.lower()}-{name}", "controller": True}]}


def _scene(*things: tuple[str, dict[str, Any]]) -> Scene:
    found: dict[str, list[Json]] = {}
    for kind, thing in things:
        found.setdefault(kind, []).append(thing)
    return Scene(found)


LISTED = RecoveryLimits(writers=("deployment/worker",), no_writers=("statefulset/postgres",))
WORKER = _thing("deployment", "worker")
RUNNING, DONE = {"phase": "Running"}, {"phase": "Succeeded"}
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}


@pytest.mark.parametrize(
    ("stranger", "named"),
    [
        (_thing("deployment", "reports"), "deployment/reports"),
        (_thing("statefulset", "ledger"), "statefulset/ledger"),
        (_thing("daemonset", "agent"), "daemonset/agent"),
        (_thing("cronjob", "billing"), "cronjob/billing"),
        (_thing("job", "import"), "job/import"),
        (_thing("job", "import-1", metadata=_owned("CronJob", "import")), "cronjob/import"),
        (_thing("pod", "by-hand", status=RUNNING), "pod/by-hand"),
        (_thing("pod", "by-hand", status={"phase": "Pending"}), "pod/by-hand"),
        (_thing("pod", "canary-1", status=RUNNING, metadata=_owned("Rollout", "canary")), "rollout/canary"),
        (_thing("statefulset", "postgres"), None),
        (_thing("pod", "postgres-0", status=RUNNING, metadata=_owned("StatefulSet", "postgres")), None),
        (_thing("pod", "by-hand", status=DONE), None),
        (_thing("job", "import", status=COMPLETE), None),
    ],
)
def test_bug_33_whoever_may_write_and_is_in_no_list_is_named(stranger: tuple[str, Any], named: str | None) -> None:
    found = obstacles(_scene(WORKER, stranger), LISTED)
    assert [text.split(":")[0] for text in found] == ([] if named is None else ["an unknown writer"])
    assert all(f" {named} would go on" in text for text in found)


def test_bug_33_a_pod_belongs_to_whoever_stands_at_the_end_of_its_owners() -> None:
    replica_set = _thing("replicaset", "worker-7f", metadata=_owned("Deployment", "worker"))
    pod = _thing("pod", "worker-7f-x", status=RUNNING, metadata=_owned("ReplicaSet", "worker-7f"))
    assert obstacles(_scene(WORKER, replica_set, pod), LISTED) == []


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x"}}, "belongs to Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "belongs to Flux"),
        ({"labels": {"scaledobject.keda.sh/name": "worker"}}, "belongs to KEDA"),
        ({"annotations": {OP: OTHER_OP, WAS: '{"replicas":12}'}}, f"stopped by operation {OTHER_OP} and ran as"),
    ],
)
def test_bug_32_who_would_undo_the_stop_is_named(metadata: dict[str, Any], words: str) -> None:
    found = obstacles(_scene(_thing("deployment", "worker", metadata=metadata)), LISTED)
    assert len(found) == 1
    assert words in found[0]


def test_bug_32_a_manager_that_a_person_has_paused_is_no_obstacle() -> None:
    marked = _thing("deployment", "worker", metadata={"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}})
    assert obstacles(_scene(marked), LISTED.model_copy(update={"managers_paused": ("Flux",)})) == []


def test_a_writer_that_is_not_there_is_an_obstacle() -> None:
    assert "deployment/worker is listed in recovery.writers and is not" in obstacles(_scene(), LISTED)[0]


@pytest.mark.parametrize(
    ("status", "kind", "unknown"),
    [
        (400, ConfigurationError, None),
        (401, ConfigurationError, None),
        (403, ConfigurationError, None),
        (422, ConfigurationError, None),
        (404, UnsettledError, False),
        (409, UnsettledError, False),
        (410, UnsettledError, False),
        (429, UnsettledError, False),
        (500, UnsettledError, True),
        (503, UnsettledError, True),
        (504, UnsettledError, True),
    ],
)
def test_a_refused_patch_says_whether_it_may_have_been_carried_out(
    status: int, kind: type, unknown: bool | None
) -> None:
    error = refused_patch(status, "/apis/x", "words of the server", 7.0)
    assert type(error) is kind
    assert getattr(error, "unknown", None) is unknown
    assert "words of the server" in str(error)


def test_bug_25_the_account_may_change_the_named_writers_and_nothing_else() -> None:
    things = list(yaml.safe_load_all((RIGHTS / "ops-recover-db.yaml").read_text()))
    rules = [rule for thing in things for rule in thing.get("rules", ())]
    writing = [rule for rule in rules if not set(rule["verbs"]) <= {"get", "list"}]
    assert all(rule["verbs"] == ["patch"] and rule["resourceNames"] for rule in writing)
    granted = {
        f"{kind.removesuffix('/scale').removesuffix('s')}/{name}"
        for rule in writing
        for kind in rule["resources"]
        for name in rule["resourceNames"]
    }
    assert granted - {"horizontalpodautoscaler/api-gateway"} == set(RecoveryLimits().writers)


# In a namespace of our own


@pytest.fixture(scope="module")
def built(site: Site) -> Iterator[Village]:
    village = Village(admin(site))
    eventually(lambda: not _goes(village), within_s=60)
    refuse_foreign_namespace(admin(site), home.NAME)
    yield village
    village.let_go()
    village.api.call("DELETE", f"/api/v1/namespaces/{home.NAME}")


def _goes(village: Village) -> bool:
    """Whether an earlier session's namespace is still on its way out."""
    found = village.api.read(f"/api/v1/namespaces/{home.NAME}")
    return found is not None and "deletionTimestamp" in found["metadata"]


@pytest.fixture
def village(built: Village) -> Village:
    built.heal()
    return built


@pytest.mark.integration
def test_bug_31_every_count_comes_back_as_it_was(village: Village) -> None:
    village.scale("deployment/worker", 12)
    eventually(lambda: village.ready("worker") == 12)
    recorded = village.record()
    stopped = village.stop(recorded)
    assert (village.counts(), village.pods()) == (NONE, [])
    marks = village.get("deployment/worker")["metadata"]["annotations"]
    assert (marks[OP], marks[FENCE], marks[WAS]) == (OP_ID, "1", '{"paused":false,"replicas":12}')
    assert village.get("cronjob/report")["spec"]["suspend"] is True
    started = village.start(recorded)
    assert village.counts() == {"front": 2, "worker": 12}
    assert {name: village.ready(name) for name in COUNTS} == village.counts()
    assert differences(village.cluster, recorded) == []
    assert village.get("cronjob/report")["spec"]["suspend"] is False
    print(f"2 + 12 pods: stopped in {stopped.seconds} s, started in {started.seconds} s")  # noqa: T201


@pytest.mark.integration
def test_bug_31_a_second_record_never_overwrites_the_first(village: Village) -> None:
    recorded = village.record()
    with pytest.raises(KeyboardInterrupt):
        village.stop(recorded, before=_raises_at(4, []))
    with pytest.raises(RefusedError, match=f"deployment/front was stopped by operation {OP_ID} and ran as .*:2}}"):
        village.record()
    assert village.start(recorded).changed == ()
    assert differences(village.cluster, recorded) == []


def _raises_at(number: int, effects: list[str]) -> Callable[[str], None]:
    def before(effect: str) -> None:
        effects.append(effect)
        if len(effects) == number:
            raise KeyboardInterrupt

    return before


@pytest.mark.integration
def test_bug_31_stop_and_start_again_change_nothing(village: Village) -> None:
    recorded = village.record(ONE)
    effects: list[str] = []
    village.stop(recorded, ONE)
    village.stop(recorded, ONE, before=effects.append)
    assert effects == []
    village.start(recorded, ONE)
    village.start(recorded, ONE, before=effects.append)
    assert effects == []


@pytest.mark.integration
def test_bug_32_an_autoscaler_does_not_scale_back(village: Village, tmp_path: Path) -> None:
    village.api.apply(home.deployment("control", 1))
    village.api.apply(home.autoscaler("control", 2, 6))
    limits = LIMITS.model_copy(update={"no_writers": ("deployment/control",)})
    recorded = village.record(limits)
    village.stop(recorded, limits)
    village.scale("deployment/front", 1)  # as a sync that nobody paused would
    with quick_autoscaling(village.kubeconfig, tmp_path / "controller.log"):
        eventually(lambda: village.counts()["control"] == 2)  # it looks, and one that is not paused does scale
        village.scale("deployment/control", 1)
        eventually(lambda: village.counts()["control"] == 2)
        assert village.counts()["front"] == 1  # its least is 2
        village.scale("deployment/front", 0)
        village.start(recorded, limits)
    assert village.get("horizontalpodautoscaler/front")["spec"]["minReplicas"] == 2
    assert "behavior" not in village.get("horizontalpodautoscaler/front")["spec"]
    assert differences(village.cluster, recorded) == []


@pytest.mark.integration
def test_bug_32_an_autoscaler_with_rules_of_its_own_gets_them_back(village: Village) -> None:
    slowly = {"type": "Pods", "value": 1, "periodSeconds": 60}
    rules = {"scaleDown": {"stabilizationWindowSeconds": 77, "policies": [slowly]}}
    village.patch("horizontalpodautoscaler/front", {"spec": {"behavior": rules}})
    before = village.get("horizontalpodautoscaler/front")["spec"]
    recorded = village.record()
    with pytest.raises(KeyboardInterrupt):
        village.stop(recorded, before=_raises_at(2, []))
    assert village.get("horizontalpodautoscaler/front")["spec"] != before
    village.start(recorded)
    assert village.get("horizontalpodautoscaler/front")["spec"] == before


@pytest.mark.integration
def test_bug_32_an_autoscaler_that_somebody_changed_meanwhile_is_left_to_him(village: Village) -> None:
    recorded = village.record()
    with pytest.raises(KeyboardInterrupt):
        village.stop(recorded, before=_raises_at(2, []))
    village.patch("horizontalpodautoscaler/front", {"spec": {"minReplicas": 4}})
    with pytest.raises(RefusedError, match=r"horizontalpodautoscaler/front was stopped .* somebody started it"):
        village.stop(recorded)
    changed = village.start(recorded).changed
    assert len(changed) == 1
    assert "horizontalpodautoscaler/front is " in changed[0]
    assert village.get("horizontalpodautoscaler/front")["spec"]["minReplicas"] == 4


@pytest.mark.integration
def test_bug_33_a_writer_that_came_after_the_record_stops_the_stop_before_anything_is_touched(village: Village) -> None:
    recorded = village.record()
    village.api.apply(home.deployment("stranger", 1))
    effects: list[str] = []
    with pytest.raises(RefusedError, match="an unknown writer: deployment/stranger"):
        village.stop(recorded, before=effects.append)
    assert (effects, differences(village.cluster, recorded)) == ([], [])
    with pytest.raises(RefusedError, match="an unknown writer: deployment/stranger"):
        village.record()


@pytest.mark.integration
def test_bug_33_a_writer_that_comes_during_the_stop_is_seen_at_its_end(village: Village) -> None:
    recorded = village.record(ONE)
    come = _once(village.path("deployment/worker"), lambda: village.api.apply(home.deployment("stranger", 1)))
    with pytest.raises(VerificationError, match="the writers were stopped, and deployment/stranger still works"):
        village.stop(recorded, ONE.model_copy(update={"gone_within_s": 1}), cluster=Between(village.cluster, come))


@pytest.mark.integration
def test_bug_33_a_job_of_the_cron_job_is_waited_for(village: Village) -> None:
    cron = village.get("cronjob/report")
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": cron["metadata"]["uid"]}
    metadata = {"name": "report-1", "namespace": home.NAME, "ownerReferences": [{**owner, "controller": True}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": cron["spec"]["jobTemplate"]["spec"]}
    recorded = village.record()
    village.api.apply(job)
    eventually(lambda: village.pods("report"))
    effects: list[str] = []
    with pytest.raises(VerificationError, match=r"cronjob/report was stopped .* job/report-1 runs"):
        village.stop(recorded, LIMITS.model_copy(update={"gone_within_s": 0.2}), before=effects.append)
    assert effects == ["pause horizontalpodautoscaler/front", "suspend cronjob/report"]
    village.delete("job/report-1")
    village.stop(recorded)
    assert village.counts() == NONE


@pytest.mark.integration
def test_bug_25_a_pod_that_stays_is_named_and_nothing_further_is_touched(village: Village) -> None:
    recorded = village.record()
    pod = village.pods("front")[0]["metadata"]["name"]
    village.patch(f"pod/{pod}", {"metadata": {"finalizers": ["example.com/holds"]}})
    with pytest.raises(VerificationError, match=rf"pod/{pod} .*should have gone by .* example.com/holds"):
        village.stop(recorded, LIMITS.model_copy(update={"gone_within_s": 1}))
    assert village.counts() == {**COUNTS, "front": 0}
    village.patch(f"pod/{pod}", {"metadata": {"finalizers": None}})
    village.stop(recorded)
    assert village.counts() == NONE


@pytest.mark.integration
def test_bug_35_started_means_ready(village: Village) -> None:
    recorded = village.record()
    village.stop(recorded)
    slow = home.template("worker", **{"sandbox.ai-orchestrator.example/ready-after": "1s"})
    village.patch("deployment/worker", {"spec": {"template": slow}})
    with pytest.raises(VerificationError, match=r"deployment/worker was started .* is not ready: .*pod/worker-"):
        village.start(recorded, LIMITS.model_copy(update={"ready_within_s": 0.3}))
    assert village.counts() == {**COUNTS, "front": 0}  # what depends on it was not started
    village.start(recorded)
    assert {name: village.ready(name) for name in COUNTS} == COUNTS
    assert differences(village.cluster, recorded) == []


# Others at work


@dataclass
class Between:
    """The real cluster, with something that happens around a patch."""

    real: ApiCluster
    meanwhile: Callable[[str], None] = lambda path: None
    afterwards: Callable[[str], None] = lambda path: None
    blind: bool = False
    conflicts: list[str] = field(default_factory=list)

    def get(self, path: str, query: Any) -> Json:
        if self.blind:
            raise TransientError(f"the Kubernetes API did not answer GET {path}: ReadTimeoutError")
        return self.real.get(path, query)

    def patch(self, path: str, body: Json) -> Json:
        self.meanwhile(path)
        try:
            answer = self.real.patch(path, body)
        except UnsettledError as error:
            self.conflicts.append(str(error))
            raise
        self.afterwards(path)
        return answer


def _once(path: str, deed: Callable[[], None]) -> Callable[[str], None]:
    waiting = [deed]

    def meanwhile(seen: str) -> None:
        if seen == path and waiting:
            waiting.pop()()

    return meanwhile


@pytest.mark.integration
def test_an_edit_in_the_middle_is_read_again_and_kept(village: Village) -> None:
    recorded = village.record(ONE)
    edit = _once(
        village.path("deployment/worker", "scale"),
        lambda: village.patch("deployment/worker", {"metadata": {"annotations": {"example.com/owner": "ann"}}}),
    )
    between = Between(village.cluster, meanwhile=edit)
    village.stop(recorded, ONE, cluster=between)
    assert any("409" in text for text in between.conflicts)
    village.start(recorded, ONE)
    assert village.get("deployment/worker")["metadata"]["annotations"]["example.com/owner"] == "ann"
    assert differences(village.cluster, recorded) == []


@pytest.mark.integration
def test_another_count_in_the_middle_is_not_overwritten(village: Village) -> None:
    recorded = village.record(ONE)
    path = village.path("deployment/worker", "scale")
    between = Between(village.cluster, meanwhile=_once(path, lambda: village.scale("deployment/worker", 7)))
    with pytest.raises(RefusedError, match=r"deployment/worker was stopped by .* now is .*7.* somebody started it"):
        village.stop(recorded, ONE, cluster=between)
    assert village.counts()["worker"] == 7
    changed = village.start(recorded, ONE).changed
    assert len(changed) == 1
    assert "deployment/worker is" in changed[0]
    assert village.counts() == {**COUNTS, "worker": 7}


@pytest.mark.integration
def test_a_count_that_changes_while_it_is_waited_for_is_reported(village: Village) -> None:
    recorded = village.record(ONE)
    village.stop(recorded, ONE)
    change = _once(village.path("deployment/worker", "scale"), lambda: village.scale("deployment/worker", 3))
    changed = village.start(recorded, ONE, cluster=Between(village.cluster, afterwards=change)).changed
    assert len(changed) == 1
    assert village.counts()["worker"] == 3


@pytest.mark.integration
def test_a_count_that_changed_since_the_record_is_refused_unless_the_autoscaler_may_choose_it(village: Village) -> None:
    recorded = village.record()
    village.scale("deployment/front", 5)
    village.scale("deployment/worker", 4)
    with pytest.raises(RefusedError, match=r"deployment/worker was recorded as .*1.* now is .*4"):
        village.stop(recorded)
    assert village.counts() == {"front": 0, "worker": 4}
    village.scale("deployment/worker", 1)
    village.start(recorded)
    assert village.counts() == COUNTS


@pytest.mark.integration
def test_a_deleted_deployment_is_reported_and_the_rest_comes_back(village: Village) -> None:
    recorded = village.record()
    village.stop(recorded)
    village.delete("deployment/worker")
    changed = village.start(recorded).changed
    assert changed == ("deployment/worker is gone since it was recorded; find out who deleted it",)
    assert village.counts() == {"front": 2}
    assert differences(village.cluster, recorded) == ["deployment/worker is gone"]


@pytest.mark.integration
def test_another_operation_and_an_earlier_holder_are_refused(village: Village) -> None:
    recorded = village.record(ONE)
    with pytest.raises(KeyboardInterrupt):
        village.stop(recorded, ONE, fence=8, before=_raises_at(2, []))
    with pytest.raises(RefusedError, match=f"was stopped by operation {OP_ID}, not by {OTHER_OP}"):
        village.stop(recorded, ONE, op_id=OTHER_OP, fence=9)
    with pytest.raises(RefusedError, match="carries fence 8, ours is 7"):
        village.stop(recorded, ONE, fence=7)
    with pytest.raises(RefusedError, match="carries fence 8, ours is 7"):
        village.start(recorded, ONE, fence=7)
    village.stop(recorded, ONE, fence=9)  # who took over goes on, and leaves his own mark
    assert village.get("deployment/worker")["metadata"]["annotations"][FENCE] == "9"
    village.start(recorded, ONE, fence=9)
    assert differences(village.cluster, recorded) == []


@pytest.mark.integration
def test_a_write_without_an_answer_is_read_back_and_not_sent_twice(village: Village) -> None:
    recorded = village.record(ONE)
    lost: list[str] = []

    def lose(path: str) -> None:
        lost.append(path)
        raise UnsettledError(f"the Kubernetes API did not answer PATCH {path}: ReadTimeoutError", unknown=True)

    between = Between(village.cluster, afterwards=lose)
    village.stop(recorded, ONE, cluster=between)
    village.start(recorded, ONE, cluster=between)
    assert len(lost) == 4  # mark, scale, scale back, take the mark off
    assert between.conflicts == []
    assert differences(village.cluster, recorded) == []


@pytest.mark.integration
def test_a_write_that_cannot_be_read_back_has_an_unknown_outcome(village: Village) -> None:
    recorded = village.record(ONE)
    between = Between(village.cluster)

    def lose(path: str) -> None:
        between.blind = True
        raise UnsettledError(f"the Kubernetes API did not answer PATCH {path}: ReadTimeoutError", unknown=True)

    between.afterwards = lose
    with pytest.raises(OutcomeUnknownError, match=r"did not answer PATCH .*could not be read back"):
        village.stop(recorded, ONE.model_copy(update={"write_within_s": 0.5}), cluster=between)
    village.start(recorded, ONE)
    assert differences(village.cluster, recorded) == []


@pytest.mark.integration
def test_an_api_server_that_is_away_for_a_moment_is_waited_for(village: Village) -> None:
    recorded = village.record(ONE)
    away = iter((refused_patch(503, "/x", "away", 0.0), refused_patch(429, "/x", "later", 0.3)))

    def fail(path: str) -> None:
        if error := next(away, None):
            raise error

    village.stop(recorded, ONE, cluster=Between(village.cluster, meanwhile=fail))
    assert village.counts()["worker"] == 0


@pytest.mark.integration
def test_an_account_without_the_right_is_told_so(site: Site, village: Village) -> None:
    reader = home.client(site.path("kubernetes", "ops-read.kubeconfig"))
    with pytest.raises(ConfigurationError, match=r"forbids the service account .*deploy/kubernetes"):
        reader.patch(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/worker/scale", {"spec": {"replicas": 0}})


# Killed


def _killed(village: Village, deed: str, recorded: Recorded, at: int) -> bool:
    """Run it in a process of its own that is killed before its nth write; True if it got that far."""

    def before(effect: str) -> None:
        seen.append(effect)
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        verb = {"stop": stop, "start": start}[deed]
        verb(home.client(village.kubeconfig), recorded, limits=LIMITS, op_id=OP_ID, fence=1, before=before)

    seen: list[str] = []
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(timeout=60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


WRITES = 6  # two objects with one write, two workloads with two
CASES = [(deed, at, then) for deed in ("stop", "start") for at in range(1, WRITES + 1) for then in ("again", "back")]


@pytest.mark.integration
@pytest.mark.proof
@pytest.mark.timeout(900)
def test_kill_9_between_any_two_writes_ends_in_the_recorded_state(built: Village, proof: Proof) -> None:
    built.heal()
    recorded = built.record()
    chosen = proof.random.sample(CASES, proof.n(small=2, full=len(CASES)))
    held = sum(_survives(built, recorded, deed, at, then) for deed, at, then in chosen)
    proof.held(
        "killed before any write of stop or start, run again or turned back: counts, autoscaler and cron job as recorded",
        n=len(chosen),
        held=held,
    )


def _survives(village: Village, recorded: Recorded, deed: str, at: int, then: str) -> bool:
    if deed == "start":
        village.stop(recorded)
    assert _killed(village, deed, recorded, at), f"{deed} has fewer than {at} writes"
    if (deed, then) in {("stop", "again"), ("start", "back")}:
        village.stop(recorded)
    changed = village.start(recorded).changed
    return (changed, differences(village.cluster, recorded), village.counts()) == ((), [], COUNTS)


# The platform itself, by the account of the runbook


@pytest.fixture
def account(site: Site) -> ApiCluster:
    return home.client(site.path("kubernetes", "ops-recover-db.kubeconfig"))


@pytest.fixture
def recorded(site: Site, account: ApiCluster, tmp_path: Path) -> Iterator[Recorded]:
    """How the platform runs; it runs so again afterwards, because other tests share it."""
    limits = RecoveryLimits()
    assert survey(account, namespace=NAMESPACE, limits=limits) == []
    found = record(account, namespace=NAMESPACE, limits=limits)
    yield found
    assert start(account, found, limits=limits, op_id=OP_ID, fence=9).changed == ()
    assert differences(account, found) == []
    # An autoscaler that looked while there was nothing would say for a minute that it cannot scale.
    if not _scales(account):
        with quick_autoscaling(admin(site), tmp_path / "controller.log"):
            eventually(lambda: _scales(account), within_s=60)


def _scales(account: ApiCluster) -> bool:
    found = find(account, "horizontalpodautoscaler", NAMESPACE, "api-gateway") or {}
    return any(c["type"] == "ScalingActive" and c["status"] == "True" for c in found["status"]["conditions"])


@pytest.mark.integration
def test_bug_35_the_platform_stops_whole_and_works_the_moment_it_is_back(
    site: Site, account: ApiCluster, recorded: Recorded
) -> None:
    limits = RecoveryLimits()
    stopped = stop(account, recorded, limits=limits, op_id=OP_ID, fence=1)
    eventually(lambda: _sessions(site) == 0, within_s=10)
    door = httpx.Client(base_url=site.url("gateway"), headers={BYPASS_HEADER: site.secret("bypass-token")}, timeout=10)
    with pytest.raises(VerificationError, match="no ready replica of api-gateway"):
        smoke(door, limits=limits.model_copy(update={"healthy_within_s": 0.5}), op_id=OP_ID)
    started = start(account, recorded, limits=limits, op_id=OP_ID, fence=1)
    assert (started.changed, differences(account, recorded)) == ((), [])
    seen = smoke(door, limits=limits, op_id=OP_ID)
    assert seen.healthy_s < 2
    print(f"the platform: zero pods after {stopped.seconds} s, all ready after {started.seconds} s, {seen}")  # noqa: T201


def _sessions(site: Site) -> int:
    with connect(site, database="postgres") as connection:
        query = "select count(*) from pg_stat_activity where usename = 'orchestrator_app' and application_name <> ''"
        row = connection.execute(query).fetchone()
    assert row
    return int(row[0])
