"""What would become of each object that was chosen: asked of the API server by dry runs, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from include.configuration import references
from include.configuration.difference import (
    Difference,
    bare,
    differences,
    fingerprint,
    is_rolled,
    keeping,
    removals,
)
from include.configuration.normalise import Object, name, normalised, order
from include.configuration.objects import HINT, ObjectApi, Refusal, UnreadableError
from include.errors import ConfigurationError, RefusedError
from include.probes.kubernetes import Json, list_all

PAGE = 500
NEVER = frozenset(
    {"Pod", "ReplicaSet", "ReplicationController", "Job", "ControllerRevision", "Endpoints", "EndpointSlice"}
)
"""Kinds that would run once more, or bring back what a controller has replaced since (BUG-38)."""

UNREAD = "the account of the recovery may not read it, so nobody knows whether it differs"
SCALERS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
WORKLOADS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
}


class Deed(StrEnum):
    """What is done about an object."""

    SAME = "is the same"
    CREATE = "create"
    CHANGE = "change"
    RECREATE = "would have to be deleted and made anew"
    ADMINISTRATOR = "only an administrator may"
    NEVER = "is never applied"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of the plan.

    :param force: fields of others are taken over, those that `conflicts` names.
    :param removes: the cluster has fields that the bundle lacks, which an apply would leave.
    :param rolls: new pods are made.
    :param live: fingerprint of what is there, "" if nothing is; `wanted` of what will be.
    :param lines: what changes, for people.
    :param why: it is not applied.
    """

    subject: str
    deed: Deed
    force: bool = False
    removes: bool = False
    rolls: bool = False
    live: str = ""
    wanted: str = ""
    conflicts: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    why: str = ""

    @property
    def acts(self) -> bool:
        """Whether anything is done."""
        return self.deed in {Deed.CREATE, Deed.CHANGE}

    def facts(self) -> Mapping[str, Any]:
        """Return what must still hold when it is carried out; JSON values."""
        return {
            "deed": self.deed.value,
            "force": self.force,
            "removes": self.removes,
            "rolls": self.rolls,
            "live": self.live,
            "wanted": self.wanted,
            "conflicts": list(self.conflicts),
        }

    @classmethod
    def of(cls, subject: str, facts: Mapping[str, Any]) -> Entry:
        """Return the entry of an approved plan."""
        known = {**facts, "deed": Deed(facts["deed"]), "conflicts": tuple(facts["conflicts"])}
        return cls(subject=subject, **known)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the decisions need of the namespace beside the object itself.

    :param autoscaled: workloads whose count an autoscaler chooses, or will: `deployment/api-gateway`.
    :param workloads: that live there.
    :param is_there: whether the namespace exists.
    """

    autoscaled: frozenset[str]
    workloads: tuple[Json, ...]
    is_there: bool

    @classmethod
    def look(cls, api: ObjectApi, objects: Sequence[Json] = ()) -> Cluster:
        """List; RefusedError if the namespace is going away.

        :param objects: that are to be applied; an autoscaler among them counts already, so that its arrival changes no decision.
        """
        there = api.find({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace}})
        if there and there.get("status", {}).get("phase") == "Terminating":
            raise RefusedError(
                f"namespace {api.namespace} is being deleted, and nothing can be made in it; wait until it is gone, then"
                " trigger it again"
            )
        scalers = [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
        scalers += list_all(api, SCALERS.format(api.namespace), page_size=PAGE)
        targets = (each["spec"]["scaleTargetRef"] for each in scalers)
        return cls(
            autoscaled=frozenset(f"{each['kind'].lower()}/{each['name']}" for each in targets),
            workloads=tuple(_listed(api)),
            is_there=there is not None,
        )


def _listed(api: ObjectApi) -> Iterator[Json]:
    for kind, path in WORKLOADS.items():
        for item in list_all(api, path.format(api.namespace), page_size=PAGE):
            yield {"apiVersion": "apps/v1", "kind": kind, **item}  # a list does not say of its items what they are


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Asks about one object after the other.

    :param key: of the fingerprints.
    """

    api: ObjectApi
    cluster: Cluster
    key: bytes

    def entries(self, things: Sequence[Json]) -> list[Entry]:
        """Return the entries in the order in which they are applied; RefusedError if nothing could be made there."""
        self._refuse_nowhere(things)
        found = [self.entry(thing) for thing in sorted(things, key=order)]
        if all(each.why == UNREAD for each in found):
            raise ConfigurationError(f"the account of the recovery may read nothing of what was chosen; {HINT}")
        return found

    def _refuse_nowhere(self, things: Sequence[Json]) -> None:
        brought = any(each["kind"] == "Namespace" and each["metadata"]["name"] == self.api.namespace for each in things)
        if not self.cluster.is_there and not brought:
            raise RefusedError(
                f"there is no namespace {self.api.namespace}, and what was chosen does not bring it; nothing was changed:"
                " choose the kind Namespace too, or make it with its rights first (deploy/kubernetes)"
            )

    def entry(self, thing: Json) -> Entry:
        """Return what would become of one object."""
        subject = name(thing)
        if thing["kind"] in NEVER:
            return Entry(subject=subject, deed=Deed.NEVER, why="it would run again, or its controller makes its own")
        try:
            live = self.api.find(thing)
        except UnreadableError:
            return Entry(subject=subject, deed=Deed.ADMINISTRATOR, why=UNREAD)
        if live is None:
            return self._creation(thing)
        if live["metadata"].get("deletionTimestamp"):
            return Entry(subject=subject, deed=Deed.RECREATE, why="it is being deleted; wait until it is gone")
        return self._change(thing, live)

    def _creation(self, thing: Json) -> Entry:
        made = Entry(subject=name(thing), deed=Deed.CREATE, wanted=self.seen(thing))
        if not self.api.serves(thing) or (self.api.is_namespaced(thing) and not self.cluster.is_there):
            return made  # its kind or its namespace comes first; the proof of the bundle has tried it elsewhere
        try:
            self.api.apply(thing, dry_run=True)
        except Refusal as refusal:
            return self._refused(made, refusal)
        return made

    def _change(self, thing: Json, live: Json) -> Entry:
        found = self.differences(thing, live)
        entry = Entry(subject=name(thing), deed=Deed.SAME, live=self.seen(normalised(live)), wanted=self.seen(thing))
        if not found:
            return entry
        entry = replace(
            entry,
            deed=Deed.CHANGE,
            removes=any(each.is_extra for each in found),
            rolls=thing["kind"] in WORKLOADS and is_rolled(found),
            lines=tuple(map(str, found)),
        )
        return self._tried(entry, self.applied(thing, live), live, removals(found, live))

    def _tried(self, entry: Entry, body: Json, live: Json, pointers: Sequence[str]) -> Entry:
        try:
            self.api.apply(body, dry_run=True)
        except Refusal as refusal:
            if refusal.status != 409:
                return self._refused(entry, refusal)
            entry = replace(entry, force=True, conflicts=tuple(sorted({f"{f} ({who})" for f, who in refusal.causes})))
        try:
            self.api.apply(body, dry_run=True, force=True)
            if pointers:
                self.api.remove(live, pointers, live["metadata"]["resourceVersion"], dry_run=True)
        except Refusal as refusal:
            return self._refused(entry, refusal)
        return entry

    def _refused(self, entry: Entry, refusal: Refusal) -> Entry:
        """Return the entry as one for a decision of its own; an error if asking again may help."""
        if refusal.status == 422:
            return replace(entry, deed=Deed.RECREATE, why=refusal.said)
        if refusal.status == 403:
            return replace(entry, deed=Deed.ADMINISTRATOR, why="the account of the recovery may not")
        raise refusal.error(f"try {entry.subject}") from None

    # --- one object -----------------------------------------------------------------------------------------------------

    def differences(self, thing: Json, live: Json) -> list[Difference]:
        """Return what an apply would change of what is there."""
        scaled = self.is_autoscaled(thing)
        return differences(bare(normalised(live), autoscaled=scaled), self.wanted(thing), self.key, managed=live)

    def wanted(self, thing: Json) -> Object:
        """Return what is compared of an object of the bundle."""
        return bare(self.api.placed(thing), autoscaled=self.is_autoscaled(thing))

    def applied(self, thing: Json, live: Json | None) -> Object:
        """Return what is sent."""
        return keeping(thing, live, autoscaled=self.is_autoscaled(thing))

    def seen(self, thing: Json) -> str:
        """Return the fingerprint of a normalised object."""
        return fingerprint(self.wanted(thing), self.key)

    def is_autoscaled(self, thing: Json) -> bool:
        """Whether an autoscaler chooses its count."""
        return name(thing) in self.cluster.autoscaled


def restarts(cluster: Cluster, entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the workloads that must be restarted, each with what it reads of what changes; those that roll anyway are none."""
    changed = {each.subject for each in entries if each.acts}
    anyway = {each.subject for each in entries if each.rolls}
    wanting = [each for each in cluster.workloads if each["spec"].get("replicas", 1)]
    found = references.readers(wanting, changed)
    return {subject: what for subject, what in found.items() if subject not in anyway}


def by_hand(workload: Json) -> str:
    """Why a restart mark would not restart a workload, "" if it would."""
    spec = workload["spec"]
    if spec.get("paused"):
        return "its rollout is paused"
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return "its pods are only replaced when somebody deletes them"
    if ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition"):
        return "a partition keeps some of its pods"
    return ""
