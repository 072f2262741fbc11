"""Whatever breaks in the middle: one sentence, nothing good is harmed, nothing is left, and the next backup is good."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import botocore.retries.standard
import psycopg
import pytest

from include.backups import fingerprint, lively, login, prove, restoring, scratch, source, take
from include.backups.catalogue import Verdict
from include.backups.store import CONFIG
from include.errors import (
    ConfigurationError,
    PermanentError,
    RefusedError,
    RunbookError,
    TransientError,
    VerificationError,
)
from sandbox.components import postgres
from sandbox.site import PROJECT, Site
from tests.faults import answers
from tests.faults.storefront import Answer, Storefront, storefront
from tests.faults.wire import Wire, wire
from tests.include.backups import breaking
from tests.include.backups.faulty import Split, Stood, before, error_of, fill, outcome, split, unclear, unharmed
from tests.include.backups.servers import Own, own_servers
from tests.include.backups.world import World, request, world
from tests.proof import Proof

pytestmark = pytest.mark.integration

STALL_S = 1
LOCK_S = 1
TRIES = 3
STOOD_STILL = f"stood still for {STALL_S} s"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of waiting become seconds."""
    monkeypatch.setattr(login, "CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(login, "LOCK_TIMEOUT_S", LOCK_S)
    monkeypatch.setattr(take, "LOCK_TIMEOUT_S", LOCK_S)
    monkeypatch.setattr(lively, "ASKED_EVERY_S", 0.05)
    monkeypatch.setattr(lively, "ENDS_WITHIN_S", 0.2)
    monkeypatch.setitem(CONFIG, "read_timeout", 1)
    monkeypatch.setitem(CONFIG, "retries", {"mode": "standard", "total_max_attempts": TRIES})
    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0.01)


@contextmanager
def filled(site: Site) -> Iterator[World]:
    """A database with rows and one good backup."""
    with world(site) as made:
        fill(made)
        made.prover().prove(made.take().manifest.facts.key)
        yield made


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[World]:
    """What all faults happen to; in the end the next backup is good."""
    with filled(site) as made:
        yield made
        Stood.now(made).heal()


@pytest.fixture
def stood(shared: World) -> Iterator[Stood]:
    """What stood before; at the end it stands still, and nothing is left."""
    with unharmed(shared, healed=False) as found:
        yield found


@pytest.fixture
def source_wire(site: Site) -> Iterator[Wire]:
    with wire(site.ports["postgres"]) as laid:
        yield laid


@pytest.fixture
def scratch_wire(site: Site) -> Iterator[Wire]:
    with wire(site.ports["postgres_scratch"]) as laid:
        yield laid


@pytest.fixture
def front(site: Site) -> Iterator[Storefront]:
    with storefront(site.ports["s3"]) as opened:
        yield opened


def taking(world: World, laid: Wire, **limits: Any) -> Callable[[], take.Taken]:
    """Take over a wire."""
    taker = world.taker(login=world.login(port=laid.port), **{"stall_s": STALL_S, **limits})
    return lambda: taker.take(request())


def proving(world: World, laid: Wire, key: str) -> Callable[[], prove.Proof]:
    """Prove over a wire."""
    server = world.login("ops_verify", "postgres_scratch", port=laid.port)
    return lambda: world.prover(server=server, stall_s=STALL_S).prove(key)


# --- locks --------------------------------------------------------------------------------------------------------------


def test_a_table_that_others_hold_locked_ends_the_take_in_time(stood: Stood) -> None:
    with stood.world.superuser() as other, other.transaction():
        other.execute("lock table people in access exclusive mode")
        said = error_of(stood.world.take, TransientError, stood.world.database, "locked", f"{LOCK_S} s", "pg_locks")
    assert "nothing was" in said


def test_a_lock_that_queues_between_ours_and_that_of_the_dump_ends_the_take_in_time(
    stood: Stood, monkeypatch: pytest.MonkeyPatch
) -> None:
    with queued(stood.world) as asks:
        before(monkeypatch, take, "running", asks)
        began = time.monotonic()
        said = error_of(stood.world.take, TransientError, "pg_dump")
        assert time.monotonic() - began < 15
    assert "a table stayed locked by another session; find the holder in pg_locks" in said, said


@contextmanager
def queued(world: World) -> Iterator[Callable[[], None]]:
    """Yield how somebody asks for a lock that he does not get while we hold ours, and makes all others wait behind him."""
    with world.superuser() as other:
        waits = threading.Thread(target=_lock_people, args=[other])

        def asks() -> None:
            if not waits.ident:
                waits.start()
                _until_one_waits(world)

        yield asks
        other.cancel_safe()
        waits.join()


def _lock_people(session: psycopg.Connection[Any]) -> None:
    try:
        with session.transaction():
            session.execute("lock table people in access exclusive mode")
    except psycopg.errors.QueryCanceled:
        pass


def _until_one_waits(world: World) -> None:
    with world.superuser() as looks:
        while not looks.execute("select from pg_locks where relation = 'people'::regclass and not granted").rowcount:
            time.sleep(0.02)


# --- a line that goes dark ----------------------------------------------------------------------------------------------


def test_a_source_that_cannot_be_reached_ends_the_take_in_time(stood: Stood, source_wire: Wire) -> None:
    source_wire.black_hole()
    error_of(taking(stood.world, source_wire), TransientError, stood.world.database, "timeout")


def test_a_dump_whose_line_goes_dark_is_ended(stood: Stood) -> None:
    with split(stood.world, "ops_backup", "postgres") as (way, _, programs):
        programs.black_hole(after_bytes=1_000_000)
        error_of(lambda: by(stood, way).take(request()), TransientError, "the dump", STOOD_STILL)


def test_a_fingerprint_whose_line_goes_dark_is_ended(stood: Stood, monkeypatch: pytest.MonkeyPatch) -> None:
    with split(stood.world, "ops_backup", "postgres") as (way, sessions, _):
        before(monkeypatch, fingerprint, "large_objects", sessions.black_hole)
        error_of(lambda: by(stood, way).take(request()), TransientError, "the fingerprint", STOOD_STILL)


def test_a_fingerprint_of_large_values_is_slow_and_does_not_stand_still(site: Site) -> None:
    """One block of the table holds 600 MB outside of it: nothing is counted while the server reads and hashes them."""
    with world(site) as made:
        with made.superuser() as session:
            session.execute("create table scans (id int primary key, data text)")
            session.execute("alter table scans alter data set storage external")
            session.execute("insert into scans select i, repeat(md5(i::text), 30000) from generate_series(1, 600) i")
        made.take(stall_s=1.5)


def by(stood: Stood, way: Split) -> take.Taker:
    return stood.world.taker(login=way, stall_s=STALL_S)


@pytest.mark.parametrize(
    ("place", "name"),
    [(source, "look"), (source, "tables"), (fingerprint, "until_now"), (take.Taker, "_globals")],
)
def test_a_line_that_goes_dark_between_the_streams_ends_the_take_too(
    stood: Stood, source_wire: Wire, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    before(monkeypatch, place, name, source_wire.black_hole)
    try:
        error_of(taking(stood.world, source_wire), TransientError)
    finally:
        source_wire.cut()


def test_a_restore_whose_line_goes_dark_is_ended(stood: Stood, monkeypatch: pytest.MonkeyPatch) -> None:
    """While rows are copied: a server waits a minute for a client that goes dark while it logs in, and DROP DATABASE waits too."""
    key = stood.unproved()
    with split(stood.world, "ops_verify", "postgres_scratch") as (way, _, programs):
        programs.slow(400_000)
        before(monkeypatch, restoring, "_wait", threading.Timer(1.5, programs.black_hole).start)
        prover = stood.world.prover(server=way, stall_s=STALL_S)
        error_of(lambda: prover.prove(key), TransientError, "the restore", STOOD_STILL)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (scratch, "_make"),
        (scratch, "check_extensions"),
        (restoring, "_wait"),
        (fingerprint, "large_objects"),
        (scratch, "check_indexes"),
    ],
)
def test_a_scratch_server_whose_line_goes_dark_ends_the_proof(
    stood: Stood, scratch_wire: Wire, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    key = stood.unproved()
    before(monkeypatch, place, name, scratch_wire.black_hole)
    try:
        error_of(proving(stood.world, scratch_wire, key), TransientError)
    finally:
        scratch_wire.cut()
        monkeypatch.undo()


def test_a_drop_whose_line_goes_dark_is_left_to_the_sweep_and_the_proof_counts(
    stood: Stood, scratch_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = stood.unproved()
    with monkeypatch.context() as patch:
        before(patch, restoring, "drop", scratch_wire.black_hole)
        proved(stood, proving(stood.world, scratch_wire, key))
    scratch_wire.cut()


def test_a_line_that_goes_dark_when_a_session_is_closed_holds_nobody_up(
    stood: Stood, source_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot's has a transaction open; nobody waits for the answer to a COMMIT."""
    real = take._fingerprint

    def last(*arguments: Any) -> Any:
        found = real(*arguments)
        source_wire.black_hole()
        return found

    monkeypatch.setattr(take, "_fingerprint", last)
    error_of(taking(stood.world, source_wire), TransientError, "the roles", STOOD_STILL)


def test_a_database_whose_drop_was_broken_off_is_swept(stood: Stood) -> None:
    """PostgreSQL calls it invalid, and then nothing but another drop is allowed."""
    name = f"verify_{stood.world.database[-8:]}_broken"
    with postgres.connect(stood.world.site, database="postgres", server="postgres_scratch") as session:
        session.execute(f"create database {name} owner ops_verify".encode())
        session.execute("update pg_database set datconnlimit = -2 where datname = %s", [name])
        try:
            assert name in stood.world.sweep().databases
        finally:
            session.execute(f"drop database if exists {name}".encode())


# --- a line that breaks, and one that changes a bit ---------------------------------------------------------------------


def test_a_source_that_hangs_up_at_any_byte_ends_the_take(stood: Stood, source_wire: Wire, proof: Proof) -> None:
    """Within the login of every session, and within the dump, which alone brings so much."""
    for byte in (proof.random.randrange(1500), proof.random.randrange(20_000, 5_000_000)):
        source_wire.reset(after_bytes=byte, every=True)
        error_of(taking(stood.world, source_wire), TransientError)
        stood.check()


def test_a_scratch_server_that_hangs_up_at_any_byte_ends_the_proof(
    stood: Stood, scratch_wire: Wire, proof: Proof
) -> None:
    """Within the login of every session, and within the comparison, which brings the most."""
    key = stood.unproved()
    for byte in (proof.random.randrange(1500), proof.random.randrange(3700, 5000)):
        scratch_wire.reset(after_bytes=byte, every=True)
        error_of(proving(stood.world, scratch_wire, key), TransientError)
        stood.check()


def test_a_watching_session_that_is_hung_up_ends_no_take(stood: Stood, monkeypatch: pytest.MonkeyPatch) -> None:
    real = lively.followed

    @contextmanager
    def deaf(_: Any, session: Any, flow: Any) -> Iterator[None]:
        with real(stood.world.login(port=1), session, flow):
            yield

    monkeypatch.setattr(lively, "followed", deaf)
    monkeypatch.setattr(take, "followed", deaf)
    stood.taken(stood.world.take())


def test_a_bit_that_flips_on_a_line_with_tls_is_noticed(stood: Stood, source_wire: Wire) -> None:
    for at_byte in (1500, 1_000_000, 4_000_000):
        source_wire.flip(at_byte)
        error_of(taking(stood.world, source_wire), TransientError)


def test_the_platform_lets_nobody_in_on_a_plain_line(stood: Stood) -> None:
    plain = stood.world.taker(login=stood.world.login(sslmode="disable"))
    error_of(lambda: plain.take(request()), ConfigurationError, "no encryption", "connections.backup_source")


def test_sentences_of_programs_and_streams_name_their_server(stood: Stood, source_wire: Wire) -> None:
    deed, name = taking(stood.world, source_wire), stood.world.database
    source_wire.reset(after_bytes=1_000_000)
    broken = error_of(deed, TransientError, "pg_dump")
    source_wire.black_hole(after_bytes=1_000_000)
    still = error_of(deed, TransientError, STOOD_STILL)
    assert [said for said in (broken, still) if name not in said] == []


# --- servers that restart -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(site: Site) -> Iterator[Own]:
    with own_servers(site, "faults") as started:
        yield started


@pytest.fixture(scope="module")
def private(own: Own) -> Iterator[World]:
    """A database on servers that may be restarted; the servers are thrown away with it."""
    with postgres.connect(own.site, database="postgres") as session:
        session.execute("create database private")
        session.execute("grant connect on database private to ops_backup")
    made = World(own.site, "private")
    fill(made)
    made.prover().prove(made.take().manifest.facts.key)
    yield made
    with postgres.connect(own.site, database="postgres") as session:
        session.execute("drop database private with (force)")


def test_a_source_that_restarts_ends_the_take(private: World, own: Own) -> None:
    with unharmed(private), wire(own.site.ports["postgres"]) as laid:
        laid.slow(1_000_000)
        restart = when(laid, 1_000_000, lambda: own.restart("postgres"))
        error_of(taking(private, laid, stall_s=10), TransientError)
        restart.join()


def test_a_scratch_server_that_restarts_ends_the_proof(private: World, own: Own) -> None:
    with unharmed(private) as stood, wire(own.site.ports["postgres_scratch"]) as laid:
        key = stood.unproved()
        laid.slow(1_000_000)
        restart = when(laid, 12_000, lambda: own.restart("postgres-scratch"))
        error_of(proving(private, laid, key), TransientError)
        restart.join()


def when(laid: Wire, after_bytes: int, deed: Callable[[], None]) -> threading.Thread:
    """Do something as soon as so many bytes came over a wire."""

    def watch() -> None:
        while laid.bytes_from_server < after_bytes:
            time.sleep(0.005)
        deed()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


# --- the spool ----------------------------------------------------------------------------------------------------------

PROVES = """
import resource, sys
from pathlib import Path
from include.errors import RunbookError
from sandbox.site import Site
from tests.include.backups.world import World
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    World(Site.load(Path(sys.argv[1])), sys.argv[2]).prover().prove(sys.argv[3])
except RunbookError as error:
    print(type(error).__name__, error, sep="|", end="")
"""


def test_a_spool_that_fills_up_is_a_refusal(stood: Stood) -> None:
    key = stood.unproved()
    words = [sys.executable, "-c", PROVES, str(stood.world.site.state), stood.world.database, key]
    done = subprocess.run(
        words, cwd=PROJECT, env={"PYTHONPATH": ".:plugins"}, capture_output=True, text=True, check=True
    )
    kind, _, said = done.stdout.partition("|")
    assert kind == RefusedError.__name__
    assert not unclear(RefusedError(said))
    assert f"the spool {stood.world.spool} is full" in said
    assert "backup.spool" in said


def test_a_disk_without_room_is_refused_before_anything_is_fetched(stood: Stood, front: Storefront) -> None:
    key = stood.unproved()
    store = stood.world.store("backup_verifier", front.port)
    prover = stood.world.prover(store=store, spool_reserve_bytes=10**18)
    error_of(lambda: prover.prove(key), RefusedError, str(stood.world.spool), "nothing was fetched", "backup.spool")
    assert not [asked for asked in front.requests if asked.path.endswith("dump.age")]


# --- the store, when it is written to -----------------------------------------------------------------------------------

LATER = {
    "slow down": answers.error(503, "SlowDown"),
    "internal": answers.error(500, "InternalError"),
    "reset": answers.reset(),
    "hang": answers.hang(),
    "lost": answers.lost_answer(),
}
WRITES = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject")


def writer(world: World, front: Storefront) -> Callable[[], take.Taken]:
    return lambda: world.taker(store=world.store("backup_writer", front.port)).take(request())


SOON: list[tuple[str, int]] = [("slow down", 2), ("internal", 2), ("reset", 2), ("hang", 1), ("lost", 2)]


@pytest.mark.parametrize("shift", range(2))
def test_a_store_that_is_better_after_a_while_takes_a_good_backup(stood: Stood, front: Storefront, shift: int) -> None:
    for operation, (name, times) in zip(WRITES, SOON[:4][shift:] + SOON[:4][:shift], strict=True):
        front.fault(operation, LATER[name], times=times)
    stood.taken(done(writer(stood.world, front)))


def test_an_answer_that_is_lost_once_is_asked_for_again(stood: Stood, front: Storefront) -> None:
    """The last is the manifest's: it stands, so the second try is refused, and the prover asks for exactly its bytes."""
    front.fault("UploadPart", answers.lost_answer(), times=1)
    front.fault("CompleteMultipartUpload", answers.error_inside_200(), times=1)
    for skip in range(3):
        front.fault("PutObject", answers.lost_answer(), times=1, skip=skip)
    taken = done(writer(stood.world, front))
    stood.taken(taken)
    assert [backup.sha256 for backup in stood.world.catalogue().backups if backup.key == taken.manifest.facts.key] == [
        taken.sha256
    ]


def done(deed: Callable[[], take.Taken]) -> take.Taken:
    """Return what was taken; it had to succeed."""
    found = outcome(deed)
    assert isinstance(found, take.Taken), found
    return found


def test_a_store_that_stays_broken_ends_the_take(stood: Stood, front: Storefront) -> None:
    for operation, name in zip(WRITES, ("slow down", "internal", "reset", "slow down"), strict=True):
        front.fault(operation, LATER[name])
        error_of(writer(stood.world, front), TransientError, "the store", stood.world.database)
        front.heal()


def test_a_store_that_hangs_ends_the_take_within_the_client_s_time_outs(stood: Stood, front: Storefront) -> None:
    front.fault("UploadPart", answers.hang())
    error_of(writer(stood.world, front), TransientError, "the store did not answer", stood.world.database)


Refusal = tuple[str, Answer, type[RunbookError], list[str]]
WRITES_REFUSED: list[Refusal] = [
    (
        "CreateMultipartUpload",
        answers.error(403, "AccessDenied"),
        ConfigurationError,
        ["backup_writer", "deploy/s3"],
    ),
    ("UploadPart", answers.error(403, "AccessDenied"), ConfigurationError, ["backup_writer", "deploy/s3"]),
    ("PutObject", answers.error(403, "AccessDenied"), ConfigurationError, ["backup_writer", "deploy/s3"]),
    ("UploadPart", answers.error(400, "ExpiredToken"), ConfigurationError, ["backup_writer", "expired", "renew"]),
    ("PutObject", answers.error(400, "ExpiredToken"), ConfigurationError, ["backup_writer", "expired", "renew"]),
    ("UploadPart", answers.error(403, "RequestTimeTooSkewed"), ConfigurationError, ["clock", "NTP"]),
    ("CompleteMultipartUpload", answers.error_inside_200(), TransientError, ["later"]),
    ("UploadPart", answers.lost_answer(), TransientError, ["did not answer"]),
    ("UploadPart", answers.flip_request(1000), TransientError, ["what arrived is not what was sent"]),
    ("UploadPart", answers.flip_request(2_000_000), TransientError, ["what arrived is not what was sent"]),
    ("PutObject", answers.flip_request(100), TransientError, ["what arrived is not what was sent"]),
]


def test_a_store_that_says_no_or_gets_other_bytes_ends_the_take(stood: Stood, front: Storefront) -> None:
    for operation, answer, kind, words in WRITES_REFUSED:
        front.fault(operation, answer)
        error_of(writer(stood.world, front), kind, stood.world.database, *words)
        front.heal()


def test_one_bit_that_flips_on_the_way_up_is_sent_again_or_an_error_and_never_stored(
    stood: Stood, front: Storefront
) -> None:
    front.fault("UploadPart", answers.flip_request(500_000), times=1)
    found = outcome(writer(stood.world, front))
    if isinstance(found, take.Taken):
        stood.taken(found)
        return
    assert type(found) is TransientError
    assert not unclear(found)


def test_an_upload_whose_end_was_not_heard_of_is_ended_again(stood: Stood, front: Storefront) -> None:
    front.fault("CompleteMultipartUpload", answers.lost_answer(), times=1)
    stood.taken(done(writer(stood.world, front)))


def test_an_upload_that_a_store_forgot_when_it_ended_is_no_backup_and_nobody_is_blamed(
    stood: Stood, front: Storefront
) -> None:
    """The second try finds no upload, because the first one was completed."""
    front.fault("CompleteMultipartUpload", answers.lost_answer(), times=1)
    front.fault("CompleteMultipartUpload", answers.error(404, "NoSuchUpload"), times=1)
    said = error_of(writer(stood.world, front), TransientError, stood.world.database)
    stood.check()
    assert "or the answer of a try before was lost" in said, said


def test_a_manifest_that_nobody_heard_of_stands_and_can_be_proved(stood: Stood, front: Storefront) -> None:
    front.fault("PutObject", answers.lost_answer(), skip=2)
    error_of(writer(stood.world, front), TransientError, "manifest.json", "did not answer")
    (key,) = {backup.key for backup in stood.world.catalogue().backups} - stood.verdicts.keys()
    stood.more[key] = Verdict.UNPROVED


def test_credentials_that_expire_in_the_middle_leave_an_upload_for_the_sweep(stood: Stood, front: Storefront) -> None:
    front.fault(None, answers.error(400, "ExpiredToken"), skip=1)
    error_of(writer(stood.world, front), ConfigurationError, "the credentials of backup_writer have expired", "renew")
    reaper, prefix = stood.world.store("backup_reaper"), f"backups/database/{stood.world.database}/"
    assert len(reaper.uploads(prefix)) == 1


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_a_day_off_is_named(stood: Stood, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    wrong = datetime.now(UTC) + timedelta(days=days)
    store = stood.world.store("backup_writer")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: wrong.replace(tzinfo=None))
    said = error_of(lambda: stood.world.taker(store=store).take(request()), ConfigurationError, "clock", "NTP")
    monkeypatch.undo()
    assert "RequestTimeTooSkewed" in said


def test_a_store_whose_line_goes_dark_ends_the_take(stood: Stood, site: Site) -> None:
    with wire(site.ports["s3"]) as laid:
        laid.black_hole(after_bytes=100)
        store = stood.world.store("backup_writer", laid.port)
        error_of(lambda: stood.world.taker(store=store).take(request()), TransientError, "the store did not answer")


# --- the store, when it is read from ------------------------------------------------------------------------------------

READS = ("ListObjectVersions", "GetObject", "GetObjectTagging", "PutObjectRetention", "PutObjectTagging")


def reader(stood: Stood, front: Storefront) -> Callable[[], prove.Proof]:
    """Prove the one that waits for it."""
    key = stood.unproved()
    prover = stood.world.prover(store=stood.world.store("backup_verifier", front.port))
    return lambda: prover.prove(key)


def proved(stood: Stood, deed: Callable[[], prove.Proof]) -> None:
    """It had to succeed, and what was taken for it is good."""
    found = outcome(deed)
    assert isinstance(found, prove.Proof), found
    stood.more = dict.fromkeys(stood.more, Verdict.GOOD)


@pytest.mark.parametrize("shift", range(2))
def test_a_store_that_is_better_after_a_while_proves_a_good_backup(stood: Stood, front: Storefront, shift: int) -> None:
    for operation, (name, times) in zip(READS, SOON[shift:] + SOON[:shift], strict=True):
        front.fault(operation, LATER[name], times=times)
    proved(stood, reader(stood, front))


def test_a_download_that_breaks_is_taken_up_where_it_broke(stood: Stood, front: Storefront) -> None:
    for n_bytes in (0, 1, 100_000, 1_000_000):
        front.fault("GetObject", answers.reset_after(n_bytes), skip=4, times=1)
    front.fault("GetObject", answers.reset_after(700), times=3)
    proved(stood, reader(stood, front))


def test_a_store_that_stays_broken_ends_the_proof_and_the_backup_stays_unproved(
    stood: Stood, front: Storefront
) -> None:
    deed = reader(stood, front)
    for operation, name in zip(READS, ("slow down", "internal", "reset", "slow down", "internal"), strict=True):
        front.fault(operation, LATER[name])
        error_of(deed, TransientError, stood.world.database)
        front.heal()


def test_a_store_that_hangs_ends_the_proof_within_the_client_s_time_outs(stood: Stood, front: Storefront) -> None:
    deed = reader(stood, front)
    front.fault("PutObjectTagging", answers.hang())
    error_of(deed, TransientError, "the store did not answer", stood.world.database)


READS_REFUSED: list[Refusal] = [
    ("GetObject", answers.reset_after(1000), TransientError, ["broke 6 times"]),
    ("GetObject", answers.error(400, "ExpiredToken"), ConfigurationError, ["backup_verifier", "expired", "renew"]),
    ("GetObject", answers.error(403, "AccessDenied"), ConfigurationError, ["backup_verifier", "deploy/s3"]),
    ("GetObject", answers.error(403, "InvalidObjectState"), ConfigurationError, ["archive", "bring it back"]),
    ("GetObject", answers.error(501, "NotImplemented"), PermanentError, ["NotImplemented"]),
    ("PutObjectRetention", answers.error(403, "AccessDenied"), ConfigurationError, ["lock", "deploy/s3"]),
    ("PutObjectTagging", answers.error(403, "AccessDenied"), ConfigurationError, ["mark", "deploy/s3"]),
    ("ListObjectVersions", answers.error(403, "RequestTimeTooSkewed"), ConfigurationError, ["clock", "NTP"]),
]


def test_a_store_that_says_no_ends_the_proof_and_the_backup_stays_unproved(stood: Stood, front: Storefront) -> None:
    deed = reader(stood, front)
    for operation, answer, kind, words in READS_REFUSED:
        front.fault(operation, answer)
        error_of(deed, kind, stood.world.database, *words)
        front.heal()


def test_a_download_whose_line_goes_dark_is_ended(stood: Stood, site: Site) -> None:
    key = stood.unproved()
    with wire(site.ports["s3"]) as laid:
        laid.black_hole(after_bytes=1_000_000)
        prover = stood.world.prover(store=stood.world.store("backup_verifier", laid.port), stall_s=10)
        error_of(lambda: prover.prove(key), TransientError, "dump.age")


FETCHES = {"manifest.json": 0, "fingerprint.age": 1, "globals.age": 2, "dump.age": 3}


@pytest.mark.parametrize("name", FETCHES)
def test_one_bit_that_flips_on_the_way_down_condemns_nothing(stood: Stood, front: Storefront, name: str) -> None:
    """What is stored is as it was: whoever fetches it again sees that."""
    deed = reader(stood, front)
    front.fault("GetObject", answers.flip_answer(300), skip=FETCHES[name], times=1)
    found = outcome(deed)
    if isinstance(found, prove.Proof):
        stood.more = dict.fromkeys(stood.more, Verdict.GOOD)
        return
    assert type(found) is TransientError, found
    assert not unclear(found)


def test_one_bit_that_flips_on_the_way_down_takes_no_good_backup_away(stood: Stood, front: Storefront) -> None:
    """Somebody proves a good backup once more."""
    good = stood.world.catalogue().newest_good
    assert good
    prover = stood.world.prover(store=stood.world.store("backup_verifier", front.port))
    for name in ("manifest.json", "dump.age"):
        front.fault("GetObject", answers.flip_answer(300), skip=FETCHES[name], times=1)
        found = outcome(lambda: prover.prove(good.key))
        assert isinstance(found, prove.Proof) or type(found) is TransientError, found
        front.heal()


def test_a_bit_that_is_flipped_whenever_it_is_fetched_is_bad(shared: World, front: Storefront) -> None:
    """It counts as the stored object's: the verdict falls, and the next backup is good."""
    stood = Stood.now(shared)
    deed = reader(stood, front)
    front.fault("GetObject", answers.flip_answer(300_000), skip=FETCHES["dump.age"])
    error_of(deed, VerificationError, shared.database, "BAD", "dump.age")
    stood.more = dict.fromkeys(stood.more, Verdict.BAD)
    stood.check()
    Stood.now(shared).heal()


# --- anything, anywhere -------------------------------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_whatever_breaks_the_invariants_hold(site: Site, proof: Proof) -> None:
    n = proof.n(small=4, full=144)
    dice = proof.random
    kinds = dice.sample(list(breaking.KINDS), len(breaking.KINDS))
    failed: list[str] = []
    for start in range(0, n, len(kinds)):
        with filled(site) as place:
            failed += [fault for kind in kinds[: n - start] for fault in breaking.fault(place, kind, dice)]
    proof.held(
        "one clear error or a backup; nothing good harmed, nothing left; then a good one", n=n, held=n - len(failed)
    )
