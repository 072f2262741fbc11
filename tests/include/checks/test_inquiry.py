from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from include.checks.inquiry import Question, inquire
from include.errors import ConfigurationError, TransientError
from include.findings import Finding, Severity


def fine(answer: str) -> Iterator[Finding]:
    yield Finding(item="H-05", check="c", subject=answer, severity=Severity.OK, summary="fine")


def question(name: str, **changes: Any) -> Question:
    return Question(**{"item": "H-05", "check": name, "subject": name, "needs": (name,), "judge": fine, **changes})


def fails(error: Exception) -> Any:
    def probe() -> None:
        raise error

    return probe


def test_a_look_that_fails_leaves_its_own_unknown_and_no_other() -> None:
    looks = {"pods": lambda: "pods", "nodes": fails(ConfigurationError("forbidden"))}
    report = inquire("kubernetes", looks, [question("pods"), question("nodes", item="H-06")], deadline_s=1)
    assert [(f.item, f.severity) for f in report.findings] == [("H-05", Severity.OK), ("H-06", Severity.UNKNOWN)]
    assert report.checked == 1
    assert "forbidden" in report.findings[1].summary


def test_a_look_that_hangs_costs_its_deadline_and_keeps_nobody_waiting() -> None:
    began = time.monotonic()
    looks = {"pods": lambda: "pods", "nodes": lambda: time.sleep(20)}
    report = inquire("kubernetes", looks, [question("pods"), question("nodes", item="H-06")], deadline_s=0.2)
    assert time.monotonic() - began < 10
    assert report.severity is Severity.UNKNOWN
    assert "kubernetes (nodes) did not answer within 0.2 s" in report.findings[1].summary


def test_a_judge_that_needs_two_answers_does_not_judge_by_one() -> None:
    looks = {"pods": lambda: "pods", "usage": fails(TransientError("no metrics"))}
    asked = question("usage", needs=("pods", "usage"), judge=lambda pods, usage: fine(pods))
    assert inquire("kubernetes", looks, [asked], deadline_s=1).severity is Severity.UNKNOWN


def test_a_source_that_is_dark_says_so_once_an_item() -> None:
    looks = {name: fails(TransientError("refused")) for name in ("a", "b", "c")}
    questions = [question("a"), question("b"), question("c", item="H-06")]
    report = inquire("grafana", looks, questions, deadline_s=1)
    assert [(f.item, f.subject) for f in report.findings] == [("H-05", "grafana"), ("H-06", "grafana")]
    assert report.checked == 0


def test_every_finding_says_whom_it_is_from() -> None:
    report = inquire("redis", {"a": lambda: "a"}, [question("a")], deadline_s=1)
    assert report.findings[0].evidence["source"] == "redis"


def test_a_judge_that_fails_blinds_its_own_question_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def stumbles(answer: str) -> Iterator[Finding]:
        yield from fine(answer)
        raise KeyError("allocatable")

    asked = [question("nodes", judge=stumbles), question("pods")]
    with caplog.at_level(logging.ERROR):
        report = inquire("kubernetes", {"pods": lambda: "pods", "nodes": lambda: "nodes"}, asked, deadline_s=1)
    said_before, blind, other = report.findings
    assert (said_before.severity, other.subject, other.severity) == (Severity.OK, "pods", Severity.OK)
    assert (blind.subject, blind.severity) == ("nodes", Severity.UNKNOWN)
    assert "KeyError: 'allocatable'" in report.blind[0].summary
    assert "Traceback" in caplog.text
