"""Which objects of a bundle a person means: by kind, by name, by label; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from include.configuration.normalise import Object, name
from include.errors import ConfigurationError, RefusedError
from include.probes.kubernetes import Json

KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,314}[A-Za-z0-9])?"
VALUE = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_EQUAL = re.compile(rf"(?P<key>{KEY})\s*(?P<sign>==|=|!=)\s*(?P<value>{VALUE})")
_AMONG = re.compile(rf"(?P<key>{KEY})\s+(?P<sign>in|notin)\s*\((?P<values>[^()]*)\)")
_THERE = re.compile(rf"(?P<sign>!?)\s*(?P<key>{KEY})")
_COMMA = re.compile(r",(?![^(]*\))")

Labels = Mapping[str, str]
Matches = Callable[[Labels], bool]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A subset, as typed into the form; empty means all.

    :param kinds: `ConfigMap, Secret`.
    :param names: `api-config`, `deployment/worker`, `worker-*`.
    :param selector: of labels, as kubectl takes it.
    """

    kinds: str = ""
    names: str = ""
    selector: str = ""

    def of(self, things: Sequence[Object]) -> list[Object]:
        """Return the objects that are meant; an error names the field that is unusable or finds nothing."""
        kinds, names, matches = self._kinds(things), _words(self.names), selector(self.selector)
        found = [each for each in things if not kinds or each["kind"].lower() in kinds]
        found = [each for each in found if not names or any(_is_named(each, pattern) for pattern in names)]
        found = [each for each in found if matches(each["metadata"].get("labels") or {})]
        if not found:
            raise RefusedError(
                f"{self}: nothing in the bundle matches; nothing was changed, correct the form (the bundle holds"
                f" {', '.join(sorted({each['kind'] for each in things})) or 'nothing'})"
            )
        return found

    def __str__(self) -> str:
        typed = {"kinds": self.kinds, "names": self.names, "selector": self.selector}
        return ", ".join(f"{field} {value.strip()[:80]!r}" for field, value in typed.items() if value.strip()) or "all"

    def _kinds(self, things: Sequence[Json]) -> set[str]:
        typed, there = set(_words(self.kinds)), {each["kind"].lower() for each in things}
        if unknown := sorted(typed - there):
            raise ConfigurationError(
                f"kinds: the bundle holds no {', '.join(unknown)[:100]}, only"
                f" {', '.join(sorted({each['kind'] for each in things}))}; nothing was changed, trigger it again"
            )
        return typed


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.split(r"[\s,]+", text.strip()) if word]


def _is_named(thing: Json, pattern: str) -> bool:
    called = name(thing) if "/" in pattern else thing["metadata"]["name"]
    return fnmatchcase(called, pattern)


def selector(text: str) -> Matches:
    """Return the test of a label selector; ConfigurationError if it is none."""
    tests = [_requirement(part.strip()) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _requirement(part: str) -> Matches:
    if found := _EQUAL.fullmatch(part):
        return _is_among(found["key"], {found["value"]}, wanted=found["sign"] != "!=")
    if found := _AMONG.fullmatch(part):
        values = {value.strip() for value in found["values"].split(",")}
        return _is_among(found["key"], values, wanted=found["sign"] == "in")
    if found := _THERE.fullmatch(part):
        key, wanted = found["key"], not found["sign"]
        return lambda labels: (key in labels) is wanted
    raise ConfigurationError(
        f"selector: {part[:60]!r} is no label selector; write app=worker, tier!=front, app in (a, b), app or !app;"
        " nothing was changed, trigger it again"
    )


def _is_among(key: str, values: set[str], *, wanted: bool) -> Matches:
    return lambda labels: (labels.get(key) in values) is wanted
