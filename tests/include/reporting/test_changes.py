from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include import checks
from include.findings import Blind, Finding, Report, Severity
from include.ops.evidence import Earlier
from include.reporting.changes import CENSUS, Changes, compare
from tests.include.reporting.test_slack import NOW, before, finding, recorded, report

BLIND = Blind(error="TransientError", reason="no answer", transient=True)
UNSEEN = Finding.unseen(item="H-05", check="workloads_ready", subject="kubernetes", blind=BLIND)
WELL, BAD, DARK, SMALL = Severity.OK, Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING


@pytest.mark.parametrize(
    ("was", "now", "worse", "better", "gone"),
    [
        (None, BAD, True, False, False),
        (WELL, SMALL, True, False, False),
        (SMALL, SMALL, False, False, False),
        (BAD, BAD, False, False, False),
        (BAD, SMALL, False, True, True),
        (BAD, DARK, False, False, False),
        (BAD, WELL, False, True, True),
        (DARK, WELL, False, True, False),
        (SMALL, WELL, False, True, False),
        (WELL, WELL, False, False, False),
    ],
)
def test_changes_against_the_run_before(
    was: Severity | None, now: Severity, worse: bool, better: bool, gone: bool
) -> None:
    earlier = before(recorded("other", WELL), *([recorded("x", was)] if was is not None else []))
    changes = compare({"check_kubernetes": report(finding("x", now))}, earlier)
    assert (bool(changes.worse), bool(changes.better), bool(changes.gone)) == (worse, better, gone)


def test_what_was_critical_then_dark_then_well_is_gone_and_better_than_the_dark_day_only() -> None:
    critical = recorded("x", BAD, days_ago=2)
    dark = [recorded("other", WELL), recorded("x", DARK)]
    changes = compare(kubernetes(finding("x")), Earlier(previous=tuple(dark), last=(dark[0], critical)))
    assert changes.gone == (critical,)
    assert (changes.since, [record.severity for record in changes.better]) == (NOW - timedelta(days=1), [DARK])


def test_a_page_that_nobody_ended_is_ended_though_it_was_well_yesterday_too() -> None:
    assert len(compare(kubernetes(finding("x")), before(replace(recorded("x", WELL), paged=True))).gone) == 1


@pytest.mark.parametrize("other", [BAD, DARK])
def test_a_page_of_two_checks_ends_when_both_have_ended(other: Severity) -> None:
    restarts = replace(recorded("x", BAD), check="restarts")
    now = kubernetes(finding("x"), finding("x", other, check="restarts"))
    assert compare(now, before(recorded("x", BAD), restarts)).gone == ()


def test_a_page_that_another_check_needs_now_does_not_end() -> None:
    now = kubernetes(finding("x"), finding("x", BAD, check="restarts"))
    assert compare(now, before(recorded("x", BAD))).gone == ()


def test_what_cannot_be_seen_is_not_gone() -> None:
    earlier = before(recorded("pod/old", BAD))
    dark = Report(source="kubernetes", checked=0, findings=(UNSEEN,))
    assert compare({"check_kubernetes": dark}, earlier).gone == ()
    assert compare({}, earlier).gone == ()


def test_on_the_first_run_nothing_is_worse() -> None:
    assert compare(kubernetes(finding("x", BAD)), Earlier()) == Changes()


def test_what_could_not_be_read_is_not_a_first_run() -> None:
    assert compare(kubernetes(finding("x", BAD)), None) == Changes(unread=True)


@pytest.mark.parametrize(
    ("subject", "check"),
    [
        ("deployment/worker", "workloads_ready"),
        ("node/node-1", "nodes_ready"),
        ("panel a/1 (t)", "panels"),
        ("api-gateway", "latency_86400s"),
    ],
)
@pytest.mark.parametrize("was", [WELL, BAD])
def test_what_does_not_go_by_itself_is_missing_and_neither_better_nor_gone(
    subject: str, check: str, was: Severity
) -> None:
    changes = compare(kubernetes(finding("other", check=check)), before(recorded(subject, was, check=check)))
    assert (changes.better, changes.gone) == ((), ())
    assert [(each.subject, each.severity, each.check) for each in changes.missing] == [(subject, SMALL, "still_there")]
    assert changes.worse == changes.missing
    assert changes.missing[0].summary == "was there on 2030-01-01 08:00 UTC, is not there today"


@pytest.mark.parametrize("subject", ["pod/old", "incident 7", "job/old"])
def test_what_comes_and_goes_is_gone_with_its_fault(subject: str) -> None:
    changes = compare(kubernetes(finding("pod/new")), before(recorded(subject, BAD)))
    assert ([record.subject for record in changes.gone], changes.missing) == ([subject], ())


def test_what_is_said_of_a_part_of_a_missing_thing_is_not_gone_either() -> None:
    node = recorded("node/node-1", WELL, check="nodes_ready")
    load = replace(recorded("node/node-1/cpu", BAD, check="node_cpu_day"), task_id="check_performance")
    now = kubernetes(finding("node/node-10", check="nodes_ready")) | {"check_performance": report(finding("y"))}
    assert compare(now, before(node, load)).gone == ()
    there = kubernetes(finding("node/node-1", check="nodes_ready")) | {"check_performance": report(finding("y"))}
    assert compare(there, before(node, load)).gone == (load,)


def test_missing_is_said_once_and_its_page_stays_open() -> None:
    worker = recorded("deployment/worker", BAD, days_ago=2, check="workloads_ready")
    other = recorded("deployment/other", WELL, check="workloads_ready")
    now = kubernetes(finding("deployment/other", check="workloads_ready"))
    changes = compare(now, Earlier(previous=(other,), last=(worker, other)))
    assert (changes.missing, changes.gone) == ((), ())


def test_what_vanished_on_a_dark_day_is_missed_on_the_next_day_that_sees() -> None:
    worker = recorded("deployment/worker", WELL, days_ago=2, check="workloads_ready")
    other = recorded("deployment/other", WELL, days_ago=2, check="workloads_ready")
    dark = recorded("kubernetes", DARK, check="workloads_ready")
    earlier = Earlier(previous=(dark,), last=(worker, other))
    assert compare(kubernetes(UNSEEN), earlier).missing == ()
    now = kubernetes(finding("deployment/other", check="workloads_ready"))
    assert [each.subject for each in compare(now, earlier).missing] == ["deployment/worker"]


def test_another_look_of_the_source_that_failed_hides_nothing_that_is_missing() -> None:
    usage = Finding.unseen(item="H-07", check="node_usage", subject="kubernetes", blind=BLIND)
    now = kubernetes(finding("deployment/other", check="workloads_ready"), usage)
    changes = compare(now, before(recorded("deployment/worker", WELL, check="workloads_ready")))
    assert [each.subject for each in changes.missing] == ["deployment/worker"]


@pytest.mark.parametrize("check", CENSUS)
def test_the_checks_that_count_are_called_so(check: str) -> None:
    told = "".join(file.read_text() for file in Path(*checks.__path__).glob("*.py"))
    assert any(form in told for form in (f'check="{check}', f'check=f"{check}', f'"{check}",'))


def kubernetes(*findings: Finding) -> dict[str, Any]:
    return {"check_kubernetes": report(*findings)}
