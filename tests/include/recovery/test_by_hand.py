"""Whoever finishes or undoes an operation without Airflow is told in one sentence what is wrong with what he asked for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from include.cache.__main__ import main as cache
from include.configuration.__main__ import main as configuration
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.recovery.__main__ import main as recovery
from include.settings import Connections

OP, IDS = str(uuid.uuid4()), Connections()
Command = Callable[[Sequence[str]], int]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Holds no Connection yet."""
    path = tmp_path / "connections.json"
    path.touch(mode=0o600)
    path.write_text("{}")
    return path


@pytest.mark.parametrize("command", [recovery, configuration, cache], ids=["recovery", "configuration", "cache"])
def test_a_file_that_is_none_or_others_can_read_or_lacks_a_connection_is_named(
    command: Command, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        assert command(["show", OP, "--connections", str(file)]) == 1
        return capsys.readouterr().err

    assert said() == f"{file} holds no Connection {IDS.operations}; export it, or add it there\n"
    file.chmod(0o644)
    assert said() == f"others can read {file}, which holds passwords: chmod 600 {file}\n"
    file.unlink()
    assert said().startswith(f"{file} is no file of Connections")


@pytest.mark.integration
@pytest.mark.parametrize("verb", ["resume", "rollback"])
@pytest.mark.parametrize("command", [recovery, configuration], ids=["recovery", "configuration"])
def test_an_operation_that_never_began_is_neither_gone_on_with_nor_undone(
    command: Command, verb: str, file: Path, ops: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    at = conninfo_to_dict(ops("ops_runner"))
    fields = {"host": "host", "port": "port", "login": "user", "password": "password", "schema": "dbname"}
    file.write_text(json.dumps({IDS.operations: {name: at.get(of) for name, of in fields.items()}}))
    assert command([verb, OP.upper(), "--connections", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"operation {OP} has not begun: nothing can go on or be undone")
    assert command([verb, "the last one", "--connections", str(file)]) == 1
    assert capsys.readouterr().err == "'the last one' is no id of an operation; its report and the journal name it\n"
    assert command([verb, begun(ops("ops_runner"), "cache removal"), "--connections", str(file)]) == 1
    assert "is a cache removal and no" in capsys.readouterr().err


def begun(dsn: str, kind: str) -> str:
    ops, op_id = OpsDatabase({"conninfo": dsn}), str(uuid.uuid4())
    plan = gate.Plan(op_id=op_id, kind=kind, target="x", steps=["a step"], facts={}, code_version="a test")
    gate.store(ops, plan, requester=None, people=1)
    Journal(ops, op_id, "a test").record(gate.USE)
    return op_id
