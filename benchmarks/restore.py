"""What our recovery costs: against the procedure of the document (drop, create, `psql`), both from the bucket, on the same server.

Needs no platform: it starts a database server, a scratch server and a store of its own, fills a database, backs it up both ways, and
in every round recovers it both ways. Stopping and starting the application costs both the same and is in neither.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.backup import AWS_CLI, BOTO3, Bench, benched, empty, has_aws
from benchmarks.measured import measure, shell
from benchmarks.result import finish, parser
from sandbox.components import postgres, s3
from sandbox.site import bypass_proxies

PLAIN = "database/orchestrator-full.sql"
FETCH = """\
import boto3, sys
boto3.client("s3").download_file(sys.argv[1], sys.argv[2], sys.argv[3])
"""
DOCUMENT = """\
BEGAN=$(date +%s.%N)
{fetch}
DOWN=$(date +%s.%N)
dropdb -U postgres {database}
createdb -U postgres {database}
psql -qX -U postgres {database} < {folder}/backup.sql
NOW=$(date +%s.%N)
SAID='{{"began": '$BEGAN', "down": '$DOWN', "away": '$DOWN', "back": '$NOW'}}'
"""
"""Fetched before the application is stopped, to the document's advantage. It stops at no error, analyzes nothing, compares nothing."""


SINCE = {"usable": "began", "down": "down", "outage": "away"}
"""Since when each span lasts until the database is back: the decision, the stop of the application, the closing of the database."""


@dataclass(frozen=True, kw_only=True)
class RestoreBench(Bench):
    """Where it happens; both backups lie in the bucket throughout."""

    def recover(self, command: Sequence[str]) -> Mapping[str, float]:
        """Recover one way and return what it cost; nobody pays for what the one before left to vacuum or in memory."""
        with postgres.connect(self.site, database=self.database) as server:
            server.execute("vacuum (analyze)")
            server.execute("checkpoint")
        os.sync()
        cost = measure(command, self.folder, self.environment)
        empty(self.folder)
        said = {name: float(value) for name, value in cost.said.items()}
        lasted = {f"{name}_s": said["back"] - said[since] for name, since in SINCE.items()}
        steps = {name: value for name, value in said.items() if name.endswith("_s")}
        figures = {**lasted, **steps, "cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb}
        return {name: round(value, 3) for name, value in figures.items()}

    def document_restores(self) -> list[str]:
        """The procedure's own commands."""
        to = self.folder / "backup.sql"
        fetch = f"{AWS_CLI} s3://{s3.BUCKET}/{PLAIN} {to}"
        if not has_aws():
            fetch = f"{sys.executable} -c '{FETCH}' {s3.BUCKET} {PLAIN} {to}"
        return shell(DOCUMENT.format(fetch=fetch, database=self.database, folder=self.folder))

    def prepare(self) -> None:
        """Back it up both ways: as plain SQL, and ours, proved."""
        script = f"pg_dump -U postgres {self.database} > {self.folder}/orchestrator-full.sql\n{self._sent()}"
        measure(shell(script), self.folder, self.environment)
        measure(self.ours("proved"), self.folder, self.environment)
        empty(self.folder)

    def _sent(self) -> str:
        if has_aws():
            return f"{AWS_CLI} {self.folder}/orchestrator-full.sql s3://{s3.BUCKET}/{PLAIN}"
        return f"{sys.executable} -c '{BOTO3}' {self.folder} {s3.BUCKET}"

    def give_to_owner(self) -> None:
        """Let all of it belong to the role as which a recovery restores, as in production; the document makes it the superuser's."""
        with postgres.connect(self.site, database="postgres") as server:
            server.execute(f"alter database {self.database} owner to orchestrator_owner".encode())
            server.execute(f"grant connect on database {self.database} to ops_backup".encode())
        with postgres.connect(self.site, database=self.database) as server:
            names = "select format('alter table public.%I owner to orchestrator_owner', relname) from pg_class"
            owned = f"{names} where relnamespace = 'public'::regnamespace and relkind = 'r' and relowner = 10"
            for (statement,) in server.execute(owned.encode()).fetchall():
                server.execute(statement.encode())

    def drop_before(self) -> None:
        """Remove what a recovery keeps for a week."""
        with postgres.connect(self.site, database="postgres") as server:
            query = "select datname from pg_database where starts_with(datname, %s)"
            for (name,) in server.execute(query, [f"{self.database}_"]).fetchall():
                server.execute(f'drop database "{name}" with (force)'.encode())


def main() -> None:
    """Measure and print; with --json the last line is one object."""
    chosen = parser(__doc__)
    chosen.set_defaults(runs=5)
    chosen.add_argument("--size", type=float, default=1.0, metavar="GB", help="of the database as plain SQL")
    options = chosen.parse_args()
    bypass_proxies()
    with benched(options.size) as made:
        bench = RestoreBench(site=made.site, folder=made.folder, gb=made.gb)
        bench.fill()
        bench.give_to_owner()
        bench.prepare()
        rounds = [one_round(bench, f"{n + 1}/{options.runs}") for n in range(options.runs)]
    finish("restore", ratios=ratios(rounds), figures=figures(rounds), as_json=options.json)


def one_round(bench: RestoreBench, name: str) -> Mapping[str, Mapping[str, float]]:
    """Return what each way cost; ours first, so that what the document makes of the owners cannot be in its way."""
    costs = {}
    for way, command in (("ours", bench.ours("restored")), ("document", bench.document_restores())):
        bench.give_to_owner()
        costs[way] = bench.recover(command)
        bench.drop_before()
        print(f"  {name} {way:<10} {json.dumps(costs[way])}", flush=True)
    return costs


def ratios(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> Mapping[str, float]:
    """Return the median of the rounds' own ratios."""
    return {
        f"{name}_over_document": round(
            statistics.median(each["ours"][f"{name}_s"] / each["document"][f"{name}_s"] for each in rounds), 3
        )
        for name in SINCE
    }


def figures(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> Mapping[str, float]:
    """Return the median of each figure of each way."""
    return {
        f"{way}_{name}": round(statistics.median(each[way][name] for each in rounds), 2)
        for way in ("ours", "document")
        for name in rounds[0][way]
    }


if __name__ == "__main__":
    main()
