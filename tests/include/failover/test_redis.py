"""Against two Valkey servers of the platform in small."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
from redis.exceptions import NoPermissionError, RedisError

from include.errors import RefusedError, TransientError
from include.failover.exercise import exercise
from include.failover.probe import Probe, RedisWriter
from include.failover.redis import Role, standing
from sandbox.components import postgres, staging, valkey
from sandbox.platform import Platform
from sandbox.site import Site
from tests.include.failover import pair
from tests.include.failover.pair import LIMITS

pytestmark = pytest.mark.integration


def test_a_failover_there_and_back_loses_no_acknowledged_write(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    home = target.observe().leader
    result = exercise(target, pair.redis_writer(pair_site), pair.replace_limits(steady_s=1.5))
    assert result.home == home == target.observe().leader != result.away
    assert (result.there.lost, result.back.lost, result.back.duplicates) == ((), (), ())
    assert min(result.there.acknowledged, result.back.acknowledged) > 30
    assert result.worst_gap_s < 5
    assert target.opened() is None


def name_of(site: Site, member: str) -> str:
    return next(name for name in staging.VALKEY if member == f"127.0.0.1:{postgres.port(site, name)}")


def test_acknowledged_writes_that_the_replica_never_got_are_counted_as_lost(
    platform: Platform, pair_site: Site
) -> None:
    standing = pair.redis_pair(pair_site).observe()
    leader, follower = name_of(pair_site, standing.leader), name_of(pair_site, standing.followers[0].name)
    port = postgres.port(pair_site, leader)
    with (
        staging.valkey_client(pair_site, follower, "admin") as held,
        Probe(pair.redis_writer(pair_site), LIMITS.probe_every_s) as probe,
    ):
        time.sleep(1)
        held.replicaof("127.0.0.1", 1)  # nobody is there: it hears of nothing any more
        before = probe.attempted
        time.sleep(1)
        platform.supervisor.stop_program(leader)
        held.replicaof("NO", "ONE")
        written = max(probe.acknowledged)
        pair.eventually(lambda: max(probe.acknowledged) > written + 10)
        measured = probe.lap()
        held.replicaof("127.0.0.1", port)
        platform.supervisor.start_program(leader)
        pair.whole(pair_site)
    assert len(measured.lost) >= 10
    assert min(measured.lost) >= before
    assert max(measured.lost) <= written


def test_a_crash_of_the_master_is_a_gap(platform: Platform, pair_site: Site) -> None:
    leader = name_of(pair_site, pair.redis_pair(pair_site).observe().leader)
    process = platform.supervisor.pid(leader)
    with Probe(pair.redis_writer(pair_site), LIMITS.probe_every_s) as probe:
        time.sleep(1)
        quiet = probe.lap()
        os.kill(process, signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(process, signal.SIGKILL)
        written = len(probe.acknowledged)
        pair.eventually(lambda: len(probe.acknowledged) > written + 10)
        crashed = probe.lap()
    assert quiet.gap_s < 0.5 < crashed.gap_s
    assert crashed.lost == ()


def exercise_until_killed(state: object, ports: dict[str, int]) -> None:
    site = Site(state, ports)  # type: ignore[arg-type]
    exercise(pair.redis_pair(site), pair.redis_writer(site), LIMITS)


def leads(site: Site) -> str:
    try:
        return pair.redis_pair(site).observe().leader
    except TransientError:
        return ""


def test_an_exercise_that_was_killed_in_the_middle_is_brought_home_by_the_next(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    home = target.observe().leader
    killed = multiprocessing.get_context("spawn").Process(
        target=exercise_until_killed, args=(pair_site.state, dict(pair_site.ports))
    )
    killed.start()
    pair.eventually(lambda: leads(pair_site) not in ("", home), 60)
    killed.kill()
    killed.join()
    assert target.opened() == home
    result = exercise(target, pair.redis_writer(pair_site), LIMITS)
    assert (result.home, result.brought_home) == (home, result.away)
    assert target.observe().leader == home
    assert target.opened() is None


class Forgetful(RedisWriter):
    """A client that cannot read back what it wrote."""

    def present(self) -> list[int]:
        raise ConnectionError("the list is gone")


def test_whatever_fails_on_the_way_the_pair_is_switched_back_and_the_error_says_so(
    pair_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.failover.probe.ANSWER_WITHIN_S", 0.05)
    target = pair.redis_pair(pair_site)
    home = target.observe().leader
    writer = pair.redis_writer(pair_site)
    with pytest.raises(TransientError, match=f"nothing is known of lost writes.*; {home} leads again and the others"):
        exercise(target, Forgetful(writer.members, writer.run), LIMITS)
    assert target.observe().leader == home
    assert target.opened() is None


class Interrupted(RedisWriter):
    """A client whose process is ended in the middle, as a time-out of its task does it."""

    def present(self) -> list[int]:
        raise KeyboardInterrupt


def test_an_order_to_stop_is_obeyed_after_the_pair_was_switched_back(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    home = target.observe().leader
    writer = pair.redis_writer(pair_site)
    with pytest.raises(KeyboardInterrupt):
        exercise(target, Interrupted(writer.members, writer.run), LIMITS)
    assert target.observe().leader == home
    assert target.opened() is None


def test_refuses_a_server_without_the_mark_of_staging(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    leader = name_of(pair_site, target.observe().leader)
    with staging.valkey_client(pair_site, leader, "admin") as admin:
        admin.set(staging.TARGET_KEY, "production")
        try:
            with pytest.raises(RefusedError, match=r"not the recorded staging target.*nothing was changed"):
                exercise(target, pair.redis_writer(pair_site), LIMITS)
        finally:
            admin.set(staging.TARGET_KEY, "staging")


def test_refuses_a_pair_whose_follower_does_not_follow(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    standing = target.observe()
    leader, follower = name_of(pair_site, standing.leader), name_of(pair_site, standing.followers[0].name)
    with staging.valkey_client(pair_site, follower, "admin") as held:
        held.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(RefusedError, match=r"does not stream, unknown behind.*; nothing was changed"):
                exercise(target, pair.redis_writer(pair_site), pair.replace_limits(whole_within_s=1))
        finally:
            held.replicaof("127.0.0.1", postgres.port(pair_site, leader))
    assert target.observe().leader == standing.leader
    assert target.opened() is None


def test_a_failover_that_the_server_declines_changes_nothing(pair_site: Site) -> None:
    target = pair.redis_pair(pair_site)
    home = target.observe().leader
    with pytest.raises(RefusedError, match="does not hand over"):
        target.switch(leader=home, to="127.0.0.1:1")
    assert target.observe().leader == home


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("REPLICAOF", "NO", "ONE"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("SET", "failover:target", "staging"),
        ("SET", "session:1", "x"),
        ("GET", "session:1"),
        ("KEYS", "*"),
        ("SHUTDOWN",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_its_user_may_fail_over_and_touch_keys_of_its_own_only(pair_site: Site, command: tuple[str, ...]) -> None:
    with staging.valkey_client(pair_site, staging.VALKEY[0]) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command)


def test_production_has_no_such_user(site: Site) -> None:
    with valkey.client(site) as redis:
        redis.connection_pool.connection_kwargs.update(
            username="ops_failover", password=site.secret("redis-staging-ops_failover")
        )
        with pytest.raises(RedisError):
            redis.ping()


def test_between_two_masters_nobody_leads() -> None:
    masters = {"a:1": Role(master=True, followers={}), "b:1": Role(master=True, followers={})}
    with pytest.raises(TransientError, match="2 members"):
        standing(masters)
    with pytest.raises(TransientError, match="0 members"):
        standing({"a:1": None, "b:1": Role(master=False, of="a:1", connected=True, offset=5, followers={})})
