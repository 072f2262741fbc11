"""What must hold after whatever broke: one clear sentence, the good backup untouched, nothing left behind, and the next one good."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

import pytest

from include.backups.catalogue import Backup, Catalogue, Verdict
from include.backups.login import Login
from include.backups.manifest import sha256
from include.backups.moving import Flow, Job
from include.backups.prove import Proof
from include.backups.take import Taken
from include.errors import RunbookError
from sandbox.components import postgres
from tests.faults.wire import Wire, wire
from tests.include.backups.world import World

Thing = TypeVar("Thing")
Outcome = RunbookError | Taken | Proof

END_S = 25
"""How long a take or a proof of a few megabytes may last whatever is broken: more is hanging."""
GONE_S = 15
"""How long the server may need to notice that a client of its is gone."""
LONGEST = 400
CLASS = re.compile(r"\b(?!InternalError\b)[A-Z]\w+(?:Error|Exception|Timeout)\b|Traceback| object at 0x")
"""What tells of our code, not of what is wrong; InternalError is a word of S3."""


def fill(world: World) -> None:
    """Make tables, a sequence, an index, and 2 MB that do not compress, so that there is a middle to break in."""
    with world.superuser() as session:
        session.execute("create table people (id serial primary key, name text not null)")
        session.execute("insert into people (name) select 'n' || i from generate_series(1, 20000) i")
        session.execute("create index on people (name)")
        session.execute("create table papers (id int primary key, data bytea)")
        session.execute("alter table papers alter data set storage external")
        session.execute(
            "insert into papers select i, (select string_agg(uuid_send(gen_random_uuid()), '') from generate_series(1, 64)"
            " where i > 0) from generate_series(1, 2000) i"
        )


def outcome(deed: Callable[[], Thing]) -> Thing | RunbookError:
    """Return what it returned, or the RunbookError that it ended with; any other error is raised, and hanging fails the test."""
    found: list[Thing] = []
    job = Job(Flow("it"), lambda: found.append(deed()))
    job.thread.start()
    job.thread.join(END_S)
    assert not job.runs, f"it hangs: {END_S} s and no end"
    if job.error is None:
        return found[0]
    if not isinstance(job.error, RunbookError):
        raise job.error
    return job.error


def error_of(deed: Callable[[], object], kind: type[RunbookError], *words: str) -> str:
    """Return the sentence with which it ended: of this kind, clear, with these words."""
    error = outcome(deed)
    assert isinstance(error, RunbookError), f"it did not fail: {error}"
    said = str(error)
    assert type(error) is kind, f"{type(error).__name__}: {said}"
    assert not (wrong := unclear(error)), wrong
    assert [word for word in words if word not in said] == [], said
    return said


def unclear(error: RunbookError) -> str:
    """Return what is wrong with its sentence; nothing if it is clear."""
    said = str(error)
    faults = {
        "it is longer than 400 characters": len(said) >= LONGEST,
        "it has several lines": "\n" in said,
        f"it names classes of ours ({CLASS.findall(said)})": bool(CLASS.search(said)),
        "the traceback shows another error behind it": not (error.__suppress_context__ or error.__context__ is None),
    }
    return "; ".join(f"{what}: {said}" for what, so in faults.items() if so)


@dataclass
class Stood:
    """What the bucket held before something broke.

    :param more: what may have come since, or was tried again, with its verdict.
    """

    world: World
    verdicts: dict[str, tuple[Verdict, str]]
    good: dict[tuple[str, str], str]
    began: float = field(default_factory=time.time)
    more: dict[str, Verdict] = field(default_factory=dict)

    @classmethod
    def now(cls, world: World) -> Stood:
        """Look at it."""
        looked = world.catalogue()
        return cls(world, _verdicts(looked), _good(world, looked.newest_good))

    def unproved(self) -> str:
        """Return the key of one for a proof that something will break: one that waits for it, or a new one."""
        waiting = [key for key, (verdict, _) in self.verdicts.items() if verdict is Verdict.UNPROVED]
        key = next(iter(self.more or waiting), "") or self.world.take().manifest.facts.key
        self.more[key] = Verdict.UNPROVED
        return key

    def taken(self, taken: Taken, verdict: Verdict = Verdict.UNPROVED) -> None:
        """Expect this one too."""
        self.more[taken.manifest.facts.key] = verdict

    def check(self) -> None:
        """Nothing is mistaken for a backup, nothing good is harmed, and after a sweep nothing is left."""
        found = _verdicts(self.world.catalogue())
        before = {key: verdict for key, verdict in self.verdicts.items() if key not in self.more}
        assert {key: found.get(key) for key in before} == before
        assert {key: found[key][0] for key in found.keys() - before.keys()} == self.more
        assert {name: _sha256(self.world, *name) for name in self.good} == self.good
        assert _waited_out(self._running, GONE_S) == []
        self.world.sweep()
        assert _left(self.world, found.keys()) == []

    def heal(self) -> None:
        """What was not proved is proved now; and if there is nothing to prove, the next one is taken."""
        for key in self.more or [self.world.take().manifest.facts.key]:
            self.world.prover().prove(key)
            newest = self.world.catalogue().newest_good
            assert newest
            assert newest.key == key

    def _running(self) -> list[str]:
        return [*_programs(self.world.database), *_sessions(self.world, self.began)]


@contextmanager
def unharmed(world: World, *, healed: bool = True) -> Iterator[Stood]:
    """Whatever breaks inside, the invariants hold afterwards, and the next backup is good; others may share that last one."""
    stood = Stood.now(world)
    yield stood
    stood.check()
    if healed:
        stood.heal()


def _verdicts(looked: Catalogue) -> dict[str, tuple[Verdict, str]]:
    return {backup.key: (backup.verdict, backup.sha256) for backup in looked.backups}


def _good(world: World, newest: Backup | None) -> dict[tuple[str, str], str]:
    if not newest or not newest.manifest:
        return {}
    names = {newest.key + name: stored.version_id for name, stored in newest.manifest.objects.items()}
    return {name: _sha256(world, *name) for name in names.items()}


def _sha256(world: World, key: str, version_id: str) -> str:
    return sha256(world.store("backup_verifier").get(key, version_id))


def _waited_out(look: Callable[[], list[str]], seconds: float) -> list[str]:
    until = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _programs(database: str) -> list[str]:
    """Processes of pg_dump, pg_dumpall and pg_restore that have to do with this database."""
    return [said for said in map(_command, Path("/proc").glob("[0-9]*")) if "/pg_" in said and database in said]


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _sessions(world: World, since: float) -> list[str]:
    """Sessions of backups at both servers; at the scratch server those that are younger than the fault."""
    return [
        f"{server}: {said}"
        for server, mine in (("postgres", f"datname = '{world.database}'"), ("postgres_scratch", "true"))
        for said in _asked(world, server, f"{mine} and backend_start > to_timestamp({since})")
    ]


def _asked(world: World, server: str, where: str) -> list[str]:
    with postgres.connect(world.site, database="postgres", server=server) as session:
        text = "select application_name || ' ' || state || ' ' || left(query, 60) from pg_stat_activity"
        rows = session.execute(f"{text} where application_name like 'backup%' and {where}".encode()).fetchall()
    return [str(said) for (said,) in rows]


def _left(world: World, whole: Collection[str]) -> list[str]:
    """Everything of this world that is no backup."""
    reaper, prefix = world.store("backup_reaper"), f"backups/database/{world.database}/"
    objects = [each.key for each in reaper.versions(prefix) if each.key.rpartition("/")[0] + "/" not in whole]
    uploads = [upload.key for upload in reaper.uploads(prefix)]
    spools = [str(place) for place in world.spool.glob("*") if place.is_dir()]
    return [*objects, *uploads, *spools, *_scratch_databases(world, whole)]


def _scratch_databases(world: World, whole: Collection[str]) -> list[str]:
    ops = {key.rpartition("Z-")[2][:8] for key in whole}
    with postgres.connect(world.site, database="postgres", server="postgres_scratch") as session:
        rows = session.execute("select datname from pg_database where starts_with(datname, 'verify_')").fetchall()
    return [name for (name,) in rows if name.split("_")[1] in ops]


@dataclass(frozen=True)
class Split(Login):
    """A login whose programs go another way than its sessions, so that one of them can be broken alone."""

    programs_port: int = 0

    @property
    def conninfo(self) -> str:
        """The way of the programs."""
        known = {field.name: getattr(self, field.name) for field in fields(Login)}
        return Login(**{**known, "parameters": {**self.parameters, "port": self.programs_port}}).conninfo


@contextmanager
def split(world: World, role: str, server: str) -> Iterator[tuple[Split, Wire, Wire]]:
    """Yield a login, the wire of its sessions, and that of its programs."""
    port = world.site.ports[server]
    with wire(port) as sessions, wire(port) as programs:
        login = world.login(role, server, port=sessions.port)
        yield Split(login.parameters, login.setting, programs.port), sessions, programs


def before(monkeypatch: pytest.MonkeyPatch, place: object, name: str, deed: Callable[[], object]) -> None:
    """Do something just before a function of the code is called."""
    real = getattr(place, name)

    def first(*arguments: object, **named: object) -> object:
        deed()
        return real(*arguments, **named)

    monkeypatch.setattr(place, name, first)


def folder(name: str) -> Path:
    """A folder that PostgreSQL's own user can reach, too."""
    return Path("/tmp") / f"aos-{os.getpid()}-{name}"
