"""What came overnight: Slack (H-02), PagerDuty (H-03), Grafana (H-04)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from include.checks import alerts, grafana, incidents
from include.checks.inquiry import Question, inquire
from include.errors import RunbookError
from include.findings import Report
from include.probes import grafana as grafana_probe
from include.probes import pagerduty, slack
from include.settings import AlertLimits, GrafanaLimits, Panel

if TYPE_CHECKING:
    import httpx
    from slack_sdk import WebClient


def since(last: datetime | None, *, now: datetime, limits: AlertLimits) -> datetime:
    """Return where to begin: at the last look, at least a day back, at most a week."""
    day, week = now - timedelta(seconds=limits.window_s), now - timedelta(seconds=limits.window_max_s)
    return max(min(last or day, day), week)


def round_slack(
    client: WebClient, *, limits: AlertLimits, last: Callable[[], datetime | None], now: datetime, deadline_s: float
) -> Report:
    """Read the alerts channel.

    :param last: yields when it was read last, or None.
    """

    def read() -> tuple[datetime, slack.Channel, dict[str, str]]:
        oldest = since(last(), now=now, limits=limits)
        channel = slack.channel(client, name=limits.channel, oldest=oldest, pages_max=limits.pages_max)
        firsts = [
            alert.first.ts for alert in alerts.alerts(channel.messages, limits) if alert.firing or not alert.answered
        ]
        return oldest, channel, {ts: _address(client, channel.id, ts) for ts in firsts}

    question = Question(
        item="H-02",
        check="alerts_answered",
        subject=limits.channel,
        needs=("channel",),
        judge=lambda seen: alerts.judge_alerts(
            seen[1], limits=limits, oldest=seen[0], now=now, link=lambda ts: seen[2].get(ts, "")
        ),
        next_step="read the channel by hand",
    )
    return inquire("slack", {"channel": read}, [question], deadline_s=deadline_s)


def _address(client: WebClient, channel_id: str, ts: str) -> str:
    try:
        return slack.permalink(client, channel_id, ts)
    except RunbookError:
        return f"(message {ts})"  # an alert without its address is still an alert


def round_pagerduty(
    client: httpx.Client,
    *,
    limits: AlertLimits,
    own: str,
    last: Callable[[], datetime | None],
    now: datetime,
    deadline_s: float,
) -> Report:
    """Read the incidents.

    :param own: how the keys of the pages begin that the asking runbook sends itself.
    """

    def read() -> tuple[datetime, list[pagerduty.Incident]]:
        oldest = since(last(), now=now, limits=limits)
        return oldest, pagerduty.incidents(client, since=oldest, until=now, service_ids=limits.pagerduty_service_ids)

    question = Question(
        item="H-03",
        check="incidents",
        subject="incidents",
        needs=("incidents",),
        judge=lambda seen: incidents.judge_incidents(seen[1], limits=limits, own=own, since=seen[0], now=now),
        next_step="read the incidents by hand",
    )
    return inquire("pagerduty", {"incidents": read}, [question], deadline_s=deadline_s)


def round_grafana(client: httpx.Client, *, limits: GrafanaLimits, now: datetime, deadline_s: float) -> Report:
    """Read rules and alerts, and run the named panels' queries."""
    panels = {f"{panel.dashboard}/{panel.panel}": panel for panel in limits.panels}
    looks: dict[str, Callable[[], object]] = {
        "rules": lambda: grafana_probe.rules(client),
        "firing": lambda: grafana_probe.firing(client),
        **{
            name: partial(grafana_probe.panel, client, wanted=p, now=now, window_s=limits.window_s)
            for name, p in panels.items()
        },
    }
    ask = partial(Question, item="H-04", next_step="look at the dashboards by hand")
    questions = [
        ask(check="rules", subject="alert rules", needs=("rules",), judge=grafana.judge_rules),
        ask(check="alerts", subject="alerts", needs=("firing",), judge=partial(grafana.judge_firing, now=now)),
        *(
            ask(
                check="panels",
                subject=_title(panel),
                needs=(name,),
                judge=partial(grafana.judge_panel, limits=limits, now=now),
            )
            for name, panel in panels.items()
        ),
    ]
    return inquire("grafana", looks, questions, deadline_s=deadline_s)


def _title(panel: Panel) -> str:
    return f"panel {panel.dashboard}/{panel.panel} ({panel.title})"
