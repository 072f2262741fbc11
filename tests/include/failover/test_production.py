"""The exercise on production, against the pair of the platform in small, marked as production while a test lasts."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from include.errors import ConfigurationError, RefusedError
from include.failover.postgres import PostgresPair
from include.failover.production import ProductionExercise
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.leases import HeldBackError, Mode, Wanted, acquire
from include.settings import FailoverLimits
from sandbox.components import postgres, staging
from sandbox.site import Site
from tests.include.failover import pair
from tests.include.failover.test_postgres import leads, open_exercises

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def production_site(pair_site: Site) -> Iterator[Site]:
    with marked(pair_site, "production"):
        yield pair_site


@contextmanager
def marked(site: Site, environment: str) -> Iterator[None]:
    """Let the pair have itself on record as something else."""

    def mark(name: str) -> None:
        with psycopg.connect(**staging.pair_dsn(site, postgres.SUPERUSER), autocommit=True) as session:
            session.execute("update failover.target set environment = %s", [name])

    mark(environment)
    try:
        yield
    finally:
        pair.whole(site)
        pair.postgres_pair(site).end()  # whatever a test left open would be the next one's surprise
        mark("staging")


def ops(site: Site, role: str = "ops_runner") -> OpsDatabase:
    return OpsDatabase({"conninfo": postgres.dsn(site, role, "ops", "postgres_ops"), "sslmode": "require"}, who=role)


def target(site: Site) -> PostgresPair:
    """Return the pair as production, pinned to its own cluster."""
    with psycopg.connect(**staging.pair_dsn(site)) as session:
        ((identifier,),) = session.execute("select system_identifier::text from pg_control_system()").fetchall()
    return replace(pair.postgres_pair(site, identifier=identifier), environment="production")


def exercise(
    site: Site, op_id: str, *, limits: FailoverLimits = pair.LIMITS, reason: str = "before the season"
) -> ProductionExercise:
    return ProductionExercise(
        op_id=op_id,
        reason=reason,
        database=f"exercise-{op_id[:8]}",
        pair=target(site),
        writer=pair.postgres_writer(site),
        limits=limits,
        code_version="a test",
    )


def approved(site: Site) -> str:
    """Plan it, let somebody else approve it, and return its operation id."""
    op_id = str(uuid4())
    number = gate.store(ops(site), exercise(site, op_id).plan(), requester="alice", people=2)
    approver = ops(site, "ops_approver")
    gate.approve(approver, number, person="bob", reason="looked at it", answered_at=datetime.now(UTC))
    return op_id


def test_m_02_production_is_switched_over_and_back_once_with_two_people_behind_it(production_site: Site) -> None:
    op_id = approved(production_site)
    home = target(production_site).observe().leader
    done = exercise(production_site, op_id).act(ops(production_site), holder="a test")
    assert (done.home, done.there.lost, done.back.lost) == (home, (), ())
    assert done.worst_gap_s > 0.3
    assert target(production_site).observe().leader == home
    again = exercise(production_site, op_id).act(ops(production_site), holder="a second try")
    assert again == done, "it is done, and not once more"


@pytest.mark.parametrize("missing", ["plan", "approval", "mark", "identifier", "reason"])
def test_without_all_that_it_needs_nobody_is_switched(production_site: Site, missing: str) -> None:
    op_id = str(uuid4()) if missing == "plan" else approved(production_site)
    asked = exercise(production_site, op_id)
    leader = asked.pair.observe().leader
    if missing == "approval":
        asked = replace(asked, op_id=str(uuid4()))
        gate.store(ops(production_site), asked.plan(), requester="alice", people=2)
    with marked(production_site, "staging" if missing == "mark" else "production"):
        if missing == "identifier":
            asked = replace(asked, pair=replace(asked.pair, system_identifier=""))
        if missing == "reason":
            with pytest.raises(ConfigurationError, match="reason: at least 10 characters"):
                replace(asked, reason="short").plan()
            return
        with pytest.raises(
            (RefusedError, ConfigurationError), match=r"no plan|must not be carried out|on record|is empty"
        ):
            asked.act(ops(production_site), holder="a test")
    assert target(production_site).observe().leader == leader
    assert open_exercises(production_site) == 0


def test_a_stop_order_keeps_the_lead_where_it_is(production_site: Site) -> None:
    op_id = approved(production_site)
    leader = target(production_site).observe().leader
    runner = ops(production_site)
    runner.ask("order_stop", "a test of the stop order", "a test")
    try:
        with pytest.raises(HeldBackError, match="ordered to stop"):
            exercise(production_site, op_id).act(runner, holder="a test")
    finally:
        runner.ask("lift_stop", "a test")
    assert target(production_site).observe().leader == leader


def test_a_recovery_of_the_same_database_keeps_it_out(production_site: Site) -> None:
    op_id = approved(production_site)
    asked = exercise(production_site, op_id)
    wanted = Wanted(resource=f"database/{asked.database}", mode=Mode.RESTORE, op_id=str(uuid4()), holder="a recovery")
    held = acquire(ops(production_site), wanted)
    try:
        with pytest.raises(RefusedError, match="held: restore by a recovery"):
            asked.act(ops(production_site), holder="a test")
    finally:
        held.release()


def act_until_killed(state: object, ports: dict[str, int], op_id: str) -> None:
    site = Site(state, ports)  # type: ignore[arg-type]
    exercise(site, op_id).act(ops(site), holder="one that is killed")


def test_killed_in_the_middle_the_next_try_goes_home_and_exercises_anew(production_site: Site) -> None:
    op_id = approved(production_site)
    watched = target(production_site)
    home = watched.observe().leader
    arguments = (production_site.state, dict(production_site.ports), op_id)
    killed = multiprocessing.get_context("spawn").Process(target=act_until_killed, args=arguments)
    killed.start()
    pair.eventually(lambda: leads(watched) not in ("", home), 60)
    killed.kill()
    killed.join()
    pair.whole(production_site)  # the order that it gave still goes on
    done = exercise(production_site, op_id).act(ops(production_site), holder="the next try")
    assert done.home == home == target(production_site).observe().leader
    assert open_exercises(production_site) == 0
