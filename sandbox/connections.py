"""The Airflow Connections of the platform in small: one file, which `make up` loads. `.env.example` documents them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from include.settings import Connections
from sandbox import age_keys, own
from sandbox.components import staging
from sandbox.components.s3 import REGION
from sandbox.site import Site

IDS = Connections()


def all_of(site: Site) -> dict[str, dict[str, Any]]:
    """Return the connections by id, in the form that `airflow connections import` reads."""
    return {**_looking(site), **_telling(site), **_backups(site), **_operations(site), **_failover(site)}


def _looking(site: Site) -> dict[str, dict[str, Any]]:
    return {
        IDS.kubernetes: _kubernetes(site, "ops-read"),
        IDS.postgres: _postgres(site, "ops_health", "orchestrator", "postgres"),
        IDS.redis: _redis(site, "ops_health"),
        IDS.prometheus: {"conn_type": "http", "host": site.url("prometheus")},
        IDS.grafana: _receiver(site, "grafana", "grafana-token"),
        IDS.pagerduty_api: _receiver(site, "pagerduty", "pagerduty-api-token"),
    }


def _telling(site: Site) -> dict[str, dict[str, Any]]:
    return {
        IDS.evidence: _postgres(site, "ops_evidence_writer", "ops", "postgres_ops"),
        IDS.pagerduty_events: _receiver(site, "pagerduty", "pagerduty-routing-key") | {"conn_type": "pagerduty_events"},
        IDS.slack: {
            "conn_type": "slack",
            "password": site.secret("slack-bot-token"),
            "extra": {"base_url": f"{site.url('receivers')}/slack/api/"},
        },
    }


def _backups(site: Site) -> dict[str, dict[str, Any]]:
    return {
        IDS.backup_source: _postgres(site, "ops_backup", "orchestrator", "postgres"),
        IDS.backup_scratch: _postgres(site, "ops_verify", "postgres", "postgres_scratch"),
        IDS.backup_writer: _s3(site, "backup_writer"),
        IDS.backup_verifier: _s3(site, "backup_verifier"),
        IDS.backup_reaper: _s3(site, "backup_reaper"),
        IDS.configuration_kubernetes: _kubernetes(site, "ops-config-backup"),
        IDS.configuration_scratch: _kubernetes(site, "ops-config-prove"),
        IDS.configuration_key: {"conn_type": "generic", "password": age_keys.private(site, age_keys.CONFIGURATION)},
        IDS.configuration_fingerprints: {"conn_type": "generic", "password": site.secret("configuration-fingerprints")},
        IDS.backup_key: {"conn_type": "generic", "password": age_keys.private(site, age_keys.OPERATIONAL)},
        IDS.dr_store: _s3(site, "backup_dr"),
        IDS.dr_key: {"conn_type": "generic", "password": age_keys.private(site, age_keys.RECOVERY)},
        IDS.dr_target: _postgres(site, "ops_verify", "postgres", "postgres_scratch"),
        IDS.dr_kubernetes: _kubernetes(site, "ops-disaster-config"),
        IDS.report_writer: _s3(site, "report_writer"),
    }


def _operations(site: Site) -> dict[str, dict[str, Any]]:
    return {
        IDS.operations: _postgres(site, "ops_runner", "ops", "postgres_ops"),
        IDS.approvals: _postgres(site, "ops_approver", "ops", "postgres_ops"),
        IDS.recovery_kubernetes: _kubernetes(site, "ops-recover-db"),
        IDS.recovery_configuration: _kubernetes(site, "ops-recover-config"),
        IDS.recovery_configuration_window: _kubernetes(site, "ops-recover-window"),
        IDS.recovery_redis: _redis(site, "ops_recover"),
        IDS.cache_reader: _redis(site, "ops_cache_reader"),
        IDS.cache_remover: _redis(site, "ops_cache_remover"),
        IDS.recovery_postgres: _postgres(site, "ops_restore", "postgres", "postgres"),
        IDS.recovery_window: _postgres(site, "ops_window", "postgres", "postgres"),
        IDS.maintenance: _postgres(site, "ops_maint", "orchestrator", "postgres"),
        IDS.cleanup_postgres: _postgres(site, "ops_cleanup", "orchestrator", "postgres"),
        IDS.archive_writer: _s3(site, "archive_writer"),
        IDS.gateway: {"conn_type": "http", "host": site.url("gateway"), "password": site.secret("bypass-token")},
    }


def _failover(site: Site) -> dict[str, dict[str, Any]]:
    return {
        IDS.failover_postgres: {
            "conn_type": "postgres",
            "login": "ops_failover",
            "password": site.secret("postgres-ops_failover"),
            "schema": "postgres",
            "extra": {"sslmode": "require", "members": _members(site, staging.POSTGRES)},
        },
        IDS.failover_patroni: {
            "conn_type": "http",
            "login": staging.PATRONI_USER,
            "password": site.secret("patroni-ops_failover"),
            "extra": {
                "members": _members(site, map(staging.rest_port, staging.POSTGRES)),
                "authority": str(staging.patroni_authority(site)),
            },
        },
        IDS.failover_redis: {
            "conn_type": "redis",
            "login": "ops_failover",
            "password": site.secret("redis-staging-ops_failover"),
            "extra": {"members": _members(site, staging.VALKEY)},
        },
        IDS.failover_kubernetes: _kubernetes(site, "ops-failover"),
    }


def write(site: Site) -> Path:
    """Write the file and return where it lies; only we can read it."""
    path = site.path("airflow", "connections.json")
    path.touch(mode=0o600)
    fields = {name: _as_imported(fields) for name, fields in all_of(site).items()} | _own(site)
    path.write_text(json.dumps(fields, indent=2))
    return path


def _own(site: Site) -> dict[str, str]:
    variables = {IDS.postgres: "DATABASE_URL", IDS.redis: "REDIS_URL", IDS.prometheus: "PROMETHEUS_URL"}
    return {name: uri for name, variable in variables.items() if (uri := own.given(site, variable))}


def _members(site: Site, ports: Iterable[str]) -> list[str]:
    return [f"127.0.0.1:{site.ports[port.replace('-', '_')]}" for port in ports]


def _as_imported(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | ({"extra": json.dumps(fields["extra"])} if "extra" in fields else {})


def _postgres(site: Site, role: str, database: str, server: str) -> dict[str, Any]:
    return {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": site.ports[server],
        "login": role,
        "password": site.secret(f"postgres-{role}"),
        "schema": database,
        "extra": {"sslmode": "require"},
    }


def _kubernetes(site: Site, account: str) -> dict[str, Any]:
    return {
        "conn_type": "kubernetes",
        "extra": {"kube_config_path": str(site.path("kubernetes", f"{account}.kubeconfig"))},
    }


def _redis(site: Site, user: str) -> dict[str, Any]:
    place = {"host": "127.0.0.1", "port": site.ports["valkey"]}
    return {"conn_type": "redis", **place, "login": user, "password": site.secret(f"redis-{user}")}


def _s3(site: Site, user: str) -> dict[str, Any]:
    return {
        "conn_type": "aws",
        "login": user,
        "password": site.secret(f"s3-{user}"),
        "extra": {"endpoint_url": site.url("s3"), "region_name": REGION},
    }


def _receiver(site: Site, service: str, token: str) -> dict[str, Any]:
    return {"conn_type": "http", "host": f"{site.url('receivers')}/{service}", "password": site.secret(token)}
