from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from include.backups import keys
from include.backups.again import Outcome
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.manifest import Previous
from include.backups.prove import Proof
from include.backups.standing import Standing
from include.checks import week
from include.checks.week import State
from include.errors import TransientError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.settings import BackupLimits
from tests.include.backups.samples import OP_ID, facts, manifest

LIMITS = BackupLimits()
NOW = datetime(2026, 11, 30, 10, 30, tzinfo=UTC)
"""A Monday."""
NIGHT = datetime(2026, 11, 30, 2, 0, 13, tzinfo=UTC)
DARK = blind(TransientError("the store did not answer"))


def key(ago: int, attempt: int = 1) -> str:
    return keys.fresh("orchestrator", NIGHT - timedelta(days=ago), OP_ID, attempt)


def standing(ago: int, verdict: Verdict = Verdict.GOOD, attempt: int = 1, **changed: Any) -> Standing:
    """The backup of a night so many days ago, which is whole and locked; a later one has another before it."""
    at = NIGHT - timedelta(days=ago)
    previous = Previous(key=key(ago + 1), sha256="b" * 64)
    known: dict[str, Any] = {
        "key": key(ago, attempt),
        "version_id": "v",
        "stored_at": at + timedelta(minutes=5),
        "sha256": "c" * 64,
        "manifest": manifest(
            facts=facts(key=key(ago, attempt), taken_at=at, previous=changed.pop("previous", previous))
        ),
        "mark": None
        if verdict is Verdict.UNPROVED
        else Mark(verdict=verdict, at=at, manifest="c" * 64, reason="a row"),
    }
    seen: dict[str, Any] = {name: changed.pop(name) for name in ("wrong", "unseen") if name in changed}
    seen |= {"locked_until": changed.pop("locked_until", at + timedelta(days=LIMITS.lock_days))}
    return Standing(backup=Backup(**known | changed), **seen)


WEEK = [standing(ago) for ago in range(8, -1, -1)]


def with_night(ago: int, *instead: Standing) -> list[Standing]:
    rest = [each for each in WEEK if each.backup.key != key(ago)]
    return sorted([*rest, *instead], key=lambda each: each.backup.key)


def states(found: list[Standing], now: datetime = NOW, **limits: Any) -> list[str]:
    return [cell.state.value for cell in week.cells_of(week.DATABASE, found, BackupLimits(**limits), now)]


def judged(found: list[Standing], now: datetime = NOW, **limits: Any) -> dict[str, Finding]:
    wanted = BackupLimits(**limits)
    cells = week.cells_of(week.DATABASE, found, wanted, now)
    findings = [
        *week.judge_column(week.Column(week.DATABASE, wanted.database), found, cells, wanted, now),
        *week.judge_cells(cells),
    ]
    assert {each.item for each in findings} == {"W-11"}
    assert all(bool(each.next_step) is (each.severity > Severity.INFO) for each in findings if not each.in_table)
    return {each.check if each.check != "cell" else each.subject: each for each in findings}


def told(finding: Finding) -> tuple[Severity, str]:
    return finding.severity, finding.summary


def test_a_whole_week_is_seven_good_days() -> None:
    assert states(WEEK) == ["GOOD"] * 7
    found = judged(WEEK)
    assert told(found["gaps"]) == (Severity.OK, "a good backup of each of 7 days")
    assert told(found["newest_good"]) == (Severity.OK, "the newest good backup is 8 h old (limit 26 h)")
    assert told(found["standing"]) == (Severity.OK, "9 good backups in the bucket, every object there in its size")
    assert max(each.severity for each in found.values()) is Severity.OK


@pytest.mark.parametrize(
    ("now", "first", "last"),
    [
        (NOW, "2026-11-24", "2026-11-30"),
        (datetime(2026, 11, 30, 3, 30, tzinfo=UTC), "2026-11-24", "2026-11-30"),
        (datetime(2026, 11, 30, 3, 29, 59, tzinfo=UTC), "2026-11-23", "2026-11-29"),
        (datetime(2026, 11, 30, 10, 30, tzinfo=timezone(timedelta(hours=9))), "2026-11-23", "2026-11-29"),
        (datetime(2026, 11, 30, 10, 30, tzinfo=timezone(timedelta(hours=-8))), "2026-11-24", "2026-11-30"),
        (datetime(2027, 1, 1, 10, 30, tzinfo=UTC), "2026-12-26", "2027-01-01"),
    ],
)
def test_the_week_is_of_utc_and_ends_with_the_day_whose_backup_must_be_good(
    now: datetime, first: str, last: str
) -> None:
    found = week.days(now, LIMITS)
    assert (len(found), f"{found[0]}", f"{found[-1]}") == (7, first, last)


def torn(ago: int) -> Standing:
    return standing(ago, manifest=None, problem="the manifest is torn", stored_at=NOW)


@pytest.mark.parametrize(
    ("instead", "state", "why"),
    [
        ([], State.MISSING, "no backup of that day is in the bucket"),
        ([standing(2, Verdict.BAD)], State.BAD, "a row"),
        ([torn(2)], State.BAD, "the manifest is torn"),
        ([standing(2, Verdict.UNPROVED)], State.UNPROVED, "it was taken, and nobody has restored and compared it"),
        ([standing(2, sha256="d" * 64)], State.UNPROVED, "it was taken, and nobody has restored and compared it"),
        (
            [standing(2, wrong="dump.age has 1 bytes instead of 100")],
            State.BAD,
            "it was good, and dump.age has 1 bytes instead of 100",
        ),
        ([standing(2, locked_until=None)], State.BAD, "it is not locked, as a good one is for 30 days"),
        ([standing(2, locked_until=NOW)], State.BAD, "it is not locked, as a good one is for 30 days"),
        ([standing(2, Verdict.BAD), standing(2, Verdict.UNPROVED, 2)], State.UNPROVED, "it was taken, and nobody"),
    ],
)
def test_a_day_without_a_good_backup_is_a_gap_and_pages(instead: list[Standing], state: State, why: str) -> None:
    found = judged(with_night(2, *instead))
    assert told(found["gaps"]) == (Severity.CRITICAL, f"no good backup of 2026-11-28 ({state.value})")
    cell = found["saturday/database"]
    assert cell.severity is Severity.WARNING
    assert cell.summary.startswith(f"2026-11-28 {state.value}: {why}")
    assert (cell.evidence["state"], cell.evidence["n"], cell.in_table) == (state.value, len(instead), False)
    assert [each.subject for each in found.values() if each.check == "cell" and each.severity > Severity.OK] == [
        "saturday/database"
    ]


def test_all_gaps_are_one_page() -> None:
    found = judged([standing(0), standing(3), standing(6, Verdict.BAD)])
    assert told(found["gaps"])[1] == (
        "no good backup of 2026-11-24 (BAD), 2026-11-25 (MISSING), 2026-11-26 (MISSING), 2026-11-28 (MISSING),"
        " 2026-11-29 (MISSING)"
    )
    critical = {(each.item, each.subject) for each in found.values() if each.severity is Severity.CRITICAL}
    assert critical == {("W-11", "database/orchestrator")}


@pytest.mark.parametrize("other", [standing(2, Verdict.BAD), torn(2), standing(2, wrong="it is gone")])
def test_one_good_backup_of_a_day_is_enough(other: Standing) -> None:
    found = judged(with_night(2, other, standing(2, attempt=2)))
    assert found["gaps"].severity is Severity.OK
    assert found["saturday/database"].evidence["n"] == 2
    assert found["saturday/database"].evidence["key"] == key(2, 2)


def test_a_lock_that_nobody_could_read_is_unknown_and_no_gap() -> None:
    found = judged(with_night(2, standing(2, locked_until=None, unseen=DARK)))
    assert told(found["gaps"]) == (Severity.UNKNOWN, "a good backup of each of 6 days; 1 could not be seen")
    cell = found["saturday/database"]
    assert (cell.severity, cell.blind, cell.in_table) == (Severity.UNKNOWN, DARK, False)


@pytest.mark.parametrize(("days", "good"), [(1, True), (2, True), (3, False), (30, False)])
def test_a_lock_may_be_over_when_its_days_are(days: int, good: bool) -> None:
    found = [standing(3), standing(2, locked_until=None), standing(1), standing(0)]
    assert (states(found, lock_days=days)[4] == "GOOD") is good


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (timedelta(), Severity.OK),
        (timedelta(hours=26), Severity.OK),
        (timedelta(hours=26, seconds=1), Severity.CRITICAL),
        (timedelta(seconds=-60), Severity.OK),
        (timedelta(seconds=-61), Severity.UNKNOWN),
    ],
)
def test_the_newest_good_one_may_be_26_hours_old_and_not_of_tomorrow(age: timedelta, severity: Severity) -> None:
    finding = judged(WEEK, now=NIGHT + age)["newest_good"]
    assert finding.severity is severity
    assert (finding.evidence["value"], finding.evidence["threshold"]) == (age.total_seconds(), 93_600)


def test_a_database_whose_clock_is_ahead_makes_no_backup_young() -> None:
    ahead = standing(-1, stored_at=NIGHT - timedelta(days=3))
    assert judged([standing(4), ahead])["newest_good"].severity is Severity.CRITICAL


@pytest.mark.parametrize("newest", [standing(0, Verdict.BAD), standing(0, Verdict.UNPROVED), standing(0, wrong="gone")])
def test_only_a_good_one_that_is_there_is_young(newest: Standing) -> None:
    finding = judged([standing(2), standing(1), newest])["newest_good"]
    assert told(finding) == (Severity.CRITICAL, "the newest good backup is 32 h old (limit 26 h)")
    assert finding.evidence["key"] == key(1)


def test_an_empty_bucket_is_critical_and_so_is_one_without_a_good_backup() -> None:
    nothing = judged([])
    assert told(nothing["newest_good"]) == (Severity.CRITICAL, "there is no backup at all")
    assert nothing["gaps"].severity is Severity.CRITICAL
    assert told(judged([standing(0, Verdict.BAD)])["newest_good"])[1] == "none of 1 backups is good"


def test_days_before_the_first_backup_of_all_are_no_gap() -> None:
    found = [standing(1, previous=None), standing(0)]
    assert states(found) == ["MISSING"] * 5 + ["GOOD"] * 2
    findings = judged(found)
    assert told(findings["gaps"]) == (Severity.OK, "a good backup of each of 2 days")
    assert told(findings["tuesday/database"]) == (
        Severity.INFO,
        "2026-11-24 MISSING: before the first backup of all",
    )


def test_what_was_removed_is_a_gap_though_the_bucket_begins_later() -> None:
    """The oldest manifest that is left names one before it: somebody took that away."""
    assert told(judged([standing(1), standing(0)])["gaps"])[0] is Severity.CRITICAL
    assert told(judged([torn(1), standing(0)])["gaps"])[0] is Severity.CRITICAL


def test_an_older_good_one_that_lost_an_object_is_a_warning_that_names_it() -> None:
    finding = judged([standing(20, wrong="globals.age is not there in the version that was written"), *WEEK])[
        "standing"
    ]
    assert finding.severity is Severity.WARNING
    assert finding.summary.startswith(f"1 of 10 good backups are not whole any more: {key(20)}: globals.age is not")


def test_what_a_cell_tells_is_not_told_once_more() -> None:
    finding = judged(with_night(2, standing(2, wrong="dump.age is not there in the version that was written")))[
        "standing"
    ]
    assert told(finding) == (Severity.OK, "8 good backups in the bucket, every object there in its size")


def test_a_cell_is_evidence_with_its_key_its_age_and_its_day() -> None:
    cell = judged(WEEK)["monday/database"]
    assert told(cell) == (Severity.OK, "2026-11-30 GOOD: as it was written, and locked")
    assert cell.in_table
    assert cell.evidence == {
        "state": "GOOD",
        "key": key(0),
        "value": round((NOW - NIGHT).total_seconds()),
        "unit": "s",
        "n": 1,
        "window_start": "2026-11-30T00:00:00+00:00",
        "window_end": "2026-12-01T00:00:00+00:00",
        "locked_until": "2026-12-30T02:00:13+00:00",
    }


def test_two_weeks_name_their_cells_alike() -> None:
    later = week.cells_of(week.DATABASE, WEEK, LIMITS, NOW + timedelta(days=7))
    names = [{finding.subject for finding in week.judge_cells(cells)} for cells in (later, week_of(WEEK))]
    assert names[0] == names[1]
    assert len(names[0]) == 7


def week_of(found: list[Standing]) -> list[week.Cell]:
    return week.cells_of(week.DATABASE, found, LIMITS, NOW)


def test_a_bucket_that_cannot_be_read_is_a_week_of_unknown_told_once() -> None:
    cells = week.unseen_cells(week.DATABASE, DARK.reason, LIMITS, NOW)
    findings = list(week.judge_cells(cells))
    assert {(each.severity, each.in_table, each.blind) for each in findings} == {(Severity.UNKNOWN, True, None)}
    assert len(findings) == 7


def test_a_place_without_backups_of_its_configuration_is_neither_green_nor_red() -> None:
    cells = week.unseen_cells(week.CONFIGURATION, week.NO_CONFIGURATION, LIMITS, NOW, excused=True)
    assert {cell.state for cell in cells} == {State.UNKNOWN}
    rows = list(week.judge_cells(cells))
    assert {(each.severity, each.in_table) for each in rows} == {(Severity.INFO, True)}
    assert all("UNKNOWN: nothing backs the configuration up here" in each.summary for each in rows)
    column = week.nothing_expected()
    assert told(column) == (Severity.WARNING, "UNKNOWN for each of 7 days: nothing backs the configuration up here")
    whole = Report(source="week", checked=14, findings=(*rows, column))
    assert whole.severity is Severity.WARNING  # neither the green of a healthy run nor the red of a broken one
    assert not whole.blind


def test_the_configuration_is_judged_by_the_same_rule_as_the_database() -> None:
    found = with_night(2, standing(2, Verdict.BAD))
    cells = week.cells_of(week.CONFIGURATION, found, LIMITS, NOW)
    column = week.Column(week.CONFIGURATION, "shop")
    findings = {each.check: each for each in week.judge_column(column, found, cells, LIMITS, NOW)}
    assert {each.subject for each in findings.values()} == {"configuration/shop"}
    assert told(findings["gaps"]) == (Severity.CRITICAL, "no good backup of 2026-11-28 (BAD)")
    assert [each.subject for each in week.judge_cells(cells) if each.severity > Severity.OK] == [
        "saturday/configuration"
    ]
    (newest,) = [each for each in week.judge_column(column, [], cells, LIMITS, NOW) if each.check == "newest_good"]
    assert newest.next_step == "trigger daily_configuration_backup now"


def test_a_configuration_that_is_expected_and_cannot_be_read_is_unknown() -> None:
    rows = list(week.judge_cells(week.unseen_cells(week.CONFIGURATION, DARK.reason, LIMITS, NOW)))
    assert {each.severity for each in rows} == {Severity.UNKNOWN}


def test_the_table_has_a_line_a_day_in_equal_columns() -> None:
    found = [
        standing(5, previous=None),
        standing(4, Verdict.BAD),
        standing(3, Verdict.UNPROVED),
        standing(1),
        standing(0),
    ]
    others = week.unseen_cells(week.CONFIGURATION, week.NO_CONFIGURATION, LIMITS, NOW)
    assert week.table(week_of(found), others) == (
        "UTC day         database          configuration",
        "Tue 2026-11-24  -                 UNKNOWN",
        "Wed 2026-11-25  GOOD         5 d  UNKNOWN",
        "Thu 2026-11-26  BAD          4 d  UNKNOWN",
        "Fri 2026-11-27  UNPROVED     3 d  UNKNOWN",
        "Sat 2026-11-28  MISSING           UNKNOWN",
        "Sun 2026-11-29  GOOD        32 h  UNKNOWN",
        "Mon 2026-11-30  GOOD         8 h  UNKNOWN",
    )


# --- one older backup restored


def proof(ago: int = 3, **changed: Any) -> Proof:
    known: dict[str, Any] = {"fetch_s": 1.0, "restore_s": 20.5, "rto_s": 30.25, "rpo_s": 9.0, "indexes": 2}
    rest: dict[str, Any] = {
        "schema_bytes": 1,
        "in_flux": (),
        "locked_until": NOW,
        "restored_into": "verify_1f0c9a2e_ab",
    }
    return Proof(**{"backup": standing(ago).backup} | known | rest | changed)


def restored(**known: Any) -> dict[str, Finding]:
    findings = list(week.judge_restore(Outcome(**{"candidates": 6} | known), LIMITS, NOW))
    assert {(each.item, each.subject) for each in findings} == {("W-12", "database/orchestrator")}
    return {each.check: each for each in findings}


def test_an_older_one_that_is_equal_says_how_long_it_took_and_how_much_it_was() -> None:
    found = restored(proof=proof())
    assert found["restored"].severity is Severity.OK
    assert found["restored"].summary == (
        "drawn from 6 older good backups, that of 2026-11-27 02:00 UTC, 3 d old: 2 tables, 100 rows, 300 B stored:"
        " fetched in 1.0 s, restored in 20.5 s, equal after 30.2 s"
    )
    evidence = found["restored"].evidence
    assert (evidence["value"], evidence["rows"], evidence["equal"], evidence["key"]) == (20.5, 100, True, key(3))
    assert evidence["scratch_database"] == "verify_1f0c9a2e_ab"
    assert told(found["rto"]) == (Severity.OK, "a recovery from it takes 30 s (target 3600 s; 0 s when it was new)")
    assert found["rto"].evidence["value"] == 30.25


def test_older_ones_that_the_key_does_not_open_are_counted() -> None:
    said = restored(proof=proof(), sealed_otherwise=2)["restored"].summary
    assert said.startswith(
        "drawn from 6 older good backups (2 more are sealed to other keys), that of 2026-11-27 02:00 UTC"
    )


@pytest.mark.parametrize(("rto_s", "severity"), [(3600.0, Severity.OK), (3600.1, Severity.WARNING)])
def test_a_recovery_beyond_the_target_is_a_warning(rto_s: float, severity: Severity) -> None:
    assert restored(proof=proof(rto_s=rto_s))["rto"].severity is severity


def test_one_that_differs_pages_though_the_next_one_held() -> None:
    found = restored(proof=proof(), bad={key(5): f"{key(5)} is BAD: a row is missing", key(4): "from the mark"})
    assert found["restored"].severity is Severity.OK
    assert told(found["bad_1"]) == (Severity.CRITICAL, f"{key(5)} is BAD: a row is missing")
    assert told(found["bad_2"]) == (Severity.CRITICAL, f"{key(4)} is BAD: from the mark")


def test_where_all_that_were_tried_differ_the_scratch_server_is_in_doubt() -> None:
    found = restored(bad={key(5): "x", key(4): "y", key(3): "z"})
    assert told(found["restored"]) == (
        Severity.CRITICAL,
        "none of the older backups that were restored (3) is equal: look at the scratch server first",
    )


def test_where_nobody_could_look_it_is_unknown_and_what_differed_before_is_told_too() -> None:
    found = restored(unseen=DARK, bad={key(5): "x"})
    assert (found["restored"].severity, found["restored"].blind) == (Severity.UNKNOWN, DARK)
    assert found["bad_1"].severity is Severity.CRITICAL


def test_without_an_older_one_the_reason_is_said_neither_green_nor_red() -> None:
    finding = restored(candidates=0)["restored"]
    assert finding.severity is Severity.WARNING
    assert finding.summary.startswith("no older good backup is there")
