"""What fired overnight and nobody has taken (H-02)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.checks.scale import span, window
from include.findings import Finding, Severity
from include.probes.slack import Channel, Message
from include.settings import AlertLimits

ITEM = "H-02"
_ALERT = re.compile(r"\[(?P<state>FIRING|RESOLVED)(?::\d+)?\]\s*(?P<name>[^\n]+)", re.IGNORECASE)
_EMPHASIS = re.compile(r"\*(\w+)\*|severity[:=]\s*(\w+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """All messages about one alert, and what they come to.

    :param first: when it began to fire, as far back as was read.
    :param answered: somebody replied or reacted to any of its messages.
    """

    name: str
    first: Message
    last: Message
    firing: bool
    high: bool
    answered: bool

    def open_for_s(self, now: datetime) -> float:
        """Seconds since it began."""
        return (now - self.first.at).total_seconds()


def alerts(messages: Sequence[Message], limits: AlertLimits) -> list[Alert]:
    """Group the programs' messages by alert, newest state last; what is no alert text stands for itself."""
    grouped: dict[str, list[Message]] = {}
    for message in sorted((m for m in messages if m.bot), key=lambda m: m.at):
        grouped.setdefault(_name(message), []).append(message)
    return [_alert(name, since_resolved(group), limits) for name, group in grouped.items()]


def since_resolved(group: Sequence[Message]) -> Sequence[Message]:
    """Return the messages of the newest firing: what was resolved before it is another story."""
    ends = [index for index, message in enumerate(group[:-1]) if not _firing(message)]
    return group[ends[-1] + 1 :] if ends and _firing(group[-1]) else group


def _alert(name: str, group: Sequence[Message], limits: AlertLimits) -> Alert:
    return Alert(
        name=name,
        first=group[0],
        last=group[-1],
        firing=_firing(group[-1]),
        high=any(_high(message, limits) for message in group),
        answered=any(message.answered_by for message in group),
    )


def _name(message: Message) -> str:
    found = _ALERT.search(message.text)
    return found["name"].strip() if found else (message.text.strip().splitlines() or ["(no text)"])[0][:80]


def _firing(message: Message) -> bool:
    # A program's message that does not say RESOLVED is taken as open: it was posted for somebody to act on.
    found = _ALERT.search(message.text)
    return not found or found["state"].upper() == "FIRING"


def _high(message: Message, limits: AlertLimits) -> bool:
    words = {(first or second).lower() for first, second in _EMPHASIS.findall(message.text)}
    return bool(words & set(limits.high_severities))


def judge_alerts(
    channel: Channel, *, limits: AlertLimits, oldest: datetime, now: datetime, link: Callable[[str], str]
) -> Iterator[Finding]:
    """Name each alert that still fires or that nobody answered, with its address; count the rest.

    :param link: the address of a message by its timestamp.
    """
    found = alerts(channel.messages, limits)
    judged = [(alert, *_state(alert, limits, now)) for alert in found]
    for alert, severity, words in judged:
        if severity > Severity.INFO:
            yield _finding(alert, severity, words, now, link)
    yield _count(channel, found, oldest, now)


def _state(alert: Alert, limits: AlertLimits, now: datetime) -> tuple[Severity, str]:
    late = alert.open_for_s(now) >= limits.unanswered_s
    if alert.firing and late and not alert.answered:
        return Severity.CRITICAL, "still fires and nobody has answered"
    if alert.firing:
        return Severity.WARNING, "still fires" + (", somebody has it" if alert.answered else "")
    if alert.high and not alert.answered:
        return Severity.WARNING, "is over, but nobody has answered"
    return Severity.OK, "is over"


def _finding(alert: Alert, severity: Severity, words: str, now: datetime, link: Callable[[str], str]) -> Finding:
    address = link(alert.first.ts)
    open_s = alert.open_for_s(now)
    return Finding(
        item=ITEM,
        check="alerts_answered",
        subject=f"alert {alert.name}",
        severity=severity,
        summary=f"{words}, {span(open_s)} after it began: {address}",
        evidence={
            "window_start": alert.first.at.isoformat(),
            "window_end": now.isoformat(),
            "value": round(open_s),
            "unit": "s",
            "threshold": "resolved or answered",
            "permalink": address,
            "high": alert.high,
            "firing": alert.firing,
            "answered": alert.answered,
        },
        next_step="answer in its thread, then follow the action that it names",
    )


def _count(channel: Channel, found: Sequence[Alert], oldest: datetime, now: datetime) -> Finding:
    firing = sum(alert.firing for alert in found)
    unanswered = sum(not alert.answered for alert in found)
    seconds = (now - oldest).total_seconds()
    cut = "" if channel.complete else "; there was more than may be read, so the count is too low"
    return Finding(
        item=ITEM,
        check="alerts_counted",
        subject=channel.name,
        severity=Severity.OK if channel.complete else Severity.UNKNOWN,
        summary=(
            f"{len(channel.messages)} messages in {span(seconds)}, {len(found)} alerts,"
            f" {firing} firing, {len(found) - firing} over, {unanswered} unanswered{cut}"
        ),
        evidence={
            **window(now, seconds),
            "value": firing,
            "unit": "firing alerts",
            "threshold": "0",
            "n": len(channel.messages),
            "alerts": len(found),
            "unanswered": unanswered,
            "request": "conversations.history, conversations.replies",
        },
        next_step="" if channel.complete else "read the channel by hand: this is an alert storm",
    )
