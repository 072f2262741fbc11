"""Whatever is set wrongly is one sentence that names the setting, before anything is read or stored."""

from __future__ import annotations

import stat
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include import settings
from include.backups import programs, take
from include.backups.prove import Proof, Prover
from include.backups.store import Store
from include.backups.take import Request, Taker
from include.errors import ConfigurationError
from include.settings import BackupLimits
from sandbox import age_keys
from sandbox.components import postgres, s3
from sandbox.site import Site
from tests.include.backups.faulty import error_of, fill
from tests.include.backups.servers import Own, caught_up, own_servers, set_up, standby
from tests.include.backups.world import World, request, world

integration = pytest.mark.integration
ELSEWHERE = "7000000000000000000"


@pytest.fixture(scope="module")
def place(site: Site) -> Iterator[World]:
    with world(site) as made:
        fill(made)
        yield made


@dataclass
class Watched:
    """What was started and stored meanwhile."""

    world: World
    started: list[str]

    def refuses(self, deed: Callable[[], object], *words: str) -> str:
        """It ends with one sentence about what is set wrongly, and nothing was read, and nothing stored."""
        said = error_of(deed, ConfigurationError, *words)
        reaper, prefix = self.world.store("backup_reaper"), f"backups/database/{self.world.database}/"
        assert (self.started, reaper.uploads(prefix), list(reaper.versions(prefix))) == ([], [], [])
        return said


@pytest.fixture
def watched(place: World, monkeypatch: pytest.MonkeyPatch) -> Watched:
    place.sweep()
    return _watched(place, monkeypatch)


def _watched(place: World, monkeypatch: pytest.MonkeyPatch) -> Watched:
    started: list[str] = []
    real = programs.running

    def noted(command: list[str], *rest: Any, **named: Any) -> Any:
        started.append(Path(command[0]).name)
        return real(command, *rest, **named)

    monkeypatch.setattr(take, "running", noted)
    return Watched(place, started)


def taking(taker: Taker, asked: Request | None = None) -> Callable[[], object]:
    return lambda: taker.take(asked or request())


# --- the bucket ---------------------------------------------------------------------------------------------------------


@integration
def test_a_bucket_that_is_not_there_is_named_with_its_setting(watched: Watched) -> None:
    store = Store(watched.world.store("backup_writer").client, "no-such-bucket", who="backup_writer")
    watched.refuses(taking(watched.world.taker(store=store)), "'no-such-bucket'", "backup.bucket")


@pytest.fixture
def closed_bucket(site: Site) -> Iterator[str]:
    """A bucket in which our users may do nothing."""
    name, root = f"closed-{uuid.uuid4().hex[:8]}", s3.client(site)
    root.create_bucket(Bucket=name)
    yield name
    root.delete_bucket(Bucket=name)


@integration
def test_a_bucket_without_rights_names_the_user_and_where_the_rights_stand(
    watched: Watched, closed_bucket: str
) -> None:
    store = Store(watched.world.store("backup_writer").client, closed_bucket, who="backup_writer")
    watched.refuses(taking(watched.world.taker(store=store)), "backup_writer", "AccessDenied", "deploy/s3")


@integration
def test_the_keys_of_another_user_are_no_right(watched: Watched) -> None:
    taker = watched.world.taker(store=watched.world.store("backup_verifier"))
    watched.refuses(taking(taker), "backup_verifier", "deploy/s3")


# --- the recipients -----------------------------------------------------------------------------------------------------


def recipients(site: Site, **changed: str) -> dict[str, str]:
    known = age_keys.recipients(site)
    return {"operational": known[age_keys.OPERATIONAL], "escrow": known[age_keys.ESCROW], **changed}


@integration
@pytest.mark.parametrize("wrong", ["", "age1", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "age1q" + "q" * 57, "me@there"])
def test_a_key_that_is_no_age_recipient_is_named(watched: Watched, site: Site, wrong: str) -> None:
    taker = watched.world.taker(recipients=recipients(site, escrow=wrong))
    watched.refuses(taking(taker), "backup.recipients.escrow", "age1", "OPS_BACKUP__RECIPIENTS")


@integration
@pytest.mark.parametrize("around", ["{}", " {}", "{}\n", "escrow: {}"])
def test_a_private_key_that_was_pasted_as_a_recipient_is_never_shown(watched: Watched, site: Site, around: str) -> None:
    private = age_keys.private(site, age_keys.ESCROW)
    for pasted in (private, private.lower()):
        taker = watched.world.taker(recipients=recipients(site, escrow=around.format(pasted)))
        said = watched.refuses(taking(taker), "backup.recipients.escrow", "a private key: make a new one")
        assert pasted[15:] not in said


@integration
@pytest.mark.parametrize("same", [False, True])
def test_one_recipient_is_too_few_and_naming_him_twice_makes_no_second(
    watched: Watched, site: Site, same: bool
) -> None:
    known = age_keys.recipients(site)[age_keys.OPERATIONAL]
    taker = watched.world.taker(recipients={"one": known, **({"two": known} if same else {})})
    watched.refuses(taking(taker), "names 1 age recipients", "2 are the least", "OPS_BACKUP__RECIPIENTS")


@integration
def test_no_recipient_is_too_few(watched: Watched) -> None:
    watched.refuses(taking(watched.world.taker(recipients={})), "names 0 age recipients", "OPS_BACKUP__RECIPIENTS")


# --- the programs -------------------------------------------------------------------------------------------------------


def says(folder: Path, text: str) -> Path:
    """A folder whose pg_dump says this, whatever it is asked; pg_dumpall is as it should be."""
    (folder / "pg_dumpall").symlink_to(postgres.program("pg_dumpall"))
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@integration
def test_a_client_that_is_older_than_the_server_is_refused(watched: Watched, tmp_path: Path) -> None:
    folder = says(tmp_path, "echo 'pg_dump (PostgreSQL) 15.3'")
    watched.refuses(taking(watched.world.taker(programs=folder)), "PostgreSQL 15", "of 17", "backup.programs")


@integration
@pytest.mark.parametrize("text", ["", "echo hello", "exit 1"])
def test_a_pg_dump_that_does_not_say_what_it_is_is_refused(watched: Watched, tmp_path: Path, text: str) -> None:
    watched.refuses(
        taking(watched.world.taker(programs=says(tmp_path, text))), "does not say its version", "backup.programs"
    )


@integration
def test_no_pg_dump_is_named_with_the_setting(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.refuses(
        taking(watched.world.taker(programs=tmp_path)), f"there is no pg_dump in {tmp_path}", "backup.programs"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    watched.refuses(taking(watched.world.taker(programs=None)), "there is no pg_dump in PATH", "OPS_BACKUP__PROGRAMS")


@integration
def test_a_pg_dumpall_that_is_missing_shows_before_the_dump(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "pg_dump").symlink_to(postgres.program("pg_dump"))
    watched.refuses(taking(watched.world.taker(programs=tmp_path)), "there is no pg_dumpall", "backup.programs")


# --- the source ---------------------------------------------------------------------------------------------------------


@integration
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dbname": "no_such_database"}, ["no_such_database", "does not exist"]),
        ({"password": "hush-canary"}, ["authentication failed"]),
        ({"password": ""}, ["no password"]),
        ({"user": "nobody_we_know"}, ["authentication failed"]),
        ({"dbname": "orchestrator"}, ["leads into database 'orchestrator'", "backup.database"]),
        ({"sslmode": "disable"}, ["no encryption"]),
        ({"sslmode": "nonsense"}, ["invalid sslmode value"]),
        ({"sslmode": "verify-full", "sslrootcert": "/no/such/file"}, ["/no/such/file"]),
    ],
)
def test_a_login_that_leads_elsewhere_names_its_connection(
    watched: Watched, changed: dict[str, Any], words: list[str]
) -> None:
    taker = watched.world.taker(login=watched.world.login(**changed))
    said = watched.refuses(taking(taker), "connections.backup_source", *words)
    assert "hush-canary" not in said


@integration
def test_another_cluster_than_that_of_the_backups_is_refused(watched: Watched) -> None:
    asked = request(known_identifier=ELSEWHERE)
    watched.refuses(taking(watched.world.taker(), asked), ELSEWHERE, "backup.system_identifier")
    taker = watched.world.taker(system_identifier=ELSEWHERE)
    watched.refuses(taking(taker), ELSEWHERE, "connections.backup_source")


# --- the key of the prover ----------------------------------------------------------------------------------------------


def a_proof(prover: Prover) -> Callable[[], Proof]:
    return lambda: prover.prove("backups/database/x/2026/01/01/000000Z-00000000-1/")


@integration
@pytest.mark.parametrize("broken", ["{}", "x{}", "{}x"])
def test_a_private_key_that_cannot_be_used_is_named_by_its_place_and_never_shown(watched: Watched, broken: str) -> None:
    from pyrage.x25519 import Identity

    key = broken.format(Identity.generate())
    said = watched.refuses(a_proof(watched.world.prover(key=key)), "orchestrator_backup_key")
    assert key[20:40] not in said


# --- a server of our own: plain lines, and a standby --------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(site: Site) -> Iterator[Own]:
    with own_servers(site, "input") as started:
        yield started


@pytest.fixture
def followed(own: Own) -> Iterator[World]:
    with world(own.site) as made:
        fill(made)
        yield made


@integration
def test_a_plain_line_to_a_server_that_offers_tls_is_refused(
    own: Own, followed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.admit("hostnossl all all")
    taker = followed.taker(login=followed.login(sslmode="disable"))
    watched = _watched(followed, monkeypatch)
    watched.refuses(taking(taker), "TLS", "sslmode", "connections.backup_source")


@pytest.fixture
def behind(own: Own, followed: World) -> Iterator[World]:
    """The same database, seen from a standby that follows at once."""
    with standby(own) as site:
        caught_up(own, site)
        yield World(site, followed.database)


def written(own: Own, followed: World) -> None:
    with followed.superuser() as session:
        session.execute("insert into people (name) values ('later')")


@integration
def test_a_standby_that_is_fresh_is_backed_up_and_one_that_lags_is_not(
    own: Own, followed: World, behind: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(own, followed)
    caught_up(own, behind.site)
    taken = behind.take(standby_lag_max_s=1)
    assert taken.manifest.facts.in_recovery
    behind.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    assert behind.catalogue().newest_good
    set_up(behind.site, recovery_min_apply_delay="1h")
    written(own, followed)
    time.sleep(2)
    with monkeypatch.context() as patch:
        started = _watched(behind, patch).started
        said = error_of(
            taking(behind.taker(standby_lag_max_s=1)), ConfigurationError, "s behind", "limit 1 s", "standby_lag_max_s"
        )
    assert "connections.backup_source" in said
    assert started == []
    assert behind.store("backup_reaper").uploads(f"backups/database/{behind.database}/") == []


@integration
def test_a_standby_that_never_replayed_a_transaction_is_refused_and_no_riddle(
    own: Own, followed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started with a delay: what it received waits, and it cannot say how old it is."""
    with standby(own) as site:
        set_up(site, recovery_min_apply_delay="1h")
        time.sleep(0.5)
        written(own, followed)
        time.sleep(1)
        lagging = World(site, followed.database)
        _watched(lagging, monkeypatch).refuses(taking(lagging.taker()), "standby", "connections.backup_source")


@integration
def test_a_standby_that_lost_its_primary_is_not_fresh(
    own: Own, followed: World, behind: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has replayed all that it received, which is not all that there is."""
    written(own, followed)
    caught_up(own, behind.site)
    set_up(behind.site, primary_conninfo="host=127.0.0.1 port=1")
    time.sleep(1)
    written(own, followed)
    time.sleep(1.5)
    taker = behind.taker(standby_lag_max_s=1)
    _watched(behind, monkeypatch).refuses(taking(taker), "standby", "standby_lag_max_s")


# --- the settings -------------------------------------------------------------------------------------------------------

BOUNDS: dict[str, list[Any]] = {
    "database": ["", "a b", "-a", "a/b", "x" * 64, "a\n"],
    "system_identifier": ["x", "-1", "1" * 21],
    "bucket": ["", "ab", "Upper", "a_b", "-ab", "ab-", "x" * 64],
    "recipients": [["age1x"], "age1x", {"a": 1}],
    "programs": [[1]],
    "compression": ["", "zip", "zstd:", "zstd:100", "zstd 1"],
    "stall_s": [0, -1, 3601, "soon"],
    "progress_s": [0, -1, 601],
    "standby_lag_max_s": [-1, 86_401],
    "shrink_critical_percent": [0, -1, 101],
    "lease_wait_s": [0, -1],
    "restore_jobs": [0, 33, 1.5],
    "spool_reserve_bytes": [-1, "much"],
    "index_checks": [-1, 1001],
    "lock_days": [0, 3651],
    "leftovers_after_s": [-1, 604_801],
    "attempts": [0, 6],
    "good_by_s": [-1, 86_400],
    "newest_critical_s": [0, -1],
    "older_attempts": [0, 31],
    "configuration_expected": ["perhaps", 2],
    "rto_target_s": [0, -1],
    "rpo_target_s": [0, -1],
    "spoool": ["/tmp"],
}


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setattr(settings, "CONFIG", tmp_path)
    (tmp_path / "sandbox.yaml").write_text("environment: sandbox\n")
    settings.load.cache_clear()
    yield tmp_path / "sandbox.yaml"
    settings.load.cache_clear()


def loaded(file: Path, name: str, value: object) -> str:
    """Return what is said when a setting has that value."""
    import yaml

    file.write_text(yaml.safe_dump({"backup": {name: value}}))
    settings.load.cache_clear()
    with pytest.raises(ConfigurationError) as raised:
        settings.load()
    assert raised.value.__cause__ is None
    return str(raised.value)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BOUNDS.items() for value in values])
def test_a_value_out_of_its_bounds_is_one_sentence_that_names_it(file: Path, name: str, value: object) -> None:
    said = loaded(file, name, value)
    assert f"setting backup.{name}" in said
    assert f"OPS_BACKUP__{name.upper()}" in said
    assert "\n" not in said
    assert len(said) < 400


def test_every_setting_of_the_backup_is_in_the_table() -> None:
    assert BackupLimits.model_fields.keys() - BOUNDS.keys() == {"spool"}


@pytest.mark.parametrize("shape", [lambda key: [key], lambda key: key, lambda key: {"escrow": [key]}])
def test_a_private_key_in_the_wrong_shape_is_never_shown(file: Path, shape: Callable[[str], object]) -> None:
    from pyrage.x25519 import Identity

    key = str(Identity.generate())
    said = loaded(file, "recipients", shape(key))
    assert key[20:40] not in said
    assert "backup.recipients" in said


def test_recipients_in_the_environment_are_json(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_BACKUP__RECIPIENTS", "age1x,age1y")
    with pytest.raises(ConfigurationError, match=r"OPS_BACKUP__RECIPIENTS cannot be read: write .* as JSON"):
        settings.load()
