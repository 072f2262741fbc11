from __future__ import annotations

from typing import Any

import pytest

from include.backups import keys, prove
from include.backups.catalogue import Backup
from include.backups.fingerprint import Fingerprint, still
from include.backups.manifest import Manifest, Previous
from include.errors import VerificationError
from include.settings import BackupLimits
from tests.include.backups.samples import AT, CONTENTS, KEY, facts, fingerprint, manifest

EARLIER = KEY.replace("2026/11/25", "2026/11/24")


def of_rows(rows: int, **changed: Any) -> tuple[Manifest, Fingerprint]:
    contents = CONTENTS.model_copy(update={"tables": {"public.a": (rows, "1")}})
    found = facts(rows=rows, **changed)
    return manifest(facts=found), fingerprint(facts=found, contents=contents)


def usual(rows: int = 100, key: str = EARLIER, **changed: Any) -> Backup:
    whole = manifest(facts=facts(key=key, rows=rows, **changed))
    return Backup(key=key, version_id="v", stored_at=AT, sha256="c" * 64, manifest=whole)


def refusal(found: tuple[Manifest, Fingerprint], before: Backup | None = None, **limits: Any) -> str:
    try:
        prove.refuse(*found, BackupLimits(**limits), before)
    except VerificationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("before", [None, usual(), usual(rows=0), usual(rows=10, system_identifier="7301")])
def test_the_backup_of_this_database_is_taken(before: Backup | None) -> None:
    assert not refusal((manifest(), fingerprint()), before)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": EARLIER},
        {"op_id": "other"},
        {"database": "other"},
        {"system_identifier": "7302"},
        {"server_version": "17.9"},
        {"in_recovery": True},
        {"snapshot": "other"},
        {"lsn": "0/0"},
        {"finished_at": AT},
        {"last_commit_at": AT},
        {"rows": 99},
        {"previous": Previous(key=EARLIER, sha256="c" * 64)},
        {"database_bytes": 1},
        {"tables": 3},
        {"dump_version": "other"},
        {"code_version": "other"},
        {"part_bytes": 1},
        {"recipients": {"thief": "age1z"}},
    ],
)
def test_facts_that_differ_from_the_sealed_ones_are_refused(changed: dict[str, Any]) -> None:
    assert refusal((manifest(facts=facts(**changed)), fingerprint())) == (
        "what its manifest says is not what was sealed with it"
    )


@pytest.mark.parametrize("rows", [99, 101, 0])
def test_rows_that_differ_from_the_sealed_ones_are_refused(rows: int) -> None:
    other = facts(rows=rows)
    assert "not what was sealed" in refusal((manifest(facts=other), fingerprint()))
    assert "not what was sealed" in refusal((manifest(facts=other), fingerprint(facts=other)))


def test_a_backup_of_another_database_is_refused() -> None:
    other = facts(database="other")
    said = refusal((manifest(facts=other), fingerprint(facts=other)))
    assert said == "it is of database other, not orchestrator"
    assert not refusal((manifest(facts=other), fingerprint(facts=other)), database="other")


def test_a_backup_without_a_table_is_refused_and_one_without_a_row_is_not() -> None:
    empty = fingerprint(facts=facts(rows=0), contents=CONTENTS.model_copy(update={"tables": {}}))
    assert refusal((manifest(facts=facts(rows=0)), empty)) == "it holds no table"
    assert not refusal(of_rows(0))


@pytest.mark.parametrize(
    ("before", "limits", "said"),
    [
        (usual(), {}, ""),
        (usual(system_identifier="7299"), {}, "it is of cluster 7301, not 7299 (backup.system_identifier)"),
        (usual(system_identifier="7299"), {"system_identifier": "7301"}, ""),
        (usual(), {"system_identifier": "7299"}, "it is of cluster 7301, not 7299 (backup.system_identifier)"),
        (None, {"system_identifier": "7301"}, ""),
        (None, {"system_identifier": "7299"}, "it is of cluster 7301, not 7299 (backup.system_identifier)"),
        (usual(key=KEY), {"system_identifier": "7299"}, "it is of cluster 7301, not 7299 (backup.system_identifier)"),
    ],
)
def test_a_backup_of_another_cluster_is_refused(before: Backup | None, limits: dict[str, Any], said: str) -> None:
    assert refusal((manifest(), fingerprint()), before, **limits) == said


@pytest.mark.parametrize(
    ("rows", "before", "percent", "refused"),
    [
        (50, 100, 50, False),
        (49, 100, 50, True),
        (100, 100, 50, False),
        (1000, 100, 50, False),
        (0, 100, 100, False),
        (1, 2, 50, False),
        (0, 1, 50, True),
        (0, 0, 50, False),
        (99, 100, 1, False),
        (98, 100, 1, True),
        (999_999, 1_000_000, 0.0001, False),
        (999_998, 1_000_000, 0.0001, True),
    ],
)
def test_a_backup_that_is_suddenly_small_is_refused(rows: int, before: int, percent: float, refused: bool) -> None:
    said = refusal(of_rows(rows), usual(before), shrink_critical_percent=percent)
    expected = (
        f"it holds {rows} rows, the newest good one {before}: more than {percent:g} % are gone"
        " (backup.shrink_critical_percent)"
    )
    assert said == (expected if refused else "")


@pytest.mark.parametrize("before", [100, 300, 7_000, 123_456_700])
def test_exactly_the_limit_is_taken_and_one_row_less_is_not(before: int) -> None:
    for percent in range(1, 101):
        least = before * (100 - percent) // 100
        assert not refusal(of_rows(least), usual(before), shrink_critical_percent=percent)
        if least:
            assert refusal(of_rows(least - 1), usual(before), shrink_critical_percent=percent)


def test_a_backup_is_not_compared_with_itself_nor_with_one_that_cannot_be_read() -> None:
    assert not refusal(of_rows(1), usual(100, key=KEY))
    unread = Backup(key=EARLIER, version_id="v", stored_at=AT, sha256="c" * 64, problem="torn")
    assert not refusal(of_rows(1), unread)


def seen(**changed: Any) -> Backup:
    known: dict[str, Any] = {"key": KEY, "version_id": "v", "stored_at": AT, "sha256": "c" * 64, "manifest": manifest()}
    return Backup(**known | changed)


@pytest.mark.parametrize("sha256", ["", "c" * 64])
def test_the_manifest_that_was_taken_is_believed(sha256: str) -> None:
    assert prove._believed(seen(), sha256) == manifest()


@pytest.mark.parametrize(
    ("backup", "said"),
    [
        (seen(manifest=None, problem="it is torn"), "^it is torn$"),
        (seen(sha256="d" * 64), "^its manifest is not the one that was written when it was taken$"),
        (seen(manifest=manifest(objects={})), "^its manifest names no dump.age, fingerprint.age, globals.age$"),
        (
            seen(manifest=manifest(objects={k: v for k, v in manifest().objects.items() if k != keys.GLOBALS})),
            "^its manifest names no globals.age$",
        ),
    ],
)
def test_another_manifest_is_not(backup: Backup, said: str) -> None:
    with pytest.raises(VerificationError, match=said):
        prove._believed(backup, "c" * 64)


GLOBALS = b"""--
-- PostgreSQL database cluster dump
--
CREATE ROLE owner;
ALTER ROLE owner WITH NOSUPERUSER;
CREATE ROLE "Read er";
ALTER ROLE "Read er" SET search_path TO 'x';
"""


def test_globals_that_make_every_role_are_believed() -> None:
    prove._roles_in(GLOBALS, fingerprint(roles={"owner": {}, "Read er": {}}))
    prove._roles_in(b"", fingerprint(roles={}))


def test_globals_may_make_more_roles_than_the_database_names() -> None:
    prove._roles_in(GLOBALS, fingerprint(roles={"owner": {}}))
    prove._roles_in(GLOBALS, fingerprint(roles={}))


def test_globals_need_not_make_a_role_that_was_dropped_before_they_were_read() -> None:
    roles = still({"owner": {"login": True}, "gone": {"login": False}}, {"owner", "new"})
    assert roles == {"owner": {"login": True}, "gone": {"login": False, "dropped": True}}
    prove._roles_in(GLOBALS, fingerprint(roles=roles))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("owner", "owner"),
        ('"Owner"', "Owner"),
        ('"o w n e r"', "o w n e r"),
        ('"say ""yes"""', 'say "yes"'),
        ('""""', '"'),
        ('"two\nlines"', "two\nlines"),
        ('"a;b"', "a;b"),
        ('"a;\nCREATE ROLE b;"', "a;\nCREATE ROLE b;"),
        ('"älter"', "älter"),
    ],
)
def test_a_role_may_have_any_name(written: str, name: str) -> None:
    globals_ = f"CREATE ROLE before;\nCREATE ROLE {written};\nALTER ROLE {written} WITH LOGIN;\nCREATE ROLE behind;\n"
    prove._roles_in(globals_.encode(), fingerprint(roles={"before": {}, name: {}, "behind": {}}))


@pytest.mark.parametrize(
    ("globals_", "names", "lacks"),
    [
        (b"", ["owner"], "owner"),
        (GLOBALS, ["owner", "Read er", "third"], "third"),
        (GLOBALS, ["owner", "another"], "another"),
        (GLOBALS, ["z", "own", "owner", "y"], "own"),
        (GLOBALS, ["Owner"], "Owner"),
        (GLOBALS, ["Read", "Read er"], "Read"),
        (GLOBALS, ['"Read er"'], '"Read er"'),
        (b"CREATE ROLE owner;\nCREATE ROLE owner;\n", ["owner", "Read er"], "Read er"),
        (b"ALTER ROLE owner WITH LOGIN;\n-- CREATE ROLE owner;\n", ["owner"], "owner"),
        (b'CREATE ROLE "x\nCREATE ROLE owner;\ny";\n', ["owner"], "owner"),
        (b"CREATE ROLE owner", ["owner"], "owner"),
    ],
)
def test_globals_that_lack_a_role_are_refused_and_it_is_named(globals_: bytes, names: list[str], lacks: str) -> None:
    with pytest.raises(VerificationError) as raised:
        prove._roles_in(globals_, fingerprint(roles={name: {} for name in names}))
    assert str(raised.value) == f"its globals lack the role {lacks}"
