"""Whoever takes or proves a backup may be killed at any point: there is no backup then, or one that nobody has proved, and no rest."""

from __future__ import annotations

import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from include.backups import catalogue, keys, lively, scratch, take
from include.backups.catalogue import Backup, Catalogue, Verdict
from include.backups.source import batches
from include.backups.store import Store
from include.backups.take import Taken
from include.errors import RunbookError
from sandbox.components.postgres import Connection, connect
from sandbox.site import Site
from tests.include.backups.dying import KILLED, LIMITS, PART_BYTES, PARTS, POINTS, Case, application, dying
from tests.include.backups.world import World, request, world
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.proof]

SIDE_BY_SIDE = 2
CASES_A_WORLD = 50
"""A proved backup stays, locked; with hundreds of them a look at the bucket would take longer than a backup."""
GONE_WITHIN_S = 15
"""A server notices after 10 s that the client of a running query is dead (client_connection_check_interval)."""
SERVERS = ("postgres", "postgres_scratch")
PROGRAMS = ("pg_dump", "pg_dumpall", "pg_restore")
DATABASES = "select datname from pg_database where datname like %s"
SESSIONS = """
    select application_name, state, query from pg_stat_activity
    where application_name = %s or (datname like %s and application_name like 'backup%%')
"""

EACH = 34
"""Kills at each of the twelve points: 408 in all, a quarter of an hour on two cores."""
FEW = 8
"""Points of the small proof, others with every seed."""


@dataclass(frozen=True)
class Scene:
    """A database with one good backup, the process that dies, and a superuser's look at both servers.

    :param stored: what the bucket holds of the first backup.
    :param meet: lets the process meet a case, and returns how it ended.
    """

    world: World
    store: Store
    reaper: Store
    first: Taken
    stored: Sequence[tuple[str, ...]]
    meet: Callable[[Case], int]
    source: Connection
    scratch: Connection

    def take(self, op_id: str, attempt: int) -> Taken:
        return self.world.taker(**LIMITS).take(request(op_id=op_id, attempt=attempt))

    def prove(self, key: str, sha256: str) -> None:
        self.world.prover(store=self.store, **LIMITS).prove(key, sha256=sha256)

    def found(self, case: Case) -> Catalogue:
        """Return what the catalogue says of everything since the case began; the keys before it were looked at then."""
        return catalogue.look(self.store, self.world.database, since=case.since)

    def of(self, case: Case) -> list[Backup]:
        return [backup for backup in self.found(case).backups if f"-{case.op}-" in backup.key]


@dataclass(frozen=True)
class Seen:
    """What a case showed.

    :param wrong: what should not have been; empty if it held.
    :param gone_s: how long after the sweep the last session or program was gone.
    """

    point: str
    wrong: Sequence[str]
    stood: bool
    gone_s: float


@pytest.mark.timeout(7200)
def test_a_killed_backup_is_no_backup_and_leaves_nothing(
    site: Site, proof: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take, "PART_BYTES_MIN", PART_BYTES)
    monkeypatch.setattr(lively, "ASKED_EVERY_S", 0.05)
    cases = list(POINTS) * EACH if proof.full else proof.random.sample(sorted(POINTS), FEW)
    seen, seconds = played(site, cases, proof.random)
    wrong = [f"{each.point}: {'; '.join(each.wrong)}" for each in seen if each.wrong]
    assert wrong == [], f"seed {proof.seed}"
    proof.held(
        "kill -9 of a take or a proof at any point: nothing is mistaken for a backup, the retry is GOOD, earlier backups are"
        " untouched, and after the sweep no upload, object, database, folder, session or program is left",
        n=len(cases),
        held=len(seen),
        each=Counter(each.point for each in seen),
        unproved_manifests=sum(each.stood for each in seen),
        seconds_a_case=round(seconds / len(cases), 2),
        seconds_until_gone=round(max(each.gone_s for each in seen), 2),
    )


def played(site: Site, cases: Sequence[str], chance: Random) -> tuple[list[Seen], float]:
    """Play all cases, some worlds side by side, each with cases one after the other: a sweep must not meet a take that lives."""
    began = time.monotonic()
    seeded = [(point, chance.getrandbits(64)) for point in chance.sample(cases, len(cases))]
    chunks = list(batches(seeded, min(CASES_A_WORLD, -(-len(cases) // SIDE_BY_SIDE))))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        seen = [each for found in pool.map(lambda chunk: in_a_world(site, chunk), chunks) for each in found]
    return seen, time.monotonic() - began


def in_a_world(site: Site, cases: Sequence[tuple[str, int]]) -> list[Seen]:
    with scene(site) as here:
        return [outcome(here, point, seed) for point, seed in cases]


@contextmanager
def scene(site: Site) -> Iterator[Scene]:
    with ExitStack() as stack:
        here = stack.enter_context(world(site))
        fill(here)
        first = here.taker(**LIMITS).take(request())
        here.prover(**LIMITS).prove(first.manifest.facts.key, sha256=first.sha256)
        assert first.manifest.objects[keys.DUMP].parts == PARTS
        meet = stack.enter_context(dying(here))
        servers = [stack.enter_context(connect(site, database="postgres", server=name)) for name in SERVERS]
        store, reaper = here.store("backup_verifier"), here.store("backup_reaper")
        yield Scene(here, store, reaper, first, stored(store, first), meet, *servers)


def fill(here: World) -> None:
    """Make a dump of three parts, which takes a while to restore and to compare."""
    with here.superuser() as connection:
        connection.execute("create table things (id int primary key, body text)")
        connection.execute("alter table things alter body set storage external")
        connection.execute("create index on things (left(body, 100))")
        with connection.cursor().copy("copy things from stdin") as copy:
            for number in range(1100):
                copy.write_row((number, secrets.token_urlsafe(7500)))
        connection.execute("grant usage on schema public to ops_backup")
        connection.execute("grant select on all tables in schema public to ops_backup")


def stored(store: Store, taken: Taken) -> list[tuple[str, ...]]:
    """Return name, version, hash, size and time of every object of a backup."""
    found = store.client.list_object_versions(Bucket=store.bucket, Prefix=taken.manifest.facts.key)
    fields = ("Key", "VersionId", "ETag", "Size", "LastModified")
    return sorted(tuple(str(version[field]) for field in fields) for version in found["Versions"])


# --- one case -----------------------------------------------------------------------------------------------------------


def outcome(here: Scene, point: str, seed: int) -> Seen:
    """Let a process die, look, try again at once, sweep, and look once more."""
    case, sha256 = prepared(here, point, seed)
    ended = here.meet(case)
    standing = here.of(case)
    wrong = [f"it ended with {ended}"] if ended != KILLED else []
    wrong += mistaken(point, standing)
    wrong += retried(here, case, sha256, standing)
    wrong += swept(here)
    left, gone_s = gone(here, case)
    wrong += [f"left behind: {what}" for what in left]
    wrong += [] if stored(here.store, here.first) == here.stored else ["the first good backup was changed"]
    return Seen(point, wrong, bool(standing), gone_s)


def prepared(here: Scene, point: str, seed: int) -> tuple[Case, str]:
    """Return the case, and the hash of the manifest that is to be proved in it."""
    op_id, dump_bytes = str(uuid.uuid4()), here.first.manifest.objects[keys.DUMP].plain_bytes
    since = keys.fresh(here.world.database, datetime.now(UTC), op_id, 0).rpartition("-")[0]
    case = Case(point, seed, op_id, dump_bytes, since)
    if not POINTS[point].proves:
        return case, ""
    taken = here.take(op_id, attempt=1)
    return replace(case, key=taken.manifest.facts.key), taken.sha256


def mistaken(point: str, standing: Sequence[Backup]) -> list[str]:
    """What is taken for more than it is: a manifest that stands is a backup which nobody has proved."""
    verdicts = [backup.verdict for backup in standing]
    return [] if verdicts == [Verdict.UNPROVED] * POINTS[point].stands else [f"its backups are {verdicts}"]


def retried(here: Scene, case: Case, sha256: str, standing: Sequence[Backup]) -> list[str]:
    """Do again what was killed, prove what stands, and say what is not GOOD then."""
    try:
        if not case.key:
            again = here.take(case.op_id, attempt=2)
            here.prove(again.manifest.facts.key, again.sha256)
        for backup in standing:
            here.prove(backup.key, sha256 or backup.sha256)
    except RunbookError as error:
        return [f"the retry failed: {error}"]
    good = [each.is_good for each in here.of(case)]
    return [] if good == [True] * (len(standing) + (not case.key)) else ["not all of it is GOOD"]


def swept(here: Scene) -> list[str]:
    try:
        here.world.sweep()
    except RunbookError as error:
        return [f"the sweep failed: {error}"]
    return []


def gone(here: Scene, case: Case) -> tuple[list[str], float]:
    """Return what is left at the end, and how long the last of it took to go."""
    began = time.monotonic()
    while (left := leftovers(here, case)) and time.monotonic() - began < GONE_WITHIN_S:
        time.sleep(0.05)
    return left, time.monotonic() - began


def leftovers(here: Scene, case: Case) -> list[str]:
    database, restored = here.world.database, f"{scratch.PREFIX}{case.op}"
    return [
        *(f"upload {upload.key}" for upload in here.reaper.uploads(keys.prefix(database))),
        *(f"objects of {key}" for key in here.found(case).unfinished),
        *(f"folder {place}" for place in here.world.spool.iterdir() if place.is_dir()),
        *(f"{each} of the source" for each in sessions(here.source, database, case.op)),
        *(f"{each} of the scratch server" for each in sessions(here.scratch, f"{restored}%", case.op)),
        *(f"database {name}" for (name,) in here.scratch.execute(DATABASES, [f"{restored}%"])),
        *(f"program {line}" for line in programs() if database in line or restored in line),
    ]


def sessions(server: Connection, database: str, op: str) -> list[str]:
    found = server.execute(SESSIONS, [application(op), database]).fetchall()
    return [f"session {name!r} ({state}: {query[:60]})" for name, state, query in found]


def programs() -> Iterator[str]:
    """Yield the command lines of all programs of a backup that run on this machine."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            words = file.read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name in PROGRAMS:
                yield " ".join(words)
