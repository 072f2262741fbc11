"""What our clean-up costs the application: against the document's one DELETE, under the same load, with a writer of rows that go.

Needs no platform: it starts a database server, the ops database and a store of its own, and fills two databases alike. One is cleaned
by the document's statement. The other is cleaned by us in slices, with a quiet window before each; a share of its rows is enough: no
lock of ours depends on how many there are. All the while one process asks and writes at a fixed rate as the application does, and
another updates rows that are about to go; what counts as waiting begins when a statement was due, not when it could be sent.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from benchmarks.result import finish, parser
from include.backups import sealing
from include.backups.login import Login
from include.cleanup import operation
from include.cleanup.archive import Archive
from include.cleanup.request import Access, Cleanup
from include.ops.database import OpsDatabase
from include.settings import CleanupLimits
from sandbox import age_keys
from sandbox.components import postgres, s3
from sandbox.components.postgres import connect, dsn
from sandbox.platform import Platform
from sandbox.seed import history
from sandbox.site import Site, bypass_proxies, free_ports

DAYS = 400
"""How many days beyond the limit the old rows are of; each slice takes some of them, the oldest first."""
FLOOR = 90
DOCUMENT = "delete from execution_logs where created_at < now() - interval '90 days'"
FILL = """
insert into users (email, role) values ('a@b.example', 'admin');
insert into workflows (name, owner_id) values ('flow', 1);
insert into workflow_versions (workflow_id, version, definition) values (1, 1, '{{}}');
insert into workflow_executions (workflow_id, workflow_version_id, user_id, status)
select 1, 1, 1, 'succeeded' from generate_series(1, 10000);
insert into execution_logs (execution_id, level, message, created_at)
select 1 + n %% 10000, 'info', 'execution ' || n || ' picked up by worker-' || n %% 6 || ' ' || md5(n::text),
    now() - {age} * interval '1 day' - {days} * interval '1 day' * (1 - n::float8 / {rows})
from generate_series(1, {rows}) n;
"""
ASKS = (
    ("select status from workflow_executions where id = %s", 5),
    ("select level, message from execution_logs where execution_id = %s order by id desc limit 20", 2),
    ("update workflow_executions set finished_at = now() where id = %s", 2),
    ("insert into execution_logs (execution_id, level, message) values (%s, 'info', 'step done')", 2),
)
"""What the application does, and how often of eleven times."""
NEXT = 2000
CHANGES = "update execution_logs set level = 'debug' where id = (select min(id) from execution_logs) + %s"
"""What is written to the rows that go next, in the order in which they were made."""

Taken = tuple[float, float]
"""When a statement was due, and how long it took from then on, both in seconds of the monotonic clock."""


# --- where it happens -----------------------------------------------------------------------------------------------------


@contextmanager
def servers() -> Iterator[Site]:
    """Start them, and remove all of it."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    state.chmod(0o755)
    platform = Platform(Site.create(state, free_ports()), ("postgres", "postgres-ops", "s3"), say=lambda _: None)
    roles = partial(postgres._make_roles, server="postgres")  # noqa: SLF001 - the history that fills the sandbox's is in the way
    platform.components["postgres"] = replace(platform.components["postgres"], after=roles)
    try:
        platform.start()
        yield platform.site
    finally:
        platform.stop()
        shutil.rmtree(state, ignore_errors=True)


def make(site: Site, name: str, rows: int, young: int) -> None:
    """Make a database of the orchestrator's shape, with old rows and with as many young ones as asked."""
    with connect(site, database="postgres") as server:
        server.execute(f"create database {name} owner orchestrator_owner".encode())
        server.execute(
            f"grant connect on database {name} to orchestrator_app, ops_backup, ops_cleanup, ops_health".encode()
        )
    with connect(site, database=name) as session:
        session.execute((history.SQL / "tables.sql").read_text().encode())
        fill = FILL.format(rows=rows, age=FLOOR + 0.1, days=DAYS) + FILL[FILL.rindex("insert") :].format(
            rows=young, age=0, days=FLOOR - 1
        )
        session.execute(fill.replace("%%", "%").encode())
        session.execute((history.SQL / "indexes.sql").read_text().encode())
        session.execute("grant usage on schema public to orchestrator_app")
        session.execute("grant select, insert, update, delete on all tables in schema public to orchestrator_app")
        for (table,) in session.execute("select tablename from pg_tables where schemaname = 'public'").fetchall():
            session.execute(f'alter table public."{table}" owner to orchestrator_owner'.encode())
        session.execute((postgres.DEPLOY / "orchestrator_cleanup.sql").read_text().encode())
        session.execute("vacuum analyze")
        session.execute("checkpoint")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One database of it."""

    site: Site
    database: str

    def login(self, role: str) -> Login:
        """Return how a role logs in."""
        place = {
            "host": "127.0.0.1",
            "port": self.site.ports["postgres"],
            "dbname": self.database,
            "sslmode": "require",
        }
        return Login({**place, "user": role, "password": postgres.password(self.site, role)}, role)

    def store(self, user: str) -> Any:
        """Return the bucket as one of its users."""
        from include.backups.store import Store

        return Store(s3.client(self.site, user), s3.BUCKET, who=user)

    def clean(self, days: int) -> int:
        """Clean up what is older than so many days, as a run of the runbook does; return how many rows went."""
        archive = Archive(
            writer=self.store("archive_writer"),
            verifier=self.store("backup_verifier"),
            to=sealing.recipients(age_keys.recipients(self.site)),
            identity=sealing.identity(age_keys.private(self.site, age_keys.OPERATIONAL), "the benchmark"),
            database=self.database,
        )
        access = Access(
            reader=self.login("ops_backup"),
            deleter=self.login("ops_cleanup"),
            watcher=self.login("ops_health"),
            archive=archive,
            newest_good=lambda: datetime.now(UTC),
        )
        limits = CleanupLimits(execution_logs_days=days, share_max_percent=100)
        wanted = Cleanup(op_id=str(uuid.uuid4()), access=access, limits=limits, backup_max_age_h=26)
        ops = OpsDatabase({"conninfo": dsn(self.site, "ops_runner", "ops", "postgres_ops")})
        return sum(each.deleted for each in operation.act(wanted, ops, holder="benchmark").values())

    def delete(self) -> int:
        """Clean up by the document's statement."""
        with connect(self.site, database=self.database) as session:
            return session.execute(DOCUMENT).rowcount

    def wal_bytes(self) -> int:
        """Return how much was written to the log in all."""
        with connect(self.site, database=self.database) as session:
            [(written,)] = session.execute(
                "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
            ).fetchall()
            return int(written)


# --- the application ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sender:
    """One connection of the application.

    :param changes: whether it updates rows that are about to go, instead of doing all that the application does.
    """

    address: str
    per_s: float
    changes: bool

    def run(self, over: Event, tell: Any) -> None:
        """Send a statement whenever one is due, and say at the end how long each took."""
        chance, taken = Random(1), list[Taken]()
        kinds = [query for query, weight in ASKS for _ in range(weight)]
        with psycopg.connect(self.address, autocommit=True) as session:
            session.execute("set lock_timeout = 0; set statement_timeout = 0")  # how long it would wait is the question
            tell.send("ready")
            due = time.monotonic()
            while not over.is_set():
                time.sleep(max(0.0, due - time.monotonic()))
                query, most = (CHANGES, NEXT) if self.changes else (chance.choice(kinds), 9999)
                session.execute(query.encode(), [1 + chance.randrange(most)], prepare=True)
                taken.append((due, time.monotonic() - due))
                due += 1 / self.per_s
        tell.send(taken)


@dataclass(frozen=True)
class Load:
    """What the application and the writer of old rows went through."""

    asked: Sequence[Taken]
    changed: Sequence[Taken]

    def p99_ms(self, window: tuple[float, float]) -> float:
        """Return the 99th percentile of what was due in a window."""
        took = sorted(1000 * seconds for due, seconds in self.asked if window[0] <= due < window[1])
        return took[min(len(took) - 1, int(0.99 * len(took)))]

    def longest_ms(self, windows: Sequence[tuple[float, float]]) -> float:
        """Return the longest wait of the writer in any of these windows."""
        return 1000 * max(took for due, took in self.changed for begin, end in windows if begin <= due < end)


Windows = Mapping[str, list[tuple[float, float]]]


def under_load(bench: Bench, per_s: float, deed: Callable[[], Windows]) -> tuple[Windows, Load]:
    """Do something while the application works; return its windows, and what the application felt."""
    context = multiprocessing.get_context("spawn")
    over, address = context.Event(), dsn(bench.site, "orchestrator_app", bench.database)
    senders = [
        Sender(address=address, per_s=per_s, changes=False),
        Sender(address=address, per_s=per_s / 4, changes=True),
    ]
    pipes = [context.Pipe(duplex=False) for _ in senders]
    for sender, (_, tell) in zip(senders, pipes, strict=True):
        context.Process(target=sender.run, args=(over, tell), daemon=True).start()
    for hear, _ in pipes:
        hear.recv()
    try:
        windows = deed()
    finally:
        over.set()
        said = [hear.recv() for hear, _ in pipes]
    return windows, Load(*said)


def timed(deed: Callable[[], Any]) -> tuple[float, float]:
    """Do it, and return when it began and ended."""
    began = time.monotonic()
    deed()
    return began, time.monotonic()


# --- the ways -------------------------------------------------------------------------------------------------------------


def by_slices(bench: Bench, limits: Sequence[int], quiet_s: float) -> Windows:
    """Ours, a slice at a time, in a process of its own, with a quiet window before each.

    :param limits: how many days old what goes is, slice by slice.
    """
    windows: dict[str, list[tuple[float, float]]] = {"quiet": [], "busy": []}
    for days in limits:
        windows["quiet"].append(timed(lambda: time.sleep(quiet_s)))
        windows["busy"].append(timed(lambda days=days: apart(bench, days)))  # type: ignore[misc]
        time.sleep(0.5)
    windows["quiet"].append(timed(lambda: time.sleep(quiet_s)))
    return windows


def sliced(slices: int, share: float) -> list[int]:
    """Return the limit of age of each slice, so that all of them together take a share of the old days."""
    return [FLOOR + DAYS - round(DAYS * share * (number + 1) / slices) for number in range(slices)]


def apart(bench: Bench, days: int) -> None:
    """Clean up in another process: the worker of Airflow is one, too."""
    worker = multiprocessing.get_context("fork").Process(target=bench.clean, args=(days,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def at_once(bench: Bench, quiet_s: float) -> Windows:
    """The document's."""
    quiet = timed(lambda: time.sleep(quiet_s))
    return {"quiet": [quiet], "busy": [timed(bench.delete)]}


def p99_over_quiet(windows: Windows, load: Load) -> float:
    """Return the median of each busy window's p99 over the mean of those of the quiet windows beside it."""
    quiet, busy = ([load.p99_ms(each) for each in windows[name]] for name in ("quiet", "busy"))
    beside = [(quiet[n] + quiet[min(n + 1, len(quiet) - 1)]) / 2 for n in range(len(busy))]
    return statistics.median(each / calm for each, calm in zip(busy, beside, strict=True))


def quiet_over_quiet(windows: Windows, load: Load) -> float:
    """Return the same of quiet windows alone: what the machine's own noise does."""
    quiet = [load.p99_ms(each) for each in windows["quiet"]]
    return statistics.median(max(a, b) / min(a, b) for a, b in pairwise(quiet))


def measured(site: Site, options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Return ratios and figures of one run."""
    figures: dict[str, float] = {}
    felt: dict[str, tuple[Windows, Load]] = {}
    limits = sliced(options.slices, options.share)
    for way in ("document", "ours"):
        bench = Bench(site=site, database=f"cleaned_by_{way}")
        print(f"  {way}: filling {options.rows} rows …", flush=True)
        make(site, bench.database, options.rows, options.rows // 10)
        ours, theirs = partial(by_slices, bench, limits, options.quiet), partial(at_once, bench, 5 * options.quiet)
        before = bench.wal_bytes()
        felt[way] = under_load(bench, options.rate, ours if way == "ours" else theirs)
        found = of_way(options.rows - left(bench, FLOOR), bench.wal_bytes() - before, *felt[way])
        figures |= {f"{way}_{name}": value for name, value in found.items()}
        figures[f"{way}_left"] = left(bench, limits[-1] if way == "ours" else FLOOR)
        print(f"  {way}: {json.dumps(found)}", flush=True)
    ratios = {
        "worst_lock_over_document": round(figures["ours_longest_wait_ms"] / figures["document_longest_wait_ms"], 4),
        "p99_over_quiet": round(p99_over_quiet(*felt["ours"]), 3),
        "quiet_over_quiet": round(quiet_over_quiet(*felt["ours"]), 3),
        "document_p99_over_quiet": round(p99_over_quiet(*felt["document"]), 3),
    }
    return ratios, figures


def of_way(rows: int, wal_bytes: int, windows: Windows, load: Load) -> dict[str, float]:
    """Return the figures of one way."""
    return {
        "rows": rows,
        "rows_per_s": round(rows / sum(end - begin for begin, end in windows["busy"])),
        "longest_wait_ms": round(load.longest_ms(windows["busy"]), 1),
        "quiet_longest_wait_ms": round(load.longest_ms(windows["quiet"]), 1),
        "wal_bytes_per_row": round(wal_bytes / rows),
        "quiet_p99_ms": round(statistics.median(map(load.p99_ms, windows["quiet"])), 2),
        "busy_p99_ms": round(statistics.median(map(load.p99_ms, windows["busy"])), 2),
        "statements": len(load.asked),
    }


def left(bench: Bench, days: int) -> int:
    """Return how many rows older than that are still there, those apart that became so only now."""
    with connect(bench.site, database=bench.database) as session:
        query = (
            "select count(*) from execution_logs where created_at < now() - %s * interval '1 day' - interval '2 hours'"
        )
        [(rows,)] = session.execute(query, [days]).fetchall()
        return int(rows)


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    chosen = parser(__doc__)
    chosen.set_defaults(runs=1)
    chosen.add_argument("--rows", type=int, default=3_000_000, help="old rows, and a tenth as many young ones")
    chosen.add_argument(
        "--share", type=float, default=0.05, help="of the old rows that ours takes, the oldest; the document takes all"
    )
    chosen.add_argument("--slices", type=int, default=10, help="busy windows of ours, each with a quiet one before it")
    chosen.add_argument("--quiet", type=float, default=6.0, metavar="S", help="length of a quiet window")
    chosen.add_argument("--rate", type=float, default=100.0, help="statements of the application a second")
    options = chosen.parse_args()
    bypass_proxies()
    with servers() as site:
        ratios, figures = measured(site, options)
    finish("cleanup", ratios=ratios, figures=figures, as_json=options.json)


if __name__ == "__main__":
    main()
