"""Whatever PostgreSQL can hold survives, and whatever happens meanwhile: a backup is the one moment that it says it is, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Event
from typing import Any

import psycopg
import pytest

from include.backups import fingerprint, take
from include.backups.catalogue import Verdict
from include.backups.prove import Prover
from include.errors import TransientError
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.faulty import before
from tests.include.backups.world import World, request, world
from tests.proof import Proof
from tests.zoo.build import build, small_tables
from tests.zoo.churn import TOTAL, Churn, total

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200)]


@pytest.fixture
def here(site: Site) -> Iterator[World]:
    with world(site) as made:
        yield made


def test_bug_11_everything_that_postgresql_holds_survives_roles_and_grants_too(here: World) -> None:
    with here.superuser() as connection:
        build(connection)
    taken = here.take()
    proof = here.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    assert proof.backup.manifest
    assert proof.backup.manifest.facts.tables > 100
    assert [backup.verdict for backup in here.catalogue().backups] == [Verdict.GOOD]


def test_bug_10_what_moves_after_the_dump_saw_it_and_before_the_fingerprint_does_is_no_difference(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with here.superuser() as connection:
        connection.execute("create table things (id int primary key)")
        connection.execute("create sequence tickets")
        connection.execute("create function answer() returns int language sql as 'select 1'")

        def move() -> None:
            assert dumped.wait(60)
            connection.execute("select nextval('tickets')")
            connection.execute("create or replace function answer() returns int language sql as 'select 2'")

        def dump(*arguments: Any) -> None:
            real(*arguments)
            dumped.set()

        real, dumped = take._seal_dump, Event()
        monkeypatch.setattr(take, "_seal_dump", dump)
        before(monkeypatch, fingerprint, "contents", move)
        taken = here.take()
    monkeypatch.undo()
    here.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    assert [backup.verdict for backup in here.catalogue().backups] == [Verdict.GOOD]


@pytest.mark.proof
def test_a_database_of_many_small_tables_survives(here: World, proof: Proof) -> None:
    n = proof.n(small=1_500, full=30_000)
    with here.superuser() as connection:
        small_tables(connection, n)
    taken = here.take()
    proved = here.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    facts = taken.manifest.facts
    what = "every small table of a database is in its backup, restored and equal"
    proof.held(what, n=n, held=facts.tables, take_s=round(facts.took_s, 1), rto_s=round(proved.rto_s, 1))


class Auditor(Prover):
    """A prover who asks the restored copy a question of his own before it is compared."""

    def _contents(self, session: psycopg.Connection[tuple[Any, ...]]) -> Any:
        assert total(session) == TOTAL, "the sum over two tables that every transaction keeps"
        return super()._contents(session)


@pytest.mark.proof
def test_bug_10_a_backup_among_writers_and_changes_of_shape_is_one_moment(here: World, proof: Proof) -> None:
    n = proof.n(small=6, full=200)
    ends = Counter[str]()
    with Churn(lambda: connect(here.site, database=here.database), proof.seed) as churn:
        for number in range(n):
            ends[once(here, number)] += 1
    assert churn.counts.total() > n
    assert ends["good"] > n / 2
    what = "a backup under concurrent writers and DDL is GOOD and one moment, or was refused with the reason"
    proof.held(what, n=n, held=ends.total(), ends=dict(ends), deeds=churn.counts.total(), hindered=dict(churn.hindered))


def once(here: World, number: int) -> str:
    """Take and prove one; whatever is neither good nor refused for now raises."""
    try:
        taken = here.taker().take(request(attempt=number + 1))
    except TransientError as refused:
        return f"refused: {reason(refused)}"
    usual = here.catalogue().newest_good
    Auditor(**vars(here.prover())).prove(taken.manifest.facts.key, sha256=taken.sha256, usual=usual)
    return "good"


def reason(refused: TransientError) -> str:
    known = ("came or went", "stayed locked", "lock timeout", "does not exist", "deadlock", "could not open relation")
    return next((words for words in known if words in str(refused)), str(refused))
