"""The newest backup into an empty server, on the real store and the real servers, with nothing but the keys of disaster recovery."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest

from include.backups import again, keys, standing
from include.backups.catalogue import Verdict
from include.backups.prove import Prover
from include.checks import disaster
from include.disaster import drill
from include.disaster.drill import Outcome, restore_newest
from include.disaster.pieces import Piece
from include.errors import TransientError
from include.findings import Finding, Severity
from sandbox import age_keys
from sandbox.components import s3
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.include.backups.world import World, world

pytestmark = pytest.mark.integration

ROWS = 500
BACKUPS = 3


@pytest.fixture(scope="module")
def here(site: Site) -> Iterator[World]:
    """Some good backups; the last one of them names an extension that only a superuser can bring."""
    with world(site) as made:
        with made.superuser() as session:
            session.execute("create table thing (id int primary key, note text)")
            session.execute(f"insert into thing select i, md5(i::text) from generate_series(1, {ROWS}) i")
            session.execute("create extension pageinspect")
        with extension_on_the_target(site):
            for _ in range(BACKUPS):
                taken = made.take()
                made.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
        yield made


@contextmanager
def extension_on_the_target(site: Site) -> Iterator[None]:
    with template(site) as session:
        session.execute("create extension pageinspect")
    try:
        yield
    finally:
        with template(site) as session:
            session.execute("drop extension pageinspect")


def template(site: Site) -> Any:
    return connect(site, database="template1", server="postgres_scratch")


@pytest.fixture
def whole(here: World) -> Iterator[World]:
    """The same, and a target that has all pieces."""
    with extension_on_the_target(here.site):
        yield here


def recoverer(made: World, key: str = "", **limits: Any) -> Prover:
    """Who has the reader of the bucket, the key of disaster recovery, the empty server, and nothing else."""
    return made.prover(
        store=made.store("backup_dr"), key=key or age_keys.private(made.site, age_keys.RECOVERY), **limits
    )


def restored(made: World, **known: Any) -> Outcome:
    return restore_newest(recoverer(made, **known), decided=time.monotonic())


def judged(made: World, outcome: Outcome) -> dict[str, Finding]:
    return {finding.check: finding for finding in disaster.judge_newest(outcome, made.limits())}


def good_keys(made: World) -> list[str]:
    return [backup.key for backup in made.catalogue().backups if backup.is_good]


def bucket(made: World) -> dict[str, tuple[dict[str, str], datetime | None]]:
    """Tags and lock of each manifest."""
    verifier = made.store("backup_verifier")
    places = [(each.key + keys.MANIFEST, each.version_id) for each in made.catalogue().backups]
    return {place[0]: (verifier.tags(*place), verifier.locked_until(*place)) for place in places}


def test_m_03_the_key_and_the_user_of_disaster_recovery_are_enough_and_nothing_is_marked(whole: World) -> None:
    before = bucket(whole)
    began = time.monotonic()
    outcome = restored(whole)
    took = time.monotonic() - began
    assert outcome.proof
    assert (outcome.newest, outcome.proof.backup.key) == (good_keys(whole)[-1], good_keys(whole)[-1])
    assert (outcome.damaged, outcome.missing, outcome.good) == ({}, (), BACKUPS)
    assert outcome.proof.rto_s < outcome.rto_s <= took
    assert sum(seconds for _, seconds in drill.steps(outcome)) == pytest.approx(outcome.rto_s)
    assert bucket(whole) == before
    findings = judged(whole, outcome)
    assert {finding.severity for finding in findings.values()} == {Severity.OK}
    assert findings["restored_newest"].evidence["rows"] == ROWS
    assert findings["pieces"].evidence["manual_steps"] == []


def test_m_03_an_older_one_is_restored_by_the_same_means(whole: World) -> None:
    prover = recoverer(whole)
    found = standing.look(prover.store, whole.database, datetime.now(UTC))
    outcome = again.restore_one(prover, found, run_id="run 1", began=datetime.now(UTC))
    assert outcome.proof
    assert outcome.proof.backup.key in good_keys(whole)[:-1]
    (finding,) = disaster.judge_older(outcome, whole.limits())
    assert (finding.severity, finding.evidence["rows"]) == (Severity.OK, ROWS)


@contextmanager
def damaged(made: World, key: str, name: str = keys.DUMP) -> Iterator[None]:
    """One flipped bit on the store's disk."""
    file: Path = made.site.path("s3", "objects", s3.BUCKET) / key / name
    content = file.read_bytes()
    place = len(content) // 2
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    try:
        yield
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("name", [keys.DUMP, keys.FINGERPRINT])
def test_bug_13_a_damaged_newest_backup_is_named_and_the_one_before_it_is_restored(whole: World, name: str) -> None:
    *_, before, newest = good_keys(whole)
    with damaged(whole, newest, name):
        outcome = restored(whole)
    assert outcome.proof
    assert (list(outcome.damaged), outcome.proof.backup.key) == ([newest], before)
    assert outcome.rto_s > outcome.proof.rto_s
    findings = judged(whole, outcome)
    assert findings["newest_intact"].severity is Severity.CRITICAL
    assert f"{newest}{name}" in findings["newest_intact"].summary
    assert before in findings["newest_intact"].summary
    assert findings["restored_newest"].evidence["key"] == before
    assert {backup.verdict for backup in whole.catalogue().backups} == {Verdict.GOOD}  # who recovers may not mark


def test_one_whose_dump_is_gone_from_the_bucket_is_named_without_a_download(whole: World) -> None:
    *_, before, newest = good_keys(whole)
    file = whole.site.path("s3", "objects", s3.BUCKET) / newest / keys.DUMP
    aside = file.with_name("aside")
    file.rename(aside)
    try:
        outcome = restored(whole)
    finally:
        aside.rename(file)
    assert outcome.damaged == {newest: f"{newest} was good, and dump.age is not there in the version that was written"}
    assert outcome.proof
    assert outcome.proof.backup.key == before


def test_when_all_of_them_are_damaged_nothing_is_restored_and_the_search_ends(whole: World) -> None:
    with damaged(whole, good_keys(whole)[-1]), damaged(whole, good_keys(whole)[-2]):
        outcome = restored(whole, older_attempts=2)
    assert outcome.proof is None
    assert len(outcome.damaged) == 2
    findings = judged(whole, outcome)
    assert findings["newest_intact"].summary.startswith("none of the 2 newest good backups can be used: ")
    assert "restored_newest" not in findings


def missing(made: World, outcome: Outcome, piece: Piece) -> str:
    """The sentence of the only piece that is missing, as it is told."""
    (found,) = outcome.missing
    assert (found.piece, outcome.proof) == (piece, None)
    (finding,) = judged(made, outcome).values()
    assert finding.severity is Severity.CRITICAL
    assert finding.evidence["missing"] == [{"piece": piece.value, "said": found.said}]
    assert found.said in finding.summary
    return found.said


def test_an_extension_that_the_target_lacks_is_named_as_missing(here: World) -> None:
    assert "lacks the extensions pageinspect" in missing(here, restored(here), Piece.EXTENSIONS)


def test_a_target_that_is_not_empty_is_named_as_missing(whole: World) -> None:
    with connect(whole.site, database="postgres", server="postgres_scratch") as server:
        server.execute("create database left_behind")
        try:
            said = missing(whole, restored(whole), Piece.EMPTY)
        finally:
            server.execute("drop database left_behind")
    assert "is not empty: it holds database left_behind" in said


def test_tables_in_the_database_of_the_login_are_no_empty_target(whole: World) -> None:
    with connect(whole.site, database="postgres", server="postgres_scratch") as server:
        server.execute("create table left_behind ()")
        try:
            said = missing(whole, restored(whole), Piece.EMPTY)
        finally:
            server.execute("drop table left_behind")
    assert "1 tables in the database that the login leads to" in said


def test_an_older_postgresql_than_the_backups_is_named_as_missing(
    whole: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drill.needs
    monkeypatch.setattr(drill, "needs", lambda *known: replace(real(*known), major=18))
    outcome = restored(whole)
    assert [each.piece for each in outcome.missing] == [Piece.VERSION, Piece.PROGRAM]
    assert "is PostgreSQL 17 and the backup is of 18" in outcome.missing[0].said
    assert outcome.proof is None


def test_a_spool_without_room_is_named_as_missing(whole: World) -> None:
    assert "the opened dump needs" in missing(whole, restored(whole, spool_reserve_bytes=1 << 60), Piece.SPACE)


def test_a_key_that_opens_no_backup_is_named_as_missing_and_never_shown(whole: World) -> None:
    other = str(pyrage.x25519.Identity.generate())
    for wrong, words in ((other, "is not among backup.recipients"), ("nonsense", "holds no age private key")):
        said = missing(whole, restored(whole, key=wrong), Piece.KEY)
        assert words in said
        assert wrong not in said


def test_a_backup_that_is_not_sealed_to_the_key_is_named_as_missing(whole: World) -> None:
    other = pyrage.x25519.Identity.generate()
    named = {**age_keys.recipients(whole.site), "new": str(other.to_public())}
    said = missing(whole, restored(whole, key=str(other), recipients=named), Piece.KEY)
    assert f"{good_keys(whole)[-1]} is not sealed to " in said


def test_a_target_that_does_not_answer_is_no_verdict(whole: World) -> None:
    prover = replace(recoverer(whole), server=whole.login("ops_verify", "postgres_scratch", port=1))
    with pytest.raises(TransientError):
        restore_newest(prover, decided=time.monotonic())


def test_a_bucket_without_a_good_backup_has_nothing_to_recover_from(here: World) -> None:
    with world(here.site) as empty:
        outcome = restored(empty)
        assert outcome == Outcome()
        findings = judged(empty, outcome)
    assert findings["newest_intact"].severity is Severity.CRITICAL
    assert findings["newest_intact"].summary.startswith("the bucket shows no good backup")
