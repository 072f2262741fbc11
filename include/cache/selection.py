"""Which keys of the primary a removal means: found by SCAN, looked at, divided into batches. Nothing here changes a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.cache.walk import GONE, SAMPLES, Pace
from include.cache.wire import Command, Wire
from include.errors import RefusedError
from include.probes.cache import refuse_cluster
from include.probes.redis import explained

if TYPE_CHECKING:
    from redis import Redis

REMOVER = "connections.cache_remover"
"""Setting that names the Connection of who removes."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A key that is there: its lifetime and what it takes."""

    name: bytes
    ttl_ms: int
    bytes: int


def primary(client: Redis) -> Mapping[str, Any]:
    """Return INFO of the server; RefusedError if it is not the one primary."""
    info: Any = explained(client.info, REMOVER)
    refuse_cluster(info)
    if info.get("role") != "master":
        raise RefusedError(
            "the Connection in connections.cache_remover leads to a replica, which removes nothing by itself; point it to the"
            " primary: nothing was changed"
        )
    return info  # type: ignore[no-any-return]


def names(wire: Wire, pace: Pace, prefix: str, count: int) -> Iterator[list[bytes]]:
    """Yield the names below a prefix, some at a time; SCAN may show one twice.

    A prefix holds no character that SCAN takes for a pattern, and every name is looked at again.
    """
    cursor = -1
    while cursor:
        ((following, found),) = pace.ask(wire, [("SCAN", max(cursor, 0), "MATCH", f"{prefix}*", "COUNT", count)])
        if mine := [name for name in dict.fromkeys(found) if name.startswith(prefix.encode())]:
            yield mine
        cursor = int(following)


def looked(wire: Wire, pace: Pace, found: Sequence[bytes]) -> list[Seen]:
    """Return those that are still there, with lifetime and size."""
    answers = iter(pace.ask(wire, [question for name in found for question in _questions(name)]))
    return [
        Seen(name=name, ttl_ms=ttl_ms, bytes=size)
        for name, ttl_ms, size in zip(found, answers, answers, strict=True)
        if size is not None and ttl_ms != GONE
    ]


def _questions(name: bytes) -> list[Command]:
    return [("PTTL", name), ("MEMORY", "USAGE", name, "SAMPLES", SAMPLES)]


def parts(keys: Sequence[Seen], *, keys_max: int, bytes_max: int) -> Iterator[list[Seen]]:
    """Divide keys so that no part has more keys or bytes than these; none of them is larger than that by itself."""
    part: list[Seen] = []
    for key in keys:
        if part and (len(part) == keys_max or sum(each.bytes for each in part) + key.bytes > bytes_max):
            yield part
            part = []
        part.append(key)
    if part:
        yield part
