from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.checks import alerts
from include.findings import Finding, Severity
from include.probes.slack import Channel, Message
from include.settings import AlertLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = AlertLimits()


def message(minutes_ago: float, text: str, *, bot: bool = True, answered: bool = False) -> Message:
    at = NOW - timedelta(minutes=minutes_ago)
    return Message(ts=f"{at.timestamp():.6f}", at=at, bot=bot, text=text, answered_by=("U1",) if answered else ())


def judged(*messages: Message, complete: bool = True) -> list[Finding]:
    channel = Channel(id="C1", name="#alerts", messages=messages, complete=complete)
    oldest = NOW - timedelta(days=1)
    return list(
        alerts.judge_alerts(channel, limits=LIMITS, oldest=oldest, now=NOW, link=lambda ts: f"https://slack/{ts}")
    )


def worst(*messages: Message) -> Severity:
    return max(finding.severity for finding in judged(*messages))


FIRING = "[FIRING:1] QueueDeep\n*warning* 80 items wait"
RESOLVED = "[RESOLVED] QueueDeep\n*warning* 80 items wait (over)"


def test_a_quiet_night_is_healthy_and_counted() -> None:
    (finding,) = judged()
    assert (finding.severity, finding.evidence["n"]) == (Severity.OK, 0)


@pytest.mark.parametrize(
    ("minutes_ago", "answered", "severity"),
    [
        (29.9, False, Severity.WARNING),
        (30, False, Severity.CRITICAL),
        (600, True, Severity.WARNING),
    ],
)
def test_an_alert_that_nobody_answers_is_critical_after_half_an_hour(
    minutes_ago: float,
    answered: bool,
    severity: Severity,
) -> None:
    assert worst(message(minutes_ago, FIRING, answered=answered)) is severity


def test_an_alert_that_is_over_is_healthy() -> None:
    assert worst(message(60, FIRING), message(50, RESOLVED)) is Severity.OK


def test_a_high_alert_that_nobody_answered_warns_though_it_is_over() -> None:
    high = message(60, "[FIRING:1] ErrorRatioHigh\n*page* 3 % fail")
    assert worst(high, message(50, "[RESOLVED] ErrorRatioHigh\n*page* over")) is Severity.WARNING


def test_an_alert_that_fires_again_is_open_since_then_only() -> None:
    found = judged(message(300, FIRING), message(290, RESOLVED), message(10, FIRING))
    assert found[0].severity is Severity.WARNING
    assert found[0].evidence["value"] == 600


def test_a_repeated_alert_is_one_alert_since_its_first_message() -> None:
    found = judged(message(40, FIRING), message(20, "[FIRING:2] QueueDeep"))
    assert len(found) == 2
    assert found[0].severity is Severity.CRITICAL


def test_an_open_alert_comes_with_its_address() -> None:
    first = message(40, FIRING)
    assert f"https://slack/{first.ts}" in judged(first)[0].summary


def test_a_programs_message_of_unknown_form_counts_as_open() -> None:
    assert worst(message(40, "disk of node-1 is full")) is Severity.CRITICAL


def test_what_people_say_is_no_alert() -> None:
    assert worst(message(40, "[FIRING:1] just quoting", bot=False)) is Severity.OK


def test_a_channel_that_could_not_be_read_to_its_end_is_unknown() -> None:
    assert judged(complete=False)[-1].severity is Severity.UNKNOWN
