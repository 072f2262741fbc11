"""Stop every writer, and bring each back exactly as it ran: counts, autoscalers, cron jobs (X-01, X-05).

Every function decides from what the cluster shows and from the record that it is given, never from memory: killed anywhere, it
is called again and goes on. What was stopped carries three annotations (operation, fence, how it ran), so that a person can read
the way back from the cluster alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from include.errors import RefusedError, TransientError, VerificationError
from include.probes.kubernetes import Json
from include.recovery import scene as seen
from include.recovery.cluster import PATHS, Before, Cluster, Write, find, nothing, settle
from include.recovery.scene import AUTOSCALER, FENCE, OP, SCALED, WAS, Scene, look, marks_of, obstacles
from include.settings import RecoveryLimits

FROZEN = {"selectPolicy": "Disabled"}
"""What keeps an autoscaler from moving anything in one direction. It obeys `minReplicas` all the same, hence 1 beside it:
left alone it rests at 0 replicas, but turns any other count into its own least within one period."""

State = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """How one object ran.

    :param subject: `deployment/worker`.
    :param state: of a workload `replicas` and `paused`, of a cron job `suspend`, of an autoscaler `target`, `minReplicas`,
        `maxReplicas` and `behavior`.
    :param managers: who else keeps it as they want it, with the mark that says so.
    """

    subject: str
    uid: str
    resource_version: str
    state: State
    managers: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`deployment`."""
        return self.subject.partition("/")[0]

    @property
    def name(self) -> str:
        """`worker`."""
        return self.subject.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """How everything ran before it was stopped; the first record counts, a later one would only see zeros.

    :param things: autoscalers first, then the writers in the order in which they are stopped.
    :param at: when it was looked at, RFC 3339 in UTC.
    """

    namespace: str
    at: str
    things: tuple[Thing, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            **asdict(self),
            "things": [{**asdict(thing), "managers": list(thing.managers)} for thing in self.things],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recorded:
        """Read back what `to_json` returned."""
        things = tuple(Thing(**{**thing, "managers": tuple(thing["managers"])}) for thing in value["things"])
        return cls(namespace=value["namespace"], at=value["at"], things=things)

    def find(self, subject: str) -> Thing:
        """Return a thing; KeyError if it was not recorded."""
        return {thing.subject: thing for thing in self.things}[subject]

    def scaler_of(self, thing: Thing) -> Thing | None:
        """Return the autoscaler of a workload."""
        return next((it for it in self.things if it.state.get("target") == thing.subject), None)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stop or a start came to.

    :param seconds: from its first look to its last.
    :param changed: what somebody else changed meanwhile and was therefore left as it is, one sentence each.
    """

    seconds: float
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What the steps of one call have in common."""

    cluster: Cluster
    recorded: Recorded
    limits: RecoveryLimits
    op_id: str
    fence: int
    before: Before

    def settle(self, thing: Thing, decide: Callable[[Json | None], Write | None]) -> None:
        """Bring one object where `decide` wants it."""
        settle(
            self.cluster,
            thing.kind,
            self.recorded.namespace,
            thing.name,
            decide,
            before=self.before,
            within_s=self.limits.write_within_s,
        )


class ChangedError(RefusedError):
    """Somebody else changed the object meanwhile."""


# Record


def survey(cluster: Cluster, *, namespace: str, limits: RecoveryLimits) -> list[str]:
    """Return what must be settled before anything is stopped: unknown writers, other managers, marks of another operation."""
    return obstacles(look(cluster, namespace), limits)


def record(cluster: Cluster, *, namespace: str, limits: RecoveryLimits) -> Recorded:
    """Return how everything runs; RefusedError names every obstacle, and so everything that was stopped already."""
    scene = look(cluster, namespace)
    if found := obstacles(scene, limits):
        raise RefusedError(f"nothing in {namespace} was stopped: {'; '.join(found)}")
    present = [scene.find(subject) for subject in limits.writers]
    things = [
        *(_thing(AUTOSCALER, scaler) for scaler in seen.autoscalers(scene, limits)),
        *(_thing(name.partition("/")[0], it) for name, it in zip(limits.writers, present, strict=True) if it),
    ]
    return Recorded(namespace=namespace, at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", things=tuple(things))


def _thing(kind: str, thing: Json) -> Thing:
    metadata = thing["metadata"]
    return Thing(
        subject=f"{kind}/{metadata['name']}",
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        state=state(kind, thing),
        managers=seen.managers(thing),
    )


def state(kind: str, thing: Json) -> State:
    """Return what of an object we change and must bring back."""
    spec = thing["spec"]
    if kind == AUTOSCALER:
        bounds = {"minReplicas": spec.get("minReplicas", 1), "maxReplicas": spec["maxReplicas"]}
        return {"target": seen.target(thing), **bounds, "behavior": spec.get("behavior")}
    if kind == "cronjob":
        return {"suspend": spec.get("suspend", False)}
    return {"replicas": seen.replicas(thing), "paused": spec.get("paused", False)}


# Stop


def stop(
    cluster: Cluster,
    recorded: Recorded,
    *,
    limits: RecoveryLimits,
    op_id: str,
    fence: int,
    before: Before = nothing,
) -> Outcome:
    """Stop what was recorded, in order, each gone before the next is touched; return when nothing can write any more.

    :param before: called with each effect before it is sent: the place to look at the lease and the order to stop.

    RefusedError before anything is touched when an unknown writer is there, or when an object is not as it was recorded;
    VerificationError names the pods that stay, and nothing further is touched. Every error leaves the stopped ones stopped:
    `start` brings them back.
    """
    began = time.monotonic()
    errand = Errand(cluster=cluster, recorded=recorded, limits=limits, op_id=op_id, fence=fence, before=before)
    _refuse_unknown(errand)
    for thing in recorded.things:
        errand.settle(thing, partial(_stopping, errand, thing))
        _await_gone(errand, thing)
    _refuse_survivors(errand)
    return Outcome(seconds=round(time.monotonic() - began, 2))


def _refuse_unknown(errand: Errand) -> None:
    scene = look(errand.cluster, errand.recorded.namespace)
    known = {*errand.limits.no_writers, *(thing.subject for thing in errand.recorded.things)}
    if unknown := sorted(seen.writers(scene) - known):
        raise RefusedError(
            f"an unknown writer: {', '.join(unknown)} is not in the record of {errand.recorded.at}, so nothing was stopped;"
            " list it in recovery.writers or recovery.no_writers and record anew"
        )


def _stopping(errand: Errand, was: Thing, thing: Json | None) -> Write | None:
    """Decide the next write that a thing needs to be stopped."""
    thing = _same(was, thing)
    _refuse_stale(errand, was, thing)
    marked = _mark_of(errand, was).items() <= marks_of(thing).items()
    if not marks_of(thing).get(OP) and not _as_recorded(errand, was, thing):
        raise ChangedError(
            f"{was.subject} was recorded as {_short(was.state)} and now is {_short(state(was.kind, thing))}; it was not"
            " touched: bring back what was stopped before it and record anew"
        )
    if was.kind in SCALED:
        return _scaling_down(errand, was, thing, marked=marked)
    if marks_of(thing).get(OP) and not _is_stopped(was, thing):
        raise _started_meanwhile(errand, was, thing)
    return None if marked else _halting(errand, was)


def _scaling_down(errand: Errand, was: Thing, thing: Json, *, marked: bool) -> Write | None:
    # The mark goes first: a count of zero without a word of what it was would be the one state that loses something.
    if not marked:
        return Write(effect=f"mark {was.subject}", change={"metadata": {"annotations": _mark_of(errand, was)}})
    if _is_stopped(was, thing):
        return None
    if not _as_recorded(errand, was, thing):
        raise _started_meanwhile(errand, was, thing)
    return _scale(was, seen.replicas(thing), 0)


def _started_meanwhile(errand: Errand, was: Thing, thing: Json) -> ChangedError:
    return ChangedError(
        f"{was.subject} was stopped by operation {errand.op_id} and now is {_short(state(was.kind, thing))}, so somebody started"
        " it meanwhile; find out who, bring back the rest, and begin anew"
    )


def _halting(errand: Errand, was: Thing) -> Write:
    """Return the one write that marks and stops an autoscaler or a cron job."""
    frozen = {"minReplicas": 1, "behavior": {"scaleUp": FROZEN, "scaleDown": FROZEN}}
    change = frozen if was.kind == AUTOSCALER else {"suspend": True}
    return Write(
        effect=f"{'pause' if was.kind == AUTOSCALER else 'suspend'} {was.subject}",
        change={"metadata": {"annotations": _mark_of(errand, was)}, "spec": change},
    )


def _mark_of(errand: Errand, was: Thing) -> dict[str, str]:
    return {OP: errand.op_id, FENCE: str(errand.fence), WAS: _short(was.state)}


def _short(value: State) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _is_stopped(was: Thing, thing: Json) -> bool:
    if was.kind == AUTOSCALER:
        rules = thing["spec"].get("behavior") or {}
        frozen = all(rules.get(way, {}).get("selectPolicy") == "Disabled" for way in ("scaleUp", "scaleDown"))
        return frozen and thing["spec"].get("minReplicas", 1) == 1
    return seen.replicas(thing) == 0 if was.kind in SCALED else bool(thing["spec"].get("suspend"))


def _as_recorded(errand: Errand, was: Thing, thing: Json) -> bool:
    """Tell whether a thing runs as it did; what an autoscaler made of a count meanwhile is the autoscaler's to say."""
    now = state(was.kind, thing)
    if now == was.state:
        return True
    scaler = errand.recorded.scaler_of(was)
    return scaler is not None and within(scaler, now["replicas"])


def within(scaler: Thing, count: int) -> bool:
    """Tell whether a count is one that the autoscaler may choose."""
    return bool(scaler.state["minReplicas"] <= count <= scaler.state["maxReplicas"])


def _same(was: Thing, thing: Json | None) -> Json:
    if thing is None:
        raise ChangedError(f"{was.subject} is gone since it was recorded; find out who deleted it")
    if thing["metadata"]["uid"] != was.uid:
        raise ChangedError(f"{was.subject} was deleted and made anew since it was recorded; record anew")
    return thing


def _refuse_stale(errand: Errand, was: Thing, thing: Json) -> None:
    """Raise when the mark is another operation's, or that of a later holder of our own lease."""
    op, fence = marks_of(thing).get(OP), marks_of(thing).get(FENCE, "0")
    if op not in {None, errand.op_id}:
        raise RefusedError(f"{was.subject} was stopped by operation {op}, not by {errand.op_id}; finish that one first")
    if op and int(fence) > errand.fence:
        raise RefusedError(
            f"{was.subject} carries fence {fence}, ours is {errand.fence}: another process has taken over operation"
            f" {errand.op_id}; this one must end here"
        )


def _scale(was: Thing, now: int, count: int) -> Write:
    return Write(
        effect=f"scale {was.subject} from {now} to {count}", part="scale", change={"spec": {"replicas": count}}
    )


# Wait


def _await(
    errand: Errand, kinds: Sequence[str], waiting_for: Callable[[Scene], Sequence[str]], within_s: float
) -> list[str]:
    """Look until nothing is waited for any more; return what still was when time was up."""
    deadline = time.monotonic() + within_s
    while left := _left(errand, kinds, waiting_for):
        if time.monotonic() > deadline:
            return left
        time.sleep(errand.limits.poll_s)
    return []


def _left(errand: Errand, kinds: Sequence[str], waiting_for: Callable[[Scene], Sequence[str]]) -> list[str]:
    try:
        return list(waiting_for(look(errand.cluster, errand.recorded.namespace, kinds)))
    except TransientError as error:
        return [f"could not be looked at: {error}"]  # not seeing is no reason to believe that it is done


def _await_gone(errand: Errand, was: Thing) -> None:
    if was.kind == AUTOSCALER:
        return
    kinds = (was.kind, "replicaset", "cronjob", "job", "pod")
    left = _await(errand, kinds, lambda scene: still_there(scene, was), errand.limits.gone_within_s)
    if left:
        raise VerificationError(
            f"{was.subject} was stopped {errand.limits.gone_within_s:g} s ago and is not gone: {'; '.join(left[:5])}; nothing"
            " further was touched: see to it and run this step again, or bring back what was stopped"
        )


def still_there(scene: Scene, was: Thing) -> list[str]:
    """Return what is left of a stopped thing: pods, jobs, and counts that its controller has not seen yet."""
    pods = [seen.told(pod) for pod in scene.pods_of(was.subject)]
    jobs = [f"job/{job['metadata']['name']} runs" for job in scene.jobs_of(was.subject)]
    return [*pods, *jobs, *(_unseen(scene, was) if was.kind in SCALED else ())]


def _unseen(scene: Scene, was: Thing) -> Iterator[str]:
    """Yield the controllers that could still make a pod, because they do not know yet that none is wanted."""
    owned = [it for it in scene.of("replicaset") if scene.root(it, "replicaset") == was.subject]
    for thing in filter(None, (scene.find(was.subject), *owned)):
        status = thing.get("status", {})
        if seen.replicas(thing):
            yield f"{thing['metadata']['name']} wants {seen.replicas(thing)} replicas again"
        elif status.get("observedGeneration", 0) < thing["metadata"].get("generation", 1) or status.get("replicas"):
            yield f"the controller of {thing['metadata']['name']} has not finished"


def _refuse_survivors(errand: Errand) -> None:
    """Look once more at everything: what a controller began in the moment of the stop would show here."""
    harmless = set(errand.limits.no_writers)
    stopped = {thing.subject for thing in errand.recorded.things}

    def left(scene: Scene) -> list[str]:
        at_work = [*(("pod", it) for it in scene.of("pod") if seen.at_work(it))]
        at_work += [("job", it) for it in scene.of("job") if not seen.finished(it)]
        roots = {scene.root(it, kind) for kind, it in at_work}
        return sorted({*roots, *(seen.writers(scene) - stopped)} - harmless)

    if survivors := _await(errand, tuple(PATHS), left, errand.limits.gone_within_s):
        raise VerificationError(
            f"the writers were stopped, and {', '.join(survivors)} still works in {errand.recorded.namespace}; nothing further"
            " was touched: see to it and run this step again, or bring back what was stopped"
        )


# Start


def start(
    cluster: Cluster,
    recorded: Recorded,
    *,
    limits: RecoveryLimits,
    op_id: str,
    fence: int,
    before: Before = nothing,
) -> Outcome:
    """Bring back what was recorded, in the reverse order, each ready before the next; autoscalers last.

    What somebody else changed meanwhile is not overwritten: it is in `changed`, and the rest comes back all the same.
    VerificationError names what is not ready in time; its counts are set, and a second call goes on waiting.
    """
    began = time.monotonic()
    errand = Errand(cluster=cluster, recorded=recorded, limits=limits, op_id=op_id, fence=fence, before=before)
    changed = tuple(text for thing in reversed(recorded.things) if (text := _brought_back(errand, thing)))
    return Outcome(seconds=round(time.monotonic() - began, 2), changed=changed)


def _brought_back(errand: Errand, was: Thing) -> str:
    """Bring one thing back; return what kept us from it, if somebody else's change did."""
    try:
        errand.settle(was, partial(_starting, errand, was))
        _await_ready(errand, was)
        errand.settle(was, partial(_releasing, errand, was))
    except ChangedError as error:
        return str(error)
    return ""


def _starting(errand: Errand, was: Thing, thing: Json | None) -> Write | None:
    """Decide the next write that a thing needs to run as it was recorded; its mark stays until it is ready."""
    thing = _same(was, thing)
    _refuse_stale(errand, was, thing)
    if _runs_as_before(errand, was, thing):
        return None
    if not marks_of(thing).get(OP) or not _is_stopped(was, thing):
        raise ChangedError(
            f"{was.subject} is {_short(state(was.kind, thing))}, which is neither how we left it nor {_short(was.state)} as"
            f" recorded: somebody changed it, so it was left alone; settle it by hand"
            f" (kubectl annotate {was.subject} {OP}- {FENCE}- {WAS}- takes our mark off)"
        )
    if was.kind in SCALED:
        return _scale(was, seen.replicas(thing), was.state["replicas"])
    return _resuming(was)


def _runs_as_before(errand: Errand, was: Thing, thing: Json) -> bool:
    marked = bool(marks_of(thing).get(OP))
    return state(was.kind, thing) == was.state if marked else _as_recorded(errand, was, thing)


def _resuming(was: Thing) -> Write:
    """Return the one write that brings an autoscaler or a cron job back and takes the mark off."""
    keys = ("minReplicas", "behavior") if was.kind == AUTOSCALER else ("suspend",)
    change = {"metadata": {"annotations": _no_mark()}, "spec": {key: was.state[key] for key in keys}}
    return Write(effect=f"bring back {was.subject} as {_short(was.state)}", change=change)


def _releasing(errand: Errand, was: Thing, thing: Json | None) -> Write | None:
    if not marks_of(_same(was, thing)).get(OP):
        return None
    _refuse_stale(errand, was, _same(was, thing))
    return Write(effect=f"take the mark off {was.subject}", change={"metadata": {"annotations": _no_mark()}})


def _no_mark() -> dict[str, None]:
    return dict.fromkeys((OP, FENCE, WAS))


def _await_ready(errand: Errand, was: Thing) -> None:
    if was.kind not in SCALED:
        return
    kinds = (was.kind, "replicaset", "pod")
    left = _await(errand, kinds, lambda scene: not_ready(scene, was), errand.limits.ready_within_s)
    if left:
        raise VerificationError(
            f"{was.subject} was started {errand.limits.ready_within_s:g} s ago and is not ready: {'; '.join(left[:5])}; its"
            " count is set and what depends on it was not started: see to it and run this step again"
        )


def not_ready(scene: Scene, was: Thing) -> list[str]:
    """Return what a started workload still lacks: its controller's word, and each pod that is not ready."""
    thing = scene.find(was.subject)
    if thing is None:
        raise ChangedError(f"{was.subject} is gone since it was started; find out who deleted it")
    want, status = seen.replicas(thing), thing.get("status", {})
    if marks_of(thing).get(OP) and want != was.state["replicas"]:
        raise ChangedError(
            f"{was.subject} was started with {was.state['replicas']} replicas and now wants {want}: somebody changed it"
        )
    counted = {"replicas", "readyReplicas", *(() if was.state["paused"] else ("updatedReplicas",))}
    short = {name: status.get(name, 0) for name in sorted(counted) if status.get(name, 0) != want}
    if not short and status.get("observedGeneration", 0) >= thing["metadata"].get("generation", 1):
        return []
    pods = [seen.told(pod) for pod in scene.pods_of(was.subject) if not _is_ready(pod)]
    return [f"{want} replicas wanted, {_short(short)} counted", *pods]


def _is_ready(pod: Json) -> bool:
    conditions: list[Json] = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


# Prove


def differences(cluster: Cluster, recorded: Recorded) -> list[str]:
    """Return how the cluster differs from the record, one sentence each; a mark of ours that is left is a difference.

    A count that an autoscaler at work chose within its bounds is no difference: choosing is what it was recorded to do.
    """
    found = ((was, find(cluster, was.kind, recorded.namespace, was.name)) for was in recorded.things)
    return [text for was, thing in found for text in _differences(recorded, was, thing)]


def _differences(recorded: Recorded, was: Thing, thing: Json | None) -> Iterator[str]:
    if thing is None or thing["metadata"]["uid"] != was.uid:
        yield f"{was.subject} is {'gone' if thing is None else 'another object of that name'}"
        return
    if op := marks_of(thing).get(OP):
        yield f"{was.subject} still carries the mark of operation {op}"
    now, scaler = state(was.kind, thing), recorded.scaler_of(was)
    chosen = scaler is not None and within(scaler, now["replicas"])
    if now != was.state and not chosen:
        yield f"{was.subject} is {_short(now)}, recorded was {_short(was.state)}"
