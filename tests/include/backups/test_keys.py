from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from include.backups import keys
from include.backups.keys import Key

AT = datetime(2026, 11, 25, 2, 0, 13, 987_654, tzinfo=UTC)
OP_ID = "1f0c9a2e-9d1b-4c0a-8f51-0c6f3c8f7a10"
TEXT = "backups/database/orchestrator/2026/11/25/020013Z-1f0c9a2e-1/"


def test_a_fresh_key_says_which_database_when_by_which_operation_and_on_which_try() -> None:
    assert keys.fresh("orchestrator", AT, OP_ID, 1) == TEXT


@pytest.mark.parametrize("text", [TEXT, TEXT + keys.MANIFEST, TEXT + keys.DUMP])
def test_what_was_written_is_read_from_the_key_and_from_what_lies_below_it(text: str) -> None:
    assert keys.parse(text) == Key(database="orchestrator", at=AT.replace(microsecond=0), op="1f0c9a2e", attempt=1)


@pytest.mark.parametrize("database", ["a", "a-b.c_d", "x" * 63, "1", ".."])
def test_every_name_of_a_database_comes_back(database: str) -> None:
    parsed = keys.parse(keys.fresh(database, AT, OP_ID, 12))
    assert parsed
    assert (parsed.database, parsed.attempt) == (database, 12)


def test_another_time_zone_is_the_same_moment() -> None:
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert keys.fresh("orchestrator", berlin, OP_ID, 1) == TEXT


def test_each_try_has_a_key_of_its_own_and_later_ones_sort_behind() -> None:
    found = [keys.fresh("d", AT + timedelta(seconds=s), OP_ID, 1) for s in (0, 1, 60, 86_400, 40_000_000)]
    assert found == sorted(found)
    assert keys.fresh("d", AT, OP_ID, 1) != keys.fresh("d", AT, OP_ID, 2)


def test_the_prefix_of_a_database_is_not_that_of_one_whose_name_goes_on() -> None:
    assert not keys.fresh("orchestrator2", AT, OP_ID, 1).startswith(keys.prefix("orchestrator"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "backups/",
        TEXT.rstrip("/"),
        f"x{TEXT}",
        f"/{TEXT}",
        TEXT.replace("database/", "files/", 1),
        TEXT.replace("Z-", "-"),
        TEXT.replace("1f0c9a2e", "1F0C9A2E"),
        TEXT.replace("1f0c9a2e", "1f0c9a2"),
        TEXT.replace("2026/11/25", "2026/02/30"),
        TEXT.replace("2026/11/25", "2026/13/01"),
        TEXT.replace("020013Z", "250013Z"),
        TEXT.replace("020013Z", "020060Z"),
        TEXT.replace("-1/", "-/"),
        TEXT.replace("orchestrator", "a/b"),
        TEXT.replace("orchestrator", ""),
    ],
)
def test_what_is_none_of_ours_is_none(text: str) -> None:
    assert keys.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("-1/", "-01/"),
        TEXT.replace("-1/", "-\N{ARABIC-INDIC DIGIT ONE}/"),
        TEXT.replace("2026", "\N{FULLWIDTH DIGIT TWO}026"),
    ],
)
def test_a_key_that_we_would_write_otherwise_is_none_of_ours(text: str) -> None:
    assert keys.parse(text) is None
