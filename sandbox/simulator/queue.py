"""The work queue and the cache, both in the same Valkey: new items go in on the left, workers take them on the right."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from redis.asyncio import Redis

from sandbox.simulator.maintenance import utc_now

KEY = "queue:workflows"
NAME = "workflows"


@dataclass(frozen=True)
class Item:
    """A piece of work."""

    execution_id: int
    enqueued_at: datetime

    def to_json(self) -> str:
        """Return what lies in the list."""
        return json.dumps({"execution_id": self.execution_id, "enqueued_at": self.enqueued_at.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Item:
        """Read back what `to_json` wrote."""
        value = json.loads(text)
        return cls(int(value["execution_id"]), datetime.fromisoformat(value["enqueued_at"]))


class Queue:
    """The list of items."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def put(self, execution_id: int) -> None:
        """Add an item."""
        await _answer(self.redis.lpush(KEY, Item(execution_id, utc_now()).to_json()))

    async def put_back(self, item: Item) -> None:
        """Return an item to the end that is taken first."""
        await _answer(self.redis.rpush(KEY, item.to_json()))

    async def take(self, within_s: float) -> Item | None:
        """Take the oldest item; None when there was none in that time."""
        found = await _answer(self.redis.brpop([KEY], timeout=within_s))
        return Item.from_json(found[1]) if found else None

    async def depth(self) -> int:
        """Return how many wait."""
        return int(await _answer(self.redis.llen(KEY)))

    async def oldest_s(self, now: datetime) -> float:
        """Return the age of the item that waits longest, 0 when none does."""
        text = await _answer(self.redis.lindex(KEY, -1))
        return max(0.0, (now - Item.from_json(text).enqueued_at).total_seconds()) if text else 0.0


async def _answer(call: object) -> Any:
    # The client's annotations say "a value, or one to wait for", because one class serves both kinds of client.
    return await cast("Awaitable[Any]", call)
