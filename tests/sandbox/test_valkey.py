from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry

from sandbox.components.valkey import CACHE_KEYS, QUEUE, SESSIONS, USERS, client, top_up
from sandbox.platform import Platform, running
from sandbox.site import Site, free_ports

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own() -> Iterator[Platform]:
    """A server without the simulator, which may be restarted."""
    base = Path("/tmp") / f"aos-{os.getpid()}-valkey"
    with running(Site.create(base, free_ports()), ["valkey"]) as platform:
        yield platform
    shutil.rmtree(base)


def test_starts_with_a_cache_and_sessions_that_end_and_an_empty_queue(own: Platform) -> None:
    with client(own.site, "admin") as redis:
        assert redis.dbsize() == CACHE_KEYS + SESSIONS
        assert redis.llen(QUEUE) == 0
        lifetimes = [redis.ttl(key) for key in redis.scan_iter(count=1000)]
    assert min(lifetimes) > 3600
    assert max(lifetimes) <= 72 * 3600


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("maxmemory-policy", "volatile-lru"),
        ("maxmemory", str(256 * 1024 * 1024)),
        ("appendonly", "yes"),
        ("bind", "127.0.0.1"),
        ("protected-mode", "yes"),
    ],
)
def test_is_set_up_so_that_queued_work_is_never_evicted(own: Platform, setting: str, value: str) -> None:
    with client(own.site) as redis:
        assert redis.config_get(setting) == {setting: value}


def test_a_client_without_a_login_may_nothing(own: Platform) -> None:
    stranger = Redis(host="127.0.0.1", port=own.site.ports["valkey"], retry=Retry(NoBackoff(), 0))
    with stranger as redis, pytest.raises((AuthenticationError, ResponseError)):
        redis.ping()


def test_passwords_stand_in_no_file_of_the_server(own: Platform) -> None:
    folder = own.site.path("valkey")
    assert stat.S_IMODE((folder / "users.acl").stat().st_mode) == 0o600
    texts = [path.read_text() for path in (folder / "users.acl", folder / "valkey.conf")]
    assert not [user for user in USERS for text in texts if own.site.secret(f"redis-{user}") in text]


def test_a_top_up_brings_back_what_expired_and_leaves_the_rest(own: Platform) -> None:
    with client(own.site, "orchestrator_app") as redis:
        redis.delete("cache:workflow:0")
        redis.set("cache:user:1", "mine", ex=100)
        top_up(own.site)
        assert redis.get("cache:workflow:0") is not None
        assert redis.get("cache:user:1") == "mine"


def test_queued_work_survives_a_restart(own: Platform) -> None:
    with client(own.site, "orchestrator_app") as redis:
        redis.lpush(QUEUE, "one", "two")
    own.supervisor.stop_program("valkey")
    own.supervisor.start_program("valkey")
    assert _queue_when_back(own.site) == ["two", "one"]


def _queue_when_back(site: Site) -> object:
    for _ in range(100):
        try:
            with client(site, "orchestrator_app") as redis:
                return redis.lrange(QUEUE, 0, -1)
        except RedisError:
            time.sleep(0.1)
    pytest.fail("valkey did not come back within 10 s")
