"""A process that takes or proves a backup and is killed at a chosen point: `python -m tests.include.backups.dying STATE DATABASE`.

The backup has no hooks for this: the process changes one function of its own. It reads a case a line, and forks for each, since a
process that has imported everything dies much sooner than a new one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from include.backups import keys, lively, marking, restoring, take
from include.backups.login import Login
from include.backups.moving import Tap
from include.backups.store import Store, Upload
from include.backups.take import Taker
from sandbox.site import PROJECT, Site, bypass_proxies
from tests.include.backups.world import World, request

LIMITS: Mapping[str, Any] = {"compression": "none"}
PART_BYTES = 5 << 20
"""The least that the store takes, so that a small dump goes in several parts too."""
PARTS = 3
GIVEN_UP_AFTER_S = 60
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Case:
    """Who dies where.

    :param point: a name of POINTS.
    :param seed: of the moment, where the point has many.
    :param dump_bytes: how large the dump is.
    :param since: what the keys of everything since the case began come after.
    :param key: of the backup to prove.
    """

    point: str
    seed: int
    op_id: str
    dump_bytes: int
    since: str = ""
    key: str = ""

    @property
    def op(self) -> str:
        """The part of the operation id that stands in keys and names."""
        return self.op_id[:8]


@dataclass(frozen=True)
class Victim:
    """The world as the process has it before a case: clients that have no connection yet."""

    world: World
    writer: Store
    verifier: Store

    def take(self, case: Case) -> None:
        self.world.taker(login=self._login(case), store=self.writer, **LIMITS).take(request(op_id=case.op_id))

    def prove(self, case: Case) -> None:
        server = self._login(case, "ops_verify", "postgres_scratch")
        self.world.prover(store=self.verifier, server=server, **LIMITS).prove(case.key)

    def _login(self, case: Case, *who: str) -> Login:
        return self.world.login(*who, application_name=application(case.op))


def application(op: str) -> str:
    """The name of a victim's sessions: those of others must not be taken for them."""
    return f"backup {op}"


Arm = Callable[[Victim, Case, Random], None]
When = Callable[..., bool]


@dataclass(frozen=True)
class Point:
    """Where a process dies.

    :param stands: whether the manifest is in the bucket then.
    """

    arm: Arm
    stands: bool = False
    proves: bool = False


def die(*_: object, **__: object) -> NoReturn:
    """Leave no time for any `finally`."""
    while True:
        os.kill(os.getpid(), signal.SIGKILL)


def always(*_: object, **__: object) -> bool:
    return True


def before(owner: object, name: str, when: When = always) -> None:
    """Die as soon as it is called."""
    real = getattr(owner, name)
    setattr(owner, name, lambda *args, **named: die() if when(*args, **named) else real(*args, **named))


def after(owner: object, name: str, when: When = always) -> None:
    """Die as soon as it is done."""
    real = getattr(owner, name)

    def dying(*args: Any, **named: Any) -> Any:
        result = real(*args, **named)
        return die() if when(*args, **named) else result

    setattr(owner, name, dying)


def within(owner: object, name: str, seconds: float) -> None:
    """Die while it runs, at the latest when it is done."""
    real = getattr(owner, name)

    def dying(*args: Any, **named: Any) -> Any:
        threading.Timer(seconds, die).start()
        real(*args, **named)
        return die()

    setattr(owner, name, dying)


def of(name: str) -> When:
    """Whether an object of this name is put."""
    return lambda _store, key, *_, **__: key.endswith(name)


def at_a_byte(_: Victim, case: Case, chance: Random) -> None:
    limit = chance.randrange(case.dump_bytes)
    after(Tap, "read", lambda tap, *_: tap.bytes > limit)


TAKING: Mapping[str, Point] = {
    "the upload was begun": Point(lambda *_: after(Upload, "__enter__")),
    "the snapshot is held": Point(lambda *_: before(Taker, "_read_side_by_side")),
    "in the stream of the dump": Point(at_a_byte),
    "all parts are there": Point(lambda victim, *_: before(victim.writer.client, "complete_multipart_upload")),
    "the upload is complete": Point(lambda victim, *_: after(victim.writer.client, "complete_multipart_upload")),
    "the fingerprint was put": Point(lambda *_: after(Store, "put", of(keys.FINGERPRINT))),
    "the manifest is next": Point(lambda *_: before(Store, "put", of(keys.MANIFEST))),
    "the manifest was put": Point(lambda *_: after(Store, "put", of(keys.MANIFEST)), stands=True),
}

PROVING: Mapping[str, Arm] = {
    "in the stream of the download": at_a_byte,
    "pg_restore runs": lambda _, __, chance: within(restoring, "_wait", chance.uniform(0, 0.5)),
    "compared and not locked": lambda *_: before(marking, "lock"),
    "locked and not marked": lambda *_: before(marking, "mark"),
}

POINTS: Mapping[str, Point] = {
    **TAKING,
    **{name: Point(arm, stands=True, proves=True) for name, arm in PROVING.items()},
}


@contextmanager
def dying(world: World) -> Iterator[Callable[[Case], int]]:
    """Start a process for this world; what is yielded lets it meet a case and returns how it ended."""
    command = [sys.executable, "-m", __name__, str(world.site.state), world.database]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "plugins")))}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, **pipes) as process:
        yield lambda case: _answer(process, case)


def _answer(process: subprocess.Popen[str], case: Case) -> int:
    assert process.stdin  # both were asked for
    assert process.stdout
    process.stdin.write(json.dumps(asdict(case)) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def main(state: str, database: str) -> None:
    """Let a fork meet each case that is read, and print how it ended."""
    bypass_proxies()
    take.PART_BYTES_MIN, lively.ASKED_EVERY_S = PART_BYTES, 0.05
    world = World(Site.load(Path(state)), database)
    victim = Victim(world, world.store("backup_writer"), world.store("backup_verifier"))
    for line in sys.stdin:
        sys.stdout.write(f"{end_of(victim, Case(**json.loads(line)))}\n")
        sys.stdout.flush()


def end_of(victim: Victim, case: Case) -> int:
    """Return the exit code of a fork: -9 if it was killed as it should be."""
    fork = os.fork()
    if not fork:
        meet_it(victim, case)
    return os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])


def meet_it(victim: Victim, case: Case) -> NoReturn:
    signal.alarm(GIVEN_UP_AFTER_S)
    point = POINTS[case.point]
    try:
        point.arm(victim, case, Random(case.seed))
        (victim.prove if point.proves else victim.take)(case)
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
