"""The fault of a cache that is full: keys without a time to live, which nothing evicts."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import RedisError

from sandbox.components.valkey import client
from sandbox.faults.fault import FaultError, Memo
from sandbox.site import Site

SHARE = 0.965
"""Of maxmemory: over the limit that pages, and short of refused writes."""

PREFIX = "cache:fault:"
VALUE_BYTES = 1_000_000
BATCH = 20


def fill(site: Site, memo: Memo) -> Memo:
    """Fill the memory up to the share."""
    try:
        with client(site, "admin") as redis:
            _fill(redis)
    except RedisError as error:
        raise FaultError(f"Valkey does not take the keys: {error}; is it up? `make status` tells") from None
    return memo


def empty(site: Site, memo: Memo) -> None:
    """Take the keys away again; others are left alone."""
    try:
        with client(site, "admin") as redis:
            for key in redis.scan_iter(match=f"{PREFIX}*", count=1000):
                redis.unlink(key)
    except RedisError as error:
        raise FaultError(f"Valkey does not give the keys back: {error}; is it up? `make status` tells") from None


def _fill(redis: Redis) -> None:
    number = sum(1 for _ in redis.scan_iter(match=f"{PREFIX}*", count=1000))
    while (missing := _missing_bytes(redis)) > 0:
        size = min(VALUE_BYTES, max(missing, 1000))
        for _ in range(max(1, min(BATCH, missing // VALUE_BYTES))):
            redis.set(f"{PREFIX}{number}", "x" * size)
            number += 1


def _missing_bytes(redis: Redis) -> int:
    info = redis.info("memory")
    if not info["maxmemory"]:
        raise FaultError("Valkey has no maxmemory, so it cannot be filled; set one in sandbox/components/valkey.py")
    return int(SHARE * info["maxmemory"] - info["used_memory"])
