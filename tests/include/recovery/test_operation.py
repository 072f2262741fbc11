"""A whole recovery of the platform in small: killed anywhere, it goes on or goes back, and nothing is in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import pytest

from include.errors import RefusedError
from include.recovery import operation
from include.recovery.workloads import Recorded
from sandbox.platform import Platform
from tests.conftest import new_site, running
from tests.include.recovery.drill import DONE, KILLED, STANDS, Case, Drill, drilling
from tests.include.recovery.outage import using
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WRITES = 24
"""Lines of the journal of a recovery that nothing disturbs: intent and outcome of 11 steps, the test workflow, and its end."""
GUARDS = 40
"""Effects before which the lease is asked, about; a case beyond the last dies nowhere."""
TRIES = 6
MORE_BENCHES = 3
"""Platforms beside the one of all tests."""
DATABASE_AWAY_S = 2.0
"""For whoever logs in every 50 ms; the goal."""

Run = Callable[[Case], int]


@pytest.fixture(scope="module")
def drill(platform: Platform) -> Iterator[Drill]:
    drill = Drill.of(platform.site)
    drill.back_up()
    yield drill
    drill.drop_what_was_before()


@pytest.fixture(scope="module")
def run(drill: Drill) -> Iterator[Run]:
    with drilling(drill.site) as process:
        yield process


@pytest.fixture(scope="module")
def recorded(drill: Drill) -> Recorded:
    return drill.recorded()


def finished(run: Run, case: Case) -> int:
    """Run it until it ends by its own word, as a scheduler that tries again does; return how."""
    ended = run(case)
    for _ in range(TRIES):
        if ended not in {KILLED, STANDS}:
            return ended
        ended = run(replace(case, at=""))
    return ended


def whole(drill: Drill, recorded: Recorded) -> list[str]:
    """Return what is wrong with the platform, whichever database it runs on."""
    return [
        *drill.differences(recorded),
        *([] if drill.lets_in() else ["the application cannot log in"]),
        *(f"{name} is left" for name in drill.half_made()),
        *([] if drill.is_shut() else ["the window is open"]),
        *(f"{holder} still holds the lease" for holder in drill.leases()),
    ]


@pytest.mark.proof
def test_x_01_to_x_06_a_recovery_swaps_in_what_was_compared_and_everything_runs_as_before(
    drill: Drill, run: Run, recorded: Recorded, proof: Proof
) -> None:
    before = drill.databases()["orchestrator"]
    op_id = drill.approved()
    began = time.monotonic()
    with using(drill.site) as users:
        assert run(Case(op_id)) == DONE
    total_s = time.monotonic() - began
    if proof.full:  # the goal is for a machine that does nothing else
        assert users.database.longest_s <= DATABASE_AWAY_S
    assert users.application.longest_s < total_s
    after = drill.databases()
    assert after["orchestrator"] != before
    assert after[f"orchestrator_before_{op_id[:8]}"] == before
    assert whole(drill, recorded) == []
    assert run(Case(op_id)) == DONE
    assert drill.databases() == after, "it is done, and not once more"
    assert run(Case(op_id, verb="rollback")) == DONE
    assert drill.databases()["orchestrator"] == before
    assert whole(drill, recorded) == []
    proof.held(
        "a recovery swaps in what was compared, everything runs as before, and it can be taken back",
        n=1,
        held=1,
        database_unavailable_s=round(users.database.longest_s, 2),
        application_down_s=round(users.application.longest_s, 2),
        total_s=round(total_s, 1),
    )


def test_bug_26_without_an_approval_nothing_is_touched(drill: Drill, recorded: Recorded) -> None:
    from include.recovery import operation

    recovery = drill.recovery("00000000-0000-4000-8000-000000000000")
    before = drill.databases()
    with pytest.raises(RefusedError, match="has no plan"):
        operation.act(recovery, drill.ops, holder="a test")
    assert drill.databases() == before
    assert whole(drill, recorded) == []


@dataclass(frozen=True)
class Bench:
    """A platform on which one case after another is tried."""

    drill: Drill
    run: Run
    recorded: Recorded

    def tried(self, case: Case, then: str) -> str:
        """Let a recovery meet its case, go on or take it back; return what is wrong afterwards."""
        self.drill.drop_what_was_before()
        before, case = self.drill.databases()["orchestrator"], replace(case, op_id=self.drill.approved())
        first = last = self.run(case)
        if cut_off := first in {KILLED, STANDS}:
            self.drill.shut()
            last = finished(self.run, Case(case.op_id, verb=then))
        swapped = self.drill.databases()["orchestrator"] != before
        right = not swapped if cut_off and then == "rollback" else swapped and last == DONE
        faults = whole(self.drill, self.recorded)
        return "" if right and not faults else f"{case}, {then}: {first} {last} {swapped=} {faults}"


def test_what_cannot_be_swapped_back_any_more_is_said_before_anything_is_stopped(
    drill: Drill, run: Run, recorded: Recorded
) -> None:
    op_id = drill.approved()
    assert finished(run, Case(op_id)) == DONE
    drill.drop_what_was_before()
    standing = drill.databases()
    with pytest.raises(RefusedError, match=r"cannot be taken back: orchestrator_before_.* is gone"):
        operation.take_back(drill.recovery(op_id), drill.ops, holder="a test", why="too late")
    assert (drill.databases(), whole(drill, recorded)) == (standing, [])


@pytest.fixture(scope="module")
def benches(drill: Drill, run: Run, recorded: Recorded, request: pytest.FixtureRequest) -> Iterator[list[Bench]]:
    """Return the platform of all tests, and in full more of them: a recovery waits for pods most of the time."""
    with ExitStack() as stack:
        made = [Bench(drill, run, recorded)]
        for _ in range(MORE_BENCHES if request.config.getoption("--proof-full") else 0):
            site = stack.enter_context(new_site())
            stack.enter_context(running(site))
            other = Drill.of(site)
            other.back_up()
            made.append(Bench(other, stack.enter_context(drilling(site)), other.recorded()))
        yield made


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600)
def test_af_11_killed_or_crashed_anywhere_production_is_what_it_was_or_wholly_recovered(
    benches: list[Bench], proof: Proof
) -> None:
    """Each point of the journal and of the effects: the process is killed, or the server crashes; then go on, or take it back."""
    points = [*(("write", n) for n in range(1, WRITES + 1)), *(("guard", n) for n in range(1, GUARDS + 1))]
    times, random = proof.n(small=2, full=300), proof.random
    cases: SimpleQueue[tuple[Case, str]] = SimpleQueue()
    for number in range(times):
        at, n = points[number % len(points)] if proof.full else random.choice(points)
        case = Case("", at=at, n=n, how=random.choice(["kill", "crash"]))
        cases.put((case, random.choice(["act", "act", "rollback"])))

    def all_of(bench: Bench) -> list[str]:
        said = []
        while not cases.empty():
            with suppress(Empty):
                said.append(bench.tried(*cases.get_nowait()))
        return said

    with ThreadPoolExecutor(len(benches)) as pool:
        said = [each for bench in pool.map(all_of, benches) for each in bench]
    wrong = [each for each in said if each]
    assert wrong == []
    what = (
        "killed or crashed at any point, a recovery goes on to its end or is taken back, and replicas are as recorded"
    )
    proof.held(what, n=times, held=len(said) - len(wrong), points=len(points))
