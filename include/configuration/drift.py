"""What became different between two bundles: field by field, in whatever order lists are, with who wrote it and when.

Of a secret value only its fingerprint is known here, so that nothing else can be told of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.configuration.bundle import FINGERPRINTS, Bundle, KindRead
from include.configuration.normalise import Object, group, name
from include.masking import masked, one_line

VALUE_MAX = 60
"""Characters of a value that are shown."""
_LIST_KEYS = ("name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "key", "type", "uid")
"""By which the items of a list are told apart, as the API server does in a server-side apply."""

_SENSITIVE = re.compile("passw|secret|token|credential|private|api_?key", re.IGNORECASE)

Identity = tuple[str, str, str, str]
Step = str | tuple[str, Any]
"""A field, or the item of a list by the key that tells it apart."""
Place = tuple[Identity, tuple[Step, ...]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field of an object, or the whole object (an empty path).

    :param before: None if it was not there.
    :param after: None if it is gone.
    """

    subject: str
    identity: Identity
    path: tuple[Step, ...] = ()
    before: Any = None
    after: Any = None

    @property
    def place(self) -> Place:
        """Which field of which object it is."""
        return self.identity, self.path

    @property
    def field(self) -> str:
        """`spec.template.spec.containers[worker].image`."""
        return "".join(f".{step}" if isinstance(step, str) else f"[{step[1]}]" for step in self.path).lstrip(".")

    def __str__(self) -> str:
        if not self.path:
            return "is gone" if self.after is None else "is new"
        if FINGERPRINTS in self.path:
            key = self.path[-1]
            said = "has a new value" if self.before and self.after else "is gone" if self.before else "is new"
            return f"data.{key} {said} (fingerprint {_short(self.before)} -> {_short(self.after)})"
        if _SENSITIVE.search(self.field):  # whoever wrote a password where none belongs must not find it in a message
            return f"{self.field} is changed"
        return f"{self.field}: {_shown(self.before)} -> {_shown(self.after)}"


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Who last wrote a field, by the server's own book-keeping."""

    manager: str
    at: datetime | None

    def __str__(self) -> str:
        return f"{self.manager}, {self.at:%Y-%m-%d %H:%M} UTC" if self.at else self.manager


def _short(fingerprint: str | None) -> str:
    return fingerprint[:8] if fingerprint else "none"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return masked(one_line(text, VALUE_MAX)) or '""'


def differences(before: Bundle, now: Bundle) -> list[Difference]:
    """Return what is different, in a stable order; kinds that one of the two could not read are not compared."""
    dark = {*_dark(before.kinds), *_dark(now.kinds)}
    was, is_ = _by_identity(before.objects, dark), _by_identity(now.objects, dark)
    found = [each for identity in sorted(was.keys() | is_.keys()) for each in _of_object(identity, was, is_)]
    return [*found, *_of_files(before, now)]


def _dark(kinds: Sequence[KindRead]) -> Iterator[tuple[str, str]]:
    yield from ((kind.group, kind.kind) for kind in kinds if kind.unread)


def _by_identity(objects: Sequence[Object], dark: Collection[tuple[str, str]]) -> dict[Identity, Object]:
    return {
        identity(thing): thing
        for thing in objects
        if (group(thing), thing["kind"]) not in dark and (group(thing), "*") not in dark
    }


def identity(thing: Object) -> Identity:
    """Return what makes it the same object tomorrow, whatever version it is served in."""
    return group(thing), thing["kind"], thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def _of_object(
    identity: Identity, was: Mapping[Identity, Object], is_: Mapping[Identity, Object]
) -> Iterator[Difference]:
    before, after = was.get(identity), is_.get(identity)
    known = {"subject": name(after or before or {}), "identity": identity}
    if before is None or after is None:
        yield Difference(**known, before=before and "there", after=after and "there")  # type: ignore[arg-type]
        return
    for path, old, new in fields(before, after):
        yield Difference(**known, path=path, before=old, after=new)  # type: ignore[arg-type]


def fields(before: Any, after: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any, Any]]:
    """Return each field that differs, with both values."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from fields(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and (key := _list_key(before, after)):
        old, new = ({each[key]: each for each in items} for items in (before, after))
        for value in sorted(old.keys() | new.keys(), key=str):
            yield from fields(old.get(value), new.get(value), (*path, (key, value)))
    elif _are_alike(before, after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from fields(old, new, (*path, ("", number)))
    else:
        yield path, before, after


def _are_alike(before: Any, after: Any) -> bool:
    """Whether both are as many things that nothing tells apart, such as the rules of a role."""
    if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after):
        return False
    return all(isinstance(item, dict) for item in (*before, *after))


def _list_key(before: Sequence[Any], after: Sequence[Any]) -> str:
    return next((key for key in _LIST_KEYS if _tells_apart(key, before) and _tells_apart(key, after)), "")


def _tells_apart(key: str, items: Sequence[Any]) -> bool:
    if not all(isinstance(item, dict) and isinstance(item.get(key), (str, int)) for item in items):
        return False
    return len({item[key] for item in items}) == len(items)


def _of_files(before: Bundle, now: Bundle) -> Iterator[Difference]:
    dark = {where.removeprefix("folder ") for where in (*before.unmounted, *now.unmounted)}
    was, is_ = (
        {each["path"]: each["fingerprint"] for each in of.files if each["path"].partition("/")[0] not in dark}
        for of in (before, now)
    )
    for path in sorted(was.keys() | is_.keys()):
        if was.get(path) != is_.get(path):
            known = {"subject": f"file/{path}", "identity": ("", "file", "", path)}
            yield Difference(**known, path=("content",), before=_known(was, path), after=_known(is_, path))  # type: ignore[arg-type]


def _known(fingerprints: Mapping[str, str], path: str) -> str | None:
    return f"fingerprint {fingerprints[path][:8]}" if path in fingerprints else None


def writer(live: Mapping[str, Any] | None, path: Sequence[Step]) -> Writer | None:
    """Return who wrote a field last: who owns it, or if it is gone who wrote the object last; None if nobody can know.

    :param live: the object as it is now, with its managedFields.
    """
    entries = [each for each in (live or {}).get("metadata", {}).get("managedFields", ()) if "fieldsV1" in each]
    if not entries:
        return None
    reach = [_reach(each["fieldsV1"], _as_written(path)) for each in entries]
    best = [each for each, far in zip(entries, reach, strict=True) if far == max(reach)]
    last = max(best, key=lambda each: str(each.get("time", "")))
    return Writer(manager=str(last["manager"]), at=_moment(last.get("time")))


def _as_written(path: Sequence[Step]) -> list[Step]:
    """Return a path as the object has it: the fingerprints of a Secret stand for its data."""
    return ["data" if step == FINGERPRINTS else step for step in path]


def _reach(fields: Mapping[str, Any], path: Sequence[Step]) -> int:
    """Return how many steps of the path this tree of fields has."""
    if not path:
        return 0
    for key, below in fields.items():
        if _is_step(key, path[0]):
            return 1 + _reach(below, path[1:])
    return 0


def _is_step(key: str, step: Step) -> bool:
    if isinstance(step, str):
        return key == f"f:{step}"
    return key.startswith("k:") and json.loads(key[2:]).get(step[0]) == step[1]


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
