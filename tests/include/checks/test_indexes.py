"""Which indexes are advised to be dropped or made, and which never are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks.indexes import judge_indexes
from include.findings import Finding, Severity
from include.probes.indexes import ForeignKey, IndexCounters, Indexes, IndexUse
from include.settings import OptimisationLimits

NOW = datetime(2026, 11, 30, 11, 30, tzinfo=UTC)
LIMITS = OptimisationLimits()
ADVICE = ("unused", "doubled", "foreign_key_without_index")


def counters(days: float = 60, **changed: Any) -> IndexCounters:
    known: dict[str, Any] = {"database": "orchestrator", "system_identifier": "7", "in_recovery": False, "replicas": 0}
    return IndexCounters(**{"at": NOW, "counted_since": NOW - timedelta(days=days), **known} | changed)


def index(name: str = "events_kind_idx", **changed: Any) -> IndexUse:
    flags = ("is_unique", "is_primary", "replica_identity", "clustered", "of_partitions", "constrained", "includes")
    known: dict[str, Any] = dict.fromkeys((*flags, "serves_foreign_key"), False)
    known |= {"oid": 10, "schema": "public", "table_name": "events", "bytes": 2 << 20, "scans": 0, "last_used_at": None}
    known |= {"method": "btree", "valid": True, "columns": (3,), "operators": "1/0/0", "condition": "/"}
    return IndexUse(name=name, definition=f"CREATE INDEX {name} ON events (kind)", **known | changed)


def judged(*found: IndexUse, **seen: Any) -> list[Finding]:
    known: dict[str, Any] = {"counters": counters(), "looked_at": (), "foreign_keys": ()}
    return list(judge_indexes(Indexes(found=found, **known | seen), LIMITS, "database/orchestrator"))


def advised(*found: IndexUse, **seen: Any) -> dict[str, str]:
    return {
        each.subject.removeprefix("index/public."): each.check
        for each in judged(*found, **seen)
        if each.check in ADVICE
    }


def test_w_10_an_index_that_nothing_used_is_advised_with_the_statement_and_its_way_back() -> None:
    (found,) = [each for each in judged(index()) if each.check == "unused"]
    assert found.severity is Severity.WARNING
    assert found.evidence["ddl"] == 'DROP INDEX CONCURRENTLY "public"."events_kind_idx";'
    assert found.evidence["undo"] == "CREATE INDEX events_kind_idx ON events (kind);"


@pytest.mark.parametrize(
    "needed",
    [
        {"is_unique": True},
        {"is_primary": True},
        {"constrained": True},
        {"replica_identity": True},
        {"serves_foreign_key": True},
        {"clustered": True},
        {"of_partitions": True},
        {"valid": False},
        {"scans": 1},
        {"bytes": (1 << 20) - 1},
        {"scans": 5, "last_used_at": NOW - timedelta(days=29)},
    ],
)
def test_bug_79_what_enforces_or_serves_something_is_never_called_unused(needed: dict[str, Any]) -> None:
    assert advised(index(**needed)) == {}


def test_one_that_was_used_long_ago_is_unused() -> None:
    assert advised(index(scans=5, last_used_at=NOW - timedelta(days=31))) == {"events_kind_idx": "unused"}


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"counters": counters(29.9)}, "counted for 29.9 days only"),
        ({"counters": counters(replicas=1)}, "1 replicas stream and 0 were looked at"),
        ({"counters": counters(replicas=1), "looked_at": (counters(3),)}, "counted for 3.0 days only"),
    ],
)
def test_bug_79_as_long_as_nobody_can_know_nothing_is_called_unused(seen: dict[str, Any], why: str) -> None:
    assert advised(index(), **seen) == {}
    (known,) = [each for each in judged(index(), **seen) if each.check == "unused_known"]
    assert known.severity is Severity.INFO
    assert why in known.summary


def test_of_two_alike_the_older_stays_and_of_a_constraint_the_constraints() -> None:
    older, newer = index("a", oid=1, scans=9), index("b", oid=2, scans=9)
    assert advised(older, newer) == {"b": "doubled"}
    assert advised(older, replace(newer, is_unique=True)) == {"a": "doubled"}
    assert advised(replace(older, is_unique=True), replace(newer, is_unique=True)) == {}


def test_one_that_does_the_work_of_another_is_not_called_unused_itself() -> None:
    assert advised(index("a", oid=1), index("b", oid=2, scans=9)) == {"b": "doubled"}


@pytest.mark.parametrize(
    "other",
    [
        {"table_name": "users"},
        {"condition": "(kind = 'x')/"},
        {"method": "hash"},
        {"operators": "2/0/0"},
        {"valid": False},
        {"columns": (4,)},
    ],
)
def test_those_that_differ_do_not_double_each_other(other: dict[str, Any]) -> None:
    assert advised(index("a", oid=1, scans=9), index("b", oid=2, scans=9, **other)) == {}


def test_one_that_another_begins_with_is_doubled_unless_it_is_unique() -> None:
    wide = index("wide", oid=1, scans=9, columns=(3, 5), operators="1 2/0 0/0 0")
    assert advised(wide, index("a", oid=2, scans=9, serves_foreign_key=True)) == {"a": "doubled"}
    assert advised(wide, index("a", oid=2, scans=9, is_unique=True)) == {}
    assert advised(wide, index("a", oid=2, scans=9, operators="1/0/3")) == {}


def test_a_foreign_key_without_an_index_gets_the_statement_if_its_table_is_not_small() -> None:
    key = ForeignKey(
        schema="public",
        table_name="AuditExport",
        name="fk",
        refers_to="users",
        columns=("exportedBy",),
        rows=1000,
        bytes=1,
        partitioned=False,
    )
    (found,) = [each for each in judged(foreign_keys=(key,)) if each.check == "foreign_key_without_index"]
    assert found.evidence["ddl"] == 'CREATE INDEX CONCURRENTLY ON "public"."AuditExport" ("exportedBy");'
    assert advised(foreign_keys=(replace(key, rows=999),)) == {}
