"""What is said of the need and of what came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.checks.maintenance import judge_backup, judge_done, judge_need
from include.findings import Finding, Severity
from include.maintenance.leftovers import Swept
from include.maintenance.operation import Ended, Outcome, Result
from include.plans.maintenance import Bloat, Holder, Index, Observed, Table, decide
from include.settings import MaintenanceLimits

NOW = datetime(2026, 11, 29, 2, 40, tzinfo=UTC)
LIMITS = MaintenanceLimits()
GB = 1 << 30
TABLE = Table(oid=1, schema="public", name="events", bytes=2 * GB, rows=9, live=9, dead=0, changed=0, analyzed_at=NOW)
INDEX = Index(
    oid=2,
    schema="public",
    name="events_pkey",
    table_name="events",
    table_oid=1,
    bytes=GB,
    method="btree",
    valid=True,
    definition="",
)


def bloat(percent: float) -> Bloat:
    return Bloat(wasted_bytes=round(GB * percent / 100), percent=percent, method="pgstatindex")


def need(*found: Table | Index, **seen: Any) -> dict[str, Finding]:
    tables = [each for each in found if isinstance(each, Table)]
    indexes = [each for each in found if isinstance(each, Index)]
    observed = Observed(at=NOW, tables=tables, indexes=indexes, free_bytes=1 << 50, **seen)
    return {
        each.check: each for each in judge_need(observed, decide(observed, LIMITS), LIMITS, "database/orchestrator")
    }


def test_d_05_the_most_wasteful_come_first_and_a_bloated_table_is_yellow() -> None:
    found = need(replace(TABLE, bloat=bloat(40.1)), replace(INDEX, bloat=bloat(60)))
    assert found["bloat"].evidence["worst"][0].startswith("public.events_pkey: 60.0 % of ")
    assert found["table_bloat"].severity is Severity.WARNING
    assert "never VACUUM FULL" in found["table_bloat"].next_step
    assert "table_bloat" not in need(replace(TABLE, bloat=bloat(40)), INDEX)


def test_what_is_large_and_could_not_be_measured_is_not_called_well() -> None:
    found = need(TABLE, replace(INDEX, bloat=bloat(1)))
    assert (found["not_measured"].severity, found["not_measured"].evidence["names"]) == (
        Severity.UNKNOWN,
        ["public.events"],
    )
    small = replace(TABLE, bytes=GB - 1), replace(INDEX, bytes=1000), replace(INDEX, method="gin")
    assert "not_measured" not in need(*small)


@pytest.mark.parametrize(("age", "severity"), [(10**9, Severity.OK), (10**9 + 1, Severity.CRITICAL)])
def test_transaction_age_pages_in_time(age: int, severity: Severity) -> None:
    assert need(xid_age=age)["transaction_age"].severity is severity
    assert need(multixact_age=age)["transaction_age"].severity is severity


def test_who_holds_the_oldest_snapshot_is_named() -> None:
    holder = Holder(kind="replication slot", who="old (not in use)", age_xids=5_000_000, age_s=None)
    said = "the oldest snapshot is held by replication slot old (not in use): 5000000 transactions back"
    assert need(holders=[holder])["oldest_snapshot"].summary == said
    assert need()["oldest_snapshot"].summary == "nobody holds cleaning back"


def test_nothing_needed_says_so_for_each_line_of_the_runbook() -> None:
    found = need()
    checks = ("vacuum_needed", "reindex_needed", "statistics_needed")
    assert [(found[check].severity, found[check].summary) for check in checks] == [
        (Severity.OK, "nothing needs it")
    ] * 3


def done(*outcomes: Outcome, swept: Swept | None = None, **seen: Any) -> dict[str, Finding]:
    after = Observed(at=NOW, **{"tables": (), "indexes": ()} | seen)
    return {
        each.check: each
        for each in judge_done(Result(outcomes=outcomes, swept=swept or Swept()), after, LIMITS, "database/x")
    }


def outcome(verb: str, ended: Ended, **told: Any) -> Outcome:
    return Outcome(key=f"{verb} public.events", verb=verb, name="public.events", ended=ended, **told)


def test_the_gain_is_that_of_what_was_done() -> None:
    found = done(
        outcome("reindex", Ended.DONE, before={"bytes": 900}, after={"bytes": 300}),
        outcome("reindex", Ended.POSTPONED, why="others held it"),
        outcome("vacuum", Ended.DONE, before={"dead": 10}, after={"dead": 5}),
    )
    assert found["reindex_done"].summary == "1 of 2 done, 0 dead rows and 600 bytes less"
    assert found["vacuum_done"].summary == "1 of 1 done, 5 dead rows and 0 bytes less"
    assert found["statistics_done"].summary == "nothing to do"
    assert (found["not_done"].item, found["not_done"].summary) == ("D-04", "reindex postponed: others held it")
    assert "held_back" not in found


def test_more_than_half_of_the_dead_rows_that_stay_are_somebodys() -> None:
    vacuumed = outcome("vacuum", Ended.DONE, before={"dead": 10}, after={"dead": 6})
    assert "somebody who is gone again" in done(vacuumed)["held_back"].summary


@pytest.mark.parametrize(
    ("ended", "age", "warned"),
    [(Ended.DONE, 150_000_000, False), (Ended.DONE, 150_000_001, True), (Ended.POSTPONED, 150_000_001, False)],
)
def test_a_vacuum_after_which_the_table_is_as_old_as_before_did_not_help(ended: Ended, age: int, warned: bool) -> None:
    vacuumed = outcome("vacuum", ended, before={"dead": 0, "frozen_age": 170_000_000}, after={"frozen_age": age})
    assert ("not_frozen" in done(vacuumed)) is warned


def test_who_kept_a_table_from_being_frozen_is_named_if_that_is_as_old() -> None:
    vacuumed = outcome("vacuum", Ended.DONE, after={"frozen_age": 170_000_000})
    slot = Holder(kind="replication slot", who="old (not in use)", age_xids=170_000_000, age_s=None)
    assert (
        "held back by replication slot old (not in use): 17000" in done(vacuumed, holders=[slot])["not_frozen"].summary
    )
    young = replace(slot, age_xids=150_000_000)
    assert "vacuum_freeze_table_age is above" in done(vacuumed, holders=[young])["not_frozen"].summary


def test_an_index_that_is_invalid_afterwards_is_yellow_and_named() -> None:
    found = done(swept=Swept(dropped=("public.a_ccnew",)), indexes=[replace(INDEX, valid=False)])["invalid_indexes"]
    assert found.severity is Severity.WARNING
    assert found.summary == "1 leftovers swept, 1 invalid indexes left: public.events_pkey"


def test_d_01_a_backup_counts_from_its_night_on() -> None:
    assert judge_backup("k", NOW, NOW, "database/x").severity is Severity.OK
    late = judge_backup("k", NOW - timedelta(seconds=1), NOW, "database/x")
    assert (late.severity, late.summary) == (
        Severity.WARNING,
        "the newest good backup is k of 2026-11-29 02:39 UTC, one since 2026-11-29 02:40 UTC is wanted",
    )
