from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.findings import Blind, Finding, Report, Severity
from include.ops.evidence import Earlier, Recorded
from include.reporting import slack
from include.reporting.changes import Changes

NOW = datetime(2030, 1, 2, 8, 0, tzinfo=UTC)
RUN = slack.Run(title="Daily health check", url="http://airflow/dags/d/runs/r", at=NOW, zone=ZoneInfo("Europe/Berlin"))


def finding(subject: str = "deployment/worker", severity: Severity = Severity.OK, **changes: Any) -> Finding:
    plain = Finding(item="H-05", check="ready", subject=subject, severity=severity, summary="4 of 6 ready")
    return replace(plain, **changes)


def report(*findings: Finding, source: str = "kubernetes") -> Report:
    return Report(source=source, checked=len(findings), findings=findings)


def recorded(subject: str, severity: Severity, *, days_ago: int = 1, check: str = "ready") -> Recorded:
    return Recorded(
        item="H-05",
        check=check,
        subject=subject,
        severity=severity,
        value=None,
        observed_at=NOW - timedelta(days=days_ago),
        run_id=f"{days_ago} days ago",
        task_id="check_kubernetes",
        paged=severity is Severity.CRITICAL,
    )


def before(*records: Recorded) -> Earlier:
    """Yesterday, when all was seen."""
    return Earlier(previous=records, last=tuple(each for each in records if each.severity is not Severity.UNKNOWN))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def messages(message: slack.Message) -> list[slack.Message]:
    return [message, *message.replies]


def test_the_first_line_is_the_verdict_and_the_worst_faults_follow() -> None:
    reports = [
        report(finding("a"), finding("b", Severity.WARNING)),
        report(finding("c", Severity.CRITICAL), finding("d", Severity.UNKNOWN), source="postgres"),
    ]
    lines = slack.render(RUN, reports, Changes()).text.splitlines()
    assert lines[0] == "Daily health check: CRITICAL (1 critical, 1 unknown, 1 warning)"
    assert [subject in line for subject, line in zip("cdb", lines[1:4], strict=True)] == [True] * 3


def test_healthy_is_one_line_and_names_the_sources_without_a_fault() -> None:
    reports = [report(finding("a"), finding("b")), report(finding("c", Severity.WARNING), source="postgres")]
    healthy = [line for line in slack.render(RUN, reports, Changes()).text.splitlines() if "Healthy" in line]
    assert healthy == ["Healthy: 2 checks; nothing wrong in kubernetes"]


def test_a_dark_source_is_one_line_with_all_its_items_and_hides_no_other() -> None:
    dark = Blind(error="TransientError", reason="it did not answer", transient=True)
    items = [f"H-{number:02}" for number in range(1, 13)]
    unseen = [Finding.unseen(item=item, check="x", subject="performance", blind=dark) for item in items]
    reports = [report(*unseen, source="performance"), report(finding("z", Severity.UNKNOWN, item="H-13"))]
    lines = slack.render(RUN, reports, Changes()).text.splitlines()
    assert lines[1] == f":black_circle: performance: could not look: it did not answer [{', '.join(items)}]"
    assert "z: 4 of 6 ready" in lines[2]
    assert "13 unknown" in lines[0]


def test_nothing_looked_at_is_unknown_and_not_healthy() -> None:
    message = slack.render(RUN, [], Changes())
    assert message.text.startswith("Daily health check: UNKNOWN")
    assert "Healthy" not in message.text


def test_details_with_numbers_and_next_step_stand_in_the_thread() -> None:
    evidence = {"value": 81.25, "unit": "%", "threshold": 80, "n": 12}
    worker = finding(severity=Severity.WARNING, evidence=evidence, next_step="look at its log")
    (reply,) = slack.render(RUN, [report(worker)], Changes()).replies
    assert "(value 81.25 %, threshold 80, n 12) → look at its log" in reply.blocks[0]["text"]["text"]


def test_the_thread_tells_what_is_wrong_in_full_and_what_is_well_in_a_line_for_each_check() -> None:
    well = [finding(f"pod/{number}", check="pods_healthy") for number in range(50)]
    wrong = [finding("b", Severity.INFO), finding("a", Severity.CRITICAL), finding("c", Severity.WARNING)]
    (reply,) = slack.render(RUN, [report(*well, *wrong)], Changes()).replies
    assert reply.blocks[0]["text"]["text"].splitlines() == [
        "*kubernetes*: CRITICAL, 53 looked at",
        ":red_circle: CRITICAL a: 4 of 6 ready [H-05]",
        ":large_yellow_circle: WARNING c: 4 of 6 ready [H-05]",
        ":large_green_circle: INFO b: 4 of 6 ready [H-05]",
        ":large_green_circle: H-05 pods healthy: 50 OK",
    ]


def in_a_table(*lines: str) -> Report:
    cells = [finding("mon/a", Severity.WARNING, in_table=True), finding("tue/a", in_table=True)]
    return replace(report(*cells, finding("b", Severity.CRITICAL), finding("c")), table=lines)


def test_a_table_stands_in_the_thread_as_it_is_and_what_is_in_it_is_not_told_once_more() -> None:
    message = slack.render(RUN, [in_a_table("day  a", "mon  BAD")], Changes())
    (reply,) = message.replies
    assert reply.blocks[0]["text"]["text"].splitlines() == [
        "*kubernetes*: CRITICAL, 4 looked at",
        "```",
        "day  a",
        "mon  BAD",
        "```",
        ":red_circle: CRITICAL b: 4 of 6 ready [H-05]",
        ":large_green_circle: H-05 c: 4 of 6 ready",
    ]
    assert message.text.splitlines()[:2] == [
        "Daily health check: CRITICAL (1 critical)",
        ":red_circle: b: 4 of 6 ready [H-05]",
    ]
    assert "Healthy: 1 check" in message.text


def test_a_table_of_any_text_stays_a_table_within_slacks_limits() -> None:
    (reply, *_) = slack.render(RUN, [in_a_table("<@here> ```", *("x" * 100 for _ in range(50)))], Changes()).replies
    whole = [block["text"]["text"] for block in reply.blocks]
    assert all(len(text) <= slack.SECTION for text in whole)
    (table,) = [text for text in whole if "xxx" in text]
    assert table.count("```") == 2
    assert "&lt;@here&gt; '''" in table


def test_lateness_and_undelivered_channels_are_said() -> None:
    run = replace(RUN, late_s=5700, notes=("PagerDuty says 503: later",))
    lines = slack.render(run, [report(finding())], Changes()).text.splitlines()
    assert "Late by 95 min, as of now" in lines
    assert "PagerDuty says 503: later" in lines


def test_times_are_in_the_teams_zone_and_utc_and_the_run_is_one_click_away() -> None:
    footer = slack.render(RUN, [report(finding())], Changes()).blocks[-1]["elements"][0]["text"]
    assert footer == "<http://airflow/dags/d/runs/r|Open the run> · Wed 2 Jan 09:00 CET (08:00 UTC)"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (Changes(unread=True), "What earlier runs found could not be read: what changed is not known"),
        (Changes(), "First run with a verdict: nothing to compare with"),
        (Changes(since=NOW), "Nothing changed since Wed 2 Jan 09:00 CET (08:00 UTC)"),
        (Changes(since=NOW, worse=(finding("x"),)), "Worse since Wed 2 Jan 09:00 CET (08:00 UTC): x"),
        (
            Changes(since=NOW, better=(recorded("y", Severity.WARNING),)),
            "Better since Wed 2 Jan 09:00 CET (08:00 UTC): y",
        ),
        (
            Changes(since=NOW, worse=tuple(finding(name) for name in "abcde")),
            "Worse since Wed 2 Jan 09:00 CET (08:00 UTC): a, b, c and 2 more",
        ),
    ],
)
def test_what_changed_is_one_line(changes: Changes, line: str) -> None:
    assert line in slack.render(RUN, [report(finding())], changes).text.splitlines()


@pytest.mark.parametrize("nasty", ["<!here> &", "<@U123>", "<https://evil|click>", "a\n*b*\n\n```", "<!channel>"])
def test_text_from_elsewhere_is_inert(nasty: str) -> None:
    worker = finding(nasty, Severity.CRITICAL, summary=nasty, next_step=nasty)
    message = slack.render(
        replace(RUN, notes=(nasty,)), [report(worker, source=nasty)], Changes(since=NOW, worse=(worker,))
    )
    for each in messages(message):
        texts = [block for block in each.blocks if block["type"] == "section"]
        assert not any("<" in text or ">" in text for text in [each.text, *strings(texts)])
    assert all("&amp;" in text for text in [message.text] if "&" in nasty)


@pytest.mark.parametrize("count", [1, 60, 1000])
@pytest.mark.parametrize("length", [10, 5000])
def test_slacks_limits_hold_however_much_is_found(count: int, length: int) -> None:
    findings = [
        finding(f"pod/{number}", Severity.CRITICAL, summary="<&>" * length, next_step="x" * length)
        for number in range(count)
    ]
    message = slack.render(replace(RUN, title="t" * 500, notes=("n" * 9000,)), [report(*findings)], Changes())
    for each in messages(message):
        assert len(each.text) <= 4000
        assert 1 <= len(each.blocks) <= 50
        assert all(len(block["text"]["text"]) <= 3000 for block in each.blocks if block["type"] == "section")
        assert all(len(block["text"]["text"]) <= 150 for block in each.blocks if block["type"] == "header")
        json.dumps(each.blocks)
    assert sum(text.count("pod/") for each in message.replies for text in strings(each.blocks)) == count


def test_an_escape_is_not_cut_in_two() -> None:
    message = slack.render(RUN, [report(finding(severity=Severity.CRITICAL, summary="&" * 5000))], Changes())
    for each in messages(message):
        for text in strings(each.blocks):
            assert text.replace("&amp;", "").count("&") == 0


def test_secrets_in_a_summary_are_masked() -> None:
    leaky = finding(severity=Severity.CRITICAL, summary="postgresql://u:hush-canary@host/db said Bearer hush-canary")
    said = slack.render(RUN, [report(leaky)], Changes())
    assert "hush-canary" not in json.dumps([[each.text, each.blocks] for each in messages(said)])


def test_the_message_of_a_failed_task_names_task_reason_and_run() -> None:
    message = slack.failure(RUN, task_id="check_redis", try_number=3, reason="TransientError: <no> answer")
    assert message.text.splitlines()[:2] == [
        "Daily health check: check_redis failed",
        "TransientError: &lt;no&gt; answer",
    ]
    assert "Open the run" in json.dumps(message.blocks)
