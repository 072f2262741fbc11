"""Every door of a recovery from a file of Connections, as `airflow connections export` writes it: for a person without Airflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backups.login import Login
from include.backups.store import CONFIG, Store
from include.errors import ConfigurationError
from include.ops.database import OpsDatabase
from include.probes.prometheus import Prometheus
from include.recovery import preflight
from include.recovery.beside import Restorer
from include.recovery.cluster import ApiCluster
from include.recovery.gateway import BYPASS_HEADER
from include.recovery.request import Access
from include.settings import Settings

if TYPE_CHECKING:
    import httpx
    from redis import Redis

Fields = Mapping[str, Any]
SSL = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
ANSWERS_WITHIN_S = 30


@dataclass(frozen=True)
class Connections:
    """The Connections in a file, by id."""

    path: Path
    by_id: Mapping[str, Fields] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Connections:
        """Read the file; ConfigurationError if it cannot be read, or if others can read it too."""
        try:
            mode, text = path.stat().st_mode, path.read_text()
            by_id = json.loads(text)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{path} is no file of Connections ({error}); make it with: airflow connections export --file-format json FILE"
            ) from None
        if mode & 0o077:
            raise ConfigurationError(f"others can read {path}, which holds passwords: chmod 600 {path}")
        return cls(path, by_id)

    def __getitem__(self, conn_id: str) -> Fields:
        if conn_id not in self.by_id:
            raise ConfigurationError(f"{self.path} holds no Connection {conn_id}; export it, or add it there")
        return dict(self.by_id[conn_id])

    def further(self, conn_id: str) -> Fields:
        """Return the extra of a Connection, which Airflow keeps as text."""
        extra = self[conn_id].get("extra") or {}
        return dict(json.loads(extra)) if isinstance(extra, str) else dict(extra)

    def postgres(self, conn_id: str) -> dict[str, Any]:
        """Return what `psycopg.connect` needs."""
        to, extra = self[conn_id], self.further(conn_id)
        named = {name: to.get(field) for name, field in POSTGRES_FIELDS.items()}
        return {name: value for name, value in (named | {n: extra.get(n) for n in SSL}).items() if value}


POSTGRES_FIELDS = {"host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"}


def ops(connections: Connections, chosen: Settings) -> OpsDatabase:
    """Return the ops database as who runs operations."""
    conn_id = chosen.connections.operations
    return OpsDatabase(connections.postgres(conn_id), who=conn_id)


def access(connections: Connections, chosen: Settings) -> Access:
    """Return every door; ConfigurationError names the Connection that is missing."""
    ids = chosen.connections
    return Access(
        restorer=Restorer(
            store=store(connections, chosen, ids.backup_verifier),
            login=Login(connections.postgres(ids.recovery_postgres), "connections.recovery_postgres"),
            reader=Login(connections.postgres(ids.backup_source), "connections.backup_source"),
            key=str(connections[ids.backup_key].get("password", "")),
            key_from=f"{ids.backup_key} in {connections.path}",
            backup=chosen.backup,
            limits=chosen.restore,
        ),
        window=Login(connections.postgres(ids.recovery_window), "connections.recovery_window"),
        cluster=ApiCluster(kubernetes(connections, ids.recovery_kubernetes)),
        redis=lambda: redis(connections, ids.recovery_redis, decode_responses=True),
        gateway=lambda: _gateway(connections, ids.gateway),
        free_bytes=lambda: _free_bytes(connections, chosen),
    )


def _free_bytes(connections: Connections, chosen: Settings) -> int | None:
    import httpx

    address = str(connections[chosen.connections.prometheus]["host"])
    with httpx.Client(base_url=address, timeout=ANSWERS_WITHIN_S, trust_env=False) as client:
        return preflight.free_bytes(Prometheus(client), chosen.restore.free_bytes_query, datetime.now(UTC))


def store(connections: Connections, chosen: Settings, conn_id: str) -> Store:
    """Return the bucket as the user of a Connection."""
    import boto3
    from botocore.config import Config

    to, extra = connections[conn_id], connections.further(conn_id)
    client = boto3.client(
        "s3",
        aws_access_key_id=to.get("login"),
        aws_secret_access_key=to.get("password"),
        endpoint_url=extra.get("endpoint_url"),
        region_name=extra.get("region_name"),
        config=Config(**CONFIG),
    )
    return Store(client, chosen.backup.bucket, who=f"{conn_id} in {connections.path}")


def kubernetes(connections: Connections, conn_id: str) -> Any:
    """Return a client of the cluster that a Connection leads to."""
    from kubernetes import config

    path = connections.further(conn_id).get("kube_config_path")
    if not path:
        raise ConfigurationError(
            f"{conn_id} in {connections.path} names no kube_config_path in its extra: without Airflow it must"
        )
    return config.new_client_from_config(config_file=path)


def redis(connections: Connections, conn_id: str, **options: Any) -> Redis:
    """Return a client of Redis; its answers are bytes unless the options say otherwise."""
    from redis import Redis as Client

    to = connections[conn_id]
    return Client(
        host=to["host"],
        port=int(to.get("port") or 6379),
        username=to.get("login"),
        password=to.get("password"),
        socket_timeout=ANSWERS_WITHIN_S,
        socket_connect_timeout=ANSWERS_WITHIN_S / 2,
        **options,
    )


def _gateway(connections: Connections, conn_id: str) -> httpx.Client:
    import httpx

    to = connections[conn_id]
    headers = {BYPASS_HEADER: str(to.get("password") or "")}
    return httpx.Client(base_url=str(to["host"]), headers=headers, timeout=ANSWERS_WITHIN_S, trust_env=False)
