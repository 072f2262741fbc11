"""What is not the backup's fault does not make it BAD: neither the scratch server's trouble, nor what others did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.backups import fingerprint, prove, spool, take
from include.backups.catalogue import Backup, Verdict
from include.backups.prove import Proof, Prover
from include.errors import ConfigurationError, RefusedError, TransientError, VerificationError
from sandbox.components import postgres
from sandbox.site import Site
from tests.include.backups.damages import Tampering
from tests.include.backups.faulty import before, error_of
from tests.include.backups.servers import caught_up, own_servers, standby
from tests.include.backups.world import World, world

pytestmark = pytest.mark.integration


@pytest.fixture
def here(site: Site) -> Iterator[World]:
    with world(site) as made:
        run(made, "create table things (id int primary key)", "insert into things values (1)")
        yield made


def run(here: World, *statements: str) -> None:
    """Do something in the source as a superuser."""
    with here.superuser() as session:
        for each in statements:
            session.execute(each.encode())


def once(here: World, *statements: str) -> Callable[[], None]:
    """Do it the first time that it is asked for."""
    left = list(statements)

    def deed() -> None:
        run(here, *left)
        left.clear()

    return deed


def proved(here: World) -> Proof:
    """Take and prove one, which is good."""
    taken = here.take()
    found = here.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    assert [backup.verdict for backup in here.catalogue().backups] == [Verdict.GOOD]
    return found


def refused(here: World, prover: Prover, *words: str, kind: Any = ConfigurationError) -> str:
    """Take one whose proof ends with this error; it is not proved, and not BAD."""
    key = here.take().manifest.facts.key
    said = error_of(lambda: prover.prove(key), kind, *words)
    assert [backup.verdict for backup in here.catalogue().backups] == [Verdict.UNPROVED]
    return said


@pytest.fixture
def role(here: World) -> Iterator[str]:
    """A role of the source that is gone afterwards."""
    name = f"{here.database}_role"
    yield from _roles(here, name)


def _roles(here: World, name: str) -> Iterator[str]:
    run(here, f"create role {name}", f"create role {name}_2")
    try:
        yield name
    finally:
        with here.superuser() as session:
            for each in (name, f"{name}_2"):
                if session.execute("select from pg_roles where rolname = %s", [each]).rowcount:
                    session.execute(f"drop owned by {each}".encode())
                    session.execute(f"drop role {each}".encode())


# --- the scratch server -------------------------------------------------------------------------------------------------


def test_what_only_a_superuser_may_restore_is_not_the_backup_s_fault(here: World) -> None:
    run(here, "create function plus(int, int) returns int language internal as 'int4pl'")
    refused(here, here.prover(), "permission denied for language internal", "not the archive's")


def test_a_right_that_was_passed_on_cannot_be_restored_and_is_not_the_backup_s_fault(here: World, role: str) -> None:
    run(
        here,
        f"grant usage on schema public to {role}",
        f"grant select on things to {role} with grant option",
        f"set role {role}; grant select on things to {role}_2",
    )
    said = refused(here, here.prover(), "permission denied to set session authorization", "WITH GRANT OPTION")
    assert "let the owner grant it" in said


def test_what_breaks_in_one_of_several_jobs_of_a_restore_is_the_backup_s_fault(here: World) -> None:
    """A constraint that its own rows do not keep: no restore of that archive will ever end well."""
    run(
        here,
        "create function kept(int) returns bool immutable language sql as 'select true'",
        "create table keepers (id int check (kept(id)))",
        "insert into keepers values (1)",
        "create or replace function kept(int) returns bool immutable language sql as 'select false'",
    )
    key = here.take().manifest.facts.key
    error_of(lambda: here.prover().prove(key), VerificationError, "violates check constraint")
    assert [backup.verdict for backup in here.catalogue().backups] == [Verdict.BAD]


def test_a_difference_after_another_major_version_does_not_make_tonight_s_bad(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Prover._find

    def of_16(self: Prover, key: str, sha256: str) -> Backup:
        found = real(self, key, sha256)
        assert found.manifest
        older = found.manifest.facts.model_copy(update={"server_version": "16.4"})
        return replace(found, manifest=found.manifest.model_copy(update={"facts": older}))

    monkeypatch.setattr(Prover, "_find", of_16)
    monkeypatch.setattr(prove, "refuse", lambda *_, **__: None)  # its facts are sealed, and say 17
    prover = Tampering.of(here.prover(), "delete from things")
    refused(here, prover, "is of PostgreSQL 16 and the scratch server of 17", kind=RefusedError)


def test_a_template_that_has_the_schema_public_and_a_source_that_dropped_it_are_equal(here: World) -> None:
    run(here, "create schema own", "create table own.things (id int)", "drop schema public cascade")
    proved(here)


# --- who was killed before ----------------------------------------------------------------------------------------------


def test_a_proof_removes_the_opened_dump_of_one_that_was_killed_and_no_other(here: World) -> None:
    dead = here.spool / "verify_dead"
    dead.mkdir(parents=True)
    (dead / "dump").write_bytes(b"plain text")
    (dead / spool.LOCK).touch()
    with spool.folder(here.spool, "verify_live", needed_bytes=0, reserve_bytes=0) as live:
        proved(here)
        assert _folders(here.spool) == [live]


def _folders(root: Path) -> list[Path]:
    return [place for place in root.iterdir() if place.is_dir()]


# --- what happens while it is taken -------------------------------------------------------------------------------------


def test_a_role_that_is_dropped_while_a_backup_is_taken_does_not_make_it_bad(
    here: World, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(here, f"grant select on things to {role}")
    before(monkeypatch, take.Taker, "_globals", once(here, f"drop owned by {role}", f"drop role {role}"))
    proved(here)
    with postgres.connect(here.site, database="postgres", server="postgres_scratch") as session:
        session.execute(f"drop role {role}".encode())  # the restore needed it


def test_a_sequence_that_goes_after_the_dump_read_it_is_for_the_next_try(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(here, "create sequence tickets")
    with monkeypatch.context() as patch:
        before(patch, fingerprint, "until_now", once(here, "drop sequence tickets"))
        error_of(here.take, TransientError, "a sequence was dropped or renamed")
    assert not here.catalogue().backups
    proved(here)


PLPGSQL = "create or replace function answer() returns int language plpgsql as 'begin return {}; end'"


def test_a_function_replaced_between_the_snapshot_and_our_first_look_is_in_flux(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump writes the body that the snapshot holds, and the server defines to us the newest."""
    run(here, PLPGSQL.format(1))
    before(monkeypatch, fingerprint, "loose", once(here, PLPGSQL.format(2)))
    assert proved(here).in_flux == ["function public.answer()"]


def test_a_function_dropped_between_the_snapshot_and_our_first_look_is_for_the_next_try(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(here, PLPGSQL.format(1), "comment on function answer() is 'the answer'")
    with monkeypatch.context() as patch:
        before(patch, fingerprint, "loose", once(here, "drop function answer()"))
        error_of(here.take, TransientError, "dropped just when the backup began (function)")
    assert not here.catalogue().backups
    proved(here)


def test_a_function_dropped_after_the_dump_read_it_is_in_flux(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run(here, PLPGSQL.format(1))
    before(monkeypatch, fingerprint, "until_now", once(here, "drop function answer()"))
    assert "function public.answer()" in proved(here).in_flux


# --- a standby ----------------------------------------------------------------------------------------------------------

UNLOGGED = (
    "create table kept (id serial primary key)",
    "insert into kept default values",
    "create unlogged table cache (id serial primary key, at int)",
    "create unlogged table below (id bigint generated always as identity (start 5)) partition by range (id)",
    "create unlogged table below_1 partition of below for values from (0) to (100)",
    "create unlogged sequence down increment -1 start -7",
    "insert into cache (at) values (1), (2)",
    "insert into below default values",
)


def test_what_a_standby_cannot_show_is_as_a_restore_makes_it(site: Site) -> None:
    with own_servers(site, "blame") as own:
        with postgres.connect(own.site, database="postgres") as session:
            session.execute("create database private")
            session.execute("grant connect on database private to ops_backup")
        run(World(own.site, "private"), *UNLOGGED)
        with standby(own) as beside:
            caught_up(own, beside)
            proof = proved(World(beside, "private"))
    assert proof.backup.manifest
    assert proof.backup.manifest.facts.rows == 1
