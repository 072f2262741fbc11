"""An older backup restored once more on the real servers: what holds keeps its facts, what differs is BAD, who cannot look says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from include.backups import again, keys, prove, standing
from include.backups.again import Outcome
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.prove import Prover
from include.backups.standing import Standing
from include.backups.take import Taken
from include.errors import RefusedError, VerificationError
from sandbox import age_keys
from sandbox.components import s3
from sandbox.site import Site
from tests.faults import answers
from tests.faults.storefront import storefront
from tests.include.backups.damages import Tampering
from tests.include.backups.samples import AT, manifest
from tests.include.backups.test_catalogue import backup, key
from tests.include.backups.world import World, world

ROWS = 500
OLDER = 5


# --- the lot


def of(*backups: Backup) -> list[Standing]:
    return [Standing(backup=each) for each in backups]


MONTH = [backup(day, Verdict.GOOD) for day in range(30)]


def test_a_run_draws_the_same_again_and_other_runs_draw_others() -> None:
    assert again.drawn(MONTH, "run 1") == again.drawn(list(reversed(MONTH)), "run 1")
    assert len({again.drawn(MONTH, f"run {n}")[0].key for n in range(200)}) > 25


def test_a_run_goes_on_with_the_same_next_one_when_the_first_drops_out() -> None:
    first, *rest = again.drawn(MONTH, "run 1")
    assert again.drawn([each for each in MONTH if each is not first], "run 1") == rest


def test_the_newest_good_one_what_is_not_good_and_what_does_not_stand_is_not_drawn() -> None:
    good, fallen = backup(1, Verdict.GOOD), Standing(backup=backup(2, Verdict.GOOD), wrong="gone")
    found = [*of(backup(0), good), fallen, *of(backup(3, Verdict.BAD), backup(4, Verdict.GOOD), backup(5))]
    assert [each.backup for each in standing.older(found)] == [good]
    assert standing.older(of(backup(0, Verdict.GOOD))) == []
    assert standing.older([]) == []


def test_what_an_earlier_try_of_the_run_found_bad_is_told_again() -> None:
    mark = Mark(verdict=Verdict.BAD, at=AT, manifest="c" * 64, reason="a row")
    found = of(backup(1, mark=mark), backup(2, Verdict.GOOD), backup(3, mark=mark))
    assert again.found_bad(found, AT + timedelta(microseconds=9)) == {key(1): "a row"}  # 3 is newer than any good one
    assert again.found_bad(found, AT + timedelta(seconds=1)) == {}
    assert again.found_bad(of(backup(1, mark=mark)), AT) == {}


# --- on the servers


@pytest.fixture(scope="module")
def here(site: Site) -> Iterator[World]:
    """Some good backups of a database with rows; the newest is never drawn."""
    with world(site) as made:
        with made.superuser() as session:
            session.execute("create table thing (id int primary key, note text)")
            session.execute(f"insert into thing select i, md5(i::text) from generate_series(1, {ROWS}) i")
        for _ in range(OLDER + 1):
            good(made)
        yield made


def good(made: World) -> Taken:
    taken = made.take()
    made.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    return taken


def ran(made: World, prover: Prover | None = None, run_id: str = "", began: datetime | None = None) -> Outcome:
    prover = prover or made.prover()
    found = standing.look(prover.store, made.database, datetime.now(UTC))
    return again.restore_one(prover, found, run_id=run_id or str(uuid4()), began=began or datetime.now(UTC))


def facts_of(made: World, key: str) -> tuple[dict[str, str], datetime | None]:
    """Tags and lock of a backup's manifest."""
    verifier, found = made.store("backup_verifier"), made.catalogue().find(key)
    place = key + keys.MANIFEST, found.version_id
    return verifier.tags(*place), verifier.locked_until(*place)


class Watching(Prover):
    """A prover that notes which database of the scratch server it compares, and how many rows the server counts as written there."""

    seen: list[tuple[str, int, int]]

    @classmethod
    def of(cls, prover: Prover, seen: list[tuple[str, int, int]]) -> Watching:
        watching = cls(**vars(prover))
        object.__setattr__(watching, "seen", seen)
        return watching

    def _contents(self, session: Any) -> Any:
        query = "select datname, datid::bigint, tup_inserted from pg_stat_database where datname = current_database()"
        self.seen.append(session.execute(query).fetchone())
        return super()._contents(session)


@pytest.mark.integration
def test_w_12_an_older_one_that_is_equal_keeps_its_mark_and_its_lock(here: World) -> None:
    before = {each.key: facts_of(here, each.key) for each in here.catalogue().backups}
    outcome = ran(here)
    assert outcome.proof
    assert (outcome.candidates, outcome.bad, outcome.unseen) == (OLDER, {}, None)
    newest = here.catalogue().newest_good
    assert newest
    assert outcome.proof.backup.key != newest.key
    assert outcome.proof.rto_s > outcome.proof.restore_s > 0
    assert {each.key: facts_of(here, each.key) for each in here.catalogue().backups} == before


@pytest.mark.integration
def test_bug_24_every_run_restores_again_into_a_new_database(here: World) -> None:
    """A second week, and a second try of the same run: a database of its own each, and the server counts the rows written."""
    seen: list[tuple[str, int, int]] = []
    run_ids = ["week 1", "week 2", "week 2"]
    proofs = [ran(here, Watching.of(here.prover(), seen), run_id).proof for run_id in run_ids]
    assert all(proofs)
    assert len({name for name, _, _ in seen}) == len({number for _, number, _ in seen}) == 3
    assert min(rows for _, _, rows in seen) >= ROWS
    assert [name for name, _, _ in seen] == [proof.restored_into for proof in proofs if proof]
    drawn = [proof.backup.key for proof in proofs if proof]
    assert drawn[1] == drawn[2]
    with here.login("ops_verify", "postgres_scratch").session("test") as session:
        left = session.execute("select datname from pg_database where starts_with(datname, 'verify_')").fetchall()
    assert not {name for (name,) in left} & {name for name, _, _ in seen}


@pytest.mark.integration
def test_a_scratch_server_that_is_away_leaves_the_verdict_and_says_why(here: World) -> None:
    before = {each.key: facts_of(here, each.key) for each in here.catalogue().backups}
    outcome = ran(here, here.prover(server=here.login("ops_verify", "postgres_scratch", port=1)))
    assert outcome.unseen
    assert (outcome.proof, outcome.bad, outcome.unseen.transient) == (None, {}, True)
    assert {each.key: facts_of(here, each.key) for each in here.catalogue().backups} == before


@pytest.mark.integration
def test_a_difference_after_a_change_of_major_version_says_nothing_about_the_backup(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampering = Tampering.of(here.prover(), "delete from thing where id = 7")
    real = Prover._find

    def of_16(self: Prover, key: str, sha256: str) -> Backup:
        found = real(self, key, sha256)
        assert found.manifest
        older = found.manifest.facts.model_copy(update={"server_version": "16.4"})
        return replace(found, manifest=found.manifest.model_copy(update={"facts": older}))

    with monkeypatch.context() as patch:
        patch.setattr(Prover, "_find", of_16)
        patch.setattr(prove, "contradict", lambda *_, **__: None)  # its facts are sealed, and say 17
        outcome = ran(here, tampering)
    assert outcome.unseen
    assert (outcome.unseen.error, outcome.bad) == (RefusedError.__name__, {})
    assert "is of PostgreSQL 16 and the scratch server of 17" in outcome.unseen.reason
    assert {each.verdict for each in here.catalogue().backups} == {Verdict.GOOD}


@pytest.mark.integration
def test_a_key_that_opens_none_of_them_is_no_verdict(here: World) -> None:
    other = age_keys.private(here.site, age_keys.NAMES[1])
    older = [replace(each, backup=_sealed_to_nobody(each.backup)) for each in seen_of(here)]
    outcome = again.restore_one(here.prover(key=other), older, run_id="r", began=datetime.now(UTC))
    assert outcome.unseen
    assert f"none of {OLDER} older good backups is sealed to the key" in outcome.unseen.reason
    assert ran(here, here.prover(key=other)).proof  # which is one of their recipients


def seen_of(made: World) -> list[Standing]:
    return standing.look(made.store("backup_verifier"), made.database, datetime.now(UTC))


def _sealed_to_nobody(backup: Backup) -> Backup:
    assert backup.manifest
    facts = backup.manifest.facts.model_copy(update={"recipients": {"old": "age1old"}})
    return replace(backup, manifest=manifest(facts=facts))


@pytest.mark.integration
def test_one_that_differs_is_bad_the_next_is_taken_at_once_and_a_second_try_tells_both(here: World) -> None:
    run_id, began = str(uuid4()), datetime.now(UTC)
    first = again.drawn([each.backup for each in standing.older(seen_of(here))], run_id)[0]
    verifier = here.store("backup_verifier")
    verifier.tag(first.key + keys.MANIFEST, first.version_id, {"retention": "hold"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prover, "_contents", deleting_a_row_of(first.key))
        outcome = ran(here, run_id=run_id, began=began)
    assert outcome.proof
    assert outcome.proof.backup.key != first.key
    assert list(outcome.bad) == [first.key]
    assert (
        f"{first.key} is BAD: what was restored differs: table public.thing has {ROWS - 1} rows"
        in outcome.bad[first.key]
    )
    found = here.catalogue().find(first.key)
    assert (found.verdict, "rows instead of" in found.mark.reason if found.mark else "") == (Verdict.BAD, True)
    assert verifier.tags(first.key + keys.MANIFEST, first.version_id)["retention"] == "hold"
    second = ran(here, run_id=run_id, began=began)
    assert second.proof
    assert (list(second.bad), second.proof.backup.key) == ([first.key], outcome.proof.backup.key)
    assert not ran(here, run_id=run_id, began=datetime.now(UTC) + timedelta(seconds=1)).bad


def deleting_a_row_of(key: str) -> Any:
    """Damage the restored copy of one backup: its scratch database bears the first digits of its operation."""
    real, op = Prover._contents, key.rpartition("Z-")[2][:8]

    def contents(self: Prover, session: Any) -> Any:
        if f"verify_{op}_" in session.info.dbname:
            session.execute("delete from thing where id = 7")
        return real(self, session)

    return contents


@pytest.mark.integration
def test_one_that_the_retention_removes_meanwhile_is_not_called_bad(here: World) -> None:
    run_id = str(uuid4())
    first = again.drawn([each.backup for each in standing.older(seen_of(here))], run_id)[0]
    file = here.site.path("s3", "objects", s3.BUCKET) / first.key / keys.MANIFEST
    damaged = deleting_a_row_of(first.key)

    def removed(self: Prover, session: Any) -> Any:
        file.unlink(missing_ok=True)
        return damaged(self, session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prover, "_contents", removed)
        outcome = ran(here, run_id=run_id)
    assert outcome.proof
    assert (outcome.proof.backup.key == first.key, outcome.bad) == (False, {})


@pytest.mark.integration
def test_bad_that_cannot_be_written_is_said(here: World) -> None:
    found = standing.older(seen_of(here))[0].backup
    with storefront(here.site.ports["s3"]) as front:
        front.fault("PutObjectTagging", answers.error(403, "AccessDenied"))
        store = here.store("backup_verifier", int(front.url.rpartition(":")[2]))
        prover = Tampering.of(here.prover(store=store), "delete from thing where id = 7")
        with pytest.raises(VerificationError, match="though the bucket still calls it GOOD"):
            prover.prove_again(found.key, sha256=found.sha256)
    assert here.catalogue().find(found.key).is_good


@pytest.mark.integration
def test_a_scratch_server_that_spoils_everything_condemns_no_more_than_the_limit(here: World) -> None:
    good_before = sum(each.is_good for each in here.catalogue().backups)
    prover = Tampering.of(here.prover(older_attempts=2), "delete from thing where id = 7")
    outcome = ran(here, prover)
    assert (outcome.proof, outcome.unseen, len(outcome.bad)) == (None, None, 2)
    assert sum(each.is_good for each in here.catalogue().backups) == good_before - 2


@pytest.mark.integration
def test_a_first_week_has_no_older_one(site: Site) -> None:
    with world(site) as made:
        with made.superuser() as session:
            session.execute("create table thing (id int primary key)")
        good(made)
        assert ran(made) == Outcome(candidates=0)
