"""Old backups in the real bucket: marked as the verifier, deleted as the reaper, whatever breaks in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.backups import keys, retire
from include.backups.catalogue import Verdict
from include.backups.retire import HOLD, MARK
from include.backups.store import Store
from include.backups.sweep import orphans
from include.errors import ConfigurationError, RefusedError, RunbookError, TransientError, VerificationError
from include.plans.retention import Deed, Plan, Seen, decide
from sandbox.components import s3
from sandbox.site import Site
from tests.include.backups.aged import Aged, days_ago, names

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def clients() -> dict[str, Store]:
    return {}


@pytest.fixture
def here(site: Site, clients: dict[str, Store]) -> Aged:
    return Aged(site, clients=clients)


@pytest.fixture
def reaper(here: Aged) -> Store:
    return here.store("backup_reaper")


def deeds(plan: Plan) -> dict[str, Deed]:
    assert plan.frozen == ""
    return {step.seen.key: step.deed for step in plan.steps}


def run(here: Aged) -> retire.Retired:
    """What `mark_backups` and `delete_marked` do, one after the other."""
    mark(here)
    return retire.retire(here.store("backup_reaper"), here.plan())


def mark(here: Aged) -> None:
    verifier, plan = here.store("backup_verifier"), here.plan()
    for seen in plan.of(Deed.MARK):
        retire.mark(verifier, seen, plan.at)
    for seen in plan.of(Deed.UNMARK):
        retire.unmark(verifier, seen)


def test_an_old_backup_is_marked_first_and_nothing_else_of_it_or_of_others_changes(here: Aged) -> None:
    old, week = here.backup(40), here.week()
    before = here.tags(old)
    assert deeds(here.plan()) == {old: Deed.MARK, **dict.fromkeys(week, Deed.KEEP)}
    assert run(here).gone == []
    after = here.tags(old)
    assert {name: value for name, value in after.items() if name != MARK} == before
    assert before["verdict"] == "GOOD"
    assert datetime.now(UTC) - datetime.fromisoformat(after[MARK]) < timedelta(minutes=1)
    assert here.world.catalogue().find(old).is_good
    assert [MARK in here.tags(each) for each in week] == [False] * len(week)
    assert deeds(here.plan())[old] is Deed.WAIT


def test_a_second_run_marks_nothing_anew(here: Aged) -> None:
    here.backup(40)
    here.week()
    run(here)
    before = here.snapshot()
    run(here)
    assert here.snapshot() == before


def test_a_marked_backup_goes_with_all_versions_and_the_run_says_how_many_bytes(here: Aged) -> None:
    old = here.marked()
    here.put(old + keys.GLOBALS, b"a second try" * 10)  # as when an answer was lost and the client sent it again
    here.age(old, days_ago(40))
    week = here.week()
    mine = here.versions(old.removeprefix(here.prefix))
    assert len(mine) == 5
    retired = run(here)
    assert (retired.gone, retired.left) == ([old], {})
    assert retired.freed_bytes == sum(version.bytes for version in mine) == 5000 + 300 + 200 + 120 + mine[-1].bytes
    assert here.keys() == set(week)
    assert run(here).gone == []


@pytest.mark.parametrize("verdict", [Verdict.BAD, None])
def test_an_old_one_that_is_bad_or_that_nobody_proved_goes_too(here: Aged, verdict: Verdict | None) -> None:
    old, week = here.marked(verdict=verdict), here.week()
    assert run(here).gone == [old]
    assert here.keys() == set(week)


def test_one_that_no_longer_qualifies_loses_its_mark_and_keeps_its_verdict(here: Aged) -> None:
    held, young, unproved = here.marked(hold="audit"), here.marked(20), here.marked(21, verdict=None)
    here.week()
    before = here.tags(held)
    assert run(here).gone == []
    assert here.tags(held) == {name: value for name, value in before.items() if name != MARK}
    assert MARK not in here.tags(young)
    assert here.tags(unproved) == {}


def test_what_is_held_by_a_tag_or_by_the_store_in_use_or_strange_stays(here: Aged) -> None:
    held, legal, used, strange, torn = (here.marked(40 + number) for number in range(5))
    week = here.week()
    retire.hold(here.store("backup_verifier"), here.world.catalogue().find(held), "for the auditors; see <#12>")
    keep_legally(here, legal, "ON")
    here.put(strange + "notes.txt", b"do not delete")
    here.put(torn + keys.MANIFEST, b"{}")
    for key in (strange, torn):
        here.age(key, days_ago(40))
        os.utime(here.site.path("s3", "objects", s3.BUCKET, *key.rstrip("/").split("/")), None)
    plan = decide(here.observe(**{used: "database_recovery"}), here.limits)
    assert deeds(plan) == {
        **dict.fromkeys([held, legal, used, strange, torn], Deed.UNMARK),
        **dict.fromkeys(week, Deed.KEEP),
    }
    reasons = {step.seen.key: step.reason for step in plan.steps}
    assert reasons[held] == "held: for the auditors  see   12"
    assert reasons[legal] == "held: a legal hold of the store"
    assert reasons[used] == "in use by database_recovery"
    assert reasons[strange].startswith("notes.txt lies beside it and is none of ours")
    assert reasons[torn].startswith("its manifest cannot be read")
    keep_legally(here, legal, "OFF")


def keep_legally(here: Aged, key: str, status: str) -> None:
    (dump,) = [each for each in here.versions() if each.key == key + keys.DUMP]
    which = {"Bucket": s3.BUCKET, "Key": dump.key, "VersionId": dump.id}
    here.root.put_object_legal_hold(**which, LegalHold={"Status": status})


def test_a_hold_is_released_and_nothing_else_changes(here: Aged) -> None:
    old, verifier = here.backup(40), here.store("backup_verifier")
    before = here.tags(old)
    for reason in ("", "audit"):
        retire.hold(verifier, here.world.catalogue().find(old), reason)
        assert here.tags(old) == {**before, HOLD: reason}
    retire.release(verifier, here.world.catalogue().find(old))
    assert here.tags(old) == before


def test_bug_03_what_is_none_of_ours_is_named_and_untouched(here: Aged) -> None:
    here.marked()
    foreign = [
        here.prefix + name for name in ("notes.txt", "2020/01/01/dump.age", "2020/01/01/020013Z-1f0c9a2e-0/dump.age")
    ]
    elsewhere = f"backups/config/{here.database}/2020/01/01/020013Z-1f0c9a2e-1/manifest.json"
    for key in (*foreign, elsewhere):
        here.put(key, b"x")
        here.age(key, days_ago(400))
    week = here.week()
    observed = here.observe()
    assert sorted(observed.foreign) == sorted(foreign)
    assert all(keys.parse(seen.key) for seen in observed.backups)
    assert len(run(here).gone) == 1
    assert {each.key for each in here.versions()} - {key + name for key in week for name in NAMES} == set(foreign)
    assert here.root.head_object(Bucket=s3.BUCKET, Key=elsewhere)["ContentLength"] == 1


NAMES = (keys.DUMP, keys.FINGERPRINT, keys.GLOBALS, keys.MANIFEST)


def test_a_good_one_that_lost_its_dump_is_no_good_one_and_does_not_count(here: Aged) -> None:
    old, week = here.marked(), here.week()
    (dump,) = [each for each in here.versions() if each.key == week[0] + keys.DUMP]
    here.root.delete_object(Bucket=s3.BUCKET, Key=dump.key, VersionId=dump.id)
    plan = here.plan()
    assert deeds(plan)[old] is Deed.UNMARK
    assert next(step.seen.verdict for step in plan.steps if step.seen.key == week[0]) is Verdict.BAD


def test_a_locked_one_is_told_and_not_tried(here: Aged) -> None:
    old = here.marked()
    here.week()
    until = lock(here, old, seconds=120)
    (step,) = [step for step in here.plan().steps if step.seen.key == old]
    assert (step.deed, step.reason) == (Deed.WAIT, f"still locked until {until:%Y-%m-%d %H:%M} UTC")
    before = here.snapshot()
    assert run(here) == retire.Retired(gone=[], left={}, freed_bytes=0)
    assert here.snapshot() == before


def test_one_that_was_locked_held_or_unmarked_after_the_plan_is_left_whole_and_told(here: Aged, reaper: Store) -> None:
    locked, held, unmarked, written = (here.marked(50 - number) for number in range(4))
    here.week()
    plan, verifier, found = here.plan(), here.store("backup_verifier"), here.world.catalogue()
    lock(here, locked, seconds=120)
    retire.hold(verifier, found.find(held), "audit")
    retire.retag(verifier, unmarked, found.find(unmarked).version_id, {MARK: None})
    here.put(written + keys.DUMP, b"new")
    assert len(plan.of(Deed.DELETE)) == 4
    before = here.snapshot()
    retired = retire.retire(reaper, plan)
    assert retired.gone == []
    assert "is still locked until" in retired.left[locked]
    assert "was held after it was looked at" in retired.left[held]
    assert "does not bear the mark any more" in retired.left[unmarked]
    assert "changed after it was looked at" in retired.left[written]
    assert here.snapshot() == before


def lock(here: Aged, key: str, seconds: int) -> datetime:
    """Lock only the dump: all of it must stay."""
    (dump,) = [each for each in here.versions() if each.key == key + keys.DUMP]
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    here.store("backup_verifier").lock(dump.key, dump.id, until)
    return until


@pytest.mark.parametrize("after", range(5))
def test_a_deletion_that_is_killed_leaves_no_backup_or_a_whole_one_and_the_next_run_ends_it(
    here: Aged, after: int
) -> None:
    old, week = here.marked(), here.week()
    again = here.put(old + keys.MANIFEST, here.store("watch").get(old + keys.MANIFEST, ""))  # older versions go too
    here.age(old, days_ago(40))
    move_marks(here, old, again)
    killed(here, after)
    versions = here.versions(old.removeprefix(here.prefix))
    assert len(versions) == 5 - after
    catalogue = here.world.catalogue()
    if after < 2:
        assert catalogue.find(old).is_good
        assert names(versions).count(keys.MANIFEST) == 2 - after
        assert {*NAMES} <= {*names(versions)}
    else:
        assert [backup.key for backup in catalogue.backups] == week
    assert [backup.is_good for backup in catalogue.backups if backup.key in week] == [True] * len(week)
    run(here)
    swept(here)
    assert here.keys() == set(week)


def move_marks(here: Aged, key: str, to: str) -> None:
    """Let the tags of the older version of a manifest be those of the newer one, too."""
    (first,) = [each.id for each in here.versions() if each.key == key + keys.MANIFEST and each.id != to]
    pairs = here.root.get_object_tagging(Bucket=s3.BUCKET, Key=key + keys.MANIFEST, VersionId=first)["TagSet"]
    here.root.put_object_tagging(Bucket=s3.BUCKET, Key=key + keys.MANIFEST, VersionId=to, Tagging={"TagSet": pairs})


def killed(here: Aged, after: int) -> None:
    """Delete in a process of its own that dies after so many objects."""
    plan = here.plan()
    assert len(plan.of(Deed.DELETE)) == 1
    if not (child := os.fork()):
        try:
            retire.retire(Dying(here.world.store("backup_reaper"), after), plan)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


class Dying(Store):
    """A store whose user is killed when it deletes once more."""

    def __init__(self, store: Store, after: int) -> None:
        super().__init__(store.client, store.bucket, who=store.who)
        self.left = after

    def delete(self, key: str, version_id: str) -> None:
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().delete(key, version_id)


def swept(here: Aged) -> None:
    """Remove what the sweep of the runbook would; its scratch server has no part in this."""
    reaper = here.store("backup_reaper")
    for version in orphans(list(reaper.versions(here.prefix)), days_ago(0.5)):
        reaper.delete(version.key, version.id)


class CutShort(Store):
    """A store whose listings end early, with or without a word."""

    def __init__(self, store: Store, deed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(store.client, store.bucket, who=store.who)
        self.deed = deed

    @property
    def client(self) -> Any:
        return self

    @client.setter
    def client(self, client: Any) -> None:
        self.real = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_paginator(self, name: str) -> Any:
        real, deed = self.real.get_paginator(name), self.deed

        class Paginator:
            def paginate(self, **known: Any) -> Any:
                return [deed(next(iter(real.paginate(**known))))]

        return Paginator()


def test_a_listing_that_is_cut_short_lets_nothing_go(here: Aged) -> None:
    here.marked()
    here.week()
    cut = CutShort(
        here.store("backup_verifier"), lambda page: {**page, "Versions": page["Versions"][:-1], "IsTruncated": True}
    )
    with pytest.raises(TransientError, match=r"listed backups/database/retired_.* only in part"):
        retire.Observer(store=cut, database=here.database, limits=here.limits, in_use={}).look()


@pytest.mark.parametrize("left", range(1, 16, 3))
def test_a_listing_that_ends_early_without_a_word_deletes_nothing_that_must_stay(
    here: Aged, reaper: Store, left: int
) -> None:
    old, week = here.marked(), here.week()
    short = CutShort(here.store("backup_verifier"), lambda page: {**page, "Versions": page["Versions"][:left]})
    plan = decide(
        retire.Observer(store=short, database=here.database, limits=here.limits, in_use={}).look(), here.limits
    )
    retire.retire(reaper, plan)
    assert here.keys() == {old, *week}


def test_whoever_lacks_a_right_deletes_nothing_and_says_what_it_lacks(here: Aged) -> None:
    here.marked()
    here.week()
    before, plan = here.snapshot(), here.plan()
    for user in ("backup_writer", "backup_verifier", "watch"):
        with pytest.raises(ConfigurationError, match="lacks the right, or its keys are wrong; see deploy/s3"):
            retire.retire(here.store(user), plan)
    with pytest.raises(ConfigurationError, match="the store refused to mark"):
        retire.mark(here.store("backup_reaper"), plan.of(Deed.DELETE)[0], plan.at + timedelta(days=1))
    with pytest.raises(ConfigurationError, match="the store refused to"):
        retire.Observer(store=here.store("backup_reaper"), database=here.database, limits=here.limits, in_use={}).look()
    assert here.snapshot() == before


def test_who_lost_the_lease_in_the_middle_deletes_nothing_more(here: Aged, reaper: Store) -> None:
    first, second, third = (here.marked(age) for age in (50, 49, 48))
    here.week()
    asked: list[int] = []

    def guard() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise RefusedError("the lease is lost")

    retired = retire.retire(reaper, here.plan(), guard)
    assert (retired.gone, retired.left) == ([first], dict.fromkeys([second, third], "the lease is lost"))


def test_an_error_in_the_middle_ends_it_and_says_what_was_deleted_before(here: Aged, reaper: Store) -> None:
    _, second, third = (here.marked(age) for age in (50, 49, 48))
    week = here.week()
    failing = Failing(reaper, after=5)
    with pytest.raises(
        TransientError, match=r"the store said SlowDown.*; 1 backups were deleted before, and no more are in this"
    ):
        retire.retire(failing, here.plan())
    assert here.keys() == {second, third, *week}
    swept(here)
    assert run(here).gone == [third]
    assert here.keys() == set(week)


class Failing(Dying):
    def delete(self, key: str, version_id: str) -> None:
        if not self.left:
            raise TransientError(f"the store said SlowDown, later, when asked to delete {key}")
        super().delete(key, version_id)


def test_a_store_that_says_yes_and_deletes_nothing_is_found_out(here: Aged, reaper: Store) -> None:
    old = here.marked()
    here.week()

    class Lying(Dying):
        def delete(self, key: str, version_id: str) -> None:
            pass

    with pytest.raises(
        VerificationError, match=rf"{old} was deleted and .* is still there.*; 0 backups were deleted before"
    ):
        retire.retire(Lying(reaper, 0), here.plan())


def test_tags_that_somebody_else_writes_meanwhile_are_found_out(here: Aged) -> None:
    here.backup(40)
    here.week()
    (seen,) = here.plan().of(Deed.MARK)

    class Racing(Store):
        """Somebody holds the backup between our write and our look."""

        def tags(self, key: str, version_id: str) -> dict[str, str]:
            found = super().tags(key, version_id)
            return {**found, HOLD: "now"} if MARK in found else found

    store = here.store("backup_verifier")
    with pytest.raises(VerificationError, match=r"the tags hold of .* are not what was just written"):
        retire.mark(Racing(store.client, store.bucket, who="x"), seen, datetime.now(UTC))


def test_more_than_a_run_may_delete_goes_in_several_runs_oldest_first(here: Aged) -> None:
    old = [here.marked(60 - number) for number in range(7)]
    week = here.week()
    assert run(here).gone == old[:5]
    assert run(here).gone == old[5:]
    assert here.keys() == set(week)


def test_clocks_are_ours_and_the_one_above_the_stores_answers(here: Aged) -> None:
    ours, theirs = retire.clocks(here.store("backup_verifier"))
    assert abs(ours - theirs) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("Thu, 26 Nov 2026 05:00:00 GMT", datetime(2026, 11, 26, 5, tzinfo=UTC)),
        ("Thu, 26 Nov 2026 05:00:00 -0000", datetime(2026, 11, 26, 5, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
    ],
)
def test_a_store_that_does_not_say_what_time_it_is_lets_nothing_go(date: str, found: datetime | None) -> None:
    class Client:
        def get_bucket_versioning(self, **_: str) -> dict[str, Any]:
            return {"ResponseMetadata": {"HTTPHeaders": {"date": date} if date else {}}}

    store = Store(Client(), "bucket", who="x")
    if found:
        assert retire.clocks(store)[1] == found
    else:
        with pytest.raises(RunbookError, match="does not say what time it is"):
            retire.clocks(store)


def test_what_was_not_marked_is_never_deleted_whatever_the_plan_says(here: Aged, reaper: Store) -> None:
    here.backup(40)
    here.week()
    (seen,) = here.plan().of(Deed.MARK)
    for wrong in (seen, replace(seen, mark=days_ago(8).isoformat())):
        with pytest.raises(RefusedError, match="does not bear the mark"):
            retire.delete(reaper, wrong, datetime.now(UTC))


def test_the_manifest_that_is_marked_goes_last_of_the_manifests_and_before_everything_else(here: Aged) -> None:
    here.marked()
    here.week()
    seen: Seen = here.plan().of(Deed.DELETE)[0]
    manifests = [
        replace(seen.versions[0], key=seen.key + keys.MANIFEST, id=name) for name in ("z", seen.manifest_id, "a")
    ]
    ordered = retire.in_order(replace(seen, versions=[seen.versions[0], *manifests]))
    assert names(ordered) == [keys.MANIFEST] * 3 + [keys.DUMP]
    assert ordered[2].id == seen.manifest_id


def test_the_reaper_cannot_delete_a_locked_one_even_if_it_tried(here: Aged, reaper: Store) -> None:
    old = here.marked()
    lock(here, old, seconds=60)
    (dump,) = [each for each in here.versions() if each.key == old + keys.DUMP]
    with pytest.raises(ClientError, match="AccessDenied"):
        reaper.client.delete_object(Bucket=s3.BUCKET, Key=dump.key, VersionId=dump.id)
