"""What a database needs, by the numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.plans.maintenance import Bloat, Index, Left, Observed, Plan, Table, Verb, decide, is_leftover_name, rest_s
from include.settings import MaintenanceLimits

NOW = datetime(2026, 11, 29, 2, 40, tzinfo=UTC)
LIMITS = MaintenanceLimits()
MB = 1 << 20


def table(**changed: Any) -> Table:
    known: dict[str, Any] = {"oid": 1, "schema": "public", "name": "events", "bytes": 50 * MB, "rows": 10_000.0}
    counted: dict[str, Any] = {"live": 10_000, "dead": 0, "changed": 0, "analyzed_at": NOW - timedelta(days=1)}
    return Table(**known | counted | changed)


def index(**changed: Any) -> Index:
    known: dict[str, Any] = {
        "oid": 2,
        "schema": "public",
        "name": "events_pkey",
        "table_name": "events",
        "table_oid": 1,
    }
    rest: dict[str, Any] = {"bytes": 200 * MB, "method": "btree", "valid": True, "definition": "create unique index …"}
    return Index(**known | rest | changed)


def bloat(percent: float) -> Bloat:
    return Bloat(wasted_bytes=round(200 * MB * percent / 100), percent=percent, method="pgstatindex")


def plan(*found: Table | Index, **seen: Any) -> Plan:
    tables = [each for each in found if isinstance(each, Table)]
    indexes = [each for each in found if isinstance(each, Index)]
    known: dict[str, Any] = {"at": NOW, "tables": tables, "indexes": indexes, "free_bytes": 1 << 40}
    return decide(Observed(**known | seen), LIMITS)


@pytest.mark.parametrize(
    ("of", "verbs"),
    [
        ({}, ()),
        ({"dead": 1111}, ()),  # 1111 of 11111: 10 % exactly, at the limit
        ({"dead": 1112}, (Verb.VACUUM,)),
        ({"dead": 999, "live": 1}, ()),
        ({"frozen_age": 150_000_000}, ()),
        ({"frozen_age": 150_000_001}, (Verb.VACUUM,)),
        ({"changed": 1001}, (Verb.ANALYZE,)),
        ({"changed": 1000}, ()),
        ({"dead": 5000, "changed": 5000}, (Verb.VACUUM, Verb.ANALYZE)),
        ({"analyzed_at": None}, (Verb.ANALYZE,)),
        ({"analyzed_at": None, "live": 0, "rows": 0.0}, ()),
        ({"analyzed_at": NOW - timedelta(days=8)}, ()),
        ({"analyzed_at": NOW - timedelta(days=8), "changed": 1}, (Verb.ANALYZE,)),
        ({"analyzed_at": NOW - timedelta(days=8), "partitioned": True}, (Verb.ANALYZE,)),
        ({"dead": 5000, "partitioned": True}, ()),
    ],
)
def test_d_03_d_06_a_table_gets_what_its_counters_ask_for_and_nothing_else(
    of: dict[str, Any], verbs: tuple[Verb, ...]
) -> None:
    assert tuple(step.verb for step in plan(table(**of)).steps) == verbs


@pytest.mark.parametrize(
    ("of", "verb"),
    [
        ({}, None),
        ({"bloat": bloat(30)}, None),
        ({"bloat": bloat(30.1)}, Verb.REINDEX),
        ({"bloat": bloat(90), "bytes": 100 * MB - 1}, None),
        ({"bloat": bloat(90), "bytes": 100 * MB}, Verb.REINDEX),
        ({"valid": False, "bytes": 0}, Verb.REINDEX),
    ],
)
def test_bug_45_bug_46_an_index_is_rebuilt_for_its_measured_bloat_or_since_it_is_invalid(
    of: dict[str, Any], verb: Verb | None
) -> None:
    assert [step.verb for step in plan(index(**of)).steps] == ([verb] if verb else [])


def test_bug_48_vacuum_comes_first_then_statistics_then_the_indexes_and_none_of_them_twice() -> None:
    found = (
        table(name="a", changed=5000),
        index(bloat=bloat(50)),
        table(name="b", dead=5000, changed=5000),
        table(name="c", dead=5000),
        index(name="x_ccnew", valid=False, leftover_of="x"),
    )
    steps = plan(*found, ours=frozenset({"public.x"})).steps
    assert [(step.verb, step.name) for step in steps] == [
        (Verb.SWEEP, "x_ccnew"),
        (Verb.VACUUM, "b"),
        (Verb.VACUUM, "c"),
        (Verb.ANALYZE, "a"),
        (Verb.ANALYZE, "b"),
        (Verb.REINDEX, "events_pkey"),
    ]


@pytest.mark.parametrize(
    ("seen", "of", "why"),
    [
        ({"free_bytes": None}, {}, "nobody can see what is free"),
        ({"free_bytes": 400 * MB - 1}, {}, "are free on the disk"),
        ({"longest_transaction_s": 601}, {}, "a transaction is open for 601 s"),
        ({"replica_lag_s": 31.0}, {}, "a replica is 31 s behind"),
        ({"replica_lag_s": None}, {}, "does not say how far it is behind"),
        ({}, {"bytes": LIMITS.index_max_bytes + 1}, "more than a run rebuilds by itself"),
        ({}, {"exclusion": True}, "exclusion constraint"),
        ({}, {"reachable": False}, "may not use the schema"),
    ],
)
def test_bug_50_what_speaks_against_a_rebuild_is_said_with_the_statement_and_nothing_is_done(
    seen: dict[str, Any], of: dict[str, Any], why: str
) -> None:
    found = plan(index(bloat=bloat(50), **of), **{"free_bytes": 1 << 50} | seen)
    assert found.steps == []
    (left,) = found.left
    assert why in left.why
    assert left.advice.startswith("REINDEX INDEX ")


def test_at_the_limits_it_is_rebuilt() -> None:
    seen = {"free_bytes": 400 * MB, "longest_transaction_s": 600.0, "replica_lag_s": 30.0}
    assert len(plan(index(bloat=bloat(50)), **seen).steps) == 1


def test_bug_45_a_leftover_that_is_none_of_ours_is_a_persons() -> None:
    leftover = index(name="events_pkey_ccnew", valid=False, leftover_of="events_pkey")
    assert plan(leftover).left == [
        Left(
            verb=Verb.SWEEP,
            name="public.events_pkey_ccnew",
            why="looks like the leftover of a rebuild, which none of our runs began",
            advice='if nobody is rebuilding it: DROP INDEX CONCURRENTLY "public"."events_pkey_ccnew";',
        )
    ]
    assert plan(leftover, ours=frozenset({"public.events_pkey"})).steps[0].verb is Verb.SWEEP
    assert plan(replace(leftover, leftover_of=""), ours=frozenset({"public.events_pkey"})).steps == []


@pytest.mark.parametrize("name", ["a_ccnew", "a_ccold", "a_ccnew1", "a_ccold12"])
def test_the_names_of_leftovers(name: str) -> None:
    assert is_leftover_name(name)
    assert not is_leftover_name(name.replace("_cc", "_c"))


def test_nothing_to_do_says_so() -> None:
    assert str(plan(table(), index())) == "nothing to do: no table and no index needs anything"
    assert str(plan(table(dead=5000))) == "1 to vacuum"


@pytest.mark.parametrize(("percent", "rests_s"), [(100, 0), (50, 60), (10, 540)])
def test_a_minute_of_rebuilding_is_followed_by_its_rest(percent: float, rests_s: float) -> None:
    limits = MaintenanceLimits(busy_percent=percent)
    assert rest_s(Verb.REINDEX, 60, limits) == rest_s(Verb.ANALYZE, 60, limits) == pytest.approx(rests_s)
    assert rest_s(Verb.VACUUM, 60, limits) == 0
