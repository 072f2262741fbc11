"""The fault switches: how they remember, and that each is pressed without a surprise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import __main__ as command
from sandbox.faults.catalogue import FAULTS
from sandbox.faults.fault import Fault, FaultError, Ledger, Memo, switch_off, switch_on
from sandbox.site import Site, free_ports


@pytest.fixture
def dead(tmp_path: Path) -> Site:
    """A site where nothing runs."""
    return Site.create(tmp_path / "state", free_ports())


class Lamp:
    """Something to make sick."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Memo]] = []

    def fault(self, name: str, *, breaks: str = "") -> Fault:
        def on(site: Site, memo: Memo) -> Memo:
            self.calls.append((f"{name} on", memo))
            if breaks == "on":
                raise FaultError("no power")
            return {"before": memo.get("before", "bright")}

        def off(site: Site, memo: Memo) -> None:
            self.calls.append((f"{name} off", memo))
            if breaks == "off":
                raise FaultError("stuck")

        return Fault(name=name, target="lamp", does="it is dark", expect="H-99", on=on, off=off)


def test_what_was_before_is_remembered_and_given_back(dead: Site) -> None:
    lamp = Lamp()
    assert switch_on(dead, lamp.fault("dark")) == "dark on: it is dark. Expect: H-99."
    switch_on(dead, lamp.fault("dark"))
    switch_off(dead, lamp.fault("dark"))
    assert lamp.calls == [("dark on", {}), ("dark on", {"before": "bright"}), ("dark off", {"before": "bright"})]
    assert Ledger(dead).read() == {}


def test_the_later_fault_of_a_target_takes_the_place_of_the_earlier(dead: Site) -> None:
    lamp = Lamp()
    switch_on(dead, lamp.fault("dark"))
    switch_on(dead, lamp.fault("dim"))
    assert "dim is" in switch_off(dead, lamp.fault("dark"))
    switch_off(dead, lamp.fault("dim"))
    assert lamp.calls[-1] == ("dim off", {"before": "bright"})


def test_a_switch_that_broke_half_way_is_mended_too(dead: Site) -> None:
    lamp = Lamp()
    with pytest.raises(FaultError):
        switch_on(dead, lamp.fault("dark", breaks="on"))
    assert Ledger(dead).read()["lamp"]["fault"] == "dark"
    switch_off(dead, lamp.fault("dark"))
    assert Ledger(dead).read() == {}


def test_a_fault_that_would_not_go_off_stays_on_the_list(dead: Site) -> None:
    lamp = Lamp()
    switch_on(dead, lamp.fault("dark"))
    with pytest.raises(FaultError):
        switch_off(dead, lamp.fault("dark", breaks="off"))
    assert Ledger(dead).read()["lamp"]["fault"] == "dark"


def test_switching_off_what_is_not_on_mends_all_the_same(dead: Site) -> None:
    lamp = Lamp()
    assert "was not on" in switch_off(dead, lamp.fault("dark"))
    assert lamp.calls == [("dark off", {})]


def test_every_fault_says_what_it_does_and_what_to_expect() -> None:
    assert len(FAULTS) >= 15
    for fault in FAULTS.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", fault.name)
        assert re.search(r"\b[HF]-\d\d\b", fault.expect), f"{fault.name} names no item of the runbook"
        assert not fault.does.endswith(".")


@pytest.mark.parametrize("name", FAULTS)
def test_where_nothing_runs_a_switch_says_so_in_one_sentence(dead: Site, name: str) -> None:
    with pytest.raises(FaultError) as refusal:
        switch_on(dead, FAULTS[name])
    assert "\n" not in str(refusal.value)
    assert re.search(r"make (status|up)|is the platform up", str(refusal.value))


def test_all_off_goes_on_after_one_that_would_not(dead: Site, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lamp, other = Lamp(), Lamp()
    broken = lamp.fault("dark", breaks="off")
    fine = Fault(name="dim", target="other", does="", expect="", on=other.fault("dim").on, off=other.fault("dim").off)
    monkeypatch.setattr(command, "FAULTS", {"dark": broken, "dim": fine})
    switch_on(dead, broken)
    switch_on(dead, fine)
    assert command.run(["all", "off"], dead) == 1
    assert list(Ledger(dead).read()) == ["lamp"]
    assert "dark is still on: stuck" in capsys.readouterr().err


def test_all_off_begins_with_what_the_others_need(dead: Site, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def fault(target: str) -> Fault:
        def off(site: Site, memo: Memo) -> None:
            order.append(target)

        return Fault(name=target, target=target, does="", expect="", on=lambda site, memo: memo, off=off)

    faults = {target: fault(target) for target in ("pagerduty/incident", "receivers/pagerduty", "server/valkey")}
    monkeypatch.setattr(command, "FAULTS", faults)
    for one in faults.values():
        switch_on(dead, one)
    assert command.run(["all", "off"], dead) == 0
    assert order == ["server/valkey", "receivers/pagerduty", "pagerduty/incident"]


def test_the_list_marks_what_is_on(dead: Site, capsys: Any) -> None:
    Ledger(dead).write({"receivers/slack": {"fault": "slack-down", "memo": {}}})
    assert command.run(["list"], dead) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FAULTS)
    assert [one.split()[1] for one in lines if one.startswith("on ")] == ["slack-down"]


@pytest.mark.parametrize("words", [[], ["all", "on"], ["slack-down"], ["slack-dwn", "on"], ["list", "all"]])
def test_words_that_mean_nothing_are_refused(dead: Site, words: list[str]) -> None:
    with pytest.raises(FaultError):
        command.run(words, dead)


def test_without_a_platform_it_says_how_to_start_one() -> None:
    with pytest.raises(FaultError, match="make up"):
        command.run(["slack-down", "on"], None)
