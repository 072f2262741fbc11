"""What a namespace holds: every kind that the API server says it serves, read in pages, normalised page by page.

A kind that the server does not show us is named with the reason, and never taken for an empty one. Whatever else goes wrong raises:
half a listing is no configuration.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from include.configuration import needs
from include.configuration.bundle import KindRead
from include.configuration.needs import Need
from include.configuration.normalise import Object, is_group_left_out, is_kind_left_out, left_out, normalised
from include.errors import ConfigurationError, TransientError
from include.probes.kubernetes import DeniedError, Json, LaterError, Reader, take_all

T = TypeVar("T")

AT_ONCE = 4
"""Kinds that are read side by side: more gain nothing on two cores, and each holds one page in memory."""
PATIENCE_S = 60.0
"""How long one request is repeated that the server puts off."""
PAUSE_S = (0.2, 5.0)
"""The first pause where the server does not say how long, and the longest."""
NOT_SHOWN = frozenset({403, 404, 405})


def patiently(deed: Callable[[], T], patience_s: float = PATIENCE_S, sleep: Callable[[float], None] = time.sleep) -> T:
    """Do it, and again when the server is busy (429, 5xx), after the pause that it asks for; LaterError if that is too long."""
    waited_s, pause_s = 0.0, PAUSE_S[0]
    while True:
        try:
            return deed()
        except LaterError as error:
            next_s = error.pause_s or pause_s
            if waited_s + next_s > patience_s:
                raise
            sleep(next_s)
            waited_s, pause_s = waited_s + next_s, min(2 * pause_s, PAUSE_S[1])


@dataclass(frozen=True)
class PatientReader:
    """Reads patiently."""

    reader: Reader
    patience_s: float = PATIENCE_S
    sleep: Callable[[float], None] = time.sleep

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        """Return the body; LaterError if the server puts us off for too long."""
        return patiently(lambda: self.reader.get(path, query), self.patience_s, self.sleep)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A namespace as it was found.

    :param objects: normalised, whole Secrets among them; not to be printed.
    :param left_out: how many objects are no configuration, by the rule that says so.
    :param unread: things that are not shown to us, and why.
    """

    cluster: str
    server_version: str
    kinds: Sequence[KindRead]
    objects: list[Object] = field(repr=False)
    left_out: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Lister:
    """Who lists.

    :param leave_out: names of kinds (`events.events.k8s.io`) that the settings leave out.
    """

    reader: Reader
    namespace: str
    page_size: int
    leave_out: Sequence[str] = ()

    def look(self) -> Seen:
        """Read all of it; raises if any of it is not read whole, except for what is not shown to us at all."""
        cluster, version = identity(self.reader), self.reader.get("/version", {})["gitVersion"]
        inside = self._namespace()
        found = discover(self.reader)
        wanted = [kind for kind in found if self._is_wanted(kind)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            read = list(pool.map(self._read, wanted))
        objects = [thing for each in read for thing in each.objects]
        outside = list(self._outside(objects, [each.kind for each in read]))
        rules: Counter[str] = sum((each.left_out for each in read), Counter())
        return Seen(
            cluster=cluster,
            server_version=version,
            kinds=[*(each.kind for each in read), *(each.kind for each in outside)],
            objects=[normalised(inside), *objects, *(thing for each in outside for thing in each.objects)],
            left_out=dict(sorted(rules.items())),
        )

    def _is_wanted(self, kind: KindRead) -> bool:
        return not is_kind_left_out(kind.group, kind.kind) and kind.name not in self.leave_out

    def _namespace(self) -> Object:
        try:
            found = dict(self.reader.get(f"/api/v1/namespaces/{self.namespace}", {}))
        except DeniedError as error:
            if error.status == 401:
                raise
            said = "there is no namespace" if error.status == 404 else "the account may not see a namespace"
            raise ConfigurationError(
                f"{said} {self.namespace} in this cluster: correct the setting namespace, or the Connection"
            ) from None
        return {"apiVersion": "v1", "kind": "Namespace", **found}

    def _read(self, kind: KindRead) -> OfKind:
        if kind.unread:
            return OfKind(kind)
        rules: Counter[str] = Counter()

        def take(page: Json) -> list[Object]:
            kept, gone = _kept(kind, page.get("items") or ())
            rules.update(gone)
            return kept

        try:
            objects = take_all(self.reader, _path(kind, self.namespace), take, page_size=self.page_size)
        except DeniedError as error:
            return OfKind(_unread(kind, error))
        return OfKind(replace(kind, n=len(objects)), objects, rules)

    def _outside(self, objects: Sequence[Object], kinds: Sequence[KindRead]) -> Iterator[OfKind]:
        """Return what the namespace needs of the cluster, kind by kind, in rounds: a binding leads to its role."""
        by_kind: dict[str, OfKind] = {}
        plurals = {(kind.group, kind.kind): kind.plural for kind in kinds}
        listed = [self._listed(kind, is_ours) for kind, is_ours in needs.LISTED]
        known, things = set[Need](), [*objects, *(thing for each in listed for thing in each.objects)]
        while wanted := [need for need in needs.of(things, plurals) if need not in known]:
            known.update(wanted)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = list(pool.map(self._needed, wanted))
            for each in found:
                by_kind[each.kind.name] = by_kind[each.kind.name].with_more(each) if each.kind.name in by_kind else each
            things = [thing for each in found for thing in each.objects]
        yield from listed
        yield from (by_kind[name] for name in sorted(by_kind))

    def _listed(self, kind: KindRead, is_ours: Callable[[Json, str], bool]) -> OfKind:
        def take(page: Json) -> list[Object]:
            return _kept(kind, [item for item in page.get("items") or () if is_ours(item, self.namespace)])[0]

        try:
            objects = take_all(self.reader, _path(kind), take, page_size=self.page_size)
        except DeniedError as error:
            return OfKind(_unread(kind, error))
        return OfKind(replace(kind, n=len(objects)), objects)

    def _needed(self, need: Need) -> OfKind:
        kind = KindRead(group=need.group, version=need.version, kind=need.kind, plural=need.plural, namespaced=False)
        try:
            found = self.reader.get(f"{_path(kind)}/{need.name}", {})
        except DeniedError as error:
            # What is named and not there is no fault of the backup: an API that no definition brings, a class that was deleted.
            return OfKind(kind if error.status == 404 else _unread(kind, error))
        kept, gone = _kept(kind, [] if needs.comes_with_the_cluster(found) else [found])
        return OfKind(replace(kind, n=len(kept)), kept, gone)


@dataclass(frozen=True)
class OfKind:
    """What was read of one kind."""

    kind: KindRead
    objects: list[Object] = field(default_factory=list, repr=False)
    left_out: Counter[str] = field(default_factory=Counter)

    def with_more(self, other: OfKind) -> OfKind:
        """Return both as one."""
        unread = self.kind.unread or other.kind.unread
        kind = replace(self.kind, n=self.kind.n + other.kind.n, unread=unread)
        return OfKind(kind, [*self.objects, *other.objects], self.left_out + other.left_out)


def identity(reader: Reader) -> str:
    """Return the uid of the namespace kube-system, which no two clusters share."""
    return str(reader.get("/api/v1/namespaces/kube-system", {})["metadata"]["uid"])


def discover(reader: Reader) -> list[KindRead]:
    """Return every kind that can be listed in a namespace, each once, in the version that the server prefers.

    A group that does not answer is one kind that could not be read, named `*.<group>`.
    """
    served = [group for group in reader.get("/apis", {})["groups"] if not is_group_left_out(group["name"])]
    versions = {"": ["v1"], **{group["name"]: _versions(group) for group in served}}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda group: _of_group(reader, group, versions[group]), versions)
    return [kind for kinds in found for kind in kinds]


def _versions(group: Json) -> list[str]:
    names = [each["version"] for each in group["versions"]]
    first = group.get("preferredVersion", {}).get("version", names[0])
    return [first, *(name for name in names if name != first)]


def _of_group(reader: Reader, group: str, versions: Sequence[str]) -> list[KindRead]:
    found: dict[str, KindRead] = {}
    for version in versions:
        try:
            served = reader.get(f"/apis/{group}/{version}" if group else f"/api/{version}", {})
        except (DeniedError, LaterError) as error:
            lost = KindRead(group=group, version=version, kind="*", plural="*", namespaced=True)
            found.setdefault("*", replace(lost, unread=_why(error)))
            continue
        for kind in _listable(group, version, served["resources"]):
            found.setdefault(kind.plural, kind)
    return list(found.values())


def _listable(group: str, version: str, resources: Iterable[Json]) -> Iterator[KindRead]:
    for each in resources:
        # What nobody can write (measurements, catalogues of an aggregated API) is nobody's configuration.
        if each["namespaced"] and {"list", "create"} <= {*each["verbs"]} and "/" not in each["name"]:
            known = {"kind": each["kind"], "plural": each["name"], "namespaced": True}
            yield KindRead(group=group, version=version, **known)


def _kept(kind: KindRead, items: Iterable[Json]) -> tuple[list[Object], Counter[str]]:
    """Return the items that are configuration, normalised, and how many are not, by the rule."""
    kept, gone = list[Object](), Counter[str]()
    api = f"{kind.group}/{kind.version}" if kind.group else kind.version
    for item in items:
        thing: dict[str, Any] = {**item, "apiVersion": api, "kind": kind.kind}  # the items of a list do not say
        if why := left_out(thing):
            gone[why] += 1
        else:
            kept.append(normalised(thing))
    return kept, gone


def _path(kind: KindRead, namespace: str = "") -> str:
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{base}/namespaces/{namespace}/{kind.plural}" if namespace else f"{base}/{kind.plural}"


def _unread(kind: KindRead, error: DeniedError) -> KindRead:
    if error.status not in NOT_SHOWN:
        raise error
    return replace(kind, unread=_why(error))


def _why(error: DeniedError | TransientError) -> str:
    return f"{error}".partition(";")[0][:200]
