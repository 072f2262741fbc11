"""Killed or cut off anywhere, it goes on from its journal, and no invalid index is left."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from threading import Timer

import pytest

from include.maintenance import leftovers
from include.maintenance.operation import Ended, Maintenance
from include.maintenance.work import Worker
from include.ops import journal
from include.ops.saga import DONE
from tests.include.backups.dying import after, before, within
from tests.include.maintenance.scene import Scene, limits
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

FEW = 5
Arm = Callable[[Random], None]

KILLS: Mapping[str, Arm] = {
    "the plan stands in the journal": lambda _: before(Maintenance, "_wait_for_earlier"),
    "a step is next": lambda _: before(Worker, "do"),
    "in the middle of a step": lambda chance: within(Worker, "_watch", chance.uniform(0, 0.2)),
    "a rebuild waits for others": lambda _: within(Worker, "_watch", 0.5),
    "a step is done and not written down": lambda _: before(Maintenance, "_kept"),
    "the leftovers are next": lambda _: before(leftovers, "sweep"),
    "in the leftovers": lambda _: before(leftovers, "_drop"),
    "all but the end is written down": lambda _: after(Maintenance, "_kept"),
}
CUTS: Mapping[str, Callable[[Random], Mapping[str, float]]] = {
    "others hold the table": lambda _: {"rebuild_wait_s": 0.1},
    "the statement takes too long": lambda chance: {"statement_timeout_s": chance.uniform(0.003, 0.02)},
}
HELD = ("a rebuild waits for others", "in the leftovers", "others hold the table")
"""Where somebody's transaction is in the way, and for how many seconds."""
HELD_S = 1.5


@pytest.mark.proof
def test_bug_45_no_invalid_index_is_left_after_kills_and_time_outs(here: Scene, proof: Proof) -> None:
    names = sorted([*KILLS, *CUTS])
    chosen = [*names] * 2 if proof.full else [*CUTS, *proof.random.sample(sorted(KILLS), FEW - len(CUTS))]
    held = sum(survived(here, name, proof.random) for name in chosen)
    what = "kill -9 and time-outs anywhere: the next process goes on, and 0 invalid indexes are left"
    proof.held(what, n=len(chosen), held=held, points=len(names))


def survived(here: Scene, name: str, chance: Random) -> bool:
    """Meet one case with a table of its own."""
    op_id = str(uuid.uuid4())
    table = f"t{op_id[:8]}"
    here.bloated(table, rows=60_000, keep=3)
    if name in HELD:
        hold(here, table)
    if name == "in the leftovers":
        here.limits = limits(rebuild_wait_s=0.1)  # there are some only when the rebuild gave up
    if name in CUTS:
        here.limits = limits(**CUTS[name](chance))
        assert here.run(op_id).outcomes[0].ended in {Ended.POSTPONED, Ended.DONE}, name
    else:
        assert here.killed(op_id, partial(KILLS[name], chance)) == signal.SIGKILL, name
    here.limits = limits()
    time.sleep(HELD_S if name in HELD else 0)
    here.run(op_id)
    assert journal.last(journal.entries(here.ops, op_id), DONE), name
    left = here.invalid
    here.run()  # another week takes up what this one had to postpone
    return left == [] and here.invalid == [] and here.plan().steps == []


def hold(here: Scene, table: str) -> None:
    """Let somebody's transaction stand in the way for a while."""
    session = here.superuser()
    other = session.__enter__()
    other.execute(f"begin; lock table {table} in row exclusive mode".encode())
    Timer(HELD_S, lambda: session.__exit__(None, None, None)).start()
