"""Our backup of the configuration as a process that `benchmarks.measured` can measure: taken once it is told to go."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pyrage  # noqa: F401 - a worker has paid for these imports before its first backup
from botocore.config import Config
from kubernetes import config

from include.backups.store import CONFIG, Store
from include.configuration.listing import Lister, PatientReader
from include.configuration.take import Request, Taker
from include.probes.kubernetes import ApiReader, Json
from sandbox import age_keys
from sandbox.components.kubernetes.layout import admin
from sandbox.components.s3 import BUCKET, REGION
from sandbox.site import Site

PAGE_SIZE = 500


@dataclass
class Counting:
    """A reader that keeps how many requests were pages of a list, and how large the largest was."""

    reader: ApiReader
    pages: int = 0
    continued: int = 0
    largest: int = 0
    asked: list[str] = field(default_factory=list)

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        """Read, and count."""
        answer = self.reader.get(path, query)
        if "limit" in query:
            self.pages += 1
            self.continued += "continue" in query
            self.largest = max(self.largest, len(answer.get("items") or ()))
        return answer


def take(site: Site, namespace: str) -> dict[str, Any]:
    """Take one backup, and return what was in it."""
    client = config.new_client_from_config(config_file=str(admin(site)))
    reader = Counting(ApiReader(client))
    taker = Taker(
        lister=Lister(reader=PatientReader(reader), namespace=namespace, page_size=PAGE_SIZE),
        folders={},
        sources={},
        store=_store(site),
        recipients=age_keys.recipients(site, age_keys.OF_CONFIGURATION),
        key=b"k" * 32,
    )
    facts = taker.take(Request(op_id=str(uuid.uuid4()), attempt=1, code_version="benchmark")).manifest.facts
    counted = {"pages": reader.pages, "continued": reader.continued, "largest_page": reader.largest}
    return {"objects": facts.objects, "unread": len(facts.unread), **counted}


def _store(site: Site) -> Store:
    keys = {"aws_access_key_id": "backup_writer", "aws_secret_access_key": site.secret("s3-backup_writer")}
    client = boto3.client("s3", endpoint_url=site.url("s3"), region_name=REGION, config=Config(**CONFIG), **keys)
    return Store(client, BUCKET, who="backup_writer")


def main() -> None:
    """Keep to what `measured.measure` expects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("namespace")
    chosen = parser.parse_args()
    site = Site.load(chosen.state)
    print("ready", flush=True)
    input()
    print("done", json.dumps(take(site, chosen.namespace)), flush=True)
    input()


if __name__ == "__main__":
    main()
