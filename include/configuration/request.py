"""What a person asks of a configuration recovery, and the plan that follows: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from include.configuration import survey
from include.configuration.bundle import OpenedBundle, refuse_another
from include.configuration.choice import Choice
from include.configuration.normalise import Object, order
from include.configuration.objects import ObjectApi
from include.configuration.survey import Cluster, Deed, Entry, Survey
from include.configuration.vault import Vault
from include.configuration.window import Window
from include.errors import ConfigurationError
from include.ops.gate import Plan
from include.ops.leases import Mode, Wanted
from include.probes.kubernetes import Json
from include.settings import Settings

KIND = "configuration recovery"
REASON_LETTERS = 10
LINES = 40
"""Lines of differences that a plan shows; the report's table has all of them."""
IDENTITY: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A bundle that counts, opened.

    :param sha256: of its manifest, which names all the rest.
    """

    key: str
    sha256: str
    bundle: OpenedBundle = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for.

    :param key: of the bundle; the newest good one if empty.
    """

    op_id: str
    reason: str
    key: str = ""
    choice: Choice = field(default_factory=Choice)

    @classmethod
    def of(cls, op_id: str, facts: Mapping[str, Any]) -> Request:
        """Return the request that an approved plan holds, by which a later process goes on."""
        return cls(op_id=op_id, reason=facts["reason"], key=facts["key"], choice=Choice(**facts["choice"]))

    def refuse(self) -> None:
        """ConfigurationError if a field of the form is unusable."""
        if len(self.reason.strip()) < REASON_LETTERS:
            raise ConfigurationError(
                f"reason: at least {REASON_LETTERS} characters say why the configuration is restored, not"
                f" {self.reason.strip()[:40]!r}; nothing was changed, trigger it again"
            )


@dataclass(frozen=True, kw_only=True)
class Access:
    """Every door that a configuration recovery goes through.

    :param open: returns a bundle by its key, the newest good one if that is empty; an error names what is wrong with it.
    :param window: in which the account may write; None if it may anyway, as an administrator.
    :param secret: by which fingerprints are made, so that nobody guesses a value from one.
    """

    api: ObjectApi
    open: Callable[[str], Chosen]
    vault: Vault
    secret: bytes = field(repr=False)
    window: Window | None = None


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """One recovery: what was asked, by whom it is done, under which limits."""

    request: Request
    access: Access
    chosen: Settings

    @property
    def subject(self) -> str:
        """What it is called in sentences."""
        return f"configuration recovery {self.request.op_id[:8]} of {self.chosen.namespace}"

    def wanted(self, holder: str) -> Sequence[Wanted]:
        """Return the leases that it needs: of the configuration, and of the database whose writers it would start."""
        resources = (f"configuration/{self.chosen.namespace}", f"database/{self.chosen.backup.database}")
        op_id = self.request.op_id
        return [Wanted(resource=each, mode=Mode.CONFIG_RESTORE, op_id=op_id, holder=holder) for each in resources]

    def open(self) -> Chosen:
        """Return the bundle that was asked for; RefusedError if it is of another cluster or namespace."""
        found, here = self.access.open(self.request.key), self.cluster()
        refuse_another(found.bundle, here, self.chosen.namespace)
        return found

    def cluster(self) -> str:
        """Return what tells this cluster from all others."""
        found = self.access.api.find(IDENTITY)
        if not found:
            raise ConfigurationError("the cluster has no namespace kube-system, so nobody can say which one it is")
        return str(found["metadata"]["uid"])

    def objects(self, chosen: Chosen) -> list[Object]:
        """Return what of a bundle is meant, in the order in which it is applied."""
        return sorted(self.request.choice.of(chosen.bundle.objects), key=order)

    def survey(self, objects: Sequence[Json]) -> Survey:
        """Return who asks about one object of these."""
        api = self.access.api
        return Survey(api=api, cluster=Cluster.look(api, objects), key=self.access.secret)

    def plan(self) -> Plan:
        """Try everything on the server's side without doing it, and return what would be done."""
        return self.planned()[0]

    def planned(self) -> tuple[Plan, list[Entry]]:
        """Return the plan, and what it says of each object."""
        self.request.refuse()
        chosen = self.open()
        objects = self.objects(chosen)
        asking = self.survey(objects)
        entries = asking.entries(objects)
        restarts = survey.restarts(asking.cluster, entries)
        refused = {
            each["kind"].lower() + "/" + each["metadata"]["name"]: survey.by_hand(each)
            for each in asking.cluster.workloads
        }
        hand = {subject: refused[subject] for subject in restarts if refused[subject]}
        restarts = {subject: what for subject, what in restarts.items() if subject not in hand}
        plan = Plan(
            op_id=self.request.op_id,
            kind=KIND,
            target=f"{self.chosen.namespace} on cluster {chosen.bundle.cluster}",
            steps=list(_steps(entries, restarts)),
            facts=self._facts(chosen, entries, restarts),
            seen=[f"Why: {self.request.reason}", *_seen(chosen, self.request, entries, hand)],
            code_version=self.chosen.code_version,
        )
        return plan, entries

    def _facts(self, chosen: Chosen, entries: Sequence[Entry], restarts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        choice = self.request.choice
        return {
            "key": chosen.key,
            "sha256": chosen.sha256,
            "cluster": chosen.bundle.cluster,
            "reason": self.request.reason,
            "choice": {"kinds": choice.kinds, "names": choice.names, "selector": choice.selector},
            "entries": {each.subject: each.facts() for each in entries if each.deed is not Deed.SAME},
            "same": sum(each.deed is Deed.SAME for each in entries),
            "restarts": {subject: list(what) for subject, what in restarts.items()},
        }

    def as_approved(self, facts: Mapping[str, Any]) -> Recovery:
        """Return the recovery that an approved plan holds."""
        return replace(self, request=Request.of(self.request.op_id, facts))


def _steps(entries: Sequence[Entry], restarts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    acting = [each for each in entries if each.acts]
    if not acting:
        yield "nothing: everything that was chosen is as the bundle has it"
        return
    changed = [each.subject for each in acting if each.deed is Deed.CHANGE]
    if changed or restarts:
        yield f"keep what is overwritten, sealed, in the bucket ({len(changed)} objects), for the way back"
    for kind, group in _by_kind(acting).items():
        yield f"apply {len(group)} {kind}: {_some([_deed(each) for each in group])}"
    for subject, what in restarts.items():
        yield f"restart {subject}, which reads {_some(what)}, and wait until every pod is new and ready; else take it back"
    yield "compare all of it with the bundle; delete nothing"


def _by_kind(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for each in entries:
        found.setdefault(each.subject.partition("/")[0], []).append(each)
    return found


def _deed(entry: Entry) -> str:
    name = entry.subject.partition("/")[2]
    if entry.deed is Deed.CREATE:
        return f"{name} (new)"
    return f"{name} (rolls out, watched)" if entry.rolls else name


def _some(words: Sequence[str], most: int = 12) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _seen(chosen: Chosen, request: Request, entries: Sequence[Entry], hand: Mapping[str, str]) -> Iterator[str]:
    yield f"The bundle {chosen.key} is of {chosen.bundle.taken_at:%Y-%m-%d %H:%M:%S} UTC; chosen: {request.choice}"
    yield f"Of {len(entries)} objects {', '.join(_counted(entries))}"
    for each in entries:
        if each.conflicts:
            yield f"Taken from others: {each.subject}: {_some(each.conflicts, 5)}"
        if each.why:
            yield f"Not done, for a decision of its own: {each.subject} {each.deed.value}: {each.why}"
    yield from (f"Restart it by hand: {subject}: {why}" for subject, why in hand.items())
    lines = table(entries)
    yield from lines[:LINES]
    if len(lines) > LINES:
        yield f"… and {len(lines) - LINES} more, in the report of the plan"


def _counted(entries: Sequence[Entry]) -> Iterator[str]:
    for deed in Deed:
        if n := sum(each.deed is deed for each in entries):
            yield f"{n} {WORDS[deed]}"


WORDS = {
    Deed.SAME: "are the same",
    Deed.CREATE: "are missing",
    Deed.CHANGE: "differ",
    Deed.RECREATE: "cannot be changed as they are",
    Deed.ADMINISTRATOR: "are an administrator's",
    Deed.NEVER: "are never applied",
}


def table(entries: Sequence[Entry]) -> list[str]:
    """Return every difference, one line each."""
    return [f"{each.subject}  {line}" for each in entries for line in each.lines]
