"""Two operations on one resource: one runs, and whoever lost its lease does nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from include.errors import RefusedError
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Lease, Mode, Wanted
from tests.proof import Proof

pytestmark = pytest.mark.integration

RESOURCE = "database/orchestrator"
PROJECT = Path(__file__).parents[3]


def wanted(mode: Mode = Mode.BACKUP, op_id: str = "", *, resource: str = RESOURCE, parent: str | None = None) -> Wanted:
    return Wanted(
        resource=resource, mode=mode, op_id=op_id or str(uuid4()), holder=f"a test of {mode}", parent_op=parent
    )


def expire(ops: Callable[[str], str], lease: Lease) -> None:
    with psycopg.connect(ops("postgres"), autocommit=True) as session:
        session.execute("update ops.lease set expires_at = now() - interval '1 s' where token = %s", [lease.token])


def test_a_lease_is_given_back_and_can_then_be_had(runner: OpsDatabase) -> None:
    with leases.keep(leases.acquire(runner, wanted())) as lease:
        lease.guard()
        with pytest.raises(RefusedError, match=r"database/orchestrator is held: backup by a test of backup"):
            leases.acquire(runner, wanted())
    assert leases.acquire(runner, wanted()).token > lease.token


def test_other_resources_are_free(runner: OpsDatabase) -> None:
    leases.acquire(runner, wanted())
    leases.acquire(runner, wanted(resource="database/other"))


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        (Mode.BACKUP, Mode.BACKUP, "no"),
        (Mode.BACKUP, Mode.MAINTENANCE, "wait"),
        (Mode.BACKUP, Mode.VERIFY, "ok"),
        (Mode.BACKUP, Mode.RESTORE, "wait"),
        (Mode.MAINTENANCE, Mode.RESTORE, "takes over"),
        (Mode.CLEANUP, Mode.RESTORE, "takes over"),
        (Mode.PLANNED_MAINTENANCE, Mode.BACKUP, "no"),
        (Mode.RESTORE, Mode.RETENTION, "no"),
        (Mode.BACKUP, Mode.RETENTION, "wait"),
        (Mode.CACHE, Mode.RESTORE, "no"),
    ],
)
def test_the_table_decides(runner: OpsDatabase, first: Mode, second: Mode, rule: str) -> None:
    held = leases.acquire(runner, wanted(first))
    answer = leases._try(runner, wanted(second), 60)
    if rule in {"ok", "takes over"}:
        assert isinstance(answer, Lease)
    else:
        assert not isinstance(answer, Lease)
        assert [each.rule.replace("own only", "no") for each in answer] == [rule]
    if rule == "takes over":
        with pytest.raises(RefusedError, match="is lost"):
            held.guard()
    else:
        held.guard()


def test_every_pair_of_modes_has_a_rule(runner: OpsDatabase) -> None:
    with runner.session() as session:
        pairs = {tuple(row) for row in session.execute("select wanted, held from ops.lease_rule")}
    assert pairs == {(first.value, second.value) for first in Mode for second in Mode}


def test_a_backup_runs_inside_the_planned_maintenance_that_asked_for_it(runner: OpsDatabase) -> None:
    outer = wanted(Mode.PLANNED_MAINTENANCE)
    leases.acquire(runner, outer)
    leases.acquire(runner, wanted(Mode.BACKUP, parent=outer.op_id))
    with pytest.raises(RefusedError, match="planned maintenance"):
        leases.acquire(runner, wanted(Mode.BACKUP, parent=str(uuid4())))


def test_waiting_ends_when_the_holder_is_done(runner: OpsDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LOOKS_EVERY_S", 0.05)
    first = leases.acquire(runner, wanted(Mode.BACKUP))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(leases.acquire, runner, wanted(Mode.MAINTENANCE), wait_s=10)
        time.sleep(0.3)
        assert not waiting.done()
        first.release()
        assert waiting.result().token > first.token


def test_a_lease_that_ran_out_is_had_by_the_next_and_not_revived(
    ops: Callable[[str], str], runner: OpsDatabase
) -> None:
    dead = leases.acquire(runner, wanted())
    expire(ops, dead)
    with pytest.raises(RefusedError, match="is lost"):
        dead.renew()
    alive = leases.acquire(runner, wanted())
    dead.release()  # not its own any more
    alive.guard()


def test_a_newer_process_of_the_same_operation_fences_the_older_off(runner: OpsDatabase) -> None:
    same = wanted()
    older, newer = leases.acquire(runner, same), leases.acquire(runner, same)
    newer.guard()
    with pytest.raises(RefusedError, match="newer process"):
        older.guard()


def test_a_stop_order_stops_before_the_next_effect_and_keeps_others_from_beginning(runner: OpsDatabase) -> None:
    lease = leases.acquire(runner, wanted())
    runner.ask("order_stop", "the wrong cluster", "alice")
    with pytest.raises(RefusedError, match=r"ordered to stop: the wrong cluster \(alice"):
        lease.guard()
    with pytest.raises(RefusedError, match="ordered to stop"):
        leases.acquire(runner, wanted(Mode.CACHE))
    assert runner.ask("lift_stop", "alice") == 1
    lease.guard()


def test_it_is_renewed_while_it_is_kept(runner: OpsDatabase) -> None:
    short = leases.acquire(runner, wanted(), lives_s=1)
    with leases.keep(short, every_s=0.2) as lease:
        time.sleep(1.5)
        lease.guard()


def begin(address: str, resource: str, at: float) -> str:
    """Take a lease at a moment; return what is said if it is refused. Runs in a process of its own."""
    time.sleep(max(at - time.time(), 0))
    try:
        leases.acquire(OpsDatabase({"conninfo": address}), wanted(resource=resource))
    except RefusedError as error:
        return str(error)
    return ""


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_af_10_of_two_that_begin_together_one_runs(ops: Callable[[str], str], proof: Proof) -> None:
    rounds, address = proof.n(small=25, full=200), ops("ops_runner")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(begin, [address] * 2, ["warm/1", "warm/2"], [0.0] * 2))
        for number in range(rounds):
            at = time.time() + 0.02
            both = [pool.submit(begin, address, f"database/{number}", at) for _ in range(2)]
            refused = [said for future in both if (said := future.result())]
            assert len(refused) == 1
            assert "is held: backup by a test of backup" in refused[0]
    proof.held(
        "of two processes that begin together one runs, and the other says who holds the lease", n=rounds, held=rounds
    )


WRITES_UNTIL_REFUSED = """
import sys
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Mode, Wanted
import psycopg
ops = OpsDatabase({"conninfo": sys.argv[1]})
target = psycopg.connect(sys.argv[2], autocommit=True)
lease = leases.acquire(ops, Wanted(resource="frozen", mode=Mode.CLEANUP, op_id=sys.argv[3], holder="sleeper"), lives_s=0.8)
with leases.keep(lease, every_s=0.1):
    print("began", flush=True)
    while True:
        lease.guard()
        target.execute("insert into effect (token) values (%s)", [lease.token])
"""


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_process_that_slept_past_its_lease_writes_nothing_when_it_wakes(
    ops: Callable[[str], str], runner: OpsDatabase, proof: Proof
) -> None:
    times = proof.n(small=2, full=20)
    with psycopg.connect(ops("postgres"), autocommit=True) as target:
        target.execute("create table effect (token bigint, at timestamptz default clock_timestamp())")
        for _ in range(times):
            sleeper = subprocess.Popen(
                [sys.executable, "-c", WRITES_UNTIL_REFUSED, ops("ops_runner"), ops("postgres"), str(uuid4())],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
            )
            assert sleeper.stdout
            assert sleeper.stdout.readline() == "began\n"
            time.sleep(proof.random.uniform(0.05, 0.3))
            sleeper.send_signal(signal.SIGSTOP)
            with leases.keep(leases.acquire(runner, wanted(Mode.RESTORE, resource="frozen"))) as taken:
                time.sleep(1.0)
                woken_at = target.execute("select clock_timestamp()").fetchone()
                sleeper.send_signal(signal.SIGCONT)
                _, complaint = sleeper.communicate(timeout=20)
                assert "HeldBackError" in complaint
                late = target.execute(
                    "select count(*) from effect where token < %s and at > %s",
                    [taken.token, woken_at[0]],  # type: ignore[index]
                ).fetchone()
                assert late == (0,)
    proof.held("a process that was frozen past its lease writes nothing when it wakes", n=times, held=times)


@pytest.mark.parametrize("table", ["lease", "stop_order", "journal", "plan", "approval", "plan_use", "lease_rule"])
@pytest.mark.parametrize("role", ["ops_runner", "ops_approver", "ops_evidence_writer"])
def test_nobody_writes_past_the_functions(ops: Callable[[str], str], role: str, table: str) -> None:
    with psycopg.connect(ops(role), autocommit=True) as session:
        for statement in (f"delete from ops.{table}", f"insert into ops.{table} default values"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
