"""The counters of statements and indexes on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from include.checks.statements import Snapshot, between
from include.errors import ConfigurationError
from include.probes.indexes import indexes
from include.probes.postgres import Server
from include.probes.statements import Statements, statements
from include.settings import OptimisationLimits
from sandbox.components.postgres import connect, dsn
from sandbox.site import Site
from tests.include.maintenance.scene import Scene, scene

pytestmark = pytest.mark.integration

OWN = OptimisationLimits().own_roles


@pytest.fixture(scope="module")
def here(site: Site) -> Iterator[Scene]:
    with scene(site) as made:
        made.sql("grant usage on schema public to orchestrator_app")
        made.sql("create table parent (id int primary key, tag text)", "insert into parent values (1, 'secret')")
        made.sql(
            "create table child (id int primary key, parent_id int references parent, other_id int references parent)"
        )
        made.sql("create index child_other on child (other_id)", "create index child_tag on parent (tag)")
        made.sql(
            "grant select, update on parent to orchestrator_app", "create extension if not exists pg_stat_statements"
        )
        yield made


def server(here: Scene) -> Server:
    return Server(conninfo_to_dict(dsn(here.site, "ops_health", here.database)), 5)


def run(here: Scene, times: int) -> None:
    with connect(here.site, "orchestrator_app", here.database) as application:
        for _ in range(times):
            application.execute("select tag from parent where id = 1")
            application.execute("set work_mem = '4MB'")
    here.sql("select tag from parent where id = 1")  # a superuser's, which is not the application's


def look(here: Scene) -> Statements:
    return statements(server(here), OWN)


def test_bug_78_the_difference_is_what_the_application_ran_in_this_database_and_nothing_else(here: Scene) -> None:
    run(here, 3)
    before = Snapshot.of(look(here))
    run(here, 5)
    (cost,) = between(before, look(here)).costs
    assert (cost.calls, cost.statement.role) == (5, "orchestrator_app")
    assert cost.statement.query == "select tag from parent where id = $1"
    assert cost.earlier_mean_ms


def test_a_reset_between_two_looks_is_noticed(here: Scene) -> None:
    run(here, 3)
    before = Snapshot.of(look(here))
    here.sql("select pg_stat_statements_reset()")
    run(here, 2)
    interval = between(before, look(here))
    assert (interval.compared, [cost.calls for cost in interval.costs]) == (False, [2])


@pytest.mark.parametrize(("version", "tells"), [("1.9", False), ("1.10", False), ("1.11", True)])
def test_bug_77_each_version_of_the_extension_gets_its_own_statement(here: Scene, version: str, tells: bool) -> None:
    try:
        here.sql("drop extension pg_stat_statements", f"create extension pg_stat_statements version '{version}'")
        run(here, 1)
        (found,) = look(here).found
    finally:
        here.sql("drop extension pg_stat_statements", "create extension pg_stat_statements")
    assert (found.counted_since is not None) is tells


def test_without_the_extension_it_says_what_to_run(here: Scene) -> None:
    here.sql("drop extension pg_stat_statements")
    try:
        with pytest.raises(ConfigurationError, match=r"deploy/postgres|CREATE EXTENSION"):
            look(here)
    finally:
        here.sql("create extension pg_stat_statements")


def test_indexes_say_what_they_hold_and_foreign_keys_which_lack_one(here: Scene) -> None:
    seen = indexes(server(here), [])
    found = {index.name: index for index in seen.found}
    assert (found["parent_pkey"].is_primary, found["parent_pkey"].constrained, found["parent_pkey"].columns) == (
        True,
        True,
        (1,),
    )
    assert found["parent_pkey"].replica_identity
    assert found["child_other"].serves_foreign_key
    assert not found["child_tag"].serves_foreign_key
    assert [(key.table_name, key.columns, key.refers_to) for key in seen.foreign_keys] == [
        ("child", ("parent_id",), "parent")
    ]
    assert seen.counters.database == here.database


def test_a_replica_that_is_none_is_refused_before_its_counters_are_added(here: Scene) -> None:
    with pytest.raises(ConfigurationError, match="is no replica of the primary"):
        indexes(server(here), [server(here)])
