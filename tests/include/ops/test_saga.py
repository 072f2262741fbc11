"""An operation that is killed anywhere ends done or undone, never in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from include.errors import PermanentError, RefusedError, TransientError, VerificationError
from include.ops import leases, saga
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import HeldBackError, Mode, Wanted
from include.ops.saga import Saga, Step
from tests.proof import Proof

pytestmark = pytest.mark.integration

NAMES = ("record", "restore", "stop", "swap", "start", "smoke")


class Killed(BaseException):
    """As kill -9: nothing of the process runs any more."""


@dataclass
class World:
    """What the operation changes: each step sets its own switch. It dies when its dice say so."""

    dice: Random
    switches: dict[str, bool] = field(default_factory=dict)
    fails: str = ""
    error: type[Exception] = PermanentError
    deadly: float = 0.0

    def steps(self) -> list[Step]:
        return [Step(name=name, do=self._do(name), undo=self._undo(name)) for name in NAMES]

    def _do(self, name: str) -> Callable[[], dict[str, Any]]:
        def do() -> dict[str, Any]:
            assert self.on == list(NAMES[: NAMES.index(name)]) or self.deadly, (
                "every step before it ended, and none after it"
            )
            self.perhaps_die()
            if self.fails == name:
                raise self.error(f"{name} is broken")
            self.switches[name] = True
            self.perhaps_die()
            return {"was": name}

        return do

    def _undo(self, name: str) -> Callable[[], None]:
        def undo() -> None:
            later = NAMES[NAMES.index(name) + 1 :]
            assert not any(self.switches.get(other) for other in later), "what came later is undone first"
            self.perhaps_die()
            self.switches[name] = False
            self.perhaps_die()

        return undo

    def perhaps_die(self) -> None:
        if self.dice.random() < self.deadly:
            raise Killed

    @property
    def on(self) -> list[str]:
        return [name for name in NAMES if self.switches.get(name)]


@dataclass
class Operation:
    """An operation that many processes run one after the other."""

    ops: OpsDatabase
    world: World
    op_id: str = field(default_factory=lambda: str(uuid4()))

    def process(self) -> Saga:
        wanted = Wanted(resource=self.op_id, mode=Mode.RESTORE, op_id=self.op_id, holder="a test")
        lease = leases.acquire(self.ops, wanted)
        journal = Journal(self.ops, self.op_id, "a test", lease.token)
        return Saga(journal, lease, self.world.steps(), "the test")

    def until_it_ends(self) -> str:
        while True:
            try:
                self.process().run()
            except Killed:
                continue
            except (VerificationError, RefusedError) as error:
                return str(error)
            return "done"


@pytest.fixture
def operation(runner: OpsDatabase, proof: Proof) -> Operation:
    return Operation(runner, World(proof.random))


def test_it_does_every_step_once_and_keeps_what_each_left(operation: Operation) -> None:
    facts = operation.process().run()
    assert operation.world.on == list(NAMES)
    assert {name: facts[name] for name in NAMES} == {name: {"was": name} for name in NAMES}
    written = operation.process().journal.entries()
    operation.process().run()
    assert operation.process().journal.entries() == written, "what is done is not done once more"


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_fails_for_good_undoes_all_of_it(operation: Operation, name: str) -> None:
    operation.world.fails = name
    with pytest.raises(
        VerificationError, match=f"was undone, everything is as it was before: {name}: {name} is broken"
    ):
        operation.process().run()
    assert operation.world.on == []
    with pytest.raises(RefusedError, match="is undone already"):
        operation.process().run()


def test_a_defect_of_ours_undoes_it_too(operation: Operation) -> None:
    operation.world.fails, operation.world.error = "swap", KeyError
    with pytest.raises(VerificationError, match="KeyError"):
        operation.process().run()
    assert operation.world.on == []


def test_a_step_that_fails_for_now_leaves_everything_and_goes_on_later(operation: Operation) -> None:
    operation.world.fails, operation.world.error = "swap", TransientError
    with pytest.raises(TransientError):
        operation.process().run()
    assert operation.world.on == ["record", "restore", "stop"]
    operation.world.fails = ""
    operation.process().run()
    assert operation.world.on == list(NAMES)


def test_a_stop_order_leaves_everything_where_it_is(operation: Operation) -> None:
    process = operation.process()
    process.lease.ops.ask("order_stop", "look first", "alice")
    with pytest.raises(HeldBackError):
        process.run()
    assert operation.world.on == []
    process.lease.ops.ask("lift_stop", "alice")
    assert operation.until_it_ends() == "done"


def test_an_overtaken_process_neither_goes_on_nor_back(operation: Operation) -> None:
    older, newer = operation.process(), operation.process()
    with pytest.raises(HeldBackError, match="newer process"):
        older.run()
    with pytest.raises(HeldBackError, match="newer process"):
        older.undo("no")
    assert newer.journal.entries() == []
    newer.run()
    assert operation.world.on == list(NAMES)


def test_what_was_done_can_be_undone_by_a_person(operation: Operation) -> None:
    operation.process().run()
    operation.process().undo("the restored data is too old")
    assert operation.world.on == []
    with pytest.raises(RefusedError, match="is undone already"):
        operation.process().undo("again")


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_killed_anywhere_it_ends_done_or_undone(runner: OpsDatabase, proof: Proof) -> None:
    times = proof.n(small=10, full=500)
    for _ in range(times):
        world = World(proof.random, deadly=0.25, fails=proof.random.choice(["", "", *NAMES]))
        said = Operation(runner, world).until_it_ends()
        assert world.on == ([] if world.fails else list(NAMES)), said
    proof.held("an operation that is killed at random points ends done or undone", n=times, held=times)


def test_turned_round_it_goes_all_the_way_back_though_it_is_killed(runner: OpsDatabase, proof: Proof) -> None:
    world = World(proof.random, fails="start")
    operation = Operation(runner, world)
    world.deadly = 0.4
    said = operation.until_it_ends()
    world.fails = ""  # what was broken works again: it still goes back
    assert world.on == []
    assert "undone" in said
    assert saga.UNDONE in {each.step for each in Journal(runner, operation.op_id, "a test").entries()}
