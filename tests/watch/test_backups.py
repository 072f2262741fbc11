from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.manifest import read, sha256
from include.backups.store import Store
from include.errors import ConfigurationError, TransientError
from sandbox.components.s3 import BUCKET, client
from sandbox.components.watch import environment
from sandbox.site import Site
from tests.faults import answers
from tests.faults.storefront import storefront
from tests.watch.backups import Backups, rendered
from watch.__main__ import _look
from watch.clock import Clock
from watch.decide import count_bad, keys_since, newest_good
from watch.expected import ExpectedRun
from watch.gauges import Board
from watch.settings import BUCKET as BUCKET_SETTINGS
from watch.settings import WatchSettings
from watch.sources import BackupsSource, EvidenceSource, all_sources

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DUE = NOW.replace(hour=2)
WHO = {"state": Path("/nowhere"), "evidence_dsn": "postgresql://nobody@127.0.0.1:1/ops", "airflow_password": "x"}
SECRET = "canary"
IN_BUCKET = {
    "s3_endpoint_url": "http://127.0.0.1:1",
    "s3_region": "us-east-1",
    "backup_bucket": "b",
    "s3_access_key": "watch",
    "s3_secret_key": SECRET,
}


def run(database: str = "orchestrator", **changes: Any) -> ExpectedRun:
    fields = {"dag_id": "daily_database_backup", "cron": "0 2 * * *", "zone": "UTC", "grace_minutes": 80}
    return ExpectedRun.model_validate(fields | {"proof": "good_backup", "database": database} | changes)


VERDICT = run(dag_id="daily_health_check", proof="evidence", database="")


def seen(hours_ago: float, verdict: str = "GOOD", *, of_another: bool = False, problem: str = "") -> Backup:
    key, text = rendered("orchestrator", NOW - timedelta(hours=hours_ago))
    digest = sha256(b"another") if of_another else sha256(text)
    mark = Mark(verdict=Verdict(verdict), at=NOW, manifest=digest) if verdict else None
    whole = None if problem else read(text, key)
    return Backup(
        key=key, version_id="v", stored_at=NOW, sha256=sha256(text), manifest=whole, mark=mark, problem=problem
    )


@pytest.mark.parametrize(
    ("backups", "newest_hours_ago", "bad"),
    [
        ([], None, 0),
        ([seen(9)], 9, 0),
        ([seen(33), seen(9)], 9, 0),
        ([seen(9), seen(33)], 9, 0),
        ([seen(33), seen(9, "")], 33, 0),
        ([seen(33), seen(9, "UNPROVED")], 33, 0),
        ([seen(33), seen(9, "BAD")], 33, 1),
        ([seen(33), seen(9, "BAD", of_another=True)], 33, 0),
        ([seen(33), seen(9, of_another=True)], 33, 0),
        ([seen(33), seen(9, problem="torn"), seen(8, problem="torn")], 33, 2),
        ([seen(9), seen(-0.08)], -0.08, 0),
        ([seen(9), seen(-0.09)], 9, 0),
        ([seen(-24)], None, 0),
    ],
)
def test_only_a_mark_on_this_manifest_with_a_snapshot_that_can_be_makes_a_backup_good(
    backups: list[Backup], newest_hours_ago: float | None, bad: int
) -> None:
    found = newest_good(backups, until=NOW + timedelta(minutes=5))
    assert (found and found.at) == (None if newest_hours_ago is None else NOW - timedelta(hours=newest_hours_ago))
    assert count_bad(backups) == bad


@pytest.mark.parametrize("seconds", [-86_400, -1, 0, 1, 86_400])
def test_a_key_is_left_out_exactly_if_its_snapshot_was_before(seconds: int) -> None:
    key, _ = rendered("orchestrator", NOW + timedelta(seconds=seconds))
    assert (key >= keys_since("orchestrator", NOW)) == (seconds >= 0)


@pytest.mark.parametrize("missing", BUCKET_SETTINGS)
def test_a_bucket_that_is_needed_and_not_set_is_named_before_anything_is_opened(tmp_path: Path, missing: str) -> None:
    state = tmp_path / "state"
    settings = WatchSettings.model_validate(WHO | IN_BUCKET | {"state": state, missing: ""})
    with pytest.raises(ConfigurationError, match=f"^WATCH_{missing.upper()} is not set") as caught:
        all_sources(settings, [VERDICT, run()], Clock())
    assert not state.exists()
    assert SECRET not in str(caught.value) + repr(settings)


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    settings = WatchSettings.model_validate(WHO | IN_BUCKET | {"state": tmp_path, "s3_endpoint_url": "nonsense"})
    with pytest.raises(ConfigurationError, match=r"^WATCH_S3_ENDPOINT_URL .* is wrong: .*nonsense"):
        all_sources(settings, [run()], Clock())


def test_without_a_run_that_needs_it_no_bucket_is_asked_for(tmp_path: Path) -> None:
    settings = WatchSettings.model_validate(WHO | {"state": tmp_path})
    assert [each.name for each in all_sources(settings, [VERDICT], Clock())] == [
        "evidence",
        "airflow_health",
        "airflow",
    ]


def test_two_sources_remember_in_one_file_what_each_expects(tmp_path: Path) -> None:
    settings = WatchSettings.model_validate(WHO | IN_BUCKET | {"state": tmp_path})
    first = BackupsSource(settings, [VERDICT, run()], Clock(NOW))._since
    assert set(first) == {"daily_health_check", "daily_database_backup"}
    assert EvidenceSource(settings, [VERDICT, run()], Clock(NOW + timedelta(days=1)))._since == first


def test_a_store_that_does_not_answer_is_an_error_and_not_zero_backups(tmp_path: Path) -> None:
    settings = WatchSettings.model_validate(WHO | IN_BUCKET | {"state": tmp_path})
    with pytest.raises(TransientError, match="the store did not answer"):
        BackupsSource(settings, [run()], Clock()).look()


class Pages:
    """A client of S3 whose list ends as boto3 ends it when the store does not say how it goes on."""

    def get_paginator(self, name: str) -> Pages:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        found = {"Key": "k", "VersionId": "v", "Size": 1, "LastModified": NOW, "IsLatest": True}
        return [{"IsTruncated": True, "Versions": [found]}]


def test_half_a_list_is_no_list() -> None:
    with pytest.raises(TransientError, match="only in part"):
        list(Store(Pages(), "b", who="x").versions("backups/"))


@pytest.fixture
def backups(site: Site) -> Backups:
    return Backups(site, f"watch-{uuid4().hex[:8]}")


@pytest.fixture
def source(backups: Backups, tmp_path: Path) -> Callable[..., BackupsSource]:
    variables = environment(backups.site)

    def make(**changes: Any) -> BackupsSource:
        read = {name: variables[f"WATCH_{name.upper()}"] for name in BUCKET_SETTINGS}
        settings = WatchSettings.model_validate(WHO | read | {"state": tmp_path} | changes)
        return BackupsSource(settings, [VERDICT, run(backups.database)], Clock(NOW, speed=0))

    return make


def gauges(source: BackupsSource) -> dict[str, float]:
    assert {each.label for each in source.look()} == {"daily_database_backup", source.runs[1].database}
    return {each.name.removeprefix("watch_"): each.value for each in source.look()}


YESTERDAY = DUE - timedelta(days=1) + timedelta(minutes=1)
TONIGHT = DUE + timedelta(minutes=1)


@pytest.mark.integration
def test_a_good_backup_of_tonight_is_the_proof_and_its_figures_are_shown(backups: Backups, source: Any) -> None:
    backups.good(YESTERDAY)
    backups.good(TONIGHT)
    assert gauges(source()) == {
        "run_overdue_seconds": 0.0,
        "last_due_timestamp_seconds": DUE.timestamp(),
        "last_evidence_timestamp_seconds": TONIGHT.timestamp(),
        "newest_good_backup_timestamp_seconds": TONIGHT.timestamp(),
        "newest_good_backup_bytes": 5_320.0,
        "backup_restore_seconds": 12.5,
        "backups_bad": 0.0,
    }


@pytest.mark.integration
@pytest.mark.parametrize(
    ("tonight", "bad"),
    [
        ({}, 0),
        ({"verdict": "UNPROVED"}, 0),
        ({"verdict": "BAD"}, 1),
        ({"verdict": "GOOD", "cut_to": 500}, 1),
        ({"verdict": "GOOD", "cut_to": 0}, 1),
        ({"verdict": "GOOD", "proved": b"another manifest"}, 0),
        ({"verdict": "GOOD", "taken_at": NOW + timedelta(minutes=6)}, 0),
        ({"verdict": "GOOD", "taken_at": DUE - timedelta(minutes=1)}, 0),
    ],
)
def test_what_is_not_good_and_of_tonight_is_no_proof(
    backups: Backups, source: Any, tonight: dict[str, Any], bad: int
) -> None:
    backups.good(YESTERDAY)
    backups.put(**{"taken_at": TONIGHT} | tonight)
    shown = gauges(source())
    assert shown["run_overdue_seconds"] == (NOW - DUE - timedelta(minutes=80)).total_seconds()
    assert shown["last_evidence_timestamp_seconds"] < DUE.timestamp()
    assert shown["backups_bad"] == bad


@pytest.mark.integration
def test_a_bucket_without_backups_is_seen_and_shows_none(source: Any) -> None:
    assert gauges(source()) == {
        "run_overdue_seconds": 0.0,  # first expected now
        "last_due_timestamp_seconds": DUE.timestamp(),
        "backups_bad": 0.0,
    }


@pytest.mark.integration
def test_the_newest_good_one_is_found_however_old_it_is_and_old_bad_ones_are_not_counted(
    backups: Backups, source: Any
) -> None:
    old = NOW - timedelta(days=40)
    backups.good(old)
    backups.put(NOW - timedelta(days=8), verdict="BAD")
    backups.put(NOW - timedelta(days=6), verdict="BAD")
    shown = gauges(source())
    assert shown["newest_good_backup_timestamp_seconds"] == old.timestamp()
    assert shown["backups_bad"] == 1


def asked_by(source: BackupsSource, operation: str) -> list[str]:
    """Return the list to which every request of that kind will be added."""
    asked = list[str]()

    def note(**sent: Any) -> None:
        asked.append(sent["request"].url)

    source._store.client.meta.events.register(f"before-send.s3.{operation}", note)
    return asked


@pytest.mark.integration
def test_a_look_reads_the_marks_of_seven_days_and_no_manifest_twice(backups: Backups, source: Any) -> None:
    looking = source()
    manifests, marks = asked_by(looking, "GetObject"), asked_by(looking, "GetObjectTagging")
    lists = asked_by(looking, "ListObjectVersions")
    keys = [backups.good(TONIGHT - timedelta(days=days)) for days in (1, 6, 7, 30)]
    for _ in range(3):
        looking.look()
    assert sorted(url.partition("?")[0].rpartition("/2026")[2] for url in manifests) == sorted(
        f"{key.rpartition('/2026')[2]}manifest.json" for key in keys[:2]
    )
    assert (len(lists), len(marks)) == (3, 3 * 2)


@pytest.mark.integration
def test_a_manifest_that_arrived_wrong_is_fetched_once_more_and_remembered_when_it_is_whole(
    backups: Backups, source: Any
) -> None:
    backups.good(TONIGHT)
    with storefront(backups.site.ports["s3"]) as front:
        front.fault("GetObject", answers.flip_answer(300), times=1)
        looking = source(s3_endpoint_url=front.url)
        manifests = asked_by(looking, "GetObject")
        for _ in range(3):
            shown = gauges(looking)
            assert (shown["newest_good_backup_timestamp_seconds"], shown["backups_bad"]) == (TONIGHT.timestamp(), 0)
    assert len(manifests) == 2


@pytest.mark.integration
def test_a_mark_that_changes_and_a_manifest_that_is_written_over_are_seen(backups: Backups, source: Any) -> None:
    looking, before = source(), YESTERDAY - timedelta(days=7)
    backups.good(before)
    place = {"Bucket": BUCKET, "Key": f"{backups.good(YESTERDAY)}manifest.json"}
    assert gauges(looking)["newest_good_backup_timestamp_seconds"] == YESTERDAY.timestamp()

    stored = client(backups.site).get_object(**place)
    text = stored["Body"].read()
    backups.mark(place["Key"].removesuffix("manifest.json"), stored["VersionId"], "BAD", sha256(text))
    shown = gauges(looking)
    assert (shown["newest_good_backup_timestamp_seconds"], shown["backups_bad"]) == (before.timestamp(), 1)

    client(backups.site).put_object(**place, Body=text[:-5])
    shown = gauges(looking)
    assert (shown["newest_good_backup_timestamp_seconds"], shown["backups_bad"]) == (before.timestamp(), 1)
    client(backups.site).put_object(**place, Body=text)
    assert gauges(looking)["backups_bad"] == 1, "what was BAD is not hidden by the same manifest without a mark"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"s3_access_key": "backup_writer"}, "the user of WATCH_S3_ACCESS_KEY lacks the right"),
        ({"s3_secret_key": "wrong-canary"}, "the user of WATCH_S3_ACCESS_KEY lacks the right"),
        ({"backup_bucket": "nowhere"}, "there is no bucket 'nowhere'"),
    ],
)
def test_a_bucket_that_may_not_be_read_takes_the_source_down(
    backups: Backups, source: Any, change: dict[str, str], said: str
) -> None:
    if "s3_access_key" in change:
        change = change | {"s3_secret_key": backups.site.secret("s3-backup_writer")}
    backups.good(TONIGHT)
    looking, board = source(**change), Board(["backups"], stale_after_s=60)
    news = _look(looking, board)
    assert said in news
    assert "canary" not in news
    up, last_look = board.samples()
    assert (up.name, up.value, up.label) == ("watch_source_up", 0.0, "backups")
    assert last_look.name == "watch_last_look_timestamp_seconds"


@pytest.mark.integration
def test_a_manifest_that_may_not_be_read_takes_the_source_down(
    backups: Backups, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.good(TONIGHT)
    looking = source()
    asked_wrongly = client(backups.site, "backup_writer").get_object_tagging
    monkeypatch.setattr(looking._store.client, "get_object_tagging", asked_wrongly)
    with pytest.raises(ConfigurationError, match="refused to read the tags"):
        looking.look()
