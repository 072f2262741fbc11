"""A real cluster and a real bucket, and everybody who does something to a backup of the configuration there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import boto3
from botocore.config import Config
from kubernetes import config

from include.backups import sealing
from include.backups.store import CONFIG, Store
from include.configuration.applying import DryApplier
from include.configuration.listing import Lister, PatientReader
from include.configuration.prove import Prover
from include.configuration.take import Request, Taken, Taker
from include.probes.kubernetes import ApiReader
from sandbox import age_keys
from sandbox.components import s3
from sandbox.components.kubernetes import mounts
from sandbox.components.kubernetes.foundation import SCRATCH
from sandbox.components.kubernetes.layout import NAMESPACE, folder
from sandbox.site import Site
from tests.include.configuration.things import KEY


@dataclass
class World:
    """A namespace of the sandbox.

    :param account: as which it is read.
    """

    site: Site
    namespace: str = NAMESPACE
    account: str = "ops-config-backup"
    page_size: int = 500
    folders: Mapping[str, Path] | None = None
    store_as: Mapping[str, str] = field(default_factory=lambda: {"takes": "backup_writer", "proves": "backup_verifier"})

    def reader(self) -> PatientReader:
        return PatientReader(ApiReader(self._client(self.account)))

    def _client(self, account: str) -> object:
        return config.new_client_from_config(config_file=str(folder(self.site) / f"{account}.kubeconfig"))

    def store(self, user: str) -> Store:
        keys = {"aws_access_key_id": user, "aws_secret_access_key": self.site.secret(f"s3-{user}")}
        address, limits = self.site.url("s3"), Config(**CONFIG)
        client = boto3.client("s3", endpoint_url=address, region_name=s3.REGION, config=limits, **keys)
        return Store(client, s3.BUCKET, who=user)

    @property
    def recipients(self) -> dict[str, str]:
        return age_keys.recipients(self.site, age_keys.OF_CONFIGURATION)

    @property
    def private(self) -> str:
        return age_keys.private(self.site, age_keys.CONFIGURATION)

    @property
    def identity(self) -> object:
        return sealing.identity(self.private, "the test")

    def lister(self) -> Lister:
        return Lister(reader=self.reader(), namespace=self.namespace, page_size=self.page_size)

    def taker(self) -> Taker:
        folders = mounts.folders(self.site) if self.folders is None else self.folders
        return Taker(
            lister=self.lister(),
            folders=folders,
            sources={"config": mounts.SOURCE},
            store=self.store(self.store_as["takes"]),
            recipients=self.recipients,
            key=KEY,
        )

    def prover(self, key: str = "") -> Prover:
        return Prover(
            store=self.store(self.store_as["proves"]),
            cluster=DryApplier(self._client("ops-config-prove")),
            scratch=SCRATCH,
            recipients=self.recipients,
            key=key or self.private,
            key_from="the Connection orchestrator_configuration_key",
            lock_days=1,
        )

    def take(self) -> Taken:
        return self.taker().take(Request(op_id=str(uuid4()), attempt=1, code_version="test"))
