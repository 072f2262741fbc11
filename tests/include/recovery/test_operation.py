"""A whole recovery of the platform in small: killed anywhere, it goes on or goes back, and nothing is in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from include.errors import RefusedError
from include.recovery.workloads import Recorded
from sandbox.platform import Platform
from tests.include.recovery.drill import DONE, KILLED, STANDS, Case, Drill, drilling
from tests.include.recovery.outage import using
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WRITES = 24
"""Lines of the journal of a recovery that nothing disturbs: intent and outcome of 11 steps, the test workflow, and its end."""
GUARDS = 40
"""Effects before which the lease is asked, about; a case beyond the last dies nowhere."""
TRIES = 6
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


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600)
def test_af_11_killed_or_crashed_anywhere_production_is_what_it_was_or_wholly_recovered(
    drill: Drill, run: Run, recorded: Recorded, proof: Proof
) -> None:
    """Each point of the journal and of the effects: the process is killed, or the server crashes; then go on, or take it back."""
    points = [*(("write", n) for n in range(1, WRITES + 1)), *(("guard", n) for n in range(1, GUARDS + 1))]
    times = proof.n(small=2, full=300)
    held, wrong = 0, []
    for number in range(times):
        at, n = points[number % len(points)] if proof.full else proof.random.choice(points)
        how = proof.random.choice(["kill", "crash"])
        verb = proof.random.choice(["act", "act", "rollback"])
        drill.drop_what_was_before()
        before, op_id = drill.databases()["orchestrator"], drill.approved()
        first = run(Case(op_id, at=at, n=n, how=how))
        if first in {KILLED, STANDS}:
            drill.shut()
        last = finished(run, Case(op_id, verb=verb)) if first in {KILLED, STANDS} else first
        now = drill.databases()["orchestrator"]
        went_back = verb == "rollback" and first in {KILLED, STANDS}
        right = (now == before) if went_back else (now != before and last == DONE)
        faults = whole(drill, recorded)
        if faults or not right:
            wrong.append(f"{at} {n} {how} {verb}: {first} {last} {now != before} {faults}")
        held += not wrong
    assert wrong == []
    what = (
        "killed or crashed at any point, a recovery goes on to its end or is taken back, and replicas are as recorded"
    )
    proof.held(what, n=times, held=held, points=len(points))
