"""The runbook itself, in a running Airflow: by hand it shows and changes nothing; told to act it marks, deletes and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from include.backups.catalogue import Verdict
from include.backups.moving import size
from include.backups.retire import MARK
from include.settings import RetentionLimits
from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from tests.faults.storefront import Storefront, storefront
from tests.include.backups.aged import Aged
from tests.integration.test_blind_sources import change

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG_ID = "backup_retention"
ACTING = ("mark_backups", "delete_marked", "sweep_leftovers")


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    return airflow


@pytest.fixture
def front(airflow: Airflow) -> Iterator[Storefront]:
    """What stands between the runbook and the store, and counts."""
    ids = (IDS.backup_verifier, IDS.backup_reaper)
    with storefront(airflow.site.ports["s3"]) as opened:
        for conn_id in ids:
            fields = all_of(airflow.site)[conn_id]
            change(airflow, conn_id, {**fields, "extra": {**fields["extra"], "endpoint_url": opened.url}})
        try:
            yield opened
        finally:
            for conn_id in ids:
                change(airflow, conn_id, all_of(airflow.site)[conn_id])


@dataclass(frozen=True)
class Scene:
    """A bucket with a healthy week, one that may be marked, one that may be deleted, and one that is kept for its month."""

    here: Aged
    monthly: str
    old: str
    marked: str
    week: list[str]

    @property
    def mine(self) -> list[str]:
        return [self.monthly, self.old, self.marked, *self.week]


@pytest.fixture
def scene(airflow_site: Site) -> Iterator[Scene]:
    here = Aged(airflow_site, RetentionLimits(), "orchestrator")
    month = here.backup(300.001)
    made = Scene(here, month, here.backup(300), here.marked(299, Verdict.BAD), here.week())
    yield made
    here.clear(made.mine)  # others take real backups of this database


def ran(airflow: Airflow, **conf: Any) -> tuple[str, str, dict[str, str]]:
    """Trigger by hand; return the run, its state, and those of its tasks."""
    run_id = airflow.trigger(DAG_ID, **conf)
    state = airflow.wait_for_run(DAG_ID, run_id)["state"]
    return run_id, state, {name: task["state"] for name, task in airflow.tasks(DAG_ID, run_id).items()}


def evidence(site: Site, run_id: str, check: str) -> tuple[str, str, Mapping[str, Any]]:
    """Verdict, summary and detail of the only row of a check."""
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = 'select verdict, summary, detail from ops.evidence where run_id = %s and "check" = %s and item like %s'
        (row,) = ops.execute(query, [run_id, check, "B-0%"]).fetchall()
    verdict, summary, detail = row
    return verdict, summary, detail


def changes(front: Storefront) -> list[str]:
    assert len(front.requests) > 20
    return [asked.operation for asked in front.requests if asked.method not in {"GET", "HEAD"}]


def test_b_06_a_run_by_hand_shows_every_key_with_its_reason_and_changes_nothing(
    airflow: Airflow, front: Storefront, scene: Scene
) -> None:
    before = scene.here.snapshot()
    run_id, state, states = ran(airflow)
    assert state == "success", states
    assert [states[task] for task in ACTING] == ["skipped"] * 3
    assert changes(front) == []
    assert scene.here.snapshot() == before
    verdict, summary, detail = evidence(airflow.site, run_id, "planned")
    assert (verdict, detail["frozen"]) == ("OK", "")
    steps = {step["key"]: step for step in detail["steps"]}
    assert steps.keys() >= set(scene.mine)
    assert [steps[key]["deed"] for key in scene.mine[:4]] == ["keep", "mark", "delete", "keep"]
    assert steps[scene.monthly]["reason"] == "the first good one of its month (kept for 12 months)"
    assert summary.startswith("1 go now, 1 to be marked, ")
    assert evidence(airflow.site, run_id, "deleted")[1] == f"dry run: 1 would be deleted ({scene.marked})"
    log = str(airflow.get(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/plan_retention/logs/1"))
    assert [key for key in scene.mine if key not in log] == []


def test_b_06_bug_02_bug_04_told_to_act_it_deletes_exactly_what_it_had_shown_and_ends_green(
    airflow: Airflow, front: Storefront, scene: Scene
) -> None:
    before = scene.here.snapshot()
    mine = {
        (each.key, each.id): each.bytes for each in scene.here.versions(scene.marked.removeprefix(scene.here.prefix))
    }
    run_id, state, states = ran(airflow, dry_run="no")
    assert state == "success", states
    assert sorted(changes(front)) == ["DeleteObject"] * 4 + ["PutObjectTagging"]
    after = scene.here.snapshot()
    assert before.keys() - after.keys() == mine.keys()
    assert {key for key, _ in [name for name in after if after[name] != before[name]]} == {scene.old + "manifest.json"}
    assert scene.here.tags(scene.old).keys() - {MARK} == scene.here.tags(scene.monthly).keys()
    verdict, summary, detail = evidence(airflow.site, run_id, "deleted")
    assert verdict == "OK"
    assert summary.startswith(f"1 deleted, {size(sum(mine.values()))} freed ({scene.marked}); ")
    assert (detail["gone"], detail["left"]) == ([scene.marked], {})
    assert detail["remaining_good"] >= 9
    assert evidence(airflow.site, run_id, "marked")[1].startswith(f"1 marked to go in 7 d ({scene.old}), 0 unmarked")
    front.requests.clear()
    assert ran(airflow, dry_run="no")[1] == "success"
    assert changes(front) == []


def test_bug_06_bug_08_when_the_newest_backup_is_bad_it_deletes_nothing_and_says_so(
    airflow: Airflow, front: Storefront, scene: Scene
) -> None:
    bad = scene.here.backup(-0.0068, Verdict.BAD)
    before = scene.here.snapshot()
    try:
        run_id, state, states = ran(airflow, dry_run="no")
    finally:
        scene.here.clear([bad])
    assert state == "success"
    assert (states["mark_backups"], states["delete_marked"]) == ("skipped", "skipped")
    assert changes(front) == []
    assert before.keys() - {each for each in before if each[0].startswith(bad)} == scene.here.snapshot().keys()
    said = f"nothing is marked or deleted: the newest backup {bad} is BAD"
    assert evidence(airflow.site, run_id, "planned")[:2] == ("WARNING", said)
    assert said in reports(airflow.site, run_id)


def reports(site: Site, run_id: str) -> str:
    recorded = httpx.get(f"{site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
    bodies = [each["body"] for each in recorded["recorded"] if each["path"].endswith("chat.postMessage")]
    return "".join(str(body) for body in bodies if run_id in str(body))


def test_a_choice_that_is_none_ends_before_the_first_deed(airflow: Airflow, scene: Scene) -> None:
    before = scene.here.snapshot()
    with pytest.raises(httpx.HTTPStatusError):
        airflow.trigger(DAG_ID, dry_run="nope")
    assert scene.here.snapshot() == before
