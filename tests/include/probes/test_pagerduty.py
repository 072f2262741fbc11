from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from include.errors import ConfigurationError, TransientError
from include.probes import pagerduty
from include.probes.pagerduty import Incident

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)


def plant(control: httpx.Client, *, hours_ago: float, **more: Any) -> None:
    created = NOW - timedelta(hours=hours_ago)
    given = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in more.items()}
    body = {"title": "errors", "created_at": created.isoformat(), **given}
    control.post("/_seed/pagerduty", json=body).raise_for_status()


def read(client: httpx.Client, *service_ids: str) -> list[Incident]:
    return pagerduty.incidents(client, since=SINCE, until=NOW, service_ids=service_ids)


def test_an_incident_says_who_took_it_when(control: httpx.Client, pagerduty_client: httpx.Client) -> None:
    taken, ended = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    plant(control, hours_ago=3, priority="P1", acknowledged_at=taken, resolved_at=ended, by="Alice")
    (incident,) = read(pagerduty_client)
    assert (incident.status, incident.priority, incident.by) == ("resolved", "P1", "Alice")
    assert (incident.acknowledged_at, incident.resolved_at) == (taken, ended)


def test_what_is_still_open_is_read_however_old(control: httpx.Client, pagerduty_client: httpx.Client) -> None:
    plant(control, hours_ago=24 * 60)
    plant(control, hours_ago=24 * 60, resolved_at=NOW - timedelta(days=50))
    (incident,) = read(pagerduty_client)
    assert incident.status == "triggered"


def test_every_page_is_read_and_nothing_twice(
    control: httpx.Client, pagerduty_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagerduty, "PAGE", 2)
    for hour in range(5):
        plant(control, hours_ago=hour + 1)
    assert len({incident.id for incident in read(pagerduty_client)}) == len(read(pagerduty_client)) == 5


def test_a_quiet_night_is_an_empty_list(control: httpx.Client, pagerduty_client: httpx.Client) -> None:
    assert read(pagerduty_client) == []


def test_a_service_that_does_not_exist_names_the_setting(control: httpx.Client, pagerduty_client: httpx.Client) -> None:
    with pytest.raises(ConfigurationError, match=r"no service PNOSUCH.*alerts\.pagerduty_service_ids"):
        read(pagerduty_client, "PNOSUCH")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("down", TransientError),
        ("rate_limited", TransientError),
        ("forbidden", ConfigurationError),
        ("empty", ConfigurationError),
    ],
)
def test_a_sick_pagerduty_is_an_error_and_no_quiet_night(
    control: httpx.Client, pagerduty_client: httpx.Client, mode: str, kind: type[Exception]
) -> None:
    control.post("/_control/pagerduty", json={"mode": mode}).raise_for_status()
    with pytest.raises(kind):
        read(pagerduty_client)
