from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

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
from sre.operators.backup import SweepBackupsOperator, evidence_of, is_bad


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


def test_a_step_that_is_ended_from_outside_stops_and_one_that_is_over_does_not_mind() -> None:
    step = SweepBackupsOperator(task_id="sweep_backups", limits=BackupLimits())
    step.on_kill()
    step.at_work = True
    with pytest.raises(RefusedError, match=r"^sweep_backups was ended from outside; what it had begun is removed"):
        step.on_kill()
