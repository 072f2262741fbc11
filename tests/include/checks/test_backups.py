from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.backups import keys
from include.backups.catalogue import Backup, Catalogue, Mark, Verdict
from include.backups.manifest import Previous
from include.backups.prove import Proof
from include.checks import backups
from include.findings import Finding, Severity
from include.settings import BackupLimits
from tests.include.backups.samples import AT, OP_ID, STORED, facts, manifest

LIMITS = BackupLimits()
TARGET = timedelta(seconds=LIMITS.rpo_target_s)
NOW = AT + timedelta(days=10)


def key(day: int) -> str:
    return keys.fresh("orchestrator", AT + timedelta(days=day), OP_ID, 1)


def sha256(day: int) -> str:
    return f"{day:064x}"


def backup(day: int, verdict: Verdict = Verdict.GOOD, **changed: Any) -> Backup:
    """A backup of the night of a day; its manifest names that of the day before, as it was."""
    at = AT + timedelta(days=day)
    previous = Previous(key=key(day - 1), sha256=sha256(day - 1)) if day else None
    known: dict[str, Any] = {
        "key": key(day),
        "version_id": "v1",
        "stored_at": at,
        "sha256": sha256(day),
        "manifest": manifest(facts=facts(key=key(day), taken_at=at, previous=previous)),
        "mark": Mark(verdict=verdict, at=at, manifest=changed.get("sha256", sha256(day))),
    }
    return Backup(**known | changed)


def torn(day: int, **changed: Any) -> Backup:
    return backup(day, manifest=None, problem="it is torn", sha256="f" * 64, **changed)


def judged(*found: Backup, now: datetime = NOW, **limits: Any) -> dict[str, Finding]:
    findings = list(backups.judge_catalogue(Catalogue(backups=found, unfinished=()), BackupLimits(**limits), now))
    assert {(each.item, each.subject) for each in findings} == {("B-01", "database/orchestrator")}
    assert all(bool(each.next_step) is (each.severity > Severity.INFO) for each in findings)
    return {each.check: each for each in findings}


def told(finding: Finding) -> tuple[Severity, str]:
    return finding.severity, finding.summary


def test_before_the_first_backup_all_is_as_it_must_be() -> None:
    found = judged()
    assert told(found["newest_good"]) == (Severity.INFO, "no backup yet: this is the first")
    assert told(found["nights"]) == (Severity.OK, "no night yet")
    assert told(found["chain"]) == (Severity.OK, "0 manifests are as the next one saw them")
    assert found["chain"].evidence["last"] is None


@pytest.mark.parametrize(
    "found",
    [
        [backup(9, Verdict.BAD)],
        [backup(9, Verdict.UNPROVED)],
        [torn(9)],
        [backup(9, mark=None)],
        [backup(9, mark=Mark(verdict=Verdict.GOOD, at=AT, manifest="e" * 64))],
    ],
)
def test_backups_of_which_none_is_good_are_no_first_backup(found: list[Backup]) -> None:
    assert told(judged(*found)["newest_good"]) == (Severity.WARNING, "none of 1 backups is good")
    assert told(judged(backup(8, Verdict.BAD), *found)["newest_good"])[1] == "none of 2 backups is good"


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (timedelta(), Severity.OK),
        (TARGET - timedelta(seconds=1), Severity.OK),
        (TARGET, Severity.OK),
        (TARGET + timedelta(milliseconds=1), Severity.WARNING),
        (timedelta(days=400), Severity.WARNING),
    ],
)
def test_the_newest_good_one_is_too_old_just_behind_the_target(age: timedelta, severity: Severity) -> None:
    finding = judged(backup(0), now=AT + age)["newest_good"]
    assert finding.severity is severity
    assert finding.evidence["threshold"] == LIMITS.rpo_target_s
    assert finding.evidence["value"] == round(age.total_seconds())
    assert finding.evidence["unit"] == "s"


def test_the_age_and_the_target_are_said() -> None:
    found = judged(backup(0), now=AT + timedelta(hours=30))
    assert found["newest_good"].summary == "the newest good backup is 30 h old (target 25 h)"


def test_an_age_is_the_same_in_every_time_zone() -> None:
    tokyo = (AT + TARGET).astimezone(timezone(timedelta(hours=9)))
    finding = judged(backup(0), now=tokyo)["newest_good"]
    assert (finding.severity, finding.evidence["value"]) == (Severity.OK, LIMITS.rpo_target_s)


def test_only_a_good_one_is_young() -> None:
    found = judged(backup(0), backup(8, Verdict.BAD), backup(9, Verdict.UNPROVED), torn(9))
    assert found["newest_good"].severity is Severity.WARNING
    assert found["newest_good"].evidence["key"] == key(0)
    assert found["newest_good"].evidence["n"] == 4


def test_what_the_next_take_needs_to_know_of_the_newest_good_one_is_evidence() -> None:
    evidence = judged(backup(8), backup(9), backup(10, Verdict.BAD))["newest_good"].evidence
    known = {"key": key(9), "system_identifier": "7301", "dump_bytes": STORED.plain_bytes}
    assert known.items() <= evidence.items()


def test_a_good_backup_of_every_night_is_said() -> None:
    found = judged(*(backup(day) for day in range(10)))
    assert told(found["nights"]) == (Severity.OK, "a good backup of each of 7 days")


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({5: None}, ["2026-11-30"]),
        ({5: Verdict.BAD}, ["2026-11-30"]),
        ({5: Verdict.UNPROVED}, ["2026-11-30"]),
        ({3: None, 9: None}, ["2026-11-28", "2026-12-04"]),
        ({9: Verdict.BAD}, ["2026-12-04"]),
        ({2: None, 1: Verdict.BAD}, []),
        ({3: None}, ["2026-11-28"]),
    ],
)
def test_each_of_the_last_seven_nights_without_a_good_backup_is_named(
    changed: dict[int, Verdict | None], missed: list[str]
) -> None:
    verdicts = dict[int, Verdict | None](dict.fromkeys(range(10), Verdict.GOOD)) | changed
    finding = judged(*(backup(day, verdict) for day, verdict in verdicts.items() if verdict))["nights"]
    if missed:
        assert told(finding) == (Severity.WARNING, f"no good backup of {', '.join(missed)}")
        assert finding.evidence["missed"] == missed
    else:
        assert finding.severity is Severity.OK


def test_a_torn_manifest_is_no_night() -> None:
    found = judged(backup(7), torn(8), backup(9))
    assert found["nights"].summary == "no good backup of 2026-12-03"


def test_nights_before_the_first_backup_are_no_loss_and_that_of_today_is_to_come() -> None:
    assert told(judged(backup(8), backup(9))["nights"]) == (Severity.OK, "a good backup of each of 2 days")
    assert told(judged(backup(10))["nights"]) == (Severity.OK, "no night yet")
    assert told(judged(backup(9, Verdict.BAD))["nights"]) == (Severity.WARNING, "no good backup of 2026-12-04")


def test_two_of_one_night_make_up_for_each_other() -> None:
    second = backup(9, key=key(9).replace("-1/", "-2/"))
    assert judged(backup(8), backup(9, Verdict.BAD), second)["nights"].severity is Severity.OK


def test_a_night_is_one_of_utc() -> None:
    late = AT.replace(hour=23, minute=59) + timedelta(days=8)
    east = backup(8, manifest=manifest(facts=facts(taken_at=late.astimezone(timezone(timedelta(hours=9))))))
    assert judged(east, backup(9))["nights"].severity is Severity.OK


def test_a_chain_whose_links_are_as_the_next_one_saw_them_is_whole() -> None:
    found = judged(backup(7), backup(8, Verdict.BAD), backup(9))
    assert told(found["chain"]) == (Severity.OK, "3 manifests are as the next one saw them")
    assert found["chain"].evidence == {"n": 3, "last": {"key": key(9), "sha256": sha256(9)}}


def test_what_was_removed_after_its_time_does_not_break_the_chain() -> None:
    assert judged(backup(5), backup(6))["chain"].severity is Severity.OK


@pytest.mark.parametrize(
    "changed",
    [
        backup(8, sha256="e" * 64),
        backup(8, Verdict.BAD, sha256="e" * 64),
        backup(8, Verdict.UNPROVED, sha256="e" * 64),
        torn(8),
        backup(8, manifest=None, problem="it is none of ours", sha256=""),
    ],
)
def test_a_manifest_that_was_changed_after_the_next_one_saw_it_is_critical_and_named(changed: Backup) -> None:
    finding = judged(backup(7), changed, backup(9))["chain"]
    said = f"the manifest of {key(8)} is not the one that the next backup saw"
    assert told(finding) == (Severity.CRITICAL, said)
    assert finding.evidence["changed"] == [key(8)]


def test_all_that_were_changed_are_evidence() -> None:
    found = judged(backup(6, sha256="e" * 64), backup(7, sha256="e" * 64), backup(8), torn(9))
    assert found["chain"].evidence["changed"] == [key(6), key(7)]


def test_the_last_link_is_the_newest_that_can_be_read_good_or_not() -> None:
    found = judged(backup(7), backup(8, Verdict.BAD), torn(9))
    assert found["chain"].evidence["last"] == {"key": key(8), "sha256": sha256(8)}


def proof(**changed: Any) -> Proof:
    known: dict[str, Any] = {"fetch_s": 1.0, "restore_s": 2.0, "rto_s": 3.0, "rpo_s": 4.0, "indexes": 5, "in_flux": ()}
    rest: dict[str, Any] = {"backup": backup(0), "schema_bytes": 1, "locked_until": NOW}
    return Proof(**known | rest | changed)


@pytest.mark.parametrize(
    ("check", "said"), [("rto", "a recovery from it takes"), ("rpo", "a recovery from it loses the last")]
)
@pytest.mark.parametrize(
    ("value", "severity"), [(0.0, Severity.OK), (99.9, Severity.OK), (100.0, Severity.OK), (100.1, Severity.WARNING)]
)
def test_an_objective_is_met_at_exactly_its_target(check: str, said: str, value: float, severity: Severity) -> None:
    limits = BackupLimits(rto_target_s=100, rpo_target_s=100)
    findings = {
        each.check: each for each in backups.judge_objectives(proof(**{f"{check}_s": value}), "database/x", limits)
    }
    assert sorted(findings) == ["rpo", "rto"]
    finding = findings.pop(check)
    assert told(finding) == (severity, f"{said} {value:.0f} s (target 100 s)")
    assert (finding.item, finding.subject) == ("B-16+", "database/x")
    assert finding.evidence == {"value": value, "unit": "s", "threshold": 100}
    assert bool(finding.next_step) is (severity is Severity.WARNING)
    assert [each.severity for each in findings.values()] == [Severity.OK]


def test_each_objective_has_a_target_of_its_own() -> None:
    limits = BackupLimits(rto_target_s=10, rpo_target_s=1000)
    found = list(backups.judge_objectives(proof(rto_s=500.0, rpo_s=500.0), "database/x", limits))
    assert [(each.check, each.severity) for each in found] == [("rto", Severity.WARNING), ("rpo", Severity.OK)]
