"""What Redis or Valkey says of itself, and how deep its work queue is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from include.errors import ConfigurationError, RunbookError, TransientError

if TYPE_CHECKING:
    from redis import Redis

Answer = TypeVar("Answer")
PINGS = 5


@dataclass(frozen=True, kw_only=True)
class Server:
    """The fields of INFO, and the time that a PING took."""

    info: Mapping[str, Any]
    keys: int
    ping_ms: float

    def number(self, name: str) -> float | None:
        """Return a numeric field; None where the server does not tell, which is never a 0."""
        value = self.info.get(name)
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The list that workers take from: its length and since when its oldest item waits."""

    name: str
    depth: int
    oldest_at: datetime | None
    keys: int


def server(client: Redis) -> Server:
    """Ask for INFO, the number of keys and the time of a PING."""
    return explained(lambda: Server(info=_info(client), keys=int(str(client.dbsize())), ping_ms=_ping_ms(client)))


def _info(client: Redis) -> Mapping[str, Any]:
    info: Any = client.info()
    return info  # type: ignore[no-any-return]


def _ping_ms(client: Redis) -> float:
    times = []
    for _ in range(PINGS):
        started = time.monotonic()
        client.ping()
        times.append(1000 * (time.monotonic() - started))
    return sorted(times)[PINGS // 2]


def queue(client: Redis, name: str) -> Queue:
    """Ask for the length of the list and for its right end, the next to be taken."""
    return explained(lambda: _queue(client, name))


def _queue(client: Redis, name: str) -> Queue:
    pipeline = client.pipeline(transaction=False)
    pipeline.llen(name)
    pipeline.lindex(name, -1)
    pipeline.dbsize()
    depth, oldest, keys = pipeline.execute()
    return Queue(name=name, depth=depth, oldest_at=enqueued_at(oldest), keys=keys)


def enqueued_at(item: bytes | str | None) -> datetime | None:
    """Return when an item was put in; ConfigurationError if it does not say."""
    if item is None:
        return None
    try:
        moment = datetime.fromisoformat(json.loads(item)["enqueued_at"])
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            "the oldest item of the queue does not say when it was put in; is redis.queue the right list?"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def explained(deed: Callable[[], Answer], setting: str = "connections.redis") -> Answer:
    """Run it; a RunbookError says why it failed.

    :param setting: that names the Connection.
    """
    import redis

    try:
        return deed()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise ConfigurationError(
            f"Redis refuses the login: {error}; check the Connection in {setting} and deploy/redis"
        ) from None
    except redis.ResponseError as error:
        raise _answered(error, setting) from None
    except (redis.RedisError, OSError) as error:
        raise TransientError(f"Redis did not answer: {type(error).__name__}") from None


def _answered(error: Exception, setting: str) -> RunbookError:
    text = str(error)
    if text.startswith("WRONGTYPE"):
        return ConfigurationError("the key of the work queue is no list; change the setting redis.queue")
    if "NOAUTH" in text or "WRONGPASS" in text or "NOPERM" in text:
        return ConfigurationError(
            f"Redis refuses the login: {text}; check the Connection in {setting} and deploy/redis"
        )
    return TransientError(f"Redis answered {text}")
