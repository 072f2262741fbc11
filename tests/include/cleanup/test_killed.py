"""Killed anywhere, with others at work: what was planned, what is archived and what is gone are the same rows, and each comes back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random

import psycopg
import pytest

from include.backups.store import Store
from include.cleanup import deletes, rows
from include.cleanup.archive import Archive
from include.ops.journal import Journal
from include.plans.cleanup import Subject
from sandbox.components.postgres import dsn
from sandbox.site import Site
from tests.include.backups.dying import after, before
from tests.include.cleanup.yard import OLD, Yard, made
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

SMALL = {"rows_per_object": 40, "rows_per_batch": 7}
FEW = 3
Arm = Callable[[Random], None]


def some(owner: object, name: str, most: int, place: Callable[..., None] = after) -> Arm:
    """Die at one of the first calls of a function, whichever comes out."""

    def arm(chance: Random) -> None:
        called, at = Counter[str](), chance.randint(1, most)

        def now(*_: object, **__: object) -> bool:
            called[name] += 1
            return called[name] == at

        place(owner, name, now)

    return arm


POINTS: Mapping[str, Arm] = {
    "a line of the journal was written": some(Journal, "record", 16),
    "a line of the journal is next": some(Journal, "record", 16, before),
    "the rows were read": some(rows, "take", 12),
    "an object was put": some(Store, "put", 12),
    "an object was compared": some(Archive, "keep", 12),
    "an object was locked": some(Archive, "lock", 4),
    "a receipt was written": some(deletes, "record", 12),
    "a batch was deleted": some(deletes, "delete", 60),
    "a receipt was settled": some(deletes, "settle", 12),
    "the ids were forgotten": some(deletes, "forget", 12),
}


def killed(yard: Yard, arm: Arm, chance: Random) -> int:
    """Let a process clean up that dies on its way; return the signal that ended it, 0 if it came through."""
    child = os.fork()
    if not child:
        try:
            arm(chance)
            yard.act(None, **SMALL)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status)


@contextmanager
def arriving(yard: Yard) -> Iterator[dict[int, str]]:
    """Insert young and old rows all the while; yield them by id, as text."""
    arrived: dict[int, str] = {}
    over = threading.Event()
    new = (
        "insert into execution_logs (execution_id, level, message, created_at)"
        " select id, 'info', 'arrived', now() - %s * interval '1 day' from workflow_executions limit 1"
        " returning id, execution_logs::text"
    )

    def run() -> None:
        with psycopg.connect(dsn(yard.site, "orchestrator_app", yard.database), autocommit=True) as session:
            while not over.wait(0.01):
                for days in (0, 92):
                    arrived.update(session.execute(new, [days]).fetchall())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield arrived
    finally:
        over.set()
        thread.join()


@pytest.mark.proof
def test_planned_archived_and_deleted_rows_are_the_same_whoever_is_killed(production: Site, proof: Proof) -> None:
    chance, points, kills = proof.random, sorted(POINTS), 0
    names = [points[number % len(points)] for number in range(proof.n(small=FEW, full=100))]
    for name in names if proof.full else chance.sample(points, FEW):
        with made(production) as yard:
            yard.fill(logs=chance.randint(20, 120), days=chance.randint(1, 4))
            was = {subject: yard.rows(subject) for subject in Subject}
            with arriving(yard) as arrived:
                kills += killed(yard, POINTS[name], chance) == signal.SIGKILL
                kills += killed(yard, POINTS[chance.choice(points)], chance) == signal.SIGKILL
                yard.act(None, **SMALL)
            assert same(yard, was, arrived), name
    what = "planned, archived and deleted rows are the same, and each day comes back as it was"
    proof.held(what, n=len(names), held=len(names), kills=kills, points=len(points))


def same(yard: Yard, was: Mapping[Subject, dict[int, str]], arrived: Mapping[int, str]) -> bool:
    """Compare plan, archive and database; then bring all of it back and compare once more."""
    for subject in Subject:
        whole = was[subject] | (dict(arrived) if subject is Subject.LOGS else {})
        now, planned = yard.rows(subject), yard.planned(subject)
        assert planned
        assert planned == yard.archived_ids(subject)
        assert now == {number: row for number, row in whole.items() if number not in planned}
        for day in {each.header.day for each in yard.archived(subject)}:
            assert yard.again().restore(subject, day).other == 0
        assert yard.rows(subject) == whole
    return True


@pytest.mark.parametrize("place", [before, after])
def test_killed_around_the_emptying_of_a_partition_it_goes_on(
    partitioned: Yard, place: Callable[[object, str], None]
) -> None:
    old = partitioned.ids(Subject.LOGS, OLD[Subject.LOGS])
    assert killed(partitioned, lambda _: place(deletes, "empty_partition"), Random(1)) == signal.SIGKILL
    partitioned.act()
    assert partitioned.planned(Subject.LOGS) == partitioned.archived_ids(Subject.LOGS) == old
    assert partitioned.ids(Subject.LOGS, OLD[Subject.LOGS]) == set()
    assert partitioned.ask("select to_regclass('logs_old')") == [(None,)]


def test_it_dies_where_it_is_told_to(yard: Yard) -> None:
    assert killed(yard, lambda _: before(deletes, "delete"), Random(1)) == signal.SIGKILL
    assert yard.ids(Subject.LOGS) >= yard.planned(Subject.LOGS)
