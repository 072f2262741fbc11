"""What Redis knows of a time that the restored database has not seen: queue items, sessions, caches (X-05).

| family | what becomes of it | way back |
| --- | --- | --- |
| queue, an item whose execution is in the restored database | stays | - |
| queue, any other item | moved to the list `recovery:<op8>:<queue>`, in its order | `put_back` |
| sessions | renamed to `recovery:<op8>:<key>` with the rest of their time: people log in again | `put_back` |
| caches | unlinked: made anew when asked for | none needed |

All of it happens while the application is stopped: an id that the new timeline gives out again must not meet an old item. Killed
anywhere, it is called again and goes on: each batch is one transaction, and what was moved is no longer found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from include.errors import ConfigurationError, RefusedError, RunbookError, TransientError
from include.recovery.cluster import Before, nothing
from include.settings import RecoveryLimits
from include.sql import statement

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

BATCH = 500
"""Keys or items a round trip: a few milliseconds of the server's only thread."""

Answer = TypeVar("Answer")
Known = Callable[[Sequence[int]], Collection[int]]
"""Which of these executions the restored database has."""


@dataclass(frozen=True, kw_only=True)
class Tidied:
    """How many of each were found and what became of them.

    :param kept: queue items whose execution the restored database has.
    :param parked: queue items that were set aside.
    :param sessions: that were set aside.
    :param caches: that were unlinked.
    """

    kept: int = 0
    parked: int = 0
    sessions: int = 0
    caches: int = 0


# Decide


def execution_of(item: str) -> int | None:
    """Return the execution that a queue item refers to, None if it does not say."""
    try:
        value = json.loads(item)["execution_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def foreign(items: Sequence[str], known: Collection[int]) -> list[str]:
    """Return the items that the restored database knows nothing of, in their order; what is unreadable is one of them."""
    return [item for item in items if execution_of(item) not in known]


def prefix(op_id: str) -> str:
    """Return how the names of what an operation set aside begin: `recovery:1a2b3c4d:`."""
    return f"recovery:{op_id[:8]}:"


# Look


def executions(connection: Connection[Any], ids: Sequence[int]) -> set[int]:
    """Return which of these executions a database has; bind the connection to get a `Known`."""
    return {row[0] for row in connection.execute(statement("executions_present"), {"ids": list(ids)})}


def counts(client: Redis, limits: RecoveryLimits, known: Known) -> Tidied:
    """Return what `tidy` would do, and change nothing."""
    return explained(lambda: _counts(client, limits, known))


def _counts(client: Redis, limits: RecoveryLimits, known: Known) -> Tidied:
    items = [item for queue in limits.queues for item in _items(client, queue)]
    parked = len(foreign(items, known(_ids(items))))
    return Tidied(
        kept=len(items) - parked,
        parked=parked,
        sessions=len(set(_keys(client, limits.sessions))),
        caches=len(set(_keys(client, limits.caches))),
    )


# Do


def tidy(client: Redis, limits: RecoveryLimits, known: Known, *, op_id: str, before: Before = nothing) -> Tidied:
    """Set aside or unlink what is newer than the restored database; the application must be stopped.

    :param client: with decoded responses.
    :param before: called with each effect before it is sent; whatever it raises keeps it from happening.

    RefusedError when the queue changes under our hands: somebody still works on it.
    """
    _refuse_bytes(client)
    kept = parked = 0
    for queue in limits.queues:
        moved, left = explained(lambda queue=queue: _park(client, queue, known, op_id, before))  # type: ignore[misc]
        parked, kept = parked + moved, kept + left
    return Tidied(
        kept=kept,
        parked=parked,
        sessions=explained(lambda: _rename(client, limits.sessions, "", prefix(op_id), before)),
        caches=explained(lambda: _unlink(client, limits.caches, before)),
    )


def put_back(client: Redis, limits: RecoveryLimits, *, op_id: str, before: Before = nothing) -> Tidied:
    """Bring back what `tidy` set aside, for the database that was swapped back; the application must be stopped.

    Caches go once more: what the application put there meanwhile is of the database that was swapped away.
    """
    _refuse_bytes(client)
    parked = sum(explained(lambda queue=queue: _unpark(client, queue, op_id, before)) for queue in limits.queues)  # type: ignore[misc]
    aside = tuple(f"{prefix(op_id)}{name}" for name in limits.sessions)
    sessions = explained(lambda: _rename(client, aside, prefix(op_id), "", before))
    return Tidied(parked=parked, sessions=sessions, caches=explained(lambda: _unlink(client, limits.caches, before)))


def drop(client: Redis, limits: RecoveryLimits, *, op_id: str, before: Before = nothing) -> int:
    """Unlink the parked queue items, when the database from before is dropped too; return how many lists went."""

    def deed() -> int:
        names = [f"{prefix(op_id)}{queue}" for queue in limits.queues]
        before(f"unlink {', '.join(names)}")
        return int(str(client.unlink(*names)))

    return explained(deed)


def _refuse_bytes(client: Redis) -> None:
    if not client.get_connection_kwargs().get("decode_responses"):
        raise ConfigurationError("the Redis client answers in bytes; make it with decode_responses=True")


def _items(client: Redis, queue: str) -> list[str]:
    found: Any = client.lrange(queue, 0, -1)
    return list(found)


def _ids(items: Sequence[str]) -> list[int]:
    return [number for item in items if (number := execution_of(item)) is not None]


def _park(client: Redis, queue: str, known: Known, op_id: str, before: Before) -> tuple[int, int]:
    items = _items(client, queue)
    moving = foreign(items, known(_ids(items)))
    for batch in _batches(iter(moving)):
        before(f"move {len(batch)} items of {queue} to {prefix(op_id)}{queue}")
        _move(client, queue, f"{prefix(op_id)}{queue}", batch)
    return len(moving), len(items) - len(moving)


def _move(client: Redis, queue: str, aside: str, batch: Sequence[str]) -> None:
    from redis.exceptions import WatchError

    with client.pipeline(transaction=True) as pipeline:
        pipeline.watch(queue)  # type: ignore[no-untyped-call]
        present: Any = pipeline.lrange(queue, 0, -1)
        if gone := Counter(batch) - Counter(present):
            raise _still_written(queue, f"{gone.total()} of its items are gone")
        pipeline.multi()
        for item in batch:
            pipeline.lrem(queue, 1, item)
        pipeline.rpush(aside, *batch)
        try:
            pipeline.execute()
        except WatchError:
            raise _still_written(queue, "it changed") from None


def _still_written(queue: str, what: str) -> RefusedError:
    return RefusedError(
        f"{what} while {queue} was tidied, so somebody still works on it; the rest was left where it is:"
        " stop who works on it, then run this step again"
    )


def _unpark(client: Redis, queue: str, op_id: str, before: Before) -> int:
    """Return the items to the end where new ones come in, the oldest first: where they were, since they are the newest."""
    aside, moved = f"{prefix(op_id)}{queue}", 0
    while count := int(str(client.llen(aside))):
        before(f"move {min(count, BATCH)} items of {aside} back to {queue}")
        with client.pipeline(transaction=True) as pipeline:
            for _ in range(min(count, BATCH)):
                pipeline.lmove(aside, queue, "RIGHT", "LEFT")
            moved += sum(item is not None for item in pipeline.execute())
    return moved


def _rename(client: Redis, prefixes: Sequence[str], cut: str, put: str, before: Before) -> int:
    """Rename every key of these prefixes; a name that is taken stays as it is, and so does a key that ran out meanwhile."""
    renamed = 0
    for batch in _batches(_keys(client, prefixes)):
        before(f"rename {len(batch)} keys of {' '.join(prefixes)}")
        with client.pipeline(transaction=False) as pipeline:
            for key in batch:
                pipeline.renamenx(key, f"{put}{key.removeprefix(cut)}")
            renamed += sum(_done(answer) for answer in pipeline.execute(raise_on_error=False))
    return renamed


def _done(answer: Any) -> bool:
    """Return whether a key was renamed; one that ran out between the look and the deed is no error."""
    if isinstance(answer, Exception):
        if "no such key" in str(answer):
            return False
        raise answer
    return bool(answer)


def _unlink(client: Redis, prefixes: Sequence[str], before: Before) -> int:
    unlinked = 0
    for batch in _batches(_keys(client, prefixes)):
        before(f"unlink {len(batch)} keys of {' '.join(prefixes)}")
        unlinked += int(str(client.unlink(*batch)))
    return unlinked


def _keys(client: Redis, prefixes: Sequence[str]) -> Iterator[str]:
    # SCAN promises every key that is there throughout; one that it shows twice is renamed or unlinked once.
    for name in prefixes:
        yield from client.scan_iter(match=f"{name}*", count=BATCH)


def _batches(found: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def explained(deed: Callable[[], Answer]) -> Answer:
    """Run it; a RunbookError says why it failed, and that it may be run again."""
    import redis

    again = "what was set aside stays so; run this step again, which goes on"
    try:
        return deed()
    except RunbookError:
        raise
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise ConfigurationError(
            f"Redis refuses the login: {error}; check the Connection in connections.recovery_redis and deploy/redis"
        ) from None
    except redis.ResponseError as error:
        raise TransientError(f"Redis answered {error}; {again}") from None
    except (redis.RedisError, OSError) as error:
        raise TransientError(f"Redis did not answer: {type(error).__name__}; {again}") from None
