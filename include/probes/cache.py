"""Every node of the application's Redis: what INFO says, its memory advice, and which of them may be walked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.findings import Blind
from include.looking import look
from include.probes.redis import explained

if TYPE_CHECKING:
    from redis import Redis

READER = "connections.cache_reader"
"""Setting that names the Connection of who looks."""
Place = tuple[str, int]
"""Host and port."""
Connect = Callable[[Place], "Redis"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node as it describes itself."""

    name: str
    info: Mapping[str, Any]
    advice: str
    place: Place = field(compare=False)

    def number(self, name: str) -> float | None:
        """Return a numeric field; None where the server does not tell, which is never a 0."""
        value = self.info.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes."""
        return self.info.get("role") == "master"

    @property
    def run_id(self) -> str:
        """Of its process: another one after a restart."""
        return str(self.info.get("run_id", ""))

    @property
    def keyspace(self) -> Mapping[str, Any]:
        """Keys of database 0, and how many of them have a lifetime."""
        found = self.info.get("db0")
        return found if isinstance(found, Mapping) else {}

    @property
    def follows(self) -> bool:
        """Whether it is a replica that receives every write."""
        return not self.is_primary and self.info.get("master_link_status") == "up"


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """All nodes that the primary names.

    :param dark: by name, why a node could not be looked at.
    """

    seen: Sequence[Node]
    dark: Mapping[str, Blind]

    @property
    def walked(self) -> Node:
        """Return where keys are looked at: a replica that follows, since nobody waits for one; else the primary."""
        return next((node for node in self.seen if node.follows), None) or self.primary

    @property
    def primary(self) -> Node:
        """Return the node that takes writes; ConfigurationError if none says that it does."""
        for node in self.seen:
            if node.is_primary:
                return node
        raise ConfigurationError(
            "no node that could be reached says that it is the primary; look at the replication, and at the Connection in"
            " connections.cache_reader"
        )


def nodes(connect: Connect, first: Place, named: Sequence[Place] = (), *, deadline_s: float) -> Nodes:
    """Look at the primary and at all of its replicas, side by side.

    :param connect: makes a client of a place.
    :param first: any node; from it the others are found.
    :param named: all nodes, where replicas are known to the primary by addresses that cannot be reached from here.
    """
    places = list(named) or [first, *_others(connect, first)]
    looks = {_name(place): lambda place=place: _look(connect, place) for place in places}
    answers = look(looks, deadline_s)
    dark = {name: answer for name, answer in answers.items() if isinstance(answer, Blind)}
    seen = {node.run_id: node for node in reversed(list(answers.values())) if isinstance(node, Node)}
    return Nodes(seen=list(reversed(seen.values())), dark=dark)  # one may answer under two addresses


def _others(connect: Connect, first: Place) -> Iterator[Place]:
    info = info_of(connect, first)
    if info.get("role") != "master":
        primary = (str(info.get("master_host")), int(info.get("master_port", 0)))
        yield primary
        info = info_of(connect, primary)
    yield from replicas(info)


def info_of(connect: Connect, place: Place) -> Mapping[str, Any]:
    """Return INFO of a place."""
    with connect(place) as client:
        return explained(lambda: _info(client), READER)


def replicas(info: Mapping[str, Any]) -> Iterator[Place]:
    """Return the replicas that a primary names in INFO."""
    for name, value in info.items():
        if name.startswith("slave") and name[5:].isdigit() and isinstance(value, Mapping):
            yield str(value["ip"]), int(value["port"])


def _look(connect: Connect, place: Place) -> Node:
    with connect(place) as client:
        info = explained(lambda: _info(client), READER)
        refuse_cluster(info)
        advice = explained(lambda: client.execute_command("MEMORY DOCTOR"), READER)
    text = advice.decode(errors="replace") if isinstance(advice, bytes) else str(advice)
    return Node(name=_name(place), info=info, advice=text, place=place)


def refuse_cluster(info: Mapping[str, Any]) -> None:
    """ConfigurationError for a Redis Cluster: one of its nodes is a part, and would look like all of it."""
    if info.get("cluster_enabled"):
        raise ConfigurationError(
            "this is a Redis Cluster, whose keys are spread over several primaries; this runbook knows one primary and its"
            " replicas, and nothing was looked at"
        )


def _info(client: Redis) -> Mapping[str, Any]:
    info: Any = client.info()
    return info  # type: ignore[no-any-return]


def _name(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
