"""What is missing for a recovery: all of it at once, each with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from include.disaster import drill
from include.disaster.pieces import Needs, Piece, Target, lacking
from tests.include.backups.samples import AT, KEY, facts, fingerprint, manifest
from tests.include.backups.test_prove import seen

NEEDS = Needs(major=17, roles=frozenset({"owner", "reader"}), extensions=frozenset({"vector"}), spool_bytes=100)


def target(**changed: Any) -> Target:
    known: dict[str, Any] = {
        "name": "dr:5432/postgres",
        "major": 17,
        "restore_major": 17,
        "databases": (),
        "tables": 0,
        "roles": frozenset({"postgres"}),
        "makes_databases": True,
        "makes_roles": True,
        "extensions": frozenset({"plpgsql", "vector"}),
        "locale": "",
        "spool_free": 100,
    }
    return Target(**known | changed)


def test_an_empty_server_that_has_all_of_it_lacks_nothing() -> None:
    assert list(lacking(target(), NEEDS)) == []
    assert list(lacking(target(major=18, restore_major=18), NEEDS)) == []  # newer is no hindrance
    there = target(makes_roles=False, roles=frozenset({"owner", "reader"}))
    assert list(lacking(there, NEEDS)) == []


@pytest.mark.parametrize(
    ("changed", "piece", "words"),
    [
        ({"databases": ("shop",)}, Piece.EMPTY, "dr:5432/postgres is not empty: it holds database shop"),
        ({"tables": 2}, Piece.EMPTY, "2 tables in the database that the login leads to"),
        ({"major": 16}, Piece.VERSION, "is PostgreSQL 16 and the backup is of 17: install 17 or newer"),
        ({"restore_major": 16}, Piece.PROGRAM, "pg_restore is 16 and the backup is of 17"),
        ({"makes_databases": False}, Piece.RIGHTS, "may not make databases"),
        ({"makes_roles": False}, Piece.ROLES, "lacks the roles owner, reader"),
        ({"makes_roles": False, "roles": frozenset({"owner"})}, Piece.ROLES, "lacks the roles reader,"),
        ({"extensions": frozenset()}, Piece.EXTENSIONS, "lacks the extensions vector: install them there"),
        ({"locale": "no such locale"}, Piece.LOCALE, "no such locale"),
        ({"spool_free": 99}, Piece.SPACE, "the spool has 99 B free and the opened dump needs 100 B"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(changed: dict[str, Any], piece: Piece, words: str) -> None:
    (found,) = lacking(target(**changed), NEEDS)
    assert found.piece is piece
    assert words in found.said


def test_all_that_is_missing_is_told_at_once() -> None:
    nothing = target(
        major=9,
        restore_major=9,
        databases=("a",),
        makes_databases=False,
        makes_roles=False,
        extensions=frozenset(),
        spool_free=0,
    )
    pieces = [found.piece for found in lacking(nothing, NEEDS)]
    known_without_a_database = set(Piece) - {
        Piece.STORE,
        Piece.KEY,
        Piece.TARGET,
        Piece.EXTENSIONS,
        Piece.LOCALE,
        Piece.OTHER,
    }
    assert (set(pieces), len(pieces)) == (known_without_a_database, len(set(pieces)))


def test_a_backup_asks_for_its_version_roles_extensions_and_room() -> None:
    of = facts(server_version="16.4")
    wanted = fingerprint(facts=of, extensions={"plpgsql": "1.0", "vector": "0.8"})
    asked = drill.needs(wanted, seen(manifest=manifest(facts=of)), reserve_bytes=20)
    assert asked == Needs(
        major=16, roles=frozenset({"owner", "reader"}), extensions=frozenset({"plpgsql", "vector"}), spool_bytes=100
    )
    assert (seen().key, seen().at) == (KEY, AT)
