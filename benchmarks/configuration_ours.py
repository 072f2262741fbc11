"""Our backup of the configuration, for `benchmarks.measured`: taken, or taken and proved, once it is told to go."""

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
from include.configuration.applying import DryApplier
from include.configuration.listing import Lister, PatientReader
from include.configuration.prove import Prover
from include.configuration.take import Request, Taker
from include.probes.kubernetes import ApiReader, Json
from sandbox import age_keys
from sandbox.components.kubernetes.foundation import SCRATCH
from sandbox.components.kubernetes.layout import admin, folder
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


def work(site: Site, namespace: str, way: str) -> dict[str, Any]:
    """Take one backup, prove it if that is wanted, and return what was in it."""
    client = config.new_client_from_config(config_file=str(admin(site)))
    reader = Counting(ApiReader(client))
    taker = Taker(
        lister=Lister(reader=PatientReader(reader), namespace=namespace, page_size=PAGE_SIZE),
        folders={},
        sources={},
        store=_store(site, "backup_writer"),
        recipients=age_keys.recipients(site, age_keys.OF_CONFIGURATION),
        key=b"k" * 32,
    )
    taken = taker.take(Request(op_id=str(uuid.uuid4()), attempt=1, code_version="benchmark"))
    facts = taken.manifest.facts
    if way == "proved":
        prover(site).prove(facts.key, sha256=taken.sha256)
    counted = {"pages": reader.pages, "continued": reader.continued, "largest_page": reader.largest}
    return {"objects": facts.objects, "unread": len(facts.unread), **counted}


def prover(site: Site) -> Prover:
    """Return who proves, as in production: the account that makes dry runs in the scratch namespace."""
    client = config.new_client_from_config(config_file=str(folder(site) / "ops-config-prove.kubeconfig"))
    return Prover(
        store=_store(site, "backup_verifier"),
        cluster=DryApplier(client),
        scratch=SCRATCH,
        recipients=age_keys.recipients(site, age_keys.OF_CONFIGURATION),
        key=age_keys.private(site, age_keys.CONFIGURATION),
        key_from="the site",
        lock_days=1,
    )


def _store(site: Site, user: str) -> Store:
    keys = {"aws_access_key_id": user, "aws_secret_access_key": site.secret(f"s3-{user}")}
    client = boto3.client("s3", endpoint_url=site.url("s3"), region_name=REGION, config=Config(**CONFIG), **keys)
    return Store(client, BUCKET, who=user)


def main() -> None:
    """Keep to what `measured.measure` expects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=["taken", "proved"])
    parser.add_argument("state", type=Path)
    parser.add_argument("namespace")
    chosen = parser.parse_args()
    site = Site.load(chosen.state)
    print("ready", flush=True)
    input()
    print("done", json.dumps(work(site, chosen.namespace, chosen.way)), flush=True)
    input()


if __name__ == "__main__":
    main()
