"""Whole recoveries of the platform in small, by processes that die where they are told to.

`python -m tests.include.recovery.drill STATE` reads a case a line and forks for each: a process that has imported everything dies much
sooner than a new one.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from psycopg import OperationalError, sql

from include import settings
from include.errors import RunbookError, TransientError
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.recovery import by_file, operation, window, workloads
from include.recovery.by_file import Connections
from include.recovery.databases import Mark
from include.recovery.request import Recovery, Request
from include.recovery.workloads import Recorded
from include.settings import Settings
from sandbox import age_keys
from sandbox.components.postgres import connect, data_folder, program
from sandbox.connections import all_of
from sandbox.site import PROJECT, Site, bypass_proxies
from sandbox.supervise import Supervisor
from tests.include.backups.world import World

DATABASE = "orchestrator"
KILLED = -signal.SIGKILL
DONE, UNDONE, STANDS = 0, 1, 3
"""How a process ends that is not killed: by its own word."""
GIVEN_UP_AFTER_S = 240


@dataclass(frozen=True)
class Case:
    """One process of one recovery.

    :param at: `write` (of the journal), `guard` (before an effect), or "" for nowhere.
    :param n: at which of them, counted from 1; writes alternate between intent and outcome.
    :param how: `kill` the process, or `crash` the database's server under it.
    :param verb: `act` or `rollback`.
    """

    op_id: str
    at: str = ""
    n: int = 0
    how: str = "kill"
    verb: str = "act"


@dataclass(frozen=True)
class Drill:
    """The platform, as somebody sees it who recovers its database."""

    site: Site
    chosen: Settings

    @classmethod
    def of(cls, site: Site) -> Drill:
        """Return it with the settings of the platform, looking more often than the usual ones."""
        usual = settings.Settings()
        backup = {
            "recipients": age_keys.recipients(site),
            "programs": program("pg_dump").parent,
            "spool": site.path("backup-spool"),
            "spool_reserve_bytes": 0,
        }
        changed = {
            "backup": usual.backup.model_copy(update=backup),
            "recovery": usual.recovery.model_copy(update={"poll_s": 0.1}),
        }
        return cls(site, usual.model_copy(update=changed))

    @property
    def connections(self) -> Connections:
        return Connections(self.site.path("airflow", "connections.json"), all_of(self.site))

    @property
    def ops(self) -> OpsDatabase:
        return by_file.ops(self.connections, self.chosen)

    def recovery(self, op_id: str) -> Recovery:
        request = Request(op_id=op_id, reason="a drill of the recovery")
        return Recovery(request=request, access=by_file.access(self.connections, self.chosen), chosen=self.chosen)

    def approved(self) -> str:
        """Plan a recovery, let somebody else approve it, and return its operation id."""
        op_id = str(uuid.uuid4())
        gate.store(self.ops, self.recovery(op_id).plan(), requester="alice", people=2)
        approver = OpsDatabase(self.connections.postgres(self.chosen.connections.approvals))
        stored = gate.newest(self.ops, op_id)
        gate.approve(approver, stored.id, person="bob", reason="looked at it", answered_at=datetime.now(UTC))
        return op_id

    def back_up(self) -> None:
        """Take a backup of the platform's database and prove it."""
        world = World(self.site, DATABASE)
        taken = world.take()
        world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)

    # --- what stands ----------------------------------------------------------------------------------------------------

    def recorded(self) -> Recorded:
        return self.recovery(str(uuid.uuid4())).record()

    def differences(self, recorded: Recorded) -> list[str]:
        return workloads.differences(self.recovery(str(uuid.uuid4())).access.cluster, recorded)

    def databases(self) -> dict[str, int]:
        """Return the oid of each database of a recovery by name."""
        query = "select datname, oid::int8 from pg_database where datname ~ '^orchestrator(_restore_|_before_|$)'"
        with connect(self.site, database="postgres") as server:
            return dict(server.execute(query).fetchall())

    def half_made(self) -> list[str]:
        """Return databases that a recovery began and left; one that was in use and swapped back stays on purpose."""
        query = "select datname, shobj_description(oid, 'pg_database') from pg_database where datname like 'orchestrator_restore_%'"
        with connect(self.site, database="postgres") as server:
            found = server.execute(query).fetchall()
        return [name for name, comment in found if getattr(Mark.read(comment), "state", "") != "returned"]

    def lets_in(self) -> bool:
        """Whether the application can log in."""
        try:
            connect(self.site, "orchestrator_app").close()
        except OperationalError:
            return False
        return True

    def is_shut(self) -> bool:
        return window.window(self.recovery(str(uuid.uuid4())).access.window) is None

    def shut(self) -> None:
        """Do what the reaper does within the hour about a window that a dead recovery left open."""
        window.close_window(self.recovery(str(uuid.uuid4())).access.window)

    def leases(self) -> list[str]:
        with self.ops.session() as session:
            held = "select holder from ops.lease where expires_at > now() and resource = 'database/orchestrator'"
            return [str(row[0]) for row in session.execute(held)]

    def drop_what_was_before(self) -> None:
        """Remove what a recovery keeps for a week, so that the next one has the disk for itself."""
        with connect(self.site, database="postgres") as server:
            query = "select datname from pg_database where datname ~ '^orchestrator_(restore|before)_'"
            for (name,) in server.execute(query).fetchall():
                server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def die() -> NoReturn:
    """Leave no time for any `finally`."""
    while True:
        os.kill(os.getpid(), signal.SIGKILL)


def crash(site: Site) -> None:
    """End the database's server as a power cut does, and start it again."""
    postmaster = int((data_folder(site) / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    supervisor = Supervisor(site)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        supervisor.start_program("postgres")
        try:
            connect(site, database="postgres").close()
        except OperationalError:
            time.sleep(0.2)
        else:
            return


def arm(case: Case, site: Site) -> None:
    """Let the process meet its case: before a journal's write or an effect is the n-th, it happens."""
    left = [case.n]
    fate: Callable[[], Any] = die if case.how == "kill" else lambda: crash(site)

    def meets() -> None:
        left[0] -= 1
        if left[0] == 0:
            fate()

    owner, name = {"guard": (Lease, "guard"), "write": (Journal, "_write"), "": (None, "")}[case.at]
    if owner:
        real = getattr(owner, name)

        def met(*args: Any) -> Any:
            result = real(*args)
            meets()
            return result

        setattr(owner, name, met)


@contextmanager
def drilling(site: Site) -> Iterator[Callable[[Case], int]]:
    """Start the process that forks; what is yielded lets a fork meet a case and returns how it ended."""
    command = [sys.executable, "-m", __name__, str(site.state)]
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


def main(state: str) -> None:
    """Fork for each case that is read, and print how it ended."""
    bypass_proxies()
    logging.basicConfig(level=logging.WARNING)
    drill = Drill.of(Site.load(Path(state)))
    for line in sys.stdin:
        sys.stdout.write(f"{end_of(drill, Case(**json.loads(line)))}\n")
        sys.stdout.flush()


def end_of(drill: Drill, case: Case) -> int:
    """Return the exit code of a fork: -9 if it was killed."""
    fork = os.fork()
    if not fork:
        os._exit(met(drill, case))
    return os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])


def met(drill: Drill, case: Case) -> int:
    """Run it and return how it ended."""
    signal.alarm(GIVEN_UP_AFTER_S)
    try:
        arm(case, drill.site)
        recovery = drill.recovery(case.op_id)
        if case.verb == "rollback":
            operation.take_back(recovery, drill.ops, holder="a drill", why="a drill of the way back")
        else:
            operation.act(recovery, drill.ops, holder="a drill")
    except TransientError:
        traceback.print_exc()
        return STANDS
    except RunbookError:
        traceback.print_exc()
        return UNDONE
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
        return 9
    return DONE


if __name__ == "__main__":
    main(*sys.argv[1:])
