"""Killed or cut off anywhere, the running database is there, and whole; the next call goes on from what the server shows (I3)."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import psycopg
import pytest

from include.backups import compare, restoring
from include.backups.fingerprint import Contents
from include.errors import RunbookError
from include.recovery import beside, contents, doors, properties, swap
from sandbox.components.postgres import connect, data_folder
from tests.include.backups.dying import after, before, die, within
from tests.include.recovery.scene import LIMITS, Scene
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

BACK_S = 30
FEW = 4
"""Points of the small proof, others with every seed."""
Arm = Callable[[Random], None]


@dataclass(frozen=True)
class Point:
    """Where a process dies, or the server.

    :param swapped: whether the names have changed then.
    """

    arm: Arm
    swapped: bool = False


def of_the_second(name: str) -> Arm:
    """Die in the middle of the exchange: one database has its new name, in a transaction that nobody commits."""

    def arm(_: Random) -> None:
        real, called = getattr(swap, name), Counter[str]()

        def second(*args: object) -> None:
            called[name] += 1
            if called[name] == 2:
                die()
            real(*args)

        setattr(swap, name, second)

    return arm


RESTORING: Mapping[str, Point] = {
    "made and not marked": Point(lambda _: before(beside, "set_mark")),
    "marked and closed": Point(lambda _: before(properties, "rehearse")),
    "pg_restore runs": Point(lambda chance: within(restoring, "_wait", chance.uniform(0, 0.3))),
    "restored and not analyzed": Point(lambda _: before(contents, "give_away")),
    "in the comparison": Point(lambda _: before(compare, "differences")),
    "compared and not marked": Point(lambda _: before(beside, "_compared")),
}
SWAPPING: Mapping[str, Point] = {
    "the doors are closed": Point(lambda _: after(doors, "let_in")),
    "nobody is there": Point(lambda _: after(doors, "empty")),
    "the swap begins": Point(lambda _: before(swap, "_clear")),
    "one of two names is changed": Point(of_the_second("_rename")),
    "both are, and nothing is committed": Point(lambda _: before(swap, "comment")),
    "swapped and not looked at": Point(lambda _: before(swap, "_verified"), swapped=True),
}
POINTS = {**RESTORING, **SWAPPING}


def recover(here: Scene) -> None:
    here.restorer().restore(here.opened, here.op_id)
    if not here.seen().is_swapped:
        doors.close_doors(here.login, here.database, LIMITS)
    swap.swap(here.login, here.database, here.op_id, LIMITS)


def resume(here: Scene) -> None:
    """As whoever goes on does: look first."""
    if not here.seen().is_swapped:
        recover(here)


def killed(here: Scene, arm: Arm, chance: Random) -> int:
    """Let a process recover that dies on its way; return the signal that ended it."""
    here.opened  # noqa: B018 - what the child would have to read is read
    child = os.fork()
    if not child:
        try:
            arm(chance)
            recover(here)
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


@pytest.mark.proof
def test_bug_26_a_recovery_that_is_killed_anywhere_leaves_the_database_whole_and_goes_on(
    here: Scene, proof: Proof
) -> None:
    was, each = here.contents(), Counter[str]()
    names = [*POINTS] * 20 if proof.full else proof.random.sample(sorted(POINTS), FEW)
    for name in names:
        recovery = here.again()
        assert killed(recovery, POINTS[name].arm, proof.random) == signal.SIGKILL, name
        assert recovery.seen().is_swapped is POINTS[name].swapped, name
        assert whole(recovery, was), name
        resume(recovery)
        assert recovery.seen().is_swapped, name
        assert whole(recovery, was), name
        put_back(recovery)
        each[name] += 1
    what = "kill -9 anywhere in restore and swap: the database is what it was or the restored one, and the next call goes on"
    proof.held(what, n=len(names), held=each.total(), points=len(POINTS))


def whole(here: Scene, was: Contents) -> bool:
    """I3, told by a superuser: closed doors are opened for the look, and closed again."""
    with here.superuser("postgres") as server:
        found = server.execute("select datallowconn from pg_database where datname = %s", [here.database]).fetchone()
        assert found, "the database is absent"
        server.execute(f"alter database {here.database} allow_connections true".encode())
        try:
            return here.is_whole(was)
        finally:
            server.execute(f"alter database {here.database} allow_connections {found[0]}".encode())


def put_back(here: Scene) -> None:
    doors.close_doors(here.login, here.database, LIMITS)
    swap.swap_back(here.login, here.database, here.op_id, LIMITS)
    swap.drop_restore(here.login, here.database, here.op_id)
    assert here.all_names() == {here.database}


# --- the server ---------------------------------------------------------------------------------------------------------


def crash(here: Scene) -> None:
    """End the server at once, as a power failure does, and wait until it has recovered."""
    os.kill(int((data_folder(here.site) / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    until = time.monotonic() + BACK_S
    while time.monotonic() < until:
        time.sleep(0.1)
        try:
            connect(here.site, database="postgres").close()
        except psycopg.OperationalError:
            continue
        return
    raise TimeoutError("the server did not come back")


@pytest.mark.parametrize("where", ["restore", "swap"])
def test_a_server_that_crashes_in_the_middle_leaves_the_database_whole(
    here: Scene, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    was = here.contents()
    with monkeypatch.context() as patch:
        crashing(patch, here, *{"restore": (contents, "give_away"), "swap": (swap, "let_in")}[where])
        if where == "restore":
            with pytest.raises(RunbookError):
                recover(here)
            assert not here.seen().is_swapped
        else:
            recover(here)  # it looks again, and does it
    assert whole(here, was)
    resume(here)
    assert here.seen().is_swapped
    assert whole(here, was)


def crashing(patch: pytest.MonkeyPatch, here: Scene, module: object, name: str) -> None:
    """Let the server crash once, just before something is done."""
    real, done = getattr(module, name), list[str]()

    def first(*args: object, **named: object) -> object:
        if not done:
            done.append(name)
            crash(here)
        return real(*args, **named)

    patch.setattr(module, name, first)


def test_a_restore_whose_program_goes_on_without_it_is_begun_again(here: Scene) -> None:
    """A killed process leaves its pg_restore behind, which still writes into the database."""
    with connect(here.site, "ops_restore", "postgres") as session:
        restoring.create(
            session,
            here.names.restore,
            here.opened.fingerprint.database,
            owner="orchestrator_owner",
            template=LIMITS.template,
        )
        running = here.seen().running
        assert running
        first = beside._first_mark(here.seen(), running, here.opened)
        session.execute(f"comment on database {here.names.restore} is $mark${first.text()}$mark$".encode())
    with connect(here.site, "ops_restore", here.names.restore) as orphan:
        orphan.execute("create table half (id int)")
        here.restorer().restore(here.opened, here.op_id)
        with pytest.raises(psycopg.OperationalError):
            orphan.execute("insert into half values (1)")
