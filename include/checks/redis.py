"""Whether the cache and broker is healthy (H-05), and whether the work queue drains (H-12)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from include.checks.scale import level, span
from include.findings import Finding, Severity
from include.probes.redis import Queue, Server
from include.settings import RedisLimits

SERVER = "H-05"
QUEUE = "H-12"
SAVES = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
"""What INFO says of the last save of each kind; every server tells all three, with or without an append-only file."""


def _finding(check: str, severity: Severity, summary: str, step: str = "", **evidence: Any) -> Finding:
    return Finding(
        item=SERVER,
        check=check,
        subject=f"redis/{check}",
        severity=severity,
        summary=summary,
        evidence={"request": "INFO", **evidence},
        next_step=step if severity else "",
    )


def judge_server(server: Server, *, limits: RedisLimits, evicted_before: float | None) -> Iterator[Finding]:
    """Judge latency, memory, evictions, sessions, persistence and replication.

    :param evicted_before: the counter at the last look; None counts since the server started.
    """
    yield _loaded(server)
    yield _ping(server, limits)
    yield _memory(server, limits)
    yield _evictions(server, evicted_before)
    yield _clients(server, limits)
    yield _persistence(server)
    yield _replication(server, limits)


def _untold(check: str, server: Server, *names: str) -> Finding:
    """Return the UNKNOWN that hidden or useless fields of INFO leave; an absent field is never a healthy 0."""
    said = ", ".join([name for name in names if server.info.get(name) in {None, ""}] or names[-1:])
    step = "does this login, or a proxy in between, hide parts of INFO? see deploy/redis"
    return _finding(check, Severity.UNKNOWN, f"the server does not tell {said}", step)


def _loaded(server: Server) -> Finding:
    loading, empty = server.number("loading"), server.keys == 0
    if loading is None:
        return _untold("keys", server, "loading")
    words = (
        "is still loading its data"
        if loading
        else "holds no key at all: the wrong database, or a lost one"
        if empty
        else "is up"
    )
    return _finding(
        "keys",
        Severity.UNKNOWN if loading or empty else Severity.OK,
        f"Redis {words}, {server.keys} keys",
        "check the database number of the Connection; was it flushed?",
        value=server.keys,
        unit="keys",
        threshold="> 0",
        uptime_s=server.number("uptime_in_seconds"),
        version=str(server.info.get("valkey_version") or server.info.get("redis_version", "")),
    )


def _ping(server: Server, limits: RedisLimits) -> Finding:
    return _finding(
        "ping",
        level(server.ping_ms, warning=limits.ping_warning_ms),
        f"Redis answers PING in {server.ping_ms:.1f} ms (limit {limits.ping_warning_ms:g})",
        "which command blocks it? SLOWLOG GET",
        value=round(server.ping_ms, 2),
        unit="ms",
        threshold=f"< {limits.ping_warning_ms:g}",
    )


def _memory(server: Server, limits: RedisLimits) -> Finding:
    bound = "total_system_memory" if server.number("maxmemory") == 0 else "maxmemory"
    used, most = server.number("used_memory"), server.number(bound)
    if used is None or not most:
        return _untold("memory", server, "used_memory", bound)
    percent = 100 * used / most
    of = bound if bound == "maxmemory" else "the machine's memory (maxmemory is not set)"
    return _finding(
        "memory",
        level(percent, warning=limits.memory_warning_percent, critical=limits.memory_critical_percent),
        f"Redis uses {used / 1024**2:.0f} MiB, {percent:.0f} % of {of}",
        "what grew? see the weekly cache maintenance",
        value=round(percent, 2),
        unit="%",
        threshold=f"< {limits.memory_warning_percent:g}",
    )


def _evictions(server: Server, before: float | None) -> Finding:
    counter = server.number("evicted_keys")
    if counter is None:
        return _untold("evictions", server, "evicted_keys")
    new = counter - before if before is not None and before <= counter else counter
    since = "the last look" if before is not None and before <= counter else "its start"
    return _finding(
        "evictions",
        level(new, warning=1),
        f"Redis evicted {new:.0f} keys since {since}",
        "sessions and cache are being lost: raise maxmemory or shorten TTLs",
        value=counter,
        unit="keys evicted",
        threshold="0 new",
        new=new,
    )


def _clients(server: Server, limits: RedisLimits) -> Finding:
    used, most = server.number("connected_clients"), server.number("maxclients")
    if used is None or not most:
        return _untold("clients", server, "connected_clients", "maxclients")
    percent = 100 * used / most
    return _finding(
        "clients",
        level(percent, warning=limits.clients_warning_percent),
        f"{used:.0f} of {most:.0f} Redis clients are connected",
        "who does not close? CLIENT LIST",
        value=round(percent, 2),
        unit="%",
        threshold=f"< {limits.clients_warning_percent:g}",
        rejected=server.number("rejected_connections"),
        blocked=server.number("blocked_clients"),
    )


def _persistence(server: Server) -> Finding:
    failed = [name for name in SAVES if server.info.get(name, "ok") != "ok"]
    absent = [name for name in SAVES if name not in server.info]
    if absent and not failed:
        return _untold("persistence", server, *absent)
    return _finding(
        "persistence",
        Severity.CRITICAL if failed else Severity.OK,
        f"Redis could not save: {', '.join(failed)}" if failed else "Redis saved without error",
        "is its disk full? the queue would be lost at the next restart",
        threshold="ok",
        changes_since_save=server.number("rdb_changes_since_last_save"),
    )


def _replication(server: Server, limits: RedisLimits) -> Finding:
    role, replicas = server.info.get("role"), server.number("connected_slaves")
    if not role or replicas is None:
        return _untold("replication", server, "role", "connected_slaves")
    wrong_role, missing = role != "master", replicas < limits.expected_replicas
    words = "is a replica, not the primary" if wrong_role else f"is the primary with {replicas:.0f} replicas"
    return _finding(
        "replication",
        Severity.CRITICAL if wrong_role or missing else Severity.OK,
        f"Redis {words} ({limits.expected_replicas} expected)",
        "did it fail over? point the Connection to the primary",
        value=replicas,
        unit="replicas",
        threshold=f"primary, >= {limits.expected_replicas}",
    )


def judge_queue(queue: Queue, *, limits: RedisLimits, now: datetime) -> Iterator[Finding]:
    """Judge depth and age of the queue; an empty list in an empty database is UNKNOWN, since it may be the wrong one."""
    unknown = queue.keys == 0
    depth = level(queue.depth, critical=limits.queue_depth_critical)
    waited_s = max(0.0, (now - queue.oldest_at).total_seconds()) if queue.oldest_at else 0.0
    age = level(waited_s, warning=limits.oldest_item_warning_s, critical=limits.oldest_item_critical_s)
    for check, severity, value, unit, limit, words in (
        ("queue_depth", depth, queue.depth, "items", limits.queue_depth_critical, f"{queue.depth} items wait"),
        ("queue_age", age, waited_s, "s", limits.oldest_item_warning_s, f"the oldest item has waited {span(waited_s)}"),
    ):
        yield Finding(
            item=QUEUE,
            check=check,
            subject=queue.name,
            severity=Severity.UNKNOWN if unknown else severity,
            summary=f"{words} (below {limit:g} {unit})" + (", but the database is empty" if unknown else ""),
            evidence={
                "value": round(value, 1),
                "unit": unit,
                "threshold": f"< {limit:g}",
                "n": queue.depth,
                "request": f"LLEN, LINDEX -1 of {queue.name}",
            },
            next_step="are the workers ready and taking items?" if severity or unknown else "",
        )
