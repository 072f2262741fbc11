from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Any

import pytest

from include.backups import catalogue, keys, manifest
from include.backups.catalogue import Backup, Catalogue, Mark, Verdict
from include.backups.manifest import Previous, sha256
from include.errors import ConfigurationError, PermanentError, RunbookError
from tests.include.backups.bucket import Bucket, client_error
from tests.include.backups.samples import AT, KEY, OP_ID, at_key

MARK = Mark(
    verdict=Verdict.GOOD, at=AT, manifest="c" * 64, restore_s=12.5, rto_s=30.1, rpo_s=86_400.0, reason="all is equal"
)


def key(day: int) -> str:
    return keys.fresh("orchestrator", AT + timedelta(days=day), OP_ID, 1)


def backup(day: int, verdict: Verdict = Verdict.UNPROVED, **changed: Any) -> Backup:
    mark = None if verdict is Verdict.UNPROVED else Mark(verdict=verdict, at=AT, manifest="c" * 64)
    known: dict[str, Any] = {"manifest": at_key(key(day)), "mark": mark, "sha256": "c" * 64}
    return Backup(key=key(day), version_id="v", stored_at=AT + timedelta(days=day), **known | changed)


def torn(day: int) -> Backup:
    return backup(day, Verdict.GOOD, manifest=None, problem="it is torn")


def test_a_mark_comes_back_from_its_tags() -> None:
    assert Mark.read(MARK.tags()) == MARK


def test_a_mark_counts_seconds_to_a_tenth_and_leaves_out_parts_of_the_moment() -> None:
    found = Mark.read(Mark(verdict=Verdict.BAD, at=AT.replace(microsecond=5), manifest="m", rto_s=1.26).tags())
    assert found == Mark(verdict=Verdict.BAD, at=AT, manifest="m", rto_s=1.3)


def test_a_reason_is_written_in_letters_that_a_tag_of_s3_may_have() -> None:
    everything = "".join(map(chr, range(0xD800)))
    for start in range(0, len(everything), 250):
        reason = Mark(verdict=Verdict.BAD, at=AT, manifest="m", reason=everything[start : start + 250]).tags()["reason"]
        wrong = {
            letter for letter in reason if letter not in " .:/=+-_@" and unicodedata.category(letter)[0] not in "LNZ"
        }
        assert not wrong
        assert len(reason) <= 256


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ('table "S"."t" has 1 rows; look, (and 2 more)', "table  S . t  has 1 rows  look   and 2 more "),
        ("two\nlines", "two lines"),
        ("x" * 1000, "x" * 250),
        ("", ""),
        (
            "backups/database/o/2026/11/25/020013Z-1f0c9a2e-1/: a_b=c+d@e",
            "backups/database/o/2026/11/25/020013Z-1f0c9a2e-1/: a_b=c+d@e",
        ),
    ],
)
def test_a_reason_stays_readable(reason: str, written: str) -> None:
    assert Mark(verdict=Verdict.BAD, at=AT, manifest="m", reason=reason).tags()["reason"] == written


def test_a_version_may_have_ten_tags_and_a_mark_has_fewer() -> None:
    assert len(MARK.tags()) <= 10
    assert all(len(name) <= 128 and len(value) <= 256 for name, value in MARK.tags().items())


def test_a_mark_without_its_numbers_is_still_one() -> None:
    assert Mark.read({"verdict": "GOOD", "at": "2026-11-25T02:00:13+00:00", "manifest": "m"}) == Mark(
        verdict=Verdict.GOOD, at=AT, manifest="m"
    )


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"owner": "somebody"},
        *(
            {name: value for name, value in MARK.tags().items() if name != left}
            for left in ("verdict", "at", "manifest")
        ),
        MARK.tags() | {"verdict": "good"},
        MARK.tags() | {"verdict": ""},
        MARK.tags() | {"at": "yesterday"},
        MARK.tags() | {"at": "2026-11-25T02:00:13"},
        MARK.tags() | {"rto_s": "fast"},
        MARK.tags() | {"rto_s": "nan"},
    ],
)
def test_tags_that_we_could_not_have_written_are_no_mark(tags: dict[str, str]) -> None:
    assert Mark.read(tags) is None


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (backup(0), Verdict.UNPROVED),
        (backup(0, Verdict.GOOD), Verdict.GOOD),
        (backup(0, Verdict.BAD), Verdict.BAD),
        (backup(0, Verdict.GOOD, sha256="d" * 64), Verdict.UNPROVED),
        (backup(0, Verdict.BAD, sha256="d" * 64), Verdict.UNPROVED),
        (torn(0), Verdict.BAD),
    ],
)
def test_only_a_mark_on_exactly_this_manifest_counts(seen: Backup, verdict: Verdict) -> None:
    assert seen.verdict is verdict
    assert seen.is_good is (verdict is Verdict.GOOD)


def test_a_backup_is_as_old_as_its_snapshot_and_a_torn_one_as_its_object() -> None:
    assert backup(1).at == AT
    assert torn(1).at == AT + timedelta(days=1)


def of(*backups: Backup) -> Catalogue:
    return Catalogue(backups=backups, unfinished=())


@pytest.mark.parametrize(
    ("found", "newest", "newest_good"),
    [
        (of(), None, None),
        (of(backup(1)), 1, None),
        (of(torn(1)), None, None),
        (of(backup(1, Verdict.GOOD), backup(2)), 2, 1),
        (of(backup(1, Verdict.GOOD), backup(2, Verdict.BAD), torn(3)), 2, 1),
        (of(backup(1, Verdict.GOOD), backup(2, Verdict.GOOD), backup(3, Verdict.GOOD, sha256="d" * 64)), 3, 2),
    ],
)
def test_the_newest_is_any_that_can_be_read_and_the_newest_good_only_one_that_was_proved(
    found: Catalogue, newest: int | None, newest_good: int | None
) -> None:
    assert (found.newest.key if found.newest else None) == (key(newest) if newest else None)
    assert (found.newest_good.key if found.newest_good else None) == (key(newest_good) if newest_good else None)


@pytest.mark.parametrize(("of_day", "before"), [(0, None), (1, None), (2, 1), (3, 1), (4, 3), (5, 3)])
def test_a_backup_is_judged_by_the_newest_good_one_before_it_and_by_no_later_one(
    of_day: int, before: int | None
) -> None:
    good = Verdict.GOOD
    found = of(backup(1, good), backup(2, Verdict.BAD), backup(3, good), backup(4), backup(5, good)).good_before(
        key(of_day)
    )
    assert (found.key if found else None) == (key(before) if before else None)


def test_a_backup_is_found_by_its_key_with_and_without_the_slash_and_the_newest_good_one_without_any() -> None:
    found = of(backup(1, Verdict.GOOD), backup(2, Verdict.BAD))
    assert found.find(key(2)).key == key(2)
    assert found.find(key(1).rstrip("/")).key == key(1)
    assert found.find("").key == key(1)


@pytest.mark.parametrize(
    ("found", "asked", "said"),
    [
        (of(), "", "^there is no good backup; `python -m include.backups list` shows what is there and why$"),
        (of(backup(1), torn(2)), "", "^there is no good backup; "),
        (of(backup(1, Verdict.GOOD)), key(2), f"^there is no backup {key(2)}; `python -m include.backups list` shows"),
        (of(backup(1, Verdict.GOOD)), key(1)[:-3], "^there is no backup "),
        (of(backup(1, Verdict.GOOD)), "/", "^there is no backup /; "),
    ],
)
def test_what_is_not_there_is_said_with_the_way_to_see_what_is(found: Catalogue, asked: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        found.find(asked)


@pytest.mark.parametrize(("of_day", "before"), [(0, None), (1, None), (2, 1), (3, 2), (9, 3)])
def test_the_one_before_is_the_newest_earlier_one_that_can_be_read(of_day: int, before: int | None) -> None:
    found = of(torn(0), backup(1), backup(2, Verdict.BAD), backup(3, Verdict.GOOD), torn(4))
    assert found.before(key(of_day)) == (Previous(key=key(before), sha256="c" * 64) if before else None)


def put(bucket: Bucket, day: int, *, good: bool = False, **changed: Any) -> None:
    """Write a manifest over whatever is there, and mark it GOOD if wanted."""
    text = manifest.render(at_key(key(day), **changed))
    tags = Mark(verdict=Verdict.GOOD, at=AT, manifest=sha256(text)).tags() if good else {}
    bucket.keep(key(day) + keys.MANIFEST, text, **tags)


def looked(bucket: Bucket, since: str = "") -> dict[str, Verdict]:
    return {each.key: each.verdict for each in catalogue.look(bucket.store, "orchestrator", since).backups}


def test_the_bucket_is_read_oldest_first_with_what_was_found_out() -> None:
    bucket = Bucket()
    put(bucket, 3)
    put(bucket, 1, good=True)
    bucket.keep(key(2) + keys.MANIFEST, b"{", **MARK.tags())
    assert list(looked(bucket).items()) == [(key(1), Verdict.GOOD), (key(2), Verdict.BAD), (key(3), Verdict.UNPROVED)]
    assert list(looked(bucket, since=key(2))) == [key(2), key(3)]
    assert list(looked(bucket, since=key(3) + "x")) == []


def test_objects_without_a_manifest_are_unfinished_and_what_is_not_ours_is_neither() -> None:
    bucket = Bucket()
    put(bucket, 1)
    bucket.keep(key(1) + keys.DUMP, b"x")
    bucket.keep(key(2) + keys.DUMP, b"x")
    bucket.keep(key(2) + keys.GLOBALS, b"x")
    bucket.keep("backups/database/orchestrator/notes.txt", b"x")
    bucket.keep("backups/database/orchestrator/manifest.json", b"x")
    bucket.keep(KEY.replace("orchestrator", "orchestrator2") + keys.MANIFEST, b"x")
    found = catalogue.look(bucket.store, "orchestrator")
    assert [each.key for each in found.backups] == [key(1)]
    assert found.unfinished == [key(2)]


def test_a_manifest_copied_to_another_key_is_bad() -> None:
    bucket = Bucket()
    bucket.keep(key(2) + keys.MANIFEST, manifest.render(at_key(key(1))))
    assert looked(bucket) == {key(2): Verdict.BAD}


def test_a_mark_copied_onto_another_manifest_proves_nothing() -> None:
    bucket = Bucket()
    put(bucket, 1, good=True)
    marked = bucket.kept[key(1) + keys.MANIFEST][0].tags
    bucket.keep(key(2) + keys.MANIFEST, manifest.render(at_key(key(2))), **marked)
    assert looked(bucket) == {key(1): Verdict.GOOD, key(2): Verdict.UNPROVED}


@pytest.mark.parametrize("over", [b"", b"{}", b"\xff" * 100, b"[" * 100_000, manifest.render(at_key(key(1), rows=1))])
def test_what_somebody_wrote_over_a_good_one_does_not_hide_it(over: bytes) -> None:
    bucket = Bucket()
    put(bucket, 1, good=True)
    bucket.keep(key(1) + keys.MANIFEST, over)
    found = catalogue.look(bucket.store, "orchestrator")
    assert looked(bucket) == {key(1): Verdict.GOOD}
    assert found.find("").version_id == "v1"


def test_something_enormous_written_over_a_good_one_does_not_hide_it() -> None:
    bucket = Bucket()
    put(bucket, 1, good=True)
    bucket.keep(key(1) + keys.MANIFEST, b"\0" * ((64 << 20) + 1))
    assert looked(bucket) == {key(1): Verdict.GOOD}


def test_a_good_one_is_found_though_it_was_written_over_something_else() -> None:
    bucket = Bucket()
    bucket.keep(key(1) + keys.MANIFEST, b"torn")
    put(bucket, 1)
    put(bucket, 1, good=True, rows=7)
    found = catalogue.look(bucket.store, "orchestrator")
    assert [(each.version_id, each.is_good) for each in found.backups] == [("v3", True)]


def test_of_several_that_nobody_proved_the_first_that_can_be_read_stands_for_the_key() -> None:
    bucket = Bucket()
    bucket.keep(key(1) + keys.MANIFEST, b"torn")
    put(bucket, 1)
    put(bucket, 1, rows=7)
    assert [each.version_id for each in catalogue.look(bucket.store, "orchestrator").backups] == ["v2"]


@pytest.mark.parametrize(
    ("call", "error", "kind"),
    [
        ("get_object", client_error("AccessDenied", 403), ConfigurationError),
        ("get_object", client_error("InternalError", 500), RunbookError),
        ("get_object_tagging", client_error("AccessDenied", 403), ConfigurationError),
        ("paginate", client_error("SomethingElse", 400), PermanentError),
    ],
)
def test_half_a_look_is_no_look(
    monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, kind: type[RunbookError]
) -> None:
    bucket = Bucket()
    put(bucket, 1, good=True)

    def refuse(**_: Any) -> Any:
        raise error

    def pages(**_: Any) -> Any:
        yield {}
        refuse()

    monkeypatch.setattr(bucket, call, pages if call == "paginate" else refuse)
    with pytest.raises(kind):
        catalogue.look(bucket.store, "orchestrator")
