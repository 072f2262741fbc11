from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from include.backups import keys
from include.backups.store import Version
from include.backups.sweep import Swept, orphans
from tests.include.backups.samples import AT, OP_ID

BEFORE = AT + timedelta(days=1)
"""What was begun until then, nobody is at any more."""
SECOND = timedelta(seconds=1)


def place(at: datetime = AT, attempt: int = 1) -> str:
    return keys.fresh("orchestrator", at, OP_ID, attempt)


def version(key: str, stored_at: datetime = AT, name: str = "v1") -> Version:
    return Version(key=key, id=name, bytes=1, stored_at=stored_at, is_latest=True)


def dead(*found: Version) -> list[tuple[str, str]]:
    return [(each.key, each.id) for each in orphans(found, BEFORE)]


def test_what_a_take_left_without_a_manifest_is_removed_all_of_it_and_each_version() -> None:
    left = [
        version(place() + keys.DUMP),
        version(place() + keys.GLOBALS),
        version(place() + keys.FINGERPRINT),
        version(place() + keys.DUMP, AT + SECOND, "v2"),
    ]
    assert dead(*left) == [(each.key, each.id) for each in left]


def test_what_a_take_of_the_configuration_left_is_removed_by_the_same_rule() -> None:
    mine = keys.fresh("shop", AT, OP_ID, 1, keys.CONFIGURATION)
    whole = keys.fresh("shop", AT, OP_ID, 2, keys.CONFIGURATION)
    left = [version(mine + keys.OBJECTS), version(mine + keys.SECRETS)]
    assert dead(*left, version(whole + keys.OBJECTS), version(whole + keys.MANIFEST)) == [
        (each.key, each.id) for each in left
    ]


def test_where_nothing_is_nothing_is_removed() -> None:
    assert dead() == []


@pytest.mark.parametrize(
    ("stored_at", "removed"), [(BEFORE - SECOND, True), (BEFORE, True), (BEFORE + timedelta(microseconds=1), False)]
)
def test_what_the_store_got_within_the_limit_is_not_removed(stored_at: datetime, removed: bool) -> None:
    assert bool(dead(version(place() + keys.DUMP, stored_at))) is removed


@pytest.mark.parametrize(("at", "removed"), [(BEFORE - SECOND, True), (BEFORE, True), (BEFORE + SECOND, False)])
def test_what_is_young_by_its_key_is_not_removed_though_the_store_calls_it_old(at: datetime, removed: bool) -> None:
    """One of the two clocks may be wrong."""
    assert bool(dead(version(place(at) + keys.DUMP, AT))) is removed


def test_one_young_object_keeps_all_that_lies_beside_it() -> None:
    """A take whose dump went up for hours writes its last objects at its end."""
    assert dead(version(place() + keys.DUMP), version(place() + keys.GLOBALS, BEFORE + SECOND)) == []
    assert dead(version(place() + keys.DUMP), version(place() + keys.DUMP, BEFORE + SECOND, "v2")) == []


def test_one_try_says_nothing_about_another() -> None:
    whole = [version(place(attempt=1) + keys.DUMP), version(place(attempt=1) + keys.MANIFEST)]
    young = [version(place(attempt=3) + keys.DUMP, BEFORE + SECOND)]
    left = [version(place(attempt=2) + keys.DUMP), version(place(attempt=12) + keys.DUMP)]
    assert dead(*whole, *left, *young) == [(each.key, "v1") for each in left]


@pytest.mark.parametrize("stored_at", [AT, BEFORE, BEFORE + SECOND])
def test_a_backup_with_a_manifest_is_never_touched_however_old_and_whatever_lies_beside_it(stored_at: datetime) -> None:
    names = (keys.DUMP, keys.FINGERPRINT, keys.GLOBALS, "notes.txt", "dump.age.1")
    found = [version(place() + name) for name in names]
    assert dead(*found, version(place() + keys.MANIFEST, stored_at)) == []
    assert dead(version(place() + keys.MANIFEST, stored_at), *found) == []
    assert dead(version(place() + keys.MANIFEST, stored_at), version(place() + keys.MANIFEST, AT, "v2")) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "notes.txt",
        "backups/database/orchestrator/",
        "backups/database/orchestrator/notes.txt",
        "backups/database/orchestrator/2026/11/25/notes.txt",
        "backups/database/orchestrator/2026/11/25/020013Z-by-hand/dump.age",
        place().replace("database/", "files/", 1) + keys.DUMP,
        place().replace("2026/11/25", "2026/02/30") + keys.DUMP,
        place().replace("-1/", "-0/") + keys.DUMP,
        "copy-of/" + place() + keys.DUMP,
        place().rstrip("/"),
    ],
)
def test_what_is_none_of_ours_is_never_touched(key: str) -> None:
    assert dead(version(key)) == []


@pytest.mark.parametrize("beside", [(keys.DUMP, keys.MANIFEST), (keys.DUMP,)])
def test_what_somebody_put_into_a_folder_below_a_backup_is_never_touched(beside: tuple[str, ...]) -> None:
    """No take writes there; below a good backup it may be what a person is restoring from."""
    below = place() + "restored-by-hand/" + keys.DUMP
    ours = [version(place() + name) for name in beside]
    assert below not in [key for key, _ in dead(*ours, version(below))]


def test_a_manifest_in_a_folder_below_is_no_manifest_of_what_lies_above() -> None:
    left = place() + keys.DUMP
    assert left in [key for key, _ in dead(version(left), version(place() + "x/" + keys.MANIFEST))]


@pytest.mark.parametrize("name", ["manifest.json.bak", "old-manifest.json", "MANIFEST.JSON", "manifest.json/x"])
def test_what_is_only_called_like_a_manifest_is_none(name: str) -> None:
    left = place() + keys.DUMP
    assert left in [key for key, _ in dead(version(left), version(place() + name))]


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        (Swept(uploads=[], objects=[], databases=[], spools=[]), "nothing was left behind"),
        (Swept(uploads=["a", "b"], objects=[], databases=[], spools=["s"]), "2 unfinished uploads, 1 spools"),
        (
            Swept(uploads=[], objects=["a"], databases=["d"], spools=[]),
            "1 objects without a manifest, 1 scratch databases",
        ),
    ],
)
def test_what_was_removed_is_counted_by_what_it_was(swept: Swept, said: str) -> None:
    assert str(swept) == said
