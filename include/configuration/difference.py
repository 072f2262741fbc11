"""What differs between a bundle and the cluster, field by field, and who wrote what is there: pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from include.configuration import bundle, drift
from include.configuration.drift import Writer
from include.configuration.normalise import Object, name
from include.probes.kubernetes import Json

RESTARTED = "recovery.ai-orchestrator.example/restarted-by"
MARKS = ("kubectl.kubernetes.io/restartedAt", RESTARTED)
"""Annotations of a pod template that say when it was restarted: no configuration, and taking one back would restart it again."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field, or all below it where one side has nothing there.

    :param found: from what is in the cluster to what the bundle has; of a Secret only fingerprints.
    :param writer: who wrote what is in the cluster, None if nobody knows.
    """

    found: drift.Difference
    writer: Writer | None = None

    @property
    def field(self) -> str:
        """As people write it: `spec.template.spec.containers[worker].image`."""
        return self.found.field

    @property
    def is_extra(self) -> bool:
        """Whether only the cluster has it: an apply would leave it there."""
        return self.found.after is None

    def pointer(self, live: Json) -> str:
        """Return where the field stands in an object (RFC 6901)."""
        here: Any = live
        words = []
        for step in self.found.path:
            word = _word(here, step)
            words.append(str(word).replace("~", "~0").replace("/", "~1"))
            here = here[word]
        return "".join(f"/{word}" for word in words)

    def __str__(self) -> str:
        return f"{self.found} ({self.writer})" if self.writer and self.found.before is not None else str(self.found)


def _word(here: Any, step: drift.Step) -> str | int:
    """Return a step as the object has it: the fingerprints of a Secret stand for its data, an item for its place."""
    if isinstance(step, str):
        return "data" if step == bundle.FINGERPRINTS else step
    return next(place for place, item in enumerate(here) if item[step[0]] == step[1])


def removals(found: Sequence[Difference], live: Json) -> list[str]:
    """Return the pointers of what only the cluster has, last items of a list first."""
    return [
        each.pointer(live) for each in sorted(found, key=lambda each: _place(each, live), reverse=True) if each.is_extra
    ]


def _place(found: Difference, live: Json) -> list[tuple[int, str]]:
    """Return by what pointers are sorted: indexes as numbers."""
    words = found.pointer(live).split("/") if found.is_extra else []
    return [(int(word), "") if word.isdecimal() else (0, word) for word in words]


def differences(live: Json, wanted: Json, key: bytes, managed: Json | None = None) -> list[Difference]:
    """Return what differs.

    :param key: of the fingerprints.
    :param managed: the object as the API server has it, which says who wrote what.
    """
    there, meant = (bundle.public(dict(each), key) if bundle.is_secret(each) else each for each in (live, wanted))
    known = {"subject": name(wanted), "identity": drift.identity(dict(wanted))}
    return [
        Difference(
            found=drift.Difference(**known, path=path, before=before, after=after),  # type: ignore[arg-type]
            writer=drift.writer(managed, path),
        )
        for path, before, after in drift.fields(there, meant)
    ]


# --- what is not compared ---------------------------------------------------------------------------------------------------


def bare(thing: Json, *, autoscaled: bool = False) -> Object:
    """Return the normalised object without restart marks, and without a count that an autoscaler chooses."""
    found: Object = deepcopy(dict(thing))
    if autoscaled:
        found.get("spec", {}).pop("replicas", None)
    metadata = _template_of(found)
    annotations = metadata.get("annotations")
    for mark in MARKS if annotations else ():
        annotations.pop(mark, None)
    if annotations == {}:
        metadata.pop("annotations")
    return found


def keeping(wanted: Json, live: Json | None, *, autoscaled: bool = False) -> Object:
    """Return what is applied: as wanted, with the count and the restart marks that are there now."""
    if live is None:
        return deepcopy(dict(wanted))
    found = bare(wanted, autoscaled=autoscaled)
    if autoscaled and "replicas" in live.get("spec", {}):
        found["spec"]["replicas"] = live["spec"]["replicas"]
    there = _template_of(live).get("annotations") or {}
    if kept := {mark: there[mark] for mark in MARKS if mark in there}:
        annotations = found["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
        annotations |= kept
    return found


def _template_of(thing: Json) -> Any:
    template = (thing.get("spec") or {}).get("template") if isinstance(thing.get("spec"), Mapping) else None
    return (template or {}).get("metadata") or {} if isinstance(template, Mapping) else {}


def is_rolled(found: Sequence[Difference]) -> bool:
    """Whether one of the differences makes new pods."""
    return any(each.found.path[:2] == ("spec", "template") for each in found)


def fingerprint(thing: Any, key: bytes) -> str:
    """Return what tells one object from another, and nothing of it to whoever lacks the key."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:24]
