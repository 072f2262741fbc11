"""The staging pair of the platform, as the exercise and its client reach it, and what can be done to it."""

from __future__ import annotations

import base64
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import psycopg

from include.failover.exercise import await_whole
from include.failover.patroni import Patroni
from include.failover.postgres import PostgresPair
from include.failover.probe import PostgresWriter, RedisWriter
from include.failover.redis import RedisPair
from include.settings import FailoverLimits
from sandbox.components import postgres, staging
from sandbox.components.kubernetes.layout import storage, trusted
from sandbox.platform import Platform
from sandbox.site import Site

LIMITS = FailoverLimits(steady_s=0.6, switch_within_s=30, whole_within_s=60)
LEADER_KEY = "/ai-orchestrator/staging/leader"


def postgres_pair(site: Site, *, password: str = "", scope: str = "staging", identifier: str = "") -> PostgresPair:
    """Return the pair under Patroni."""
    trust = ssl.create_default_context(cafile=str(staging.patroni_authority(site)))
    login = (staging.PATRONI_USER, password or site.secret("patroni-ops_failover"))
    patroni = Patroni(
        members=[site.url(staging.rest_port(name), "https") for name in staging.POSTGRES],
        client=httpx.Client(verify=trust, auth=login, timeout=5),
    )
    return PostgresPair(
        patroni=patroni,
        parameters=staging.pair_dsn(site),
        scope=scope,
        switch_within_s=LIMITS.switch_within_s,
        system_identifier=identifier,
    )


def postgres_writer(site: Site) -> PostgresWriter:
    """Return a client with a run of its own."""
    return PostgresWriter(staging.pair_dsn(site), str(uuid4()))


def redis_pair(site: Site) -> RedisPair:
    """Return the Valkey pair."""
    members = {f"127.0.0.1:{postgres.port(site, name)}": staging.valkey_client(site, name) for name in staging.VALKEY}
    return RedisPair(members=members, switch_within_s=10)


def redis_writer(site: Site) -> RedisWriter:
    """Return a client with a run of its own."""
    pair = redis_pair(site)
    for client in pair.members.values():
        client.connection_pool.connection_kwargs.update(socket_timeout=1.0, socket_connect_timeout=1.0)
    return RedisWriter(pair.members, str(uuid4()))


def eventually(true: Callable[[], object], within_s: float = 20) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass(frozen=True)
class Crash:
    """The processes of the PostgreSQL that leads."""

    platform: Platform
    leader: str

    @property
    def postmaster(self) -> int:
        """Its first process."""
        return int((self.platform.site.path(self.leader, "data") / "postmaster.pid").read_text().split()[0])

    def walsender(self) -> int:
        """The process that sends to the standby."""
        with psycopg.connect(**staging.pair_dsn(self.platform.site)) as session:
            ((pid,),) = session.execute("select pid from pg_stat_replication").fetchall()
        return int(pid)

    @contextmanager
    def patroni_frozen(self) -> Iterator[None]:
        """Its Patroni sees nothing and does nothing meanwhile."""
        patroni = self.platform.supervisor.pid(self.leader)
        os.kill(patroni, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(patroni, signal.SIGCONT)

    def forget_leader(self) -> None:
        """Let the leader's lease end now, which takes 20 s by itself."""
        site = self.platform.site
        client = storage(site).client("probe", "probe")
        body = {"key": base64.b64encode(LEADER_KEY.encode()).decode()}
        address = f"{site.url('etcd', 'https')}/v3/kv/deleterange"
        answer = httpx.post(address, json=body, verify=trusted(site, storage(site), client), timeout=5)
        assert answer.raise_for_status().json()["deleted"] == "1"


def crash(platform: Platform) -> Crash:
    """Return whom a crash hits."""
    return Crash(platform, postgres_pair(platform.site).observe().leader)


def whole(site: Site) -> None:
    """Wait until both pairs are whole, whatever a test did to them."""
    await_whole(postgres_pair(site), None, LIMITS)
    await_whole(redis_pair(site), None, LIMITS)


def replace_limits(**changes: object) -> FailoverLimits:
    """Return the limits of these tests with some changed."""
    return LIMITS.model_copy(update=changes)
