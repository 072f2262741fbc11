from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks import redis
from include.findings import Severity
from include.probes.redis import Queue, Server
from include.settings import RedisLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = RedisLimits()
INFO: dict[str, Any] = {
    "role": "master",
    "loading": 0,
    "used_memory": 100,
    "maxmemory": 1000,
    "maxclients": 100,
    "connected_clients": 10,
    "evicted_keys": 0,
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "connected_slaves": 0,
}


def judged(*, keys: int = 5, before: float | None = None, ping_ms: float = 0.2, **info: Any) -> dict[str, Severity]:
    server = Server(info=INFO | info, keys=keys, ping_ms=ping_ms)
    return {f.check: f.severity for f in redis.judge_server(server, limits=LIMITS, evicted_before=before)}


def test_a_healthy_server_is_healthy_in_every_respect() -> None:
    assert set(judged().values()) == {Severity.OK}


@pytest.mark.parametrize(
    ("info", "check", "severity"),
    [
        ({"used_memory": 799}, "memory", Severity.OK),
        ({"used_memory": 800}, "memory", Severity.WARNING),
        ({"used_memory": 950}, "memory", Severity.CRITICAL),
        ({"used_memory": 800, "maxmemory": 0, "total_system_memory": 8000}, "memory", Severity.OK),
        ({"connected_clients": 80}, "clients", Severity.WARNING),
        ({"rdb_last_bgsave_status": "err"}, "persistence", Severity.CRITICAL),
        ({"aof_last_write_status": "err"}, "persistence", Severity.CRITICAL),
        ({"role": "slave"}, "replication", Severity.CRITICAL),
        ({"loading": 1}, "keys", Severity.UNKNOWN),
        ({"evicted_keys": 1}, "evictions", Severity.WARNING),
    ],
)
def test_each_trouble_shows_in_its_own_check(info: dict[str, Any], check: str, severity: Severity) -> None:
    assert judged(**info)[check] is severity


@pytest.mark.parametrize(
    ("field", "check"),
    [
        ("loading", "keys"),
        ("used_memory", "memory"),
        ("maxmemory", "memory"),
        ("evicted_keys", "evictions"),
        ("connected_clients", "clients"),
        ("maxclients", "clients"),
        ("rdb_last_bgsave_status", "persistence"),
        ("aof_last_write_status", "persistence"),
        ("aof_last_bgrewrite_status", "persistence"),
        ("role", "replication"),
        ("connected_slaves", "replication"),
    ],
)
def test_a_field_that_info_does_not_hold_is_unknown_and_never_a_healthy_0(field: str, check: str) -> None:
    told = Server(info={name: value for name, value in INFO.items() if name != field}, keys=5, ping_ms=0.2)
    found = list(redis.judge_server(told, limits=LIMITS, evicted_before=None))
    (finding,) = (each for each in found if each.severity)
    assert (finding.check, finding.severity) == (check, Severity.UNKNOWN)
    assert finding.summary == f"the server does not tell {field}"


def test_memory_without_any_bound_is_unknown() -> None:
    assert judged(maxmemory=0)["memory"] is Severity.UNKNOWN


def test_a_save_that_failed_is_critical_whatever_else_is_not_told() -> None:
    told = {"role": "master", "aof_last_write_status": "err"}
    server = Server(info=told, keys=5, ping_ms=0.2)
    found = {f.check: f.severity for f in redis.judge_server(server, limits=LIMITS, evicted_before=None)}
    assert found["persistence"] is Severity.CRITICAL


@pytest.mark.parametrize(("before", "severity"), [(7.0, Severity.OK), (6.0, Severity.WARNING), (9.0, Severity.WARNING)])
def test_evictions_are_counted_since_the_last_look_and_from_nothing_after_a_restart(
    before: float, severity: Severity
) -> None:
    assert judged(before=before, evicted_keys=7)["evictions"] is severity


def test_a_server_without_a_single_key_is_unknown() -> None:
    assert judged(keys=0)["keys"] is Severity.UNKNOWN


def queue(depth: int, *, waited_s: float = 5, keys: int = 10) -> Queue:
    oldest = NOW - timedelta(seconds=waited_s) if depth else None
    return Queue(name="queue:workflows", depth=depth, oldest_at=oldest, keys=keys)


@pytest.mark.parametrize(("depth", "severity"), [(0, Severity.OK), (49, Severity.OK), (50, Severity.CRITICAL)])
def test_fewer_than_50_items_wait(depth: int, severity: Severity) -> None:
    found = {f.check: f.severity for f in redis.judge_queue(queue(depth), limits=LIMITS, now=NOW)}
    assert found == {"queue_depth": severity, "queue_age": Severity.OK}


@pytest.mark.parametrize(
    ("waited_s", "severity"),
    [(299, Severity.OK), (300, Severity.WARNING), (1800, Severity.CRITICAL)],
)
def test_a_short_queue_with_a_stuck_head_is_no_healthy_queue(waited_s: float, severity: Severity) -> None:
    found = {f.check: f.severity for f in redis.judge_queue(queue(2, waited_s=waited_s), limits=LIMITS, now=NOW)}
    assert found == {"queue_depth": Severity.OK, "queue_age": severity}


def test_an_empty_queue_in_an_empty_database_is_unknown() -> None:
    findings = list(redis.judge_queue(queue(0, keys=0), limits=LIMITS, now=NOW))
    assert {finding.severity for finding in findings} == {Severity.UNKNOWN}
