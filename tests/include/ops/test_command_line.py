"""`python -m include.ops`, as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from include.ops import export, leases, migrate
from include.ops.__main__ import main
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Mode, Wanted


@pytest.mark.integration
def test_who_holds_what_is_listed_and_the_order_to_stop_is_given_and_lifted(
    ops: Callable[[str], str], runner: OpsDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPS_DSN", ops("ops_runner"))
    op_id = str(uuid4())
    lease = leases.acquire(runner, Wanted(resource="database/x", mode=Mode.BACKUP, op_id=op_id, holder="night"))
    Journal(runner, op_id, "night", token=lease.token).intend("dump", key="k")
    said: dict[int, str] = {}
    for verb in (["leases"], ["stop", "wrong cluster"], ["leases"], ["journal", op_id], ["go"], ["leases"]):
        assert main(verb) == 0
        said[len(said)] = capsys.readouterr().out
    assert "database/x" in said[0]
    assert "night" in said[0]
    assert said[0].endswith("1 leases, no stop order\n")
    assert "STOPPED: wrong cluster" in said[2]
    assert "intent   dump" in said[3]
    assert said[5].endswith("no stop order\n")


@pytest.mark.parametrize(
    "command", [main, migrate.main, lambda: export.main(["--from", "2026-01-01", "--to", "2026-01-02"])]
)
@pytest.mark.parametrize("wrong", ["postgres//ops:hush-canary@host", "host=x password=hush canary"])
def test_an_address_that_cannot_be_read_is_not_repeated(
    command: Callable[..., int], wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPS_DSN", wrong)
    assert command(*([["leases"]] if command is main else [])) > 0
    said = capsys.readouterr().err
    assert "OPS_DSN is no address of a database" in said
    assert "canary" not in said


@pytest.mark.integration
def test_an_order_to_stop_needs_a_reason(
    ops: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPS_DSN", ops("ops_runner"))
    assert main(["stop", " "]) == 1
    assert "needs a reason" in capsys.readouterr().err


def test_without_an_address_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OPS_DSN", raising=False)
    assert main(["leases"]) == 1
    assert capsys.readouterr().err == "OPS_DSN is not set; give it the address of the ops database as ops_runner\n"
