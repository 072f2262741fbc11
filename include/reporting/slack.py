"""Reports as Slack messages: the verdict first, worst first, within Slack's limits, and inert whatever the text says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from include.findings import Finding, Report, Severity, worst_first
from include.masking import one_line
from include.reporting import text
from include.reporting.changes import Changes

BLOCKS = 50
HEADER = 150
SECTION = 3000
FALLBACK = 3500  # Slack advises 4,000 characters of text
SHOWN_FAULTS = 10  # the message is one screen; the rest is in its thread
SHOWN_CHANGES = 3

ICONS = {
    Severity.OK: ":large_green_circle:",
    Severity.INFO: ":large_green_circle:",
    Severity.WARNING: ":large_yellow_circle:",
    Severity.UNKNOWN: ":black_circle:",
    Severity.CRITICAL: ":red_circle:",
}

Block = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run that reports.

    :param late_s: how much later than its slot it began; None if on time or by hand.
    :param notes: what else must be said, such as a channel of the report that is down.
    """

    title: str
    url: str
    at: datetime
    zone: ZoneInfo
    late_s: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Message:
    """What to post: the blocks, the text of the notification, and what goes into the thread below it."""

    text: str
    blocks: list[Block]
    replies: tuple[Message, ...] = field(default=())


def render(run: Run, reports: Sequence[Report], changes: Changes) -> Message:
    """Return one message with its thread."""
    findings = worst_first(finding for report in reports for finding in report.told)
    verdict = max((report.severity for report in reports), default=Severity.UNKNOWN)
    faults = [finding for finding in findings if finding.severity >= Severity.WARNING]
    body = [*_worst(faults), *_healthy(reports), *_changed(changes, run.zone), *_said(run)]
    title = _title(run, verdict, faults)
    return Message(
        text=one_line(title, HEADER) + "\n" + _within("\n".join(body), FALLBACK - HEADER),
        blocks=[_header(f"{ICONS[verdict]} {title}"), *_sections(body), _footer(run)],
        replies=tuple(_replies(reports)),
    )


def failure(run: Run, *, task_id: str, try_number: int, reason: str) -> Message:
    """Return the message of a task that failed: what, why, where to look."""
    title = f"{run.title}: {task_id} failed"
    body = [escape(one_line(reason, SECTION // 2)), f"After {try_number} tries. What to do is in the runbook's docs."]
    blocks = [_header(f"{ICONS[Severity.CRITICAL]} {title}"), *_sections(body), _footer(run)]
    return Message(text=_within("\n".join([escape(title), *body]), FALLBACK), blocks=blocks)


def asked(run: Run, plan: str, people: Sequence[str], *, requester: str, page: str, until: datetime) -> Message:
    """Return the question whether a plan may be carried out: who asks, who may answer, where, and until when."""
    title = f"{run.title}: waits for an approval"
    who = f"{escape(requester)} asks. *{escape(' or '.join(people))}* may answer until {text.moment(until, run.zone)}:"
    body = [f"{who} <{page}|approve or reject>", _fixed_width(plan.splitlines())]
    blocks = [_header(f":raised_hand: {title}"), *_sections(body), _footer(run)]
    return Message(text=_within("\n".join([escape(title), *body]), FALLBACK), blocks=blocks)


def glass(run: Run, said: str) -> Message:
    """Return the message of somebody who acts without a second person."""
    title, body = f"{run.title}: the glass was broken", escape(one_line(said, SECTION // 2))
    blocks = [_header(f"{ICONS[Severity.CRITICAL]} {title}"), *_sections([body]), _footer(run)]
    return Message(text=f"{escape(title)}\n{body}", blocks=blocks)


def skipped(run: Run, reason: str) -> Message:
    """Return the message of a run that did not look: its silence would read as health."""
    title = f"{run.title}: {one_line(reason, SECTION // 2)}"
    return Message(
        text=escape(title), blocks=[*_sections([f"{ICONS[Severity.UNKNOWN]} {escape(title)}"]), _footer(run)]
    )


def escape(words: str) -> str:
    """Return the text without power: no links, no mentions, no formatting across lines."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _title(run: Run, verdict: Severity, faults: Sequence[Finding]) -> str:
    counted = text.counts(faults)
    return f"{run.title}: {verdict.name}{f' ({counted})' if counted else ''}"


def _worst(faults: Sequence[Finding]) -> Iterator[str]:
    groups = list(_alike(faults))
    yield from (f"{ICONS[group[0].severity]} {escape(_fault(group))}" for group in groups[:SHOWN_FAULTS])
    if hidden := sum(len(group) for group in groups[SHOWN_FAULTS:]):
        yield f"… and {hidden} more in the thread"


def _alike(faults: Sequence[Finding]) -> Iterable[list[Finding]]:
    """Put together what could not be seen of one subject: a dark source must not push another out of sight."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in faults:
        key = (finding.subject,) if finding.blind else (finding.subject, finding.item, finding.check)
        groups.setdefault(key, []).append(finding)
    return groups.values()


def _fault(alike: Sequence[Finding]) -> str:
    first, items = alike[0], ", ".join(dict.fromkeys(finding.item for finding in alike))
    next_step = f" → {first.next_step}" if first.next_step else ""
    return one_line(f"{first.subject}: {first.summary} [{items}]{next_step}", text.LINE_LIMIT // 2)


def _healthy(reports: Sequence[Report]) -> Iterator[str]:
    healthy = [finding for report in reports for finding in report.told if finding.severity < Severity.WARNING]
    sources = [report.source for report in reports if report.severity < Severity.WARNING]
    if healthy:
        whole = f"; nothing wrong in {', '.join(sources)}" if sources else ""
        yield escape(f"Healthy: {len(healthy)} {'check' if len(healthy) == 1 else 'checks'}{whole}")


def _changed(changes: Changes, zone: ZoneInfo) -> Iterator[str]:
    if changes.unread:
        yield "What earlier runs found could not be read: what changed is not known"
        return
    if changes.since is None:
        yield "First run with a verdict: nothing to compare with"
        return
    since = text.moment(changes.since, zone)
    if not changes.worse and not changes.better:
        yield f"Nothing changed since {since}"
    if changes.worse:
        yield escape(f"Worse since {since}: {_some([finding.subject for finding in worst_first(changes.worse)])}")
    if changes.better:
        yield escape(f"Better since {since}: {_some([record.subject for record in changes.better])}")


def _some(subjects: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(subjects))
    more = len(distinct) - SHOWN_CHANGES
    return one_line(", ".join(distinct[:SHOWN_CHANGES]), 200) + (f" and {more} more" if more > 0 else "")


def _said(run: Run) -> Iterator[str]:
    if run.late_s is not None:
        yield f"Late by {text.span(run.late_s)}, as of now"
    yield from map(escape, run.notes)


def _replies(reports: Sequence[Report]) -> Iterator[Message]:
    blocks = iter([block for report in reports for block in _report_blocks(report)])
    while some := list(islice(blocks, BLOCKS)):
        yield Message(text="Details", blocks=some)


def _report_blocks(report: Report) -> list[Block]:
    head = f"*{escape(report.source)}*: {report.severity.name}, {report.checked} looked at"
    table = [_fixed_width(report.table)] if report.table else []
    news = [finding for finding in worst_first(report.told) if finding.severity > Severity.OK]
    well = text.healthy(finding for finding in report.told if finding.severity is Severity.OK)
    told = [f"{ICONS[finding.severity]} {escape(text.detail(finding))}" for finding in news]
    return _sections([head, *table, *told, *(f"{ICONS[Severity.OK]} {escape(line)}" for line in well)])


def _fixed_width(lines: Sequence[str]) -> str:
    return f"```\n{_within(escape(chr(10).join(lines)).replace('`', chr(39)), SECTION - 10)}\n```"


def _sections(lines: Sequence[str]) -> list[Block]:
    """Pack whole lines into as few sections as hold them."""
    packed: list[str] = []
    for each in lines:
        shortened = _within(each, SECTION)
        if packed and len(packed[-1]) + 1 + len(shortened) <= SECTION:
            packed[-1] += f"\n{shortened}"
        else:
            packed.append(shortened)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": some, "verbatim": True}} for some in packed]


def _header(words: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": one_line(words, HEADER), "emoji": True}}


def _footer(run: Run) -> Block:
    words = f"<{run.url}|Open the run> · {text.moment(run.at, run.zone)}"
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": words}]}


def _within(words: str, limit: int) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"
