from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Context

from include.backups import catalogue
from include.backups.catalogue import Backup, Catalogue, Mark, Verdict
from include.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.settings import BackupLimits
from sre.hooks import backups
from sre.operators.backup import ProveBackupOperator, SweepBackupsOperator, evidence_of, is_bad
from tests.include.backups.samples import AT, KEY, at_key


def finding(check: str, severity: Severity = Severity.OK, **evidence: Any) -> Finding:
    return Finding(item="B-04", check=check, subject="database/d", severity=severity, summary="s", evidence=evidence)


def failure(error: BaseException, check: str = "proved") -> Finding:
    why = blind(error)
    return Finding(
        item="B-16+",
        check=check,
        subject="database/d",
        severity=Severity.CRITICAL,
        summary=why.reason,
        blind=why,
    )


def handed_on(*findings: Finding) -> Mapping[str, Any]:
    """A report as the next step reads it from XCom."""
    written: Mapping[str, Any] = json.loads(json.dumps(Report(source="s", checked=1, findings=findings).to_json()))
    return written


def test_what_an_earlier_step_found_is_read_by_its_check() -> None:
    report = handed_on(finding("stored_under"), finding("uploaded", key="k", objects={"dump.age": {"bytes": 1}}))
    assert evidence_of(report, "uploaded") == {"key": "k", "objects": {"dump.age": {"bytes": 1}}}
    assert evidence_of(report, "stored_under") == {}


@pytest.mark.parametrize(
    "report",
    [None, {}, handed_on(), handed_on(finding("other", key="k")), handed_on(failure(TransientError("x"), "listed"))],
)
def test_a_step_that_left_nothing_or_did_not_get_that_far_found_nothing(report: Mapping[str, Any] | None) -> None:
    assert evidence_of(report, "uploaded") == {}


def test_of_two_findings_of_a_check_the_first_counts() -> None:
    assert evidence_of(handed_on(finding("c", n=1), finding("c", n=2)), "c") == {"n": 1}


def test_a_backup_that_was_compared_and_differs_is_bad() -> None:
    assert is_bad(handed_on(failure(VerificationError("k is BAD: it differs"))))
    assert is_bad(handed_on(finding("read_back"), failure(VerificationError("x")), finding("rto")))


@pytest.mark.parametrize(
    "error",
    [
        TransientError("the scratch server is down"),
        PermanentError("x"),
        ConfigurationError("no key"),
        RefusedError("the spool is full"),
        OutcomeUnknownError("x"),
        RunbookError("VerificationError"),
        ValueError("VerificationError"),
    ],
)
def test_a_backup_that_could_not_be_compared_says_nothing_about_itself(error: BaseException) -> None:
    assert not is_bad(handed_on(failure(error)))


@pytest.mark.parametrize(
    "report",
    [
        None,
        {},
        handed_on(),
        handed_on(finding("proved")),
        handed_on(finding("rto", Severity.WARNING), finding("x", Severity.CRITICAL)),
    ],
)
def test_without_a_proof_or_with_a_good_one_no_backup_is_bad(report: Mapping[str, Any] | None) -> None:
    assert not is_bad(report)


def test_an_older_backup_that_is_proved_anew_is_not_judged_by_a_younger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [catalogued(day, Verdict.GOOD) for day in (1, 2, 3)]
    found, asked = Catalogue(backups=[*good, catalogued(4)], unfinished=()), dict[str, Any]()
    prover = SimpleNamespace(store=None, prove=lambda key, **how: asked.update(how, key=key))
    monkeypatch.setattr(backups, "prover", lambda _: prover)
    monkeypatch.setattr(catalogue, "look", lambda *_: found)
    monkeypatch.setattr(ProveBackupOperator, "leased", lambda *_: nullcontext())
    monkeypatch.setattr(ProveBackupOperator, "_said", lambda *_: [finding("proved")])
    for key, before in ((good[1].key, good[0]), (found.backups[3].key, good[2])):
        taken = handed_on(finding("uploaded", key=key, manifest="c"))
        ProveBackupOperator(task_id="prove_backup", limits=BackupLimits(), taken=taken).look(Context())
        assert asked == {"key": key, "sha256": "c", "usual": before}


def catalogued(day: int, verdict: Verdict = Verdict.UNPROVED) -> Backup:
    key = KEY.replace("2026/11/25", f"2026/11/0{day}")
    mark = Mark(verdict=verdict, at=AT, manifest="c")
    return Backup(key=key, version_id="v", stored_at=AT, sha256="c", manifest=at_key(key), mark=mark)


def test_a_step_that_is_ended_from_outside_stops_and_one_that_is_over_does_not_mind() -> None:
    step = SweepBackupsOperator(task_id="sweep_backups", limits=BackupLimits())
    step.on_kill()
    step.at_work = True
    with pytest.raises(RefusedError, match=r"^sweep_backups was ended from outside; what it had begun is removed"):
        step.on_kill()
