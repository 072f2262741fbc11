"""What is wrong shows beside the running database, which nothing of it touches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from pyrage import x25519

from include.backups import compare, keys
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.take import Taken
from include.errors import ConfigurationError, RefusedError, TransientError, VerificationError
from include.recovery import beside, contents
from include.recovery.preflight import told
from sandbox.components.postgres import Connection, connect
from tests.include.backups import damages
from tests.include.failover.pair import eventually
from tests.include.recovery.scene import LIMITS, Scene

pytestmark = pytest.mark.integration


@contextmanager
def untouched(here: Scene) -> Iterator[None]:
    """The running database is what it was, its doors are open, and nothing lies beside it."""
    was, running = here.contents(), here.seen().running
    yield
    now = here.seen().running
    assert running
    assert now
    assert replace(now, bytes=None) == replace(running, bytes=None)
    assert compare.differences(was, here.contents()) == []
    assert here.all_names() == {here.database}
    assert not list(here.world.spool.glob("*/dump"))


def test_restores_and_compares_and_does_not_do_it_twice(here: Scene) -> None:
    mark = here.restorer().restore(here.opened, here.op_id)
    seen = here.seen()
    assert seen.restore
    assert seen.restore.mark == mark
    assert (mark.state, mark.key, mark.manifest) == ("compared", here.good.key, here.good.sha256)
    assert not seen.restore.allow_connections
    assert here.restorer().restore(here.opened, here.op_id) == mark
    assert here.seen().restore == replace(seen.restore, bytes=here.seen().restore.bytes)  # type: ignore[union-attr]


def test_bug_30_every_table_is_analyzed_before_anybody_asks_it(here: Scene) -> None:
    here.swapped()
    with here.superuser() as session:
        query = "select relname, reltuples from pg_class where relname in ('people', 'deeds')"
        assert dict(session.execute(query).fetchall()) == {"people": 3000, "deeds": 6000}
        asked = "select count(*) > 3 from pg_stats where tablename = any('{people,deeds}')"
        assert session.execute(asked).fetchone() == (True,)


def test_bug_30_a_table_that_others_work_on_is_analyzed_last_and_not_forgotten(here: Scene) -> None:
    """Its index was built, so pg_class knows how many rows it has; nobody looked at them for the planner."""
    name = f"{here.database}_analyzed"
    with here.superuser("postgres") as server:
        server.execute(f"create database {name}".encode())
    with here.superuser(name) as at_work, here.superuser(name) as autovacuum:
        for table in ("a_busy", "free"):
            at_work.execute(f"create table {table} as select generate_series(1, 1000) id".encode())
            at_work.execute(f"alter table {table} add primary key (id)".encode())
        autovacuum.execute("begin")
        autovacuum.execute("lock table a_busy in share update exclusive mode")
        with ThreadPoolExecutor(1) as pool:
            analyzing = pool.submit(contents.analyze, at_work)
            eventually(lambda: analyzed(autovacuum) == {"free"})
            assert not analyzing.done()
            autovacuum.execute("commit")
            analyzing.result()
        assert analyzed(autovacuum) == {"a_busy", "free"}


def test_names_in_a_database_that_is_not_utf8_arrive_as_they_are(here: Scene) -> None:
    name = f"{here.database}_latin"
    with here.superuser("postgres") as server:
        made = f"create database {name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
        server.execute(made.encode())
    with here.superuser(name) as session:
        session.execute("create table größe (id int)")
    with here.reader.to(name).session("a test") as session:
        assert session.execute("select count(*) from größe".encode()).fetchone() == (0,)


def analyzed(session: Connection) -> set[str]:
    session.execute("select pg_stat_clear_snapshot()")
    found = session.execute("select relname from pg_stat_user_tables where last_analyze is not null")
    return {table for (table,) in found.fetchall()}


# --- damaged backups ----------------------------------------------------------------------------------------------------


def half_a_dump(scene: damages.Scene, _: Random) -> None:
    file = scene.file(keys.DUMP)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: dict[str, damages.Damage] = {
    "half of the dump": half_a_dump,
    **{
        name: damages.IN_THE_BUCKET[name]
        for name in (
            "a flipped bit in dump.age",
            "a flipped bit in fingerprint.age",
            "a piece is missing",
            "a block of zeros",
            "an edited manifest",
            "a forged manifest",
            "sealed to others, and a manifest that says so",
        )
    },
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_bug_28_a_damaged_backup_is_refused_before_anything_is_made(here: Scene, kind: str) -> None:
    """Marked GOOD it was, before it was damaged."""
    manifest = here.good.manifest
    assert manifest
    taken = Taken(manifest=manifest, sha256=here.good.sha256)
    stored = damages.Scene(here.world, today=taken, yesterday=taken, empty=taken)
    with untouched(here), stored.intact():
        DAMAGES[kind](stored, Random(7))
        with pytest.raises((VerificationError, RefusedError)):
            recover(here)


def recover(here: Scene) -> None:
    """As a recovery does: choose from the bucket, open, restore."""
    restorer = here.restorer()
    restorer.restore(restorer.open(here.world.catalogue().find(here.good.key)), here.op_id)


def test_bug_26_a_restore_that_fails_in_the_middle_leaves_nothing(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise VerificationError("the archive ends here")

    monkeypatch.setattr(contents, "give_away", broken)
    with untouched(here), pytest.raises(VerificationError, match="the archive ends here"):
        here.restorer().restore(here.opened, here.op_id)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update people set name = 'x' where id = 7", "table public.people has 3000 rows, and not all are the same"),
        ("delete from deeds where id = 7", "table public.deeds has 5999 rows instead of 6000"),
        ("alter table deeds owner to postgres", "owner relation public.deeds is defined otherwise"),
        ("revoke select on people from orchestrator_app", "grants relation public.people to orchestrator_app"),
        (
            "alter default privileges for role orchestrator_owner in schema public revoke select on tables from orchestrator_app",
            "default privileges orchestrator_owner public r is missing",
        ),
        ("select setval('deeds_id_seq', 3)", "sequence public.deeds_id_seq is at 3"),
        ("alter database {} set work_mem = '6MB'", "differs from the original in its settings"),
        ("grant create on database {} to ops_health", "differs from the original in its grants"),
        ("alter database {} connection limit 7", "differs from the original in its connection_limit"),
    ],
)
def test_a_restored_copy_that_differs_is_dropped(
    here: Scene, monkeypatch: pytest.MonkeyPatch, statement: str, said: str
) -> None:
    real: Callable[..., Any] = beside.Restorer._compare

    def tampered(restorer: beside.Restorer, *rest: Any) -> Any:
        with here.superuser(here.names.restore) as session:
            session.execute(statement.format(here.names.restore).encode())
        return real(restorer, *rest)

    monkeypatch.setattr(beside.Restorer, "_compare", tampered)
    with untouched(here), pytest.raises(VerificationError, match=said):
        here.restorer().restore(here.opened, here.op_id)


# --- refused before anything is made ------------------------------------------------------------------------------------


def test_a_backup_that_is_not_good_is_not_opened(here: Scene) -> None:
    bad = replace(here.good, mark=Mark(verdict=Verdict.BAD, at=here.good.at, manifest=here.good.sha256))
    for backup in (
        bad,
        replace(here.good, mark=None),
        Backup(key="k", version_id="", stored_at=here.good.at, sha256=""),
    ):
        with pytest.raises(RefusedError, match="only a good backup is restored"):
            here.restorer().open(backup)


def test_a_key_that_does_not_open_it_is_refused(here: Scene) -> None:
    with pytest.raises(ConfigurationError, match=r"to which .* is not sealed"):
        here.restorer(key=str(x25519.Identity.generate())).open(here.good)


def test_a_backup_of_another_database_is_refused(here: Scene) -> None:
    with pytest.raises(RefusedError, match=f"is of database {here.database}, not orchestrator"):
        here.restorer(database="orchestrator").open(here.good)


def test_a_role_that_the_server_lacks_is_named_with_what_to_do(here: Scene) -> None:
    wanted = here.opened.fingerprint
    lacking = replace(here.opened, fingerprint=wanted.model_copy(update={"roles": {**wanted.roles, "contractor": {}}}))
    with (
        untouched(here),
        pytest.raises(RefusedError, match=r'recovery makes none: contractor; .* create role "contractor"'),
    ):
        here.restorer().foresee(lacking, here.op_id, None)


def test_an_owner_as_which_nobody_may_act_is_named(here: Scene) -> None:
    wanted = here.opened.fingerprint
    other = wanted.contents.model_copy(update={"inventory": {"owner": {"relation public.people": "postgres"}}})
    owned = replace(here.opened, fingerprint=wanted.model_copy(update={"contents": other}))
    with untouched(here), pytest.raises(ConfigurationError, match="what belongs to postgres"):
        here.restorer().foresee(owned, here.op_id, None)


def test_too_little_room_is_refused_and_room_that_nobody_sees_is_told(here: Scene) -> None:
    ahead = here.restorer().foresee(here.opened, here.op_id, None)
    assert ahead.space == "unknown"
    assert "nobody can see how much is free" in told(ahead)[0]
    assert ahead.needed_bytes > 1.2 * here.opened.manifest.facts.database_bytes
    assert here.restorer().foresee(here.opened, here.op_id, ahead.needed_bytes).space == "enough"
    with untouched(here), pytest.raises(RefusedError, match=r"a restore beside .* needs"):
        here.restorer().foresee(here.opened, here.op_id, ahead.needed_bytes - 1)


def test_a_full_spool_is_refused(here: Scene) -> None:
    with untouched(here), pytest.raises(RefusedError, match=r"the spool .* has .* free"):
        here.restorer(spool_reserve_bytes=10**15).restore(here.opened, here.op_id)


def test_another_cluster_is_refused_unless_it_was_replaced_on_purpose(here: Scene) -> None:
    facts = here.opened.manifest.facts.model_copy(update={"system_identifier": "1"})
    other = replace(here.opened, manifest=here.opened.manifest.model_copy(update={"facts": facts}))
    with pytest.raises(RefusedError, match=r"the server is cluster .* and the backup is of 1"):
        here.restorer().foresee(other, here.op_id, None)
    here.restorer(system_identifier=here.seen().system_identifier).foresee(other, here.op_id, None)


def test_the_two_logins_lead_to_the_same_server(here: Scene) -> None:
    unknown = replace(here.restorer(), login=here.world.login("ops_verify", "postgres_scratch"))
    with pytest.raises(
        ConfigurationError, match="is of role ops_verify, which the server of the running database does not have"
    ):
        unknown.preflight(here.opened, here.op_id, None)
    elsewhere = replace(here.restorer(), login=here.world.login("ops_restore", "postgres_scratch"))
    with (
        namesake(here),
        untouched(here),
        pytest.raises(ConfigurationError, match=r"is cluster \d+, and .* which compares, is \d+"),
    ):
        elsewhere.preflight(here.opened, here.op_id, None)
    assert (
        here.restorer().preflight(here.opened, here.op_id, None).seen.system_identifier == here.seen().system_identifier
    )


@contextmanager
def namesake(here: Scene) -> Iterator[None]:
    """A role of the same name and password on the wrong server."""
    with connect(here.site, database="postgres", server="postgres_scratch") as server:
        password = here.site.secret("postgres-ops_restore")
        server.execute(f"alter role ops_restore login password '{password}'".encode())  # the proof of a backup made it
        server.execute("grant connect on database postgres to ops_restore")
        yield
        server.execute("revoke connect on database postgres from ops_restore; alter role ops_restore nologin")


@pytest.mark.parametrize("name", ["restore", "before"])
def test_bug_27_a_foreign_database_of_the_same_name_stays_as_it_is(here: Scene, name: str) -> None:
    foreign = getattr(here.names, name)
    with here.superuser("postgres") as server:
        server.execute(f"create database {foreign} owner orchestrator_owner".encode())
    with here.superuser(foreign) as session:
        session.execute("create table theirs (id int)")
    with pytest.raises(RefusedError, match="that this recovery did not make"):
        here.restorer().restore(here.opened, here.op_id)
    with here.superuser(foreign) as session:
        assert session.execute("select count(*) from theirs").fetchone() == (0,)


def test_two_restores_of_one_recovery_do_not_meet(here: Scene) -> None:
    with connect(here.site, "ops_restore", "postgres") as other:
        other.execute("select pg_advisory_lock(hashtext(%s))", [here.names.restore])
        with untouched(here), pytest.raises(TransientError, match="another process restores into"):
            here.restorer().restore(here.opened, here.op_id)


# --- what no restore without superuser brings back ----------------------------------------------------------------------

EVENT_TRIGGER = """
    create function public.heard() returns event_trigger language plpgsql as 'begin end';
    alter function public.heard() owner to orchestrator_owner;
    create event trigger listening on ddl_command_end execute function public.heard();
"""


def test_what_only_a_superuser_can_make_is_in_the_plan_and_must_be_accepted(here: Scene) -> None:
    with here.superuser() as session:
        session.execute(EVENT_TRIGGER)
    try:
        ahead = here.restorer().foresee(here.opened, here.op_id, None)
        assert ahead.by_hand == ["event trigger listening"]
        assert "a restore will not bring back event trigger listening" in told(ahead)[1]
        with pytest.raises(
            VerificationError, match="does not bring back: event trigger listening; let a superuser make it in"
        ):
            here.restorer().restore(here.opened, here.op_id)
        assert here.restorer().restore(here.opened, here.op_id, accepted=ahead.by_hand).lacking == (
            "event trigger listening",
        )
    finally:
        with here.superuser() as session:
            session.execute("drop event trigger listening; drop function public.heard()")


def test_rights_on_the_catalog_that_protect_large_objects_are_there_after_the_swap(here: Scene) -> None:
    """A dump holds them, and a restore without superuser loses them with a warning: they come with the template."""
    protected = """
        select has_function_privilege('ops_backup', 'lo_unlink(oid)', 'execute'),
            has_function_privilege('ops_maint', 'public.bt_index_check(regclass)', 'execute')
    """
    here.swapped()
    with here.superuser() as session:
        assert session.execute(protected.encode()).fetchone() == (False, True)
    bare = LIMITS.model_copy(update={"template": "template1"})
    other = here.again()
    with pytest.raises(VerificationError, match=r"does not bring back: rights on function"):
        other.restorer(limits=bare).restore(other.opened, other.op_id)


def test_a_template_that_is_not_there_is_named(here: Scene) -> None:
    none = LIMITS.model_copy(update={"template": "none_such"})
    with (
        untouched(here),
        pytest.raises(ConfigurationError, match="no database like the original can be made of none_such"),
    ):
        here.restorer(limits=none).restore(here.opened, here.op_id)
