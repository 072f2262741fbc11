"""Against Patroni, etcd and two PostgreSQL servers of the platform in small."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import psycopg
import pytest

from include.errors import ConfigurationError, RefusedError, TransientError, VerificationError
from include.failover.exercise import await_identified, come_home, exercise, go
from include.failover.postgres import PostgresPair
from include.failover.probe import PostgresWriter, Probe
from sandbox.components import postgres, staging
from sandbox.platform import Platform
from sandbox.site import Site
from tests.include.failover import pair
from tests.include.failover.pair import LIMITS

pytestmark = pytest.mark.integration


def open_exercises(site: Site) -> int:
    with psycopg.connect(**staging.pair_dsn(site)) as session:
        ((count,),) = session.execute("select count(*) from failover.exercise where ended_at is null").fetchall()
    return int(count)


def test_a_switchover_there_and_back_loses_no_acknowledged_write_in_twenty_seconds_of_writing(pair_site: Site) -> None:
    target = pair.postgres_pair(pair_site)
    home = target.observe().leader
    result = exercise(target, pair.postgres_writer(pair_site), pair.replace_limits(steady_s=4.5))
    assert result.home == home == target.observe().leader != result.away
    assert result.there.lasted_s + result.back.lasted_s >= 20
    assert (result.there.lost, result.back.lost, result.back.duplicates) == ((), (), ())
    assert min(result.there.acknowledged, result.back.acknowledged) > 80
    assert 0.3 < result.worst_gap_s < 20  # a switchover that nobody notices did not happen
    assert not result.brought_home
    assert open_exercises(pair_site) == 0


def test_a_crash_of_the_primary_is_a_gap_and_loses_nothing_where_its_disk_is_whole(
    platform: Platform, pair_site: Site
) -> None:
    with Probe(pair.postgres_writer(pair_site), LIMITS.probe_every_s) as probe:
        time.sleep(1)
        quiet = probe.lap()
        os.kill(pair.crash(platform).postmaster, signal.SIGKILL)
        time.sleep(1)
        written = len(probe.acknowledged)
        pair.eventually(lambda: len(probe.acknowledged) > written + 10, 40)
        crashed = probe.lap()
    assert quiet.gap_s < 0.5
    assert crashed.gap_s > 2 * quiet.gap_s
    assert crashed.lost == ()


def test_acknowledged_writes_that_a_standby_never_got_are_counted_as_lost(platform: Platform, pair_site: Site) -> None:
    crash = pair.crash(platform)
    sender, postmaster = crash.walsender(), crash.postmaster
    with Probe(pair.postgres_writer(pair_site), LIMITS.probe_every_s) as probe:
        time.sleep(1)
        os.kill(sender, signal.SIGSTOP)
        held = probe.attempted
        time.sleep(1)
        with crash.patroni_frozen():
            os.kill(postmaster, signal.SIGKILL)
            os.kill(sender, signal.SIGKILL)
            crash.forget_leader()
            written = max(probe.acknowledged)
            pair.eventually(lambda: max(probe.acknowledged) > written + 10, 40)
        measured = probe.lap()
    assert len(measured.lost) >= 10
    assert min(measured.lost) >= held
    assert max(measured.lost) <= written + 1  # one more may be on its way when the server dies
    # The old primary is ahead of the new one: it comes back by pg_rewind, or not at all.
    pair.whole(pair_site)
    go(pair.postgres_pair(pair_site), crash.leader, LIMITS)


def exercise_until_killed(state: object, ports: dict[str, int]) -> None:
    site = Site(state, ports)  # type: ignore[arg-type]
    exercise(pair.postgres_pair(site), pair.postgres_writer(site), LIMITS)


def leads(target: PostgresPair) -> str:
    try:
        return target.observe().leader
    except TransientError:  # between two leaders there is none
        return ""


def test_an_exercise_that_was_killed_in_the_middle_is_brought_home_by_the_next(pair_site: Site) -> None:
    target = pair.postgres_pair(pair_site)
    home = target.observe().leader
    killed = multiprocessing.get_context("spawn").Process(
        target=exercise_until_killed, args=(pair_site.state, dict(pair_site.ports))
    )
    killed.start()
    pair.eventually(lambda: leads(target) not in ("", home), 60)
    killed.kill()
    killed.join()
    # At once, while the new primary may still be on its way; what follows is seen whole in test_redis.py.
    await_identified(target, LIMITS)
    assert come_home(target, LIMITS) not in ("", home)
    assert target.observe().leader == home
    assert open_exercises(pair_site) == 0


def test_a_client_that_never_got_through_ends_the_exercise_before_the_switch(pair_site: Site) -> None:
    writer = PostgresWriter({**staging.pair_dsn(pair_site), "password": "wrong"}, "nobody")
    home = pair.postgres_pair(pair_site).observe().leader
    with pytest.raises(VerificationError, match=f"no write was acknowledged before the switch.*{home} leads again"):
        exercise(pair.postgres_pair(pair_site), writer, LIMITS)


@pytest.mark.parametrize("what", ["production", "another scope", "another identifier"])
def test_refuses_what_is_not_the_recorded_staging_target(pair_site: Site, what: str) -> None:
    target = pair.postgres_pair(
        pair_site,
        scope="production" if what == "another scope" else "staging",
        identifier="1" if what == "another identifier" else "",
    )
    if what == "production":
        parameters = {"conninfo": postgres.dsn(pair_site, "ops_health"), "sslmode": "require"}
        target = PostgresPair(patroni=target.patroni, parameters=parameters, scope="staging", switch_within_s=5)
    leader = pair.postgres_pair(pair_site).observe().leader
    with pytest.raises(RefusedError, match="nothing was changed"):
        exercise(target, pair.postgres_writer(pair_site), LIMITS)
    assert pair.postgres_pair(pair_site).observe().leader == leader
    assert open_exercises(pair_site) == 0


def test_refuses_a_pair_that_is_paused(pair_site: Site) -> None:
    target = pair.postgres_pair(pair_site)
    config = f"{target.patroni.members[0]}/config"
    assert target.patroni.client.patch(config, json={"pause": True}).is_success
    try:
        pair.eventually(lambda: target.observe().paused)
        with pytest.raises(RefusedError, match=r"paused; nothing was changed"):
            exercise(target, pair.postgres_writer(pair_site), LIMITS)
    finally:
        target.patroni.client.patch(config, json={"pause": None})
    pair.eventually(lambda: not target.observe().paused)


def test_a_wrong_password_switches_nothing_and_says_what_to_correct(pair_site: Site) -> None:
    target = pair.postgres_pair(pair_site, password="wrong")
    home = target.observe().leader
    with pytest.raises(ConfigurationError, match=r"refuses the login .*leads again"):
        exercise(target, pair.postgres_writer(pair_site), LIMITS)
    assert target.observe().leader == home


def test_patroni_declines_a_member_that_is_not_there(pair_site: Site) -> None:
    target = pair.postgres_pair(pair_site)
    with pytest.raises(RefusedError, match="does not hand over"):
        target.switch(leader=target.observe().leader, to="postgres-staging-9")


def test_its_role_writes_into_its_own_table_and_switches_nothing(pair_site: Site) -> None:
    with psycopg.connect(**staging.pair_dsn(pair_site), autocommit=True) as session:
        for forbidden in (
            "select pg_promote()",
            "alter system set work_mem = '1MB'",
            "insert into failover.target values ('staging', '1')",
            "update failover.exercise set home = 'elsewhere'",
            "create table mine ()",
            "select pg_switch_wal()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(forbidden)
