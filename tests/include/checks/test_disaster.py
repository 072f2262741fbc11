"""The disaster-recovery test judged: what was restored, what was missing, what was damaged."""

from __future__ import annotations

from typing import Any

import pytest

from include.backups.again import Outcome as Drawn
from include.checks import disaster
from include.disaster.drill import Outcome
from include.disaster.pieces import Missing, Piece
from include.errors import ConfigurationError, TransientError
from include.findings import Finding, Severity
from include.looking import blind
from include.settings import BackupLimits
from tests.include.backups.samples import KEY
from tests.include.reporting.test_disaster import outcome, proof

LIMITS = BackupLimits()
NEWER = KEY.replace("2026/11/25", "2026/11/26")


def newest(found: Outcome) -> dict[str, Finding]:
    return {finding.check: finding for finding in disaster.judge_newest(found, LIMITS)}


def older(**known: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in disaster.judge_older(Drawn(candidates=29, **known), LIMITS)}


def test_m_03_what_was_restored_is_evidence_with_the_seconds_of_each_step() -> None:
    found = newest(outcome())
    assert {name: each.severity for name, each in found.items()} == dict.fromkeys(
        ("pieces", "newest_intact", "restored_newest"), Severity.OK
    )
    evidence = found["restored_newest"].evidence
    assert evidence["steps"] == {
        "choose and look": 4.2,
        "fetch and open": 212.4,
        "restore": 801.0,
        "compare": pytest.approx(197.1),
    }
    assert (evidence["rto_s"], evidence["rpo_s"]) == (1214.7, 39_603.0)
    assert "6 of 6 roles were there before" in found["pieces"].summary
    assert {each.item for each in found.values()} == {"M-03"}


def test_each_missing_piece_is_a_manual_step_and_one_finding_tells_them_all() -> None:
    missing = (Missing(piece=Piece.KEY, said="no key"), Missing(piece=Piece.TARGET, said="no server"))
    (found,) = newest(Outcome(missing=missing)).values()
    assert found.check == disaster.lacking(missing, LIMITS).check == "pieces"
    assert found.severity is Severity.CRITICAL
    assert found.evidence["manual_steps"] == ["key: no key", "target server: no server"]
    assert found.summary == (
        "nothing could be restored, 2 of what it needs was missing: key: no key; target server: no server"
    )
    assert found.next_step.endswith("section Missing pieces")


def test_a_damaged_newest_one_fails_the_test_though_an_older_one_was_restored() -> None:
    found = newest(outcome(newest=NEWER, damaged={NEWER: f"{NEWER} is BAD"}))
    assert found["newest_intact"].severity is Severity.CRITICAL
    assert found["newest_intact"].summary == (
        f"the newest good backup cannot be used, and {KEY} had to do: {NEWER} is BAD"
    )
    assert found["restored_newest"].severity is Severity.OK  # so that one knows what can be had


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Outcome(), "the bucket shows no good backup"),
        (Outcome(good=2, newest=KEY, damaged={KEY: "k is BAD"}), "none of the 1 newest good backups can be used"),
    ],
)
def test_nothing_to_recover_from_is_critical(found: Outcome, words: str) -> None:
    judged = newest(found)
    assert set(judged) == {"pieces", "newest_intact"}
    assert judged["newest_intact"].severity is Severity.CRITICAL
    assert judged["newest_intact"].summary.startswith(words)


def test_an_older_one_is_restored_or_it_is_said_why_not() -> None:
    assert older(proof=proof())["restored_older"].severity is Severity.OK
    none = older()["restored_older"]
    assert (none.severity, none.summary) == (
        Severity.WARNING,
        "no older good backup is there: only the newest was restored",
    )
    assert disaster.not_tried(LIMITS).severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("error", "severity"), [(TransientError("later"), Severity.UNKNOWN), (ConfigurationError("no"), Severity.CRITICAL)]
)
def test_what_a_person_would_have_to_mend_fails_and_what_may_go_well_in_a_minute_was_not_seen(
    error: Exception, severity: Severity
) -> None:
    found = older(unseen=blind(error))["restored_older"]
    assert (found.severity, found.blind) == (severity, blind(error))


def test_damaged_older_ones_are_named_beside_the_one_that_was_restored() -> None:
    found = older(bad={NEWER: f"{NEWER} is BAD"}, proof=proof())
    assert found["older_intact"].severity is Severity.CRITICAL
    assert found["restored_older"].severity is Severity.OK
    assert set(older(bad={NEWER: "x"})) == {"older_intact"}
