"""The configuration recovery as one operation of steps, each of which can be done again and undone.

    use the plan, keep, apply, restart, compare

Every object is looked at before it is written: what is as wanted already is passed by, so that a process which was killed anywhere is
followed by one that goes on; and what is neither as planned nor as wanted was changed by somebody meanwhile, and is left to him.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.configuration import references, rollout, window
from include.configuration.difference import RESTARTED, Difference, removals
from include.configuration.normalise import Object, name, normalised
from include.configuration.objects import ObjectApi, Refusal
from include.configuration.request import Recovery
from include.configuration.survey import WORKLOADS, Deed, Entry, Survey
from include.errors import RefusedError, TransientError
from include.ops import gate, leases
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.ops.saga import Facts, Saga, Step
from include.probes.kubernetes import Json
from include.recovery.cluster import Patience, UnsettledError, versioned

if TYPE_CHECKING:
    from include.ops.database import OpsDatabase

log = logging.getLogger(__name__)

USE, APPLIED, BACK = gate.USE, "apply object", "put back object"
LEFT = "what it had changed is as it was before, and what it had made stays, since it deletes nothing"


def act(recovery: Recovery, ops: OpsDatabase, *, holder: str, wait_s: float = 0.0) -> Facts:
    """Carry the approved plan out, or go on where an earlier process was killed; return what each step left.

    RefusedError before anything is touched if the plan must not be carried out; VerificationError when it was undone;
    TransientError when it stands still and may go on.
    """
    with ExitStack() as held:
        ours = _leases(recovery, ops, held, holder, wait_s)
        writing = Journal(ops, recovery.request.op_id, holder, ours[0].token)
        approved = gate.authorise(ops, writing, lambda stored: recovery.as_approved(stored.plan.facts).plan())
        held.enter_context(window.opened(recovery.access.window, ours[0]))
        return saga(recovery.as_approved(approved), writing, ours).run()


def take_back(recovery: Recovery, ops: OpsDatabase, *, holder: str, why: str) -> None:
    """Undo an operation, whether it was cut off or done; returns when what it overwrote is there again."""
    with ExitStack() as held:
        ours = _leases(recovery, ops, held, holder, 0.0)
        writing = Journal(ops, recovery.request.op_id, holder, ours[0].token)
        approved = gate.approved(writing)
        held.enter_context(window.opened(recovery.access.window, ours[0]))
        saga(recovery.as_approved(approved), writing, ours).undo(why)


def _leases(recovery: Recovery, ops: OpsDatabase, held: ExitStack, holder: str, wait_s: float) -> list[Lease]:
    wanted = recovery.wanted(holder)
    return [held.enter_context(leases.keep(leases.acquire(ops, each, wait_s=wait_s))) for each in wanted]


def saga(recovery: Recovery, writing: Journal, ours: Sequence[Lease]) -> Saga:
    """Return the operation, ready to begin or to go on."""
    facts: Facts = {}
    steps = Steps(recovery=recovery, writing=writing, leases=ours, facts=facts)
    return Saga(writing, ours[0], steps.all(), recovery.subject, facts, undone=LEFT)


class ChangedError(RefusedError):
    """Somebody else changed the object meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps as one process does them: each effect asks the leases first.

    :param facts: what the steps before have left.
    """

    recovery: Recovery
    writing: Journal
    leases: Sequence[Lease]
    facts: Facts

    def all(self) -> Sequence[Step]:
        """Return them in order."""
        return [
            Step(name="keep", do=self._keep),
            Step(name="apply", do=self._apply, undo=self._put_all_back),
            Step(name="restart", do=self._restart, undo=self._restart_back),
            Step(name="compare", do=self._compare),
        ]

    # --- forth ----------------------------------------------------------------------------------------------------------

    def _keep(self) -> Mapping[str, Any]:
        """Put what will be overwritten, and the templates of what will be restarted, where the way back finds it."""
        subjects = {each.subject for each in self.entries if each.deed is Deed.CHANGE} | set(self.restarts)
        found = [normalised(live) for live in map(self.api.find, self._things(subjects)) if live]
        self._refuse_newer(found)
        kept = self.recovery.access.vault.keep(self.writing.op_id, int(self.leases[0].token), found)
        return {**kept, "objects": sorted(map(name, found))}

    def _refuse_newer(self, found: Sequence[Object]) -> None:
        planned = {each.subject: each.live for each in self.entries if each.deed is Deed.CHANGE}
        seen = {name(each): self.asking.seen(each) for each in found}
        if changed := [subject for subject, was in planned.items() if seen.get(subject) != was]:
            raise ChangedError(f"{', '.join(changed[:5])}: somebody changed that since the plan was approved")

    def _apply(self) -> Mapping[str, Any]:
        began, things = time.monotonic(), {name(each): each for each in self.objects}
        acting = [each for each in self.entries if each.acts]
        done: list[str] = []
        for entry in acting:
            self._apply_one(entry, things[entry.subject])
            if why := self._rolled(entry, things[entry.subject]):
                left = [each.subject for each in acting if each.subject not in {*done, entry.subject}]
                return {**self._stuck(entry.subject, why, done), "left": left, "applied": done}
            done.append(entry.subject)
        return {
            "applied": done,
            "created": [each.subject for each in acting if each.deed is Deed.CREATE],
            "seconds": round(time.monotonic() - began, 2),
        }

    def _apply_one(self, entry: Entry, thing: Object) -> None:
        self._settle(entry.subject, lambda: self._apply_now(entry, thing))

    def _apply_now(self, entry: Entry, thing: Object) -> bool:
        return self._bring(entry.subject, thing, self.kept.get(entry.subject), deed=APPLIED, force=entry.force)

    def _bring(self, subject: str, wanted: Json, was: Json | None, *, deed: str, force: bool) -> bool:
        """Bring an object from what it was to what is wanted; tell whether that was to be done.

        What is left to do must be a part of what was to be done: anything else is somebody's change, which nobody approved to
        overwrite.
        """
        live = self.api.find(wanted)
        found = self.asking.differences(wanted, live) if live else None
        if found == []:
            return False
        if live and self._is_left(subject, live, [deed]):
            return False
        self._refuse_changed(subject, wanted, was, live, found)
        self._before(deed, subject)
        made = self._send(subject, versioned(self.asking.applied(wanted, live), live), force=force)
        left = removals(self.asking.differences(wanted, made), made)
        if left:
            made = self._remove(subject, made, left)
        self.left[deed, subject] = self.asking.seen(normalised(made))
        self.writing.record(deed, object=subject, left=self.left[deed, subject])
        return True

    def _refuse_changed(
        self, subject: str, wanted: Json, was: Json | None, live: Json | None, found: Sequence[Difference] | None
    ) -> None:
        known = [each.found for each in self.asking.differences(wanted, was)] if was else []
        is_known = (live is None) == (was is None) and all(each.found in known for each in found or ())
        if not (is_known or (live and self._is_left(subject, live, [APPLIED, BACK]))):
            raise ChangedError(
                f"{subject} is neither as it was when the plan was approved nor as it would be: somebody changed it meanwhile,"
                " and nobody has approved to overwrite that"
            )

    def _is_left(self, subject: str, live: Json, deeds: Sequence[str]) -> bool:
        """Whether an object is what the API server made of it when we did that."""
        return self.asking.seen(normalised(live)) in [self.left.get((deed, subject)) for deed in deeds]

    def _rolled(self, entry: Entry, thing: Object) -> str:
        """Wait for the new pods of a workload that had some before; "" when they are ready."""
        return self._watch(thing) if entry.rolls else ""

    def _restart(self) -> Mapping[str, Any]:
        """Restart what reads what changed, one by one, and stop at the first one that does not come back."""
        began, done = time.monotonic(), dict[str, float]()
        if self.facts["apply"].get("stuck"):
            return {"restarted": {}, "left": list(self.restarts)}
        for workload in self._workloads(self.restarts):
            since = time.monotonic()
            self._mark(workload, self.writing.op_id)
            if why := self._watch(workload):
                left = [each for each in self.restarts if each not in {*done, name(workload)}]
                back = [*self.facts["apply"]["applied"], *done]
                return {**self._stuck(name(workload), why, back), "left": left, "restarted": done}
            done[name(workload)] = round(time.monotonic() - since, 2)
        return {"restarted": done, "ready": self._made_ready(), "seconds": round(time.monotonic() - began, 2)}

    def _made_ready(self) -> Mapping[str, str]:
        """Wait for the workloads that are new; "" when their pods are ready: there was nothing before to go back to."""
        made = {each.subject for each in self.entries if each.deed is Deed.CREATE}
        fresh = [each for each in self.objects if name(each) in made and each["kind"] in WORKLOADS]
        return {name(each): self._watch(each) for each in fresh}

    def _compare(self) -> Mapping[str, Any]:
        """Look once more at everything that was applied."""
        applied = set(self.facts["apply"]["applied"]) - set(self._taken_back())
        differing = {}
        for thing in self._things(applied):
            live = self.api.find(thing)
            found = self.asking.differences(thing, live) if live else None
            if found or live is None:
                differing[name(thing)] = [each.field for each in found or ()] or ["it is gone"]
        return {"compared": len(applied), "differing": differing}

    # --- a rollout that stands ------------------------------------------------------------------------------------------

    def _stuck(self, subject: str, why: str, done: Sequence[str]) -> Mapping[str, Any]:
        """Take back this workload, and what it reads unless one that came back reads it too; leave all others alone."""
        log.warning("%s: %s does not come back: %s", self.recovery.subject, subject, why)
        back = [each for each in self._read_only_by(subject, done) if each in self.kept]
        for each in (*back, subject):
            self._put_back(each)
        again = self._watch(self.kept[subject])
        return {"stuck": {"workload": subject, "why": why, "taken_back": [*back, subject], "now": again or "ready"}}

    def _read_only_by(self, subject: str, done: Sequence[str]) -> list[str]:
        changed = {each.subject for each in self.entries if each.acts}
        found = references.readers(list(self._things({subject, *done})), changed)
        others = {what for reader, read in found.items() if reader != subject for what in read}
        return sorted(set(found.get(subject, ())) - others)

    def _taken_back(self) -> Sequence[str]:
        steps = (self.facts.get(step, {}).get("stuck", {}) for step in ("apply", "restart"))
        return [subject for each in steps for subject in each.get("taken_back", ())]

    # --- back -----------------------------------------------------------------------------------------------------------

    def _put_all_back(self) -> None:
        """Put back what was overwritten, in the order in which it is applied; each workload that rolls is watched."""
        for entry in self.entries:
            if entry.deed is Deed.CHANGE and self._put_back(entry.subject) and entry.rolls:
                self._told_if_stuck(self.kept[entry.subject])

    def _restart_back(self) -> None:
        """First the configuration, then the pods that read it."""
        self._put_all_back()
        for subject in self.restarts:
            if subject in self.kept and self._put_back(subject):
                self._told_if_stuck(self.kept[subject])

    def _told_if_stuck(self, thing: Json) -> None:
        if why := self._watch(thing):
            log.warning("%s: %s was put back and is not ready: %s", self.recovery.subject, name(thing), why)

    def _put_back(self, subject: str) -> bool:
        """Make one object what it was, unless somebody has changed it since; tell whether it was put back."""
        was = self.kept[subject]
        return self._settle(subject, lambda: self._put_back_now(subject, was))

    def _put_back_now(self, subject: str, was: Json) -> bool:
        ours = next((each for each in self.objects if name(each) == subject), None)
        try:
            done = self._bring(subject, was, ours, deed=BACK, force=True)
        except ChangedError as error:
            log.warning("%s: %s; it is left alone", self.recovery.subject, error)
            return False
        if _mark_of(self.api.find(was)) != self.writing.op_id:
            return done
        self._mark(was, _mark_of(was))
        return True

    # --- one object -----------------------------------------------------------------------------------------------------

    def _send(self, subject: str, body: Json, *, force: bool) -> Json:
        try:
            return self.api.apply(body, force=force)
        except Refusal as refusal:
            if refusal.status == 409 and not refusal.causes:  # another version by now, which the next look shows
                raise UnsettledError(f"{subject} was changed while it was written", unknown=False) from None
            raise refusal.error(f"apply {subject}") from None

    def _remove(self, subject: str, live: Json, pointers: Sequence[str]) -> Json:
        try:
            return self.api.remove(live, pointers, live["metadata"]["resourceVersion"])
        except Refusal as refusal:
            if refusal.status in {409, 422}:  # another version by now, which the next look shows
                raise UnsettledError(f"{subject} was changed while it was written", unknown=False) from None
            raise refusal.error(f"apply {subject}") from None

    def _mark(self, workload: Json, op_id: str | None) -> None:
        """Write the restart mark, or take it away; one that is there already restarts nothing twice."""
        self._settle(name(workload), lambda: self._mark_now(workload, op_id))

    def _mark_now(self, workload: Json, op_id: str | None) -> bool:
        if _mark_of(self.api.find(workload)) == op_id:
            return False
        self._before("restart object", name(workload))
        change = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: op_id}}}}}
        try:
            self.api.merge(workload, change)
        except Refusal as refusal:
            raise refusal.error(f"restart {name(workload)}") from None
        return True

    def _watch(self, workload: Json) -> str:
        limits = self.recovery.chosen.configuration_recovery
        log.info("%s: waiting for %s", self.recovery.subject, name(workload))
        return rollout.watch(
            self.api, workload, within_s=limits.rollout_within_s, poll_s=limits.poll_s, beat=self._guard
        )

    def _settle(self, subject: str, deed: Callable[[], bool]) -> bool:
        """Do it until it is done or refused, and tell whether it was to be done: each time it looks anew, so nothing is done twice."""
        limits = self.recovery.chosen.configuration_recovery
        patience = Patience(time.monotonic() + limits.write_within_s, subject)
        while True:
            try:
                return deed()
            except TransientError as error:
                patience.wait(error)

    def _before(self, deed: str, subject: str) -> None:
        log.info("%s: %s %s", self.recovery.subject, deed, subject)
        self._guard()
        self.writing.intend(deed, object=subject)

    def _guard(self) -> None:
        for lease in self.leases:
            lease.guard()

    # --- what was approved ----------------------------------------------------------------------------------------------

    @property
    def api(self) -> ObjectApi:
        """The cluster."""
        return self.recovery.access.api

    @cached_property
    def entries(self) -> list[Entry]:
        """What the plan says of each object that is not the same, in order."""
        known = self.facts[USE]["entries"]
        return [Entry.of(name(each), known[name(each)]) for each in self.objects if name(each) in known]

    @property
    def restarts(self) -> Mapping[str, Sequence[str]]:
        """The workloads that the plan restarts, each with what it reads of what changes."""
        found: Mapping[str, Sequence[str]] = self.facts[USE]["restarts"]
        return found

    @cached_property
    def objects(self) -> list[Object]:
        """The objects of the bundle that was approved, and of no other."""
        chosen = self.recovery.open()
        if chosen.sha256 != self.facts[USE]["sha256"]:
            raise RefusedError(f"{chosen.key} is not the bundle that was approved: its manifest is another")
        return self.recovery.objects(chosen)

    @cached_property
    def asking(self) -> Survey:
        """Who knows what is compared of an object."""
        return self.recovery.survey(self.objects)

    @cached_property
    def left(self) -> dict[tuple[str, str], str]:
        """Fingerprints of what the API server made of each object that was written, by this process or one before it."""
        lines = [line for line in self.writing.entries() if "left" in line.detail]
        return {(line.step, line.detail["object"]): line.detail["left"] for line in lines}

    @cached_property
    def kept(self) -> Mapping[str, Json]:
        """What was overwritten, by subject."""
        return {name(each): each for each in self.recovery.access.vault.read(self.facts["keep"])}

    def _things(self, subjects: set[str]) -> Iterator[Json]:
        known = {name(each): each for each in (*self.asking.cluster.workloads, *self.objects)}
        yield from (known[subject] for subject in sorted(subjects) if subject in known)

    def _workloads(self, subjects: Mapping[str, Any]) -> Iterator[Json]:
        known = {name(each): each for each in self.asking.cluster.workloads}
        yield from (known[subject] for subject in subjects if subject in known)


def _mark_of(live: Json | None) -> str | None:
    template = ((live or {}).get("spec") or {}).get("template") or {}
    mark: str | None = ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED)
    return mark


def told(facts: Facts) -> Iterator[str]:
    """What came of it, one sentence each; what went wrong first."""
    applied, restart, compare = (facts.get(step, {}) for step in ("apply", "restart", "compare"))
    yield from problems(facts)
    yield f"{len(applied.get('applied', ()))} objects applied, {len(applied.get('created', ()))} of them new"
    restarted = restart.get("restarted", {})
    yield f"{len(restarted)} workloads restarted: {', '.join(f'{who} ({s:.0f} s)' for who, s in restarted.items()) or 'none'}"
    yield f"{compare.get('compared', 0)} objects compared with the bundle, {len(compare.get('differing', {}))} differ"


def problems(facts: Facts) -> Iterator[str]:
    """What somebody must look at, one sentence each."""
    for step in ("apply", "restart"):
        if stuck := facts.get(step, {}).get("stuck"):
            left = ", ".join(facts[step].get("left", ())) or "none"
            yield (
                f"{stuck['workload']} did not come back ({stuck['why']}): {', '.join(stuck['taken_back'])} taken back, now"
                f" {stuck['now']}; not touched after it: {left}"
            )
    for subject, why in facts.get("restart", {}).get("ready", {}).items():
        if why:
            yield f"{subject} is new and not ready: {why}"
    for subject, paths in facts.get("compare", {}).get("differing", {}).items():
        yield f"{subject} is not as the bundle has it: {', '.join(paths[:5])}"
