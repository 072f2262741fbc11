"""02:00 passes with no process of Airflow alive and no ops database: the page comes from outside, and the bucket ends it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sandbox.component import NotReadyError
from sandbox.components.watch import COMPONENTS
from sandbox.components.watch import environment as usual
from sandbox.platform import Platform
from sandbox.site import Site, free_ports
from tests.proof import Proof
from tests.watch.backups import Backups

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SPEED = 600  # ten minutes a second
BEGINS = datetime(2026, 11, 23, 1, 50, tzinfo=UTC)
LATE = BEGINS.replace(hour=3, minute=15)
BACKUP: dict[str, Any] = {
    "dag_id": "daily_database_backup",
    "cron": "0 2 * * *",
    "zone": "UTC",
    "grace_minutes": 80,
    "proof": "good_backup",
    "database": "orchestrator",
}
LATER = {
    "dag_id": "daily_health_check",
    "cron": "0 9 * * *",
    "zone": "UTC",
    "grace_minutes": 30,
    "proof": "evidence",
}


def _subject(event: dict[str, Any]) -> str:
    return str(event["payload"]["summary"])


class Night:
    """The platform without Airflow and without the ops database, its clock, and what arrived at PagerDuty."""

    def __init__(self, platform: Platform, began: float) -> None:
        self.platform = platform
        self.site = platform.site
        self.began = began

    def now(self) -> datetime:
        """Return the time of the watch, give or take its start."""
        return BEGINS + timedelta(seconds=(time.monotonic() - self.began) * SPEED)

    def events(self, action: str, alert: str) -> list[dict[str, Any]]:
        """Return the events of an alert that PagerDuty accepted."""
        accepted = [one["body"] for one in self._recorded("pagerduty") if one["verdict"] == "ok"]
        return [event for event in accepted if event["event_action"] == action and _subject(event).startswith(alert)]

    def in_slack(self, title: str) -> bool:
        """Return whether Slack got an alert of that title."""
        return any(title in json.dumps(one["body"]) for one in self._recorded("slack"))

    def _recorded(self, service: str) -> list[dict[str, Any]]:
        address = f"{self.site.url('receivers')}/_recorded/{service}"
        recorded: list[dict[str, Any]] = httpx.get(address, trust_env=False).raise_for_status().json()["recorded"]
        return recorded

    @property
    def backups(self) -> Backups:
        """What lies in the bucket."""
        return Backups(self.site, BACKUP["database"])

    def is_overdue_after_another_look(self) -> bool:
        """Return what the watch says of the backup once it looked at the bucket as it is now."""
        began = time.time()
        wait_for(lambda: gauge(self.site, 'watch_last_look_timestamp_seconds{source="backups"}') > began + 1)
        return gauge(self.site, 'watch_run_overdue_seconds{dag_id="daily_database_backup"}') > 0


def gauge(site: Site, series: str) -> float:
    text = httpx.get(f"{site.url('watch')}/metrics", trust_env=False).raise_for_status().text
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series)), 0.0)


def sees_the_bucket(site: Site) -> None:
    try:
        seen = gauge(site, 'watch_source_up{source="backups"}')
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error
    if not seen:
        raise NotReadyError("it cannot read the bucket yet")


def watch_at_night(site: Site, expected: Path) -> Any:
    extra = {
        "WATCH_EXPECTED_RUNS": str(expected),
        "WATCH_CLOCK_START": BEGINS.isoformat(),
        "WATCH_CLOCK_SPEED": str(SPEED),
        "WATCH_LOOK_EVERY_S": "0.5",
    }
    return replace(
        COMPONENTS[0], environment=lambda site: {**usual(site), **extra}, needs=("s3",), ready=sees_the_bucket
    )


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    monkeypatch.setenv("SANDBOX_ALERT_SPEED", str(SPEED))
    state = Path(tempfile.mkdtemp(prefix="aos-night-"))
    site = Site.create(state, free_ports())
    expected = site.path("expected_runs.yaml")
    expected.write_text(yaml.safe_dump({"runs": [BACKUP, LATER]}))
    platform = Platform(site, ["s3", "receivers", "prometheus", "alertmanager"])
    try:
        platform.start()
        platform.components["watch"] = watch_at_night(site, expected)
        began = time.monotonic()
        platform.start()
        yield Night(platform, began)
    finally:
        platform.stop()
        shutil.rmtree(state, ignore_errors=True)


def wait_for(what: Callable[[], Any], within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.25)
    raise AssertionError("it did not come")


@pytest.mark.proof
def test_a_missed_backup_is_paged_with_all_of_airflow_dead(night: Night, proof: Proof) -> None:
    missing, down = "Tonight's daily_database_backup left no GOOD backup", "Airflow's api_server has been down"
    assert not night.events("trigger", missing), "paged before it was due"

    (page, *_) = wait_for(lambda: night.events("trigger", missing))
    assert night.now() > BEGINS.replace(hour=3, minute=20)
    assert "Trigger daily_database_backup now" in page["payload"]["custom_details"]["action"]
    assert wait_for(lambda: night.events("trigger", down)), "that Airflow is down is a page of its own"
    assert wait_for(lambda: night.events("trigger", "The watch cannot read its source evidence")), (
        "so is the ops database"
    )
    assert wait_for(lambda: night.in_slack("[FIRING:1] BackupMissing"))

    night.backups.put(LATE)
    night.backups.put(LATE, verdict="BAD")
    assert night.is_overdue_after_another_look(), "one that was only taken, and one that differs, are no proof"
    assert not night.events("resolve", missing)
    night.backups.good(LATE)
    assert wait_for(lambda: night.events("resolve", missing))
    assert not night.events("resolve", down)
    what = (
        "02:00 passes with no process of Airflow alive and no ops database: the page arrives from outside, and ends when the"
        " bucket holds a backup that was restored and compared, not before"
    )
    proof.held(what, n=1, held=1, clock_speed=SPEED)
