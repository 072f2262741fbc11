from __future__ import annotations

from typing import Any

import pytest

from include.backups import compare, fingerprint
from tests.include.backups.samples import CONTENTS


def found(**changed: Any) -> set[str]:
    return set(compare.differences(CONTENTS, CONTENTS.model_copy(update=changed)))


def at(**values: int) -> dict[str, tuple[int, int]]:
    return {f"public.{name}": (value, value) for name, value in values.items()}


def test_nothing_differs_from_itself() -> None:
    assert compare.differences(CONTENTS, CONTENTS) == []


def test_an_empty_database_equals_another_empty_one() -> None:
    empty = CONTENTS.model_copy(update={"tables": {}, "sequences": {}, "inventory": {}, "large_objects": (0, 0, "0")})
    assert compare.differences(empty, empty) == []
    assert compare.differences(empty, empty.model_copy(update={"inventory": {"view": {}}})) == []


@pytest.mark.parametrize(
    ("tables", "sentences"),
    [
        ({"public.a": (60, "1")}, {"table public.b is missing"}),
        ({}, {"table public.a is missing", "table public.b is missing"}),
        ({**CONTENTS.tables, '"S"."t b"': (0, "0")}, {'table "S"."t b" was not there'}),
        ({**CONTENTS.tables, "public.a": (59, "1")}, {"table public.a has 59 rows instead of 60"}),
        ({**CONTENTS.tables, "public.a": (59, "5")}, {"table public.a has 59 rows instead of 60"}),
        ({**CONTENTS.tables, "public.a": (60, "5")}, {"table public.a has 60 rows, and not all are the same"}),
        ({**CONTENTS.tables, "public.b": (40, "2")}, {"table public.b has 40 rows, and not all are the same"}),
    ],
)
def test_a_table_that_differs_is_named(tables: dict[str, tuple[int, str]], sentences: set[str]) -> None:
    assert found(tables=tables) == sentences


@pytest.mark.parametrize(
    ("sequences", "sentences"),
    [
        (at(a_id_seq=20), set()),
        (at(a_id_seq=23), set()),
        (at(a_id_seq=26), set()),
        (at(a_id_seq=19), {"sequence public.a_id_seq is at 9, and was between 10 and 13"}),
        (at(a_id_seq=27), {"sequence public.a_id_seq is at 13, and was between 10 and 13"}),
        (at(a_id_seq=28), {"sequence public.a_id_seq is at 14, and was between 10 and 13"}),
        (at(a_id_seq=-20), {"sequence public.a_id_seq is at -10, and was between 10 and 13"}),
        ({}, {"sequence public.a_id_seq is missing"}),
        (at(a_id_seq=20, x=1), {"sequence public.x was not there"}),
    ],
)
def test_a_sequence_may_be_anywhere_in_its_room_and_nowhere_else(
    sequences: dict[str, tuple[int, int]], sentences: set[str]
) -> None:
    assert found(sequences=sequences) == sentences


@pytest.mark.parametrize(
    ("inventory", "sentences"),
    [
        ({"index": {"public.a_pkey": "i"}}, {"view public.v is missing"}),
        ({"index": {"public.a_pkey": "i"}, "view": {}}, {"view public.v is missing"}),
        ({**CONTENTS.inventory, "index": {"public.a_pkey": "j"}}, {"index public.a_pkey is defined otherwise"}),
        ({**CONTENTS.inventory, "policy": {"p on t": "x"}}, {"policy p on t was not there"}),
        (
            {"index": {"public.v": "v"}, "view": {"public.v": "v"}},
            {"index public.a_pkey is missing", "index public.v was not there"},
        ),
    ],
)
def test_an_object_that_differs_is_named_by_kind_and_name(
    inventory: dict[str, dict[str, str]], sentences: set[str]
) -> None:
    assert found(inventory=inventory) == sentences


@pytest.mark.parametrize(
    ("large_objects", "sentence"),
    [
        ((1, 5, "7"), "1 large objects of 5 bytes instead of 2 of 5"),
        ((2, 4, "7"), "2 large objects of 4 bytes instead of 2 of 5"),
        ((2, 5, "8"), "2 large objects, and not all are the same"),
    ],
)
def test_large_objects_that_differ_are_counted(large_objects: tuple[int, int, str], sentence: str) -> None:
    assert found(large_objects=large_objects) == {sentence}


def test_every_kind_of_difference_is_told_at_once() -> None:
    assert len(found(tables={}, sequences={}, inventory={}, large_objects=(0, 0, "0"))) == 6


@pytest.mark.parametrize(
    ("sentences", "told"),
    [
        (["b", "a"], "a; b"),
        (["c", "b", "a"], "a; b; c"),
        (["d", "c", "b", "a"], "a; b; c (and 1 more)"),
        ([str(n) for n in range(9)], "0; 1; 2 (and 6 more)"),
    ],
)
def test_the_first_few_are_told_and_the_rest_is_counted(sentences: list[str], told: str) -> None:
    assert compare.told(sentences) == told


IN_FLUX = CONTENTS.model_copy(
    update={"inventory": {"index": {"public.a_pkey": "i"}, "view": {"public.v": fingerprint.IN_FLUX}}}
)


@pytest.mark.parametrize(
    ("inventory", "sentences"),
    [
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "v"}}, set()),
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "x"}}, set()),
        ({"index": {"public.a_pkey": "i"}, "view": {}}, set()),
        ({"index": {"public.a_pkey": "i"}}, set()),
        ({"index": {"public.a_pkey": "x"}, "view": {"public.v": "x"}}, {"index public.a_pkey is defined otherwise"}),
        ({"index": {}, "view": {}}, {"index public.a_pkey is missing"}),
        ({"index": {"public.a_pkey": "i"}, "view": {"public.w": "v"}}, {"view public.w was not there"}),
        (
            {"index": {"public.a_pkey": fingerprint.IN_FLUX}, "view": {}},
            {"index public.a_pkey is defined otherwise"},
        ),
    ],
)
def test_only_what_changed_while_it_was_read_is_not_compared(
    inventory: dict[str, dict[str, str]], sentences: set[str]
) -> None:
    there = CONTENTS.model_copy(update={"inventory": inventory})
    assert set(compare.differences(IN_FLUX, there)) == sentences


@pytest.mark.parametrize(
    ("later", "in_flux"),
    [
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "v"}}, []),
        ({"index": {"public.a_pkey": "i", "public.new": "n"}, "view": {"public.v": "v"}, "type": {"t": "t"}}, []),
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "x"}}, ["view public.v"]),
        ({"index": {"public.a_pkey": "i"}, "view": {}}, ["view public.v"]),
        ({}, ["index public.a_pkey", "view public.v"]),
    ],
)
def test_a_definition_that_is_another_or_gone_at_the_end_was_in_flux(
    later: dict[str, dict[str, str]], in_flux: list[str]
) -> None:
    steady = fingerprint.steady(CONTENTS.inventory, later)
    assert fingerprint.in_flux(CONTENTS.model_copy(update={"inventory": steady})) == in_flux
    assert {kind: sorted(things) for kind, things in steady.items()} == {
        kind: sorted(things) for kind, things in CONTENTS.inventory.items()
    }


@pytest.mark.parametrize(
    ("before", "in_flux"),
    [
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "v"}}, []),
        ({"index": {"public.a_pkey": "i"}, "view": {"public.v": "x"}}, ["view public.v"]),
        ({"index": {"public.a_pkey": "i"}}, ["view public.v"]),
        (
            {"index": {"public.a_pkey": "i", "public.b": "b"}, "view": {"public.v": "v"}, "type": {"t": "t"}},
            ["index public.b", "type t"],
        ),
    ],
)
def test_what_two_looks_around_the_snapshot_do_not_agree_on_was_in_flux(
    before: dict[str, dict[str, str]], in_flux: list[str]
) -> None:
    agreed = CONTENTS.model_copy(update={"inventory": fingerprint.agreed(before, CONTENTS.inventory)})
    assert sorted(fingerprint.in_flux(agreed)) == in_flux
    assert compare.differences(agreed, CONTENTS) == []


@pytest.mark.parametrize(
    ("wanted", "found_there", "sentences"),
    [
        ({"own": ""}, {"own": "", "public": ""}, []),
        ({"own": "", "public": ""}, {"own": ""}, ["schema public is missing"]),
        ({"own": ""}, {"own": "", "other": ""}, ["schema other was not there"]),
    ],
)
def test_the_schema_that_every_new_database_has_may_be_there(
    wanted: dict[str, str], found_there: dict[str, str], sentences: list[str]
) -> None:
    here, there = (CONTENTS.model_copy(update={"inventory": {"schema": side}}) for side in (wanted, found_there))
    assert compare.differences(here, there) == sentences
