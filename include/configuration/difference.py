"""What differs between a bundle and the cluster, field by field, and who wrote what is there: pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from include.configuration.normalise import Object
from include.masking import one_line
from include.probes.kubernetes import Json

ABSENT: Any = object()
"""In place of a value: there is none."""

RESTARTED = "recovery.ai-orchestrator.example/restarted-by"
MARKS = ("kubectl.kubernetes.io/restartedAt", RESTARTED)
"""Annotations of a pod template that say when it was restarted: no configuration, and taking one back would restart it again."""
SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field, or all below it where one side has nothing there.

    :param path: as people write it: `spec.template.spec.containers[worker].image`.
    :param live: value in the cluster, ABSENT if it has none; `wanted` that of the bundle.
    :param owner: field manager that wrote what is in the cluster, "" if nobody says so; `since` when.
    """

    path: str
    live: Any
    wanted: Any
    owner: str = ""
    since: str = ""

    @property
    def is_extra(self) -> bool:
        """Whether only the cluster has it: an apply would leave it there."""
        return self.wanted is ABSENT


def differences(live: Json, wanted: Json, managed: Json | None = None) -> list[Difference]:
    """Return what differs.

    :param managed: the object as the API server has it, which says who wrote what.
    """
    entries = ((managed or {}).get("metadata") or {}).get("managedFields") or ()
    return list(_differences(live, wanted, "", [(entry, entry.get("fieldsV1")) for entry in entries]))


Owners = Sequence[tuple[Json, Json | None]]
"""Entries of `managedFields`, each with what it says below the field that is looked at."""


def _differences(live: Any, wanted: Any, path: str, owners: Owners) -> Iterator[Difference]:
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*live, *wanted}):
            below = _below(owners, lambda name, key=key: name == f"f:{key}")
            yield from _differences(live.get(key, ABSENT), wanted.get(key, ABSENT), _dotted(path, key), below)
    elif (mine := _named(live)) is not None and (theirs := _named(wanted)) is not None:
        for key in sorted({*mine, *theirs}):
            item = mine.get(key, ABSENT)
            below = _below(owners, lambda name, item=item: _is_item(name, item))
            yield from _differences(item, theirs.get(key, ABSENT), f"{path}[{key}]", below)
    elif live is ABSENT or wanted is ABSENT or live != wanted:
        owner, since = _last(owners)
        yield Difference(path=path, live=live, wanted=wanted, owner=owner, since=since)


def _dotted(path: str, key: str) -> str:
    shown = key if "." not in key and "/" not in key else f"[{key}]"
    return f"{path}{'' if shown.startswith('[') or not path else '.'}{shown}"


def _named(value: Any) -> dict[str, Any] | None:
    """Return the items of a list by their names, None if it is no list of named things."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) and "name" in item for item in value):
        return None
    found = {str(item["name"]): item for item in value}
    return found if len(found) == len(value) else None


def _below(owners: Owners, is_it: Any) -> Owners:
    found = []
    for entry, fields in owners:
        names = [name for name in fields or () if is_it(name)]
        if names:
            found.append((entry, (fields or {})[names[0]]))
    return found


def _is_item(name: str, item: Any) -> bool:
    if not name.startswith("k:") or not isinstance(item, Mapping):
        return False
    return all(item.get(key) == value for key, value in json.loads(name[2:]).items())


def _last(owners: Owners) -> tuple[str, str]:
    newest = max((entry for entry, _ in owners), key=lambda entry: entry.get("time", ""), default={})
    return str(newest.get("manager", "")), str(newest.get("time", ""))


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
    return any(each.path == "spec" or each.path.startswith("spec.template") for each in found)


# --- for people -------------------------------------------------------------------------------------------------------------


def fingerprint(thing: Any, key: bytes) -> str:
    """Return what tells one content from another, and nothing of the content to whoever lacks the key."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:24]


def told(found: Difference, *, secret: bool, key: bytes) -> str:
    """Return one line: `data.log_level: "debug" -> "info" (kubectl-edit, 2026-11-26T07:12:03Z)`."""
    show = partial(_fingerprinted, key=key) if secret else _shown
    by = f" ({', '.join(part for part in (found.owner, found.since) if part)})" if found.owner else ""
    return f"{found.path}: {show(found.live)} -> {show(found.wanted)}{by}"


def _shown(value: Any) -> str:
    return "nothing" if value is ABSENT else one_line(json.dumps(value, ensure_ascii=False), SHOWN)


def _fingerprinted(value: Any, key: bytes) -> str:
    return "nothing" if value is ABSENT else f"#{fingerprint(value, key)[:8]}"
