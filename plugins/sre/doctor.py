"""`make doctor`: look at every setting, Connection and right of an environment, side by side; change nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from include import looking, settings
from include.backups import rights as backup_rights
from include.cache import rights as cache_rights
from include.cleanup import rights as cleanup_rights
from include.configuration import backup_rights as configuration_backup_rights
from include.configuration import rights as configuration_rights
from include.errors import ConfigurationError, RunbookError
from include.failover import exercise, node
from include.findings import Blind
from include.maintenance import rights as maintenance_rights
from include.probes import rights
from include.recovery import rights as recovery_rights
from include.settings import Settings
from sre.hooks import (
    backups,
    cache,
    cleanup,
    configuration,
    configuration_recovery,
    disaster,
    failover,
    maintenance,
    operations,
    recovery,
)
from sre.hooks.connection import connection

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from redis import Redis
    from slack_sdk import WebClient

    from include.probes.postgres import Server

WIDTH = 34

Question = Callable[[], str]


def main() -> None:
    """Print one line a Connection; exit code 1 when anything is wrong."""
    # Without it Airflow takes us for a task, which asks a supervisor for its Connections; there is none here.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        chosen = settings.load()
    except RunbookError as error:
        sys.exit(f"WRONG  {'settings':<{WIDTH}}  {error}")
    print(f"ok     {'settings':<{WIDTH}}  {chosen.environment}, times in {chosen.time_zone}")
    answers = looking.look(questions(chosen), deadline_s=3 * chosen.looking.deadline_s)
    for name, answer in answers.items():
        wrong = isinstance(answer, Blind)
        print(
            f"{'WRONG' if wrong else 'ok   '}  {name:<{WIDTH}}  {answer.reason if isinstance(answer, Blind) else answer}"
        )
    sys.exit(any(isinstance(answer, Blind) for answer in answers.values()))


def questions(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection, by its id."""
    ids = chosen.connections
    return {
        ids.kubernetes: lambda: rights.of_kubernetes(_kubernetes(ids.kubernetes), chosen.namespace),
        ids.postgres: lambda: rights.of_postgres(_postgres(ids.postgres), chosen.postgres.database),
        ids.evidence: lambda: rights.of_evidence(_postgres(ids.evidence)),
        ids.redis: lambda: rights.of_redis(_redis(ids.redis), chosen.redis.queue),
        ids.prometheus: lambda: _http(ids.prometheus, "Prometheus", "api/v1/query", params={"query": "1"}),
        ids.grafana: lambda: _http(ids.grafana, "Grafana", "api/prometheus/grafana/api/v1/rules"),
        ids.pagerduty_api: lambda: _http(
            ids.pagerduty_api, "PagerDuty", "incidents", scheme="Token token=", params={"limit": 1}
        ),
        ids.pagerduty_events: lambda: _routing_key(ids.pagerduty_events),
        ids.slack: lambda: rights.of_slack(_slack(ids.slack), [chosen.reporting.channel], read=chosen.alerts.channel),
        **of_backups(chosen),
        **of_configuration(chosen),
        **of_recovery(chosen),
        **of_failover(chosen),
        ids.cache_reader: lambda: cache_rights.of_reader(cache.look(chosen.looking.deadline_s)),
        ids.cache_remover: lambda: cache_rights.of_remover(cache.remover(), chosen.cache),
    }


def of_backups(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection of the backups."""
    ids, limits = chosen.connections, chosen.backup
    return {
        ids.backup_source: lambda: backup_rights.of_source(backups.source(), limits),
        ids.backup_scratch: lambda: backup_rights.of_scratch(backups.scratch(), limits),
        ids.backup_writer: lambda: backup_rights.of_writer(backups.store(ids.backup_writer), limits),
        ids.backup_verifier: lambda: backup_rights.of_verifier(backups.store(ids.backup_verifier), limits),
        ids.backup_reaper: lambda: backup_rights.of_reaper(backups.store(ids.backup_reaper), limits),
        ids.backup_key: lambda: backup_rights.of_key(backups.private_key(ids.backup_key), ids.backup_key, limits),
        **of_disaster_recovery(chosen),
    }


def of_disaster_recovery(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection of the disaster-recovery test."""
    ids, limits = chosen.connections, chosen.backup
    return {
        ids.dr_store: lambda: backup_rights.of_recoverer(backups.store(ids.dr_store, chosen.disaster.bucket), limits),
        ids.dr_key: lambda: backup_rights.of_key(backups.private_key(ids.dr_key), ids.dr_key, limits),
        ids.dr_target: lambda: backup_rights.of_scratch(disaster.target(), limits),
        ids.dr_kubernetes: lambda: configuration_rights.of_empty_namespace(disaster.empty_namespace()),
        ids.report_writer: lambda: backup_rights.of_reporter(disaster.reports(), limits),
    }


def of_configuration(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection of the configuration's backup."""
    ids, scratch = chosen.connections, chosen.configuration.scratch_namespace
    return {
        ids.configuration_kubernetes: lambda: configuration_backup_rights.of_reader(configuration.lister()),
        ids.configuration_scratch: lambda: configuration_backup_rights.of_prover(configuration.applier(), scratch),
        ids.configuration_key: lambda: configuration_backup_rights.of_key(
            backups.private_key(ids.configuration_key), ids.configuration_key, configuration.recipients()
        ),
        ids.configuration_fingerprints: lambda: (
            f"holds a key of {len(configuration.fingerprint_key(ids.configuration_fingerprints))} characters"
        ),
    }


def of_recovery(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection of operations and recoveries."""
    ids, limits = chosen.connections, chosen.recovery
    return {
        ids.operations: lambda: recovery_rights.of_operations(operations.operations()),
        ids.approvals: lambda: recovery_rights.of_approvals(operations.approvals()),
        ids.recovery_window: lambda: recovery_rights.of_window(recovery.keeper()),
        ids.recovery_postgres: lambda: recovery_rights.of_restorer(recovery.restorer(), recovery.keeper()),
        ids.recovery_kubernetes: lambda: recovery_rights.of_cluster(recovery.cluster(), chosen.namespace, limits),
        ids.recovery_configuration_window: lambda: configuration_rights.of_window(configuration_recovery.window()),
        ids.recovery_configuration: lambda: configuration_rights.of_recoverer(
            configuration_recovery.cluster(), configuration_recovery.window()
        ),
        ids.recovery_redis: lambda: recovery_rights.of_leftovers(recovery.redis(), limits),
        ids.maintenance: lambda: maintenance_rights.of_maintenance(maintenance.login(), chosen.backup),
        ids.cleanup_postgres: lambda: cleanup_rights.of_deleter(cleanup.deleter(), chosen.backup.database),
        ids.archive_writer: lambda: cleanup_rights.of_archiver(
            backups.store(ids.archive_writer), chosen.backup.database
        ),
        ids.gateway: lambda: recovery_rights.of_gateway(recovery.gateway()),
    }


def of_failover(chosen: Settings) -> Mapping[str, Question]:
    """Return what is asked of each Connection of the failover exercise: what it would do. That of production is optional."""
    ids, limits = chosen.connections, chosen.failover
    staging = {
        ids.failover_postgres: lambda: exercise.would(failover.postgres(limits, "doctor")[0], limits),
        ids.failover_redis: lambda: exercise.would(failover.redis(limits, "doctor")[0], limits),
        ids.failover_kubernetes: lambda: node.would(failover.drainer(), limits),
    }
    if not limits.production_system_identifier:
        return staging
    production = {
        ids.production_failover_postgres: lambda: exercise.would(failover.production(limits, "doctor")[0], limits)
    }
    return staging | production


def _kubernetes(conn_id: str) -> ApiClient:
    from sre.hooks.kubernetes import api_client

    return api_client(conn_id)


def _postgres(conn_id: str) -> Server:
    from sre.hooks.postgres import server

    return server(conn_id, statement_timeout_s=5)


def _redis(conn_id: str) -> Redis:
    from sre.hooks.redis import client

    return client(conn_id, settings.load().looking.deadline_s)


def _http(conn_id: str, name: str, path: str, *, scheme: str = "Bearer ", **parts: object) -> str:
    from sre.hooks.http import HttpClientHook

    with HttpClientHook(conn_id, timeout_s=10, token_scheme=scheme).get_conn() as client:
        return rights.of_http(client, name, path, **parts)


def _slack(conn_id: str) -> WebClient:
    from sre.hooks.slack import ReportSlackHook

    return ReportSlackHook(conn_id).client


def _routing_key(conn_id: str) -> str:
    if not connection(conn_id).password:
        raise ConfigurationError("holds no routing key; put the integration's key into its password")
    return "has a routing key; not tried, since every event pages"


if __name__ == "__main__":
    main()
