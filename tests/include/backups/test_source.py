from __future__ import annotations

from typing import Any

import pytest

from include.backups import source
from include.backups.source import Server, Table
from include.errors import ConfigurationError
from include.settings import BackupLimits
from tests.include.backups.samples import AT


def server(**changed: Any) -> Server:
    known: dict[str, Any] = {
        "database": "orchestrator",
        "system_identifier": "7301",
        "server_version": "17.10",
        "major": 17,
        "in_recovery": False,
        "offers_tls": True,
        "uses_tls": True,
        "now": AT,
        "lag_s": 0.0,
        "database_bytes": 8_000_000,
    }
    return Server(**known | changed)


def refuse(found: Server, *, dump_major: int = 17, known_identifier: str = "", **limits: Any) -> None:
    source.refuse(found, BackupLimits(**limits), dump_major=dump_major, known_identifier=known_identifier)


@pytest.mark.parametrize(
    ("found", "more"),
    [
        (server(), {}),
        (server(), {"known_identifier": "7301"}),
        (server(), {"system_identifier": "7301"}),
        (server(), {"system_identifier": "7301", "known_identifier": "7299"}),
        (server(), {"dump_major": 18}),
        (server(database="other"), {"database": "other"}),
        (server(offers_tls=False, uses_tls=False), {}),
        (server(in_recovery=True, lag_s=900.0), {}),
        (server(in_recovery=True, lag_s=60.0), {"standby_lag_max_s": 60}),
        (server(lag_s=0.0), {"standby_lag_max_s": 0}),
    ],
)
def test_the_database_that_is_meant_is_taken(found: Server, more: dict[str, Any]) -> None:
    refuse(found, **more)


@pytest.mark.parametrize(
    ("found", "more", "named"),
    [
        (
            server(database="postgres"),
            {},
            ["'postgres'", "'orchestrator'", "connections.backup_source", "backup.database"],
        ),
        (server(database="Orchestrator"), {}, ["'Orchestrator'", "backup.database"]),
        (server(), {"system_identifier": "7299"}, ["7301", "7299", "backup.system_identifier"]),
        (server(), {"known_identifier": "7299"}, ["7301", "7299", "backup.system_identifier"]),
        (
            server(),
            {"system_identifier": "7299", "known_identifier": "7301"},
            ["7301", "7299", "connections.backup_source"],
        ),
        (server(), {"dump_major": 16}, ["16", "17", "backup.programs"]),
        (server(uses_tls=False), {}, ["TLS", "sslmode", "connections.backup_source"]),
        (
            server(in_recovery=True, lag_s=900.6),
            {},
            ["901 s behind", "limit 900 s", "connections.backup_source", "backup.standby_lag_max_s"],
        ),
        (server(lag_s=0.1), {"standby_lag_max_s": 0}, ["backup.standby_lag_max_s"]),
    ],
)
def test_another_one_is_refused_with_the_setting_to_change(
    found: Server, more: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        refuse(found, **more)
    assert [word for word in named if word not in str(raised.value)] == []


def test_where_it_leads_is_asked_before_everything_else() -> None:
    with pytest.raises(ConfigurationError, match=r"leads into database 'postgres'"):
        refuse(server(database="postgres", uses_tls=False, lag_s=1e6), dump_major=9, known_identifier="1")


@pytest.mark.parametrize(
    ("count", "size", "pieces"), [(0, 3, []), (1, 3, [1]), (3, 3, [3]), (4, 3, [3, 1]), (9, 3, [3, 3, 3])]
)
def test_pieces_hold_everything_once_and_in_order(count: int, size: int, pieces: list[int]) -> None:
    found = list(source.batches(range(count), size))
    assert [len(piece) for piece in found] == pieces
    assert [thing for piece in found for thing in piece] == list(range(count))


def test_a_table_is_as_large_as_its_blocks() -> None:
    assert Table(oid=1, name="t", root="t", has_rows=True, blocks=3, hashing="").bytes == 24_576
