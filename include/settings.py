"""Every policy value of the runbooks, typed, bounded, each with its reason.

A value comes from, strongest first: an environment variable (`OPS_` and the path joined by `__`, as in
`OPS_POSTGRES__CONNECTIONS_WARNING_PERCENT=85`), the file of the place (`config/<OPS_ENVIRONMENT>.yaml`), the default here.
Endpoints and credentials are not here: they are Airflow Connections, whose ids are.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from include.errors import ConfigurationError
from include.masking import masked

CONFIG = Path(__file__).resolve().parent.parent / "config"
PREFIX = "OPS_"
NOT_SETTINGS = frozenset({"OPS_DSN"})
"""Variables of that prefix that commands read themselves: a DSN holds a password, which no setting does."""


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as Europe/Berlin")
    return name


TimeZoneName = Annotated[str, AfterValidator(_known_zone)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Limits(BaseModel):
    """A group of thresholds: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Connections(Limits):
    """Ids of the Airflow Connections, one for each family of rights."""

    kubernetes: str = "orchestrator_kubernetes_read"
    postgres: str = "orchestrator_postgres_health"
    redis: str = "orchestrator_redis_health"
    prometheus: str = "orchestrator_prometheus"
    grafana: str = "orchestrator_grafana"
    pagerduty_api: str = "orchestrator_pagerduty_api"
    pagerduty_events: str = "orchestrator_pagerduty_events"
    slack: str = "orchestrator_slack"
    evidence: str = "ops_postgres_evidence"
    operations: str = "ops_postgres_operations"  # leases, journal, plans; cannot approve
    approvals: str = "ops_postgres_approvals"  # writes down who approved a plan, and nothing else
    backup_source: str = "orchestrator_postgres_backup"  # reads all rows, changes none
    backup_scratch: str = (
        "ops_postgres_scratch"  # of the server where backups are restored and compared; its role makes databases
    )
    backup_writer: str = "orchestrator_s3_backup_writer"  # may put and abort, nothing else
    backup_verifier: str = "orchestrator_s3_backup_verifier"  # reads, marks and locks
    backup_reaper: str = "orchestrator_s3_backup_reaper"  # lists, aborts uploads, deletes versions
    backup_key: str = "orchestrator_backup_key"  # the operational age private key; not on the machine that dumps
    dr_store: str = "orchestrator_s3_disaster_recovery"  # lists and reads backups; marks, locks and deletes none
    dr_key: str = "orchestrator_disaster_recovery_key"  # the age private key that no other worker has
    dr_target: str = "ops_postgres_disaster_recovery"  # of an empty server; its role makes databases and roles
    configuration_kubernetes: str = (
        "orchestrator_kubernetes_configuration"  # reads every kind, Secrets too; writes none
    )
    configuration_scratch: str = (
        "orchestrator_kubernetes_scratch"  # tries what was backed up, in the scratch namespace alone
    )
    configuration_key: str = "orchestrator_configuration_key"  # the age private key of the Secrets in those backups
    configuration_fingerprints: str = (
        "orchestrator_configuration_fingerprints"  # key of the fingerprints of secret values
    )
    dr_kubernetes: str = "orchestrator_kubernetes_disaster_recovery"  # makes and removes, in an empty namespace alone
    report_writer: str = "orchestrator_s3_report_writer"  # may put below reports/, and nothing else
    recovery_kubernetes: str = "orchestrator_kubernetes_recovery"  # scales and pauses the named writers, reads the rest
    recovery_redis: str = "orchestrator_redis_recovery"  # sets queue items and sessions aside, unlinks caches
    recovery_postgres: str = "orchestrator_postgres_recovery"  # makes and renames databases, while its window is open
    recovery_window: str = "orchestrator_postgres_window"  # opens and shuts that window, and nothing else
    recovery_configuration: str = (
        "orchestrator_kubernetes_recovery_config"  # applies what a bundle holds, deletes nothing
    )
    recovery_configuration_window: str = (
        "orchestrator_kubernetes_recovery_window"  # lets that one write, and nothing else
    )
    maintenance: str = "orchestrator_postgres_maintenance"  # vacuums, analyzes and rebuilds; reads no row
    failover_postgres: str = "staging_postgres_failover"  # the staging pair: writes into a table of its own
    failover_patroni: str = "staging_patroni"  # may order a switchover there
    production_failover_postgres: str = (
        "orchestrator_postgres_failover"  # the same for production, whose exercise people approve; optional
    )
    production_failover_patroni: str = "orchestrator_patroni"  # may order a switchover there; optional
    failover_redis: str = "staging_redis_failover"  # the staging pair: FAILOVER, and keys of its own
    failover_kubernetes: str = "staging_kubernetes_failover"  # cordons staging nodes, evicts in the staging namespace
    cache_reader: str = "orchestrator_redis_cache_reader"  # measures keys, and reads no value
    cache_remover: str = (
        "orchestrator_redis_cache_remover"  # copies, unlinks and brings back cache keys, and touches no others
    )
    gateway: str = "orchestrator_gateway"  # the application's front door; its password passes maintenance mode
    cleanup_postgres: str = (
        "orchestrator_postgres_cleanup"  # deletes what a receipt of the archive names, reads no table
    )
    archive_writer: str = "orchestrator_s3_archive_writer"  # may put below archive/, and nothing else


class KubernetesLimits(Limits):
    """Of `check_kubernetes`."""

    pending_critical_s: Seconds = (
        300  # the runbook's own: a pod that still waits after 5 minutes will not start by itself
    )
    restarts_warning: Annotated[int, Field(ge=1, le=1000)] = 3  # a day; one or two happen at every node upgrade
    recent_s: Seconds = 86_400  # "since yesterday"
    node_usage_warning_percent: Percent = 85  # above it one lost node no longer fits onto the others
    node_usage_critical_percent: Percent = 95  # the kubelet starts to evict
    memory_of_limit_warning_percent: Percent = 90  # next comes the OOM killer
    usage_max_age_s: Seconds = 300  # metrics-server samples every 15 to 60 s; older than this it has stopped
    events_warning: Annotated[int, Field(ge=1, le=10_000)] = (
        20  # repeats of one warning event; fewer are a passing retry
    )
    page_size: Annotated[int, Field(ge=1, le=1000)] = 500  # kubectl's own page: no list call strains the API server
    top: Annotated[int, Field(ge=1, le=100)] = 20  # pods named by CPU and by memory (items F-05, F-06)


class PostgresLimits(Limits):
    """Of `check_postgres`."""

    database: str = "orchestrator"  # a login into another one must never look healthy
    connect_warning_ms: Annotated[float, Field(gt=0, le=10_000)] = 500  # a login takes 5 to 50 ms on a healthy server
    query_warning_ms: Annotated[float, Field(gt=0, le=10_000)] = 100  # of `SELECT 1`; more is a server out of breath
    connections_warning_percent: Percent = 80  # leaves a deploy's worth of sessions
    connections_critical_percent: Percent = 95  # the next scale-up is refused
    expected_replicas: Annotated[int, Field(ge=0, le=50)] = 0  # 0: replication is not judged
    replication_lag_warning_s: Seconds = 30  # reads from a replica begin to surprise users
    replication_lag_critical_s: Seconds = 300  # a failover now would lose five minutes
    slot_retained_warning_bytes: Annotated[int, Field(ge=1)] = 5 * 1024**3  # an abandoned slot fills the disk with WAL
    require_tls: bool = False  # on wherever the server is not on the same machine
    statement_timeout_s: Annotated[float, Field(gt=0, le=9)] = (
        5  # the look's own deadline is 10 s: the server gives up first
    )
    success_critical_percent: Percent = 95  # the runbook's own: more than 95 % of workflows succeed
    success_min_n: Annotated[int, Field(ge=73)] = 100  # below 73 even 100 % success cannot prove more than 95 %
    success_recent_min_n: Annotated[int, Field(ge=10)] = (
        12  # of a quarter of an hour; below, two stray failures look grave
    )
    recent_s: Seconds = 900  # what began minutes ago must show, though a day dilutes it
    stuck_factor: Annotated[float, Field(ge=1, le=100)] = 3  # times the 99th percentile of the day's run times
    stuck_floor_s: Seconds = 1800  # and never before half an hour


class RedisLimits(Limits):
    """Of `check_redis`."""

    ping_warning_ms: Annotated[float, Field(gt=0, le=10_000)] = (
        50  # it answers in less than 1 ms; 50 is a blocked event loop
    )
    memory_warning_percent: Percent = 80  # of maxmemory: room for one day of growth
    memory_critical_percent: Percent = 95  # eviction or refused writes begin
    clients_warning_percent: Percent = 80  # of maxclients
    expected_replicas: Annotated[int, Field(ge=0, le=50)] = 0  # 0: replication is not judged
    queue: str = "queue:workflows"  # the list that workers pop from its right end
    queue_depth_critical: Annotated[int, Field(ge=1)] = 50  # the runbook's own: fewer than 50 items
    oldest_item_warning_s: Seconds = 300  # a healthy item waits seconds; depth alone hides a stuck head
    oldest_item_critical_s: Seconds = 1800  # half an hour: nobody takes work


class BurnRate(Limits):
    """One pair of windows: the error budget burns `factor` times too fast over the long one, and still does in the short one."""

    factor: Annotated[float, Field(gt=0, le=1000)]
    long_s: Seconds
    short_s: Seconds
    pages: bool


class PerformanceLimits(Limits):
    """Of `check_performance`; the names are those of the metrics and labels that the platform exports."""

    p95_limit_s: Annotated[float, Field(gt=0, le=60)] = (
        1.0  # the runbook's own; must be a bucket bound of the histogram
    )
    p95_share: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # of requests within it
    error_percent: Percent = 1  # the runbook's own: fewer than 1 %
    min_requests: Annotated[int, Field(ge=1)] = 1000  # a day; with fewer the interval of the error rate spans the limit
    window_s: Annotated[int, Field(ge=3600, le=86_400)] = 86_400  # since the last morning
    recent_s: tuple[int, ...] = (120, 900)  # what began minutes ago must show, though a day dilutes it
    recent_min_requests: Annotated[int, Field(ge=1)] = 100  # with 100 samples 3 % and 0.2 % no longer look alike
    recent_min_errors: Annotated[int, Field(ge=1)] = (
        3  # of 100 requests at 0.2 % one fails in every fifth look, three in none
    )
    # 14.4 x spends 2 % of a month's budget in an hour, 6 x 5 % in six hours (Google SRE workbook, chapter 5)
    burn_rates: tuple[BurnRate, ...] = (
        BurnRate(factor=14.4, long_s=3600, short_s=300, pages=True),
        BurnRate(factor=6, long_s=21_600, short_s=1800, pages=True),
    )
    step_s: Annotated[int, Field(ge=60, le=3600)] = 300  # one window of the day's series
    coverage_warning_percent: Percent = 90  # of the day's windows hold data; holes hide faults
    sample_max_age_s: Seconds = 120  # scrapes come every few seconds; older than this the series has stopped
    queue_depth_critical: Annotated[int, Field(ge=1)] = 50  # the runbook's own: fewer than 50 items
    queue_growth_warning_per_h: Annotated[float, Field(gt=0)] = 20  # two hours from a healthy depth to the limit
    node_usage_warning_percent: Percent = 85  # 95th percentile of the day, as for the sample of now
    node_usage_critical_percent: Percent = 95
    throttled_warning_percent: Percent = 25  # of CPU periods; a quarter of all work waits for its turn
    leak_growth_warning_percent: Annotated[float, Field(gt=0, le=1000)] = (
        20  # in six hours, rising in each: leak suspicion
    )
    leak_min_bytes: Annotated[int, Field(ge=0)] = 64 * 1024**2  # smaller containers wobble by more than that
    usage_spike_factor: Annotated[float, Field(gt=1, le=100)] = 3  # against the same day last week
    usage_min_requests: Annotated[int, Field(ge=1)] = 500  # a key with fewer is no spike, however fast it grew
    top: Annotated[int, Field(ge=1, le=100)] = 20  # keys and routes named in the evidence
    namespace_label: str = "namespace"
    service_label: str = "service"
    route_label: str = "route"
    code_label: str = "code"
    key_label: str = "api_key"
    latency_metric: str = "http_request_duration_seconds"
    requests_metric: str = "http_requests_total"
    usage_metric: str = "api_requests_total"
    queue_depth_metric: str = "queue_depth"
    queue_age_metric: str = "queue_oldest_item_age_seconds"
    alertmanager_job: str = "alertmanager"  # the scrape job; an Alertmanager that nobody scrapes is UNKNOWN
    alertmanagers_metric: str = "prometheus_notifications_alertmanagers_discovered"  # these three: Prometheus of itself
    notifications_dropped_metric: str = "prometheus_notifications_dropped_total"
    notifications_errors_metric: str = "prometheus_notifications_errors_total"


class AlertLimits(Limits):
    """Of `check_alerts` and `check_pagerduty`."""

    channel: str = "#alerts"  # where Alertmanager posts
    window_s: Seconds = 86_400  # looked back when there is no earlier run, and never less
    window_max_s: Annotated[float, Field(gt=0, le=2_592_000)] = 604_800  # after a long outage a week is enough to read
    unanswered_s: Seconds = 1800  # the runbook's own longest first answer, that of a P1
    high_severities: tuple[str, ...] = ("critical", "high", "page")  # of the alert's own severity label
    pages_max: Annotated[int, Field(ge=1, le=100)] = 10  # x 200 messages: more is a storm, reported as such
    pagerduty_service_ids: tuple[str, ...] = ()  # empty: every service that the token sees
    ack_target_s: Seconds = 900  # the runbook's own for P0 and P1


class Panel(Limits):
    """One dashboard panel that a person would look at each morning."""

    dashboard: str
    panel: Annotated[int, Field(ge=0)]
    title: str = ""


class GrafanaLimits(Limits):
    """Of `check_grafana`."""

    panels: tuple[Panel, ...] = ()  # named panels; their own queries are run again
    window_s: Seconds = 3600  # compared with the same hour a week ago
    anomaly_z: Annotated[float, Field(ge=2, le=100)] = 6  # robust; lower ones wake people for weather
    anomaly_floor_percent: Percent = 20  # of last week's median: a series that never moves has no deviation of its own


class BusinessLimits(Limits):
    """Of `check_business`: a day against the same weekday of the weeks before."""

    weeks: Annotated[int, Field(ge=2, le=12)] = 4
    min_weeks: Annotated[int, Field(ge=2, le=12)] = 3  # with fewer there is no band
    deviations: Annotated[float, Field(ge=1, le=20)] = 4  # median absolute deviations, scaled to sigma
    floor_percent: Percent = 20  # of the median: four equal weeks must not make a band without width
    active_users_max_age_s: Seconds = 3600  # events come every minute
    executions_max_age_s: Seconds = 3600
    revenue_max_age_s: Seconds = 86_400  # the runbook's item: older than a day is not today's revenue


class BackupLimits(Limits):
    """Of `daily_database_backup`."""

    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$")] = "orchestrator"  # part of the keys
    system_identifier: Annotated[str, Field(pattern=r"^\d{0,20}$")] = (
        ""  # of the cluster; empty: that of the newest good backup
    )
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "ai-orchestrator-backups"
    recipients: Mapping[str, str] = {}  # name: age public key; at least two, or one lost key loses every backup
    programs: Path | None = None  # folder of pg_dump, pg_dumpall and pg_restore; None looks in PATH
    compression: Annotated[str, Field(pattern=r"^(zstd|lz4|gzip|none)(:\d{1,2})?$")] = (
        "zstd:1"  # docs/adr/0030 has the table
    )
    stall_s: Annotated[float, Field(gt=0, le=3600)] = 120  # the issue's own: a stream that stands still so long is dead
    progress_s: Annotated[float, Field(gt=0, le=600)] = 10  # between two lines of the log
    standby_lag_max_s: Annotated[float, Field(ge=0, le=86_400)] = 900  # a backup must not be old when it is taken
    shrink_critical_percent: Annotated[float, Field(gt=0, le=100)] = (
        50  # fewer rows by half than last time: not believed
    )
    lease_wait_s: Seconds = 3600  # for what must end before: a vacuum, a retention; longer, and somebody should look
    restore_jobs: Annotated[int, Field(ge=1, le=8)] = (
        4  # two a core: one computes while the other waits; ops_restore has 10 sessions
    )
    spool: Path = (
        Path(tempfile.gettempdir()) / "orchestrator-backup-spool"
    )  # opened dumps lie here while they are restored
    spool_reserve_bytes: Annotated[int, Field(ge=0)] = 512 * 1024**2  # what must stay free beside them
    index_checks: Annotated[int, Field(ge=0, le=1000)] = 5  # B-tree indexes that amcheck looks into after a restore
    lock_days: Annotated[int, Field(ge=1, le=3650)] = 30  # the runbook's own: kept for 30 days, by the store itself
    leftovers_after_s: Annotated[float, Field(ge=0, le=604_800)] = (
        43_200  # longer than any task of the runbook may take
    )
    attempts: Annotated[int, Field(ge=1, le=5)] = (
        2  # a bad backup is followed by another at once; two in a row are a person's
    )
    good_by_s: Annotated[float, Field(ge=0, lt=86_400)] = (
        12_600  # 03:30 UTC: from then on a day without a good backup is a gap; the watch pages at the same minute
    )
    newest_critical_s: Annotated[float, Field(gt=0)] = (
        93_600  # 26 h: a day, and what a slow backup takes more than yesterday's did
    )
    older_attempts: Annotated[int, Field(ge=1, le=30)] = (
        3  # old backups that may differ in a row: behind that the scratch server is in doubt, and none is condemned for it
    )
    configuration_expected: bool = True
    """Whether the configuration has backups of its own (`daily_configuration_backup`). Where it has none set this to false: the weekly
    matrix then calls each of its days UNKNOWN, and one WARNING says so: yellow, since nobody can get it back; not red and no page."""
    rto_target_s: Annotated[float, Field(gt=0)] = 3600  # seconds until the newest backup is restored and compared
    rpo_target_s: Annotated[float, Field(gt=0)] = 90_000  # 25 h: a day, and the time that a backup takes


Manager = Annotated[str, Field(min_length=1, max_length=128)]


class ConfigurationLimits(Limits):
    """Of `daily_configuration_backup`; bucket, lock and ages are those of `backup`."""

    recipients: Mapping[
        str, str
    ] = {}  # name: age public key, of those who may open Secrets; empty: `backup.recipients`
    cluster: Annotated[str, Field(pattern=r"^[0-9a-f-]{0,36}$")] = (
        ""  # uid of kube-system; empty: that of the newest good backup
    )
    scratch_namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = (
        "ai-orchestrator-scratch"
    )
    page_size: Annotated[int, Field(ge=1, le=1000)] = 500  # as kubectl's own: no list call strains the API server
    leave_out: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...] = ()
    """Kinds that are no configuration here (`vulnerabilityreports.aquasecurity.github.io`): neither read nor missed."""
    folders: Mapping[str, Path] = {"config": Path("/app/config"), "certificates": Path("/app/certificates")}
    """Mounted read-only into the worker. One that is not there is UNKNOWN; write {} where the application has no files."""
    sources: Mapping[
        str, Path
    ] = {}  # the same names: a checkout of the Git folder that the mounted one is compared with
    managers: tuple[Manager, ...] = (  # whose changes are no drift: they do what they were told, every day
        "kube-controller-manager",
        "ops-recover-db",
        "ops-recover-config",
        "ops-recover-config-restart",
        "ops-maint",
    )
    certificate_warning_days: Annotated[int, Field(ge=1, le=365)] = 14  # cert-manager renews 30 days before the end


class RetentionLimits(Limits):
    """Of `backup_retention`. What deletes takes no guess: in the file a number of days is a whole number, not `"30"` or `30.5`."""

    retention_days: Annotated[int, Field(strict=True, ge=7, le=3650)] = (
        30  # the runbook's own; below a week a fault that is noticed on Monday has no backup from before it
    )
    grace_days: Annotated[int, Field(strict=True, ge=1, le=90)] = (
        7  # between mark and deletion: everybody who works there has seen a list with the mark by then
    )
    min_good: Annotated[int, Field(strict=True, ge=3, le=100)] = 7  # newer proved ones that stay: a week of nights
    newest_good_max_age_h: Annotated[int, Field(strict=True, ge=1, le=48)] = (
        26  # a day and the two hours that a slow night takes: older, and the backups themselves are what is broken
    )
    monthly_keeps: Annotated[int, Field(strict=True, ge=0, le=120)] = (
        12  # the first good one of each month, for a year: damage that nobody notices for weeks
    )
    deletes_max: Annotated[int, Field(strict=True, ge=1, le=50)] = (
        5  # a run; one a day is usual, and whatever is wrong has not gone far when somebody looks
    )
    clocks_max_apart_s: Annotated[int, Field(strict=True, ge=1, le=60)] = 60  # a minute: NTP keeps them within a second


class MaintenanceLimits(Limits):
    """Of `weekly_database_maintenance`: what needs it, and what ends it."""

    window_s: Seconds = 10_800  # three hours from 02:00: what has not begun by then waits for the next week
    backup_wait_s: Annotated[float, Field(ge=0, le=21_600)] = (
        7200  # of the night: a backup is proved by 03:30, or pages
    )
    dead_percent: Percent = 10  # of the rows; autovacuum itself begins at 20
    dead_min: Annotated[int, Field(ge=0)] = 1000  # dead or changed rows; fewer cost nobody anything
    changed_percent: Percent = 10  # as autovacuum's own: the planner's guesses are off by that much
    statistics_days: Annotated[int, Field(ge=1, le=365)] = 7  # the item's own
    freeze_age: Annotated[int, Field(ge=1_000_000, le=2_000_000_000)] = (
        150_000_000  # below autovacuum's 200 million, whose freeze cannot be cancelled and comes at any hour
    )
    xid_age_critical: Annotated[int, Field(ge=1_000_000, le=2_000_000_000)] = (
        1_000_000_000  # the item's own: half of what makes the server refuse to write
    )
    index_bloat_percent: Percent = 30  # the item's own; a B-tree that is written at random settles near 30
    index_min_bytes: Annotated[int, Field(ge=0)] = 100 * 1024**2  # the item's own: smaller ones stay in memory anyway
    index_max_bytes: Annotated[int, Field(ge=0)] = 20 * 1024**3  # a rebuild of more is a person's decision
    measured_max_bytes: Annotated[int, Field(ge=0)] = 20 * 1024**3  # measuring an index reads all of it
    table_bloat_warning_percent: Percent = 40  # the item's own
    table_min_bytes: Annotated[int, Field(ge=0)] = 1024**3  # the item's own: bloat of less is not worth a line
    transaction_max_s: Seconds = 600  # the item's own: a rebuild waits for every older transaction
    replica_lag_max_s: Seconds = 30  # the item's own
    disk_factor: Annotated[float, Field(ge=1, le=10)] = 2  # of the index: its copy, and the sort before it
    lock_timeout_s: Annotated[float, Field(gt=0, le=30)] = 3  # the item's own: longer, and another week is better
    rebuild_wait_s: Annotated[float, Field(gt=0, le=600)] = (
        30  # for older transactions, beside which a rebuild waits without a lock in anybody's way
    )
    statement_timeout_s: Seconds = 7200  # of one vacuum or rebuild
    measure_timeout_s: Seconds = 600  # of one measurement
    vacuum_cost_delay_ms: Annotated[float, Field(ge=0, le=100)] = 2  # as autovacuum's: it yields to the application
    busy_percent: Annotated[float, Field(gt=0, le=100)] = (
        4  # of the time goes into statistics and rebuilds, which nothing slows down; a rest follows each
    )
    progress_s: Annotated[float, Field(gt=0, le=60)] = 10  # between two lines of the log, and two looks at the replicas
    top: Annotated[int, Field(ge=1, le=100)] = 20  # the item's own: tables and indexes named by bloat


class OptimisationLimits(Limits):
    """Of the database's half of `weekly_performance_optimization`."""

    own_roles: tuple[str, ...] = (  # whose statements are not the application's
        "postgres",
        "ops_health",
        "ops_backup",
        "ops_maint",
        "ops_cleanup",
        "ops_restore",
        "ops_window",
    )
    replicas: tuple[str, ...] = ()  # Connections of the streaming replicas, each with its own counters
    top: Annotated[int, Field(ge=1, le=100)] = 10  # the runbook's own
    share_warning_percent: Percent = 30  # the item's own: of the time of all, by one statement
    slower_factor: Annotated[float, Field(gt=1, le=100)] = 2  # the item's own
    calls_min: Annotated[int, Field(ge=1)] = 20  # of fewer a mean says nothing
    total_min_ms: Annotated[float, Field(ge=0)] = 1000  # a second in a week is nobody's problem
    statistics_min_days: Annotated[int, Field(ge=7, le=365)] = 30  # the item's own: a month's end among them
    index_min_bytes: Annotated[int, Field(ge=0)] = 1024**2  # smaller ones cost nothing to keep
    foreign_key_min_rows: Annotated[int, Field(ge=0)] = 1000  # fewer rows are read as fast as an index
    remembered_days: Annotated[int, Field(ge=8, le=60)] = (
        15  # back to the last snapshot: a week that was skipped included
    )


class DisasterLimits(Limits):
    """Of `monthly_disaster_recovery_test`; its targets are `backup.rto_target_s` and `backup.rpo_target_s`."""

    bucket: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")] = (
        ""  # of the off-site copy, replicated with versions and tags; empty: `backup.bucket` itself
    )
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = (
        "ai-orchestrator-dr"  # empty, in the cluster of connections.dr_kubernetes; nothing of the bundle works there
    )
    month_days: Annotated[int, Field(ge=28, le=62)] = 31  # of proofs, for the month's worst
    trend_days: Annotated[int, Field(ge=60, le=1830)] = 400  # of earlier tests: a year, and the same month before it
    trend_min_days: Annotated[int, Field(ge=7, le=90)] = 14  # between first and last: a day's growth says nothing of 90
    forecast_days: Annotated[int, Field(ge=30, le=365)] = 90  # as long as a bigger server or a faster store takes


NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
Writer = Annotated[str, Field(pattern=rf"^(deployment|statefulset|cronjob)/{NAME}$")]
Subject = Annotated[str, Field(pattern=rf"^[a-z]+/{NAME}$")]
KeyPrefix = Annotated[str, Field(pattern=r"^[a-z0-9_-]{2,}:([a-z0-9_-]+:)*$")]
SelfHealer = Literal["Argo CD", "Flux", "KEDA"]


class RecoveryLimits(Limits):
    """Of `database_recovery`: who is stopped, who may go on, and how long each step may take."""

    writers: tuple[Writer, ...] = (  # stopped in this order, so that no work comes in while what is there ends
        "cronjob/report-billing",
        "deployment/api-gateway",
        "deployment/scheduler",
        "deployment/worker",
        "deployment/auth-service",
    )
    no_writers: tuple[Subject, ...] = ("statefulset/postgres", "statefulset/redis")  # nothing of their own accord
    managers_paused: tuple[SelfHealer, ...] = ()  # a person has paused them, or they ignore counts
    gone_within_s: Seconds = 180  # a pod may take its 30 s, a report of the cron job minutes
    ready_within_s: Seconds = 300  # the runbook's own: what still waits after 5 minutes will not start by itself
    write_within_s: Seconds = 60  # of one object: conflicts with its controllers are over in seconds
    poll_s: Annotated[float, Field(gt=0, le=60)] = 0.5  # a look costs the API server five lists
    queues: tuple[str, ...] = ("queue:workflows",)  # items of what the restored database does not know are set aside
    caches: tuple[KeyPrefix, ...] = ("cache:",)  # unlinked: made anew when asked for
    sessions: tuple[KeyPrefix, ...] = ("session:",)  # set aside: people log in again
    healthy_within_s: Seconds = 60  # of the gateway, counted from the moment when every pod is ready
    smoke_within_s: Seconds = 120  # of the test workflow: an execution takes 8 s, a busy queue a minute


class ConfigurationRecoveryLimits(Limits):
    """Of `configuration_recovery`."""

    rollout_within_s: Annotated[float, Field(gt=0, le=3600)] = (
        300  # of one workload until every pod is new and ready; the runbook's own: what waits longer will not start by itself
    )
    write_within_s: Seconds = 60  # of one object: conflicts with its controllers are over in seconds
    poll_s: Annotated[float, Field(gt=0, le=60)] = 1.0  # between two looks at a rollout


class RestoreLimits(Limits):
    """Of the database's half of `database_recovery`: restore beside, swap, and the way back."""

    template: Annotated[str, Field(min_length=1, max_length=63)] = (
        "orchestrator_template"  # holds what only a superuser can make; deploy/postgres/orchestrator_template.sql
    )
    free_bytes_query: str = 'min(node_filesystem_avail_bytes{mountpoint="/var/lib/postgresql"})'
    """PromQL for what is free on the disk of the database's server; if it is empty or finds nothing, the plan asks a person."""
    room_factor: Annotated[float, Field(ge=1, le=10)] = 1.2  # of the database's size: the sorts of the largest indexes
    sessions_deadline_s: Annotated[float, Field(gt=0, le=600)] = 30  # until nobody is in the database any more
    swap_deadline_s: Annotated[float, Field(gt=0, le=60)] = 10  # for both renames; the goal is 2 s
    count_deadline_s: Annotated[float, Field(gt=0, le=3600)] = 300  # for counting what was written since the backup
    keep_days: Annotated[int, Field(ge=7, le=90)] = 7  # the old database stays for a week before it may be dropped


class CacheLimits(Limits):
    """Of `weekly_cache_maintenance` and `cache_removal`."""

    memory_warning_percent: Percent = 80  # of maxmemory: room for one day of growth
    memory_critical_percent: Percent = 90  # a snapshot forks, and a busy hour comes on top
    fragmentation_warning: Annotated[float, Field(gt=1, le=10)] = 1.5  # a third of what the system gave is not used
    fragmentation_from_bytes: Annotated[int, Field(ge=1)] = 100 * 1024**2  # below, the server's own code is most of it
    fragmentation_waste_bytes: Annotated[int, Field(ge=1)] = 1024**3  # less is not worth anybody's evening
    lingering_warning_percent: Percent = 25  # of what has run out and is still there: Redis itself aims below 10
    hit_warning_percent: Percent = 90  # every tenth question reaches the database
    hit_min_n: Annotated[int, Field(ge=1)] = 1000  # with fewer the ratio wobbles by more than a point
    budget_s: Annotated[int, Field(ge=1, le=1800)] = 300  # for looking at keys, at 04:00 on a Sunday
    busy_percent: Annotated[float, Field(gt=0, le=50)] = (
        10  # of the time a node answers us; the rest is everybody else's
    )
    sample_keys: Annotated[int, Field(ge=1000, le=10_000_000)] = (
        100_000  # type and lifetime of so many; of more keys a random part
    )
    batch_keys: Annotated[int, Field(ge=10, le=1000)] = 100  # names asked for at once: some 30 microseconds of the node
    big_key_bytes: Annotated[int, Field(ge=1024)] = (
        10 * 1024**2
    )  # to read or delete it stops everybody for milliseconds
    big_key_elements: Annotated[int, Field(ge=1000)] = 1_000_000  # so does walking through it
    top: Annotated[int, Field(ge=1, le=100)] = 20  # largest keys and prefixes that are shown
    named_from_keys: Annotated[int, Field(ge=2, le=10_000)] = 20  # a prefix of fewer keys may be somebody's name
    prefixes: Annotated[tuple[KeyPrefix, ...], Field(min_length=1)] = ("cache:",)  # only keys below them may be removed
    never: tuple[KeyPrefix, ...] = ("queue:", "session:", "lock:", "recovery:", "failover:")
    """Work, people who are logged in, locks, what a recovery set aside: a prefix that reaches into one of them is refused."""
    removal_keys_max: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000  # more is a matter for the application
    removal_batch_keys: Annotated[int, Field(ge=1, le=500)] = 200  # one transaction; the copies are made before it
    removal_batch_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024**2
    """Of one copy, and so of the largest key that is removed: a larger one would stop the server while it is copied."""
    undo_days: Annotated[int, Field(ge=1, le=90)] = 7  # for so long the copies are kept

    @model_validator(mode="after")
    def _caches_alone_are_removed(self) -> CacheLimits:
        for mine in self.prefixes:
            if other := next((each for each in self.never if mine.startswith(each) or each.startswith(mine)), ""):
                raise ValueError(f"{mine} reaches into {other}, which is never removed; take it out of cache.prefixes")
        return self


class FailoverLimits(Limits):
    """Of the failover exercise (M-02): monthly on the staging target, on production when people want and approve it."""

    postgres_scope: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "staging"  # the cluster in Patroni
    postgres_system_identifier: Annotated[str, Field(pattern=r"^\d{0,20}$")] = (
        ""  # of the staging cluster; empty: the one that it has on record itself, in failover.target
    )
    production_scope: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "orchestrator"
    production_system_identifier: Annotated[str, Field(pattern=r"^\d{0,20}$")] = (
        ""  # of the production cluster; empty: production is never exercised
    )
    probe_every_s: Annotated[float, Field(ge=0.01, le=1)] = 0.05  # a gap of half a second is ten missed writes
    steady_s: Annotated[float, Field(ge=0.5, le=60)] = 5  # of undisturbed writing before and after each switch
    lag_max_bytes: Annotated[int, Field(ge=0)] = 1024**2  # Patroni's own limit for a member that may lead
    switch_within_s: Annotated[float, Field(gt=0, le=600)] = 60
    whole_within_s: Annotated[float, Field(gt=0, le=600)] = 120  # until the old leader follows; pg_rewind included
    postgres_gap_target_s: Seconds = 30  # stop, catch up, promote, and clients that connect anew
    redis_gap_target_s: Seconds = 5  # FAILOVER pauses writes for what the follower is behind
    node_gap_target_s: Seconds = 1  # without a ready pod of a workload; its budget should not let it come to that
    node_namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "ai-orchestrator-staging"
    node_drain_within_s: Seconds = 120  # a pod may take its 30 s to end; a budget that still says no then means no


class CleanupLimits(Limits):
    """Of `monthly_database_cleanup`. As in `retention`, a number of days is a whole number and nothing else.

    The database holds the same floors itself: deploy/postgres/orchestrator_cleanup.sql.
    """

    execution_logs_days: Annotated[int, Field(strict=True, ge=90, le=3650)] = 90  # the runbook's own
    audit_logs_days: Annotated[int, Field(strict=True, ge=365, le=3650)] = 365  # the runbook's own
    versions_kept: Annotated[int, Field(strict=True, ge=10, le=1000)] = 10  # the runbook's own
    audit_policy: Annotated[str, Field(max_length=200)] = (
        ""  # the decision by which audit logs may leave the database; empty: they stay
    )
    audit_lock_days: Annotated[int, Field(strict=True, ge=1, le=3650)] = 730  # nobody can remove their archive before
    held: Mapping[
        Literal["execution_logs", "audit_logs", "workflow_versions"], str
    ] = {}  # legal hold: table and reason
    share_max_percent: Annotated[float, Field(gt=0, le=100)] = 20  # of a table; more, and people are asked first
    share_from_rows: Annotated[int, Field(strict=True, ge=0)] = 10_000  # below, a share says nothing: 300 rows of 1,000
    rows_max: Annotated[int, Field(strict=True, ge=1)] = (
        1_000_000  # of a table; a busy month, a quarter of an hour at this pace
    )
    rows_per_object: Annotated[int, Field(strict=True, ge=1, le=50_000)] = 5000  # a megabyte or two, held in memory
    rows_per_batch: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 200  # some milliseconds of locks
    busy_percent: Annotated[float, Field(gt=0, le=100)] = (
        5  # of the time; the rest belongs to the application, whose p99 a fifth would raise by a half (benchmarks)
    )
    wal_bytes_per_s: Annotated[int, Field(strict=True, ge=10_000)] = 8 * 1024**2  # what a replica on a slow line takes
    replica_lag_max_s: Seconds = 30  # of the slowest replica; above it the clean-up waits
    lag_wait_s: Seconds = 600  # and then it stands still, to go on another time
    rounds: Annotated[int, Field(strict=True, ge=1, le=20)] = 5  # for rows that were changed or locked meanwhile


class GateLimits(Limits):
    """Of everything that changes production after people approved it."""

    recovery_approvers: tuple[str, ...] = ()  # users of Airflow; empty: nobody may, so nothing is recovered by Airflow
    recovery_people: Annotated[int, Field(ge=2, le=5)] = 2  # behind each recovery, the one who asks for it counted
    cleanup_approvers: tuple[
        str, ...
    ] = ()  # of a clean-up that is larger than usual; empty: nobody, so it stays undone
    working_days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4)  # Monday is 0
    working_from_h: Annotated[int, Field(ge=0, le=23)] = 9  # in the team's time zone; nobody is asked at night
    working_until_h: Annotated[int, Field(ge=1, le=24)] = 16  # an answer and the work after it end in daylight
    answer_within_s: Annotated[float, Field(ge=60, le=1800)] = (
        1800  # what was true when it was asked is not true for ever; the ops database holds the same half hour
    )
    review_within_s: Annotated[float, Field(gt=0, le=604_800)] = 86_400  # a broken glass is looked into within a day
    security_channel: Annotated[str, Field(pattern=r"^(#[a-z0-9_-]{1,79}|[CG][A-Z0-9]{8,})$")] = "#security"


class Looking(Limits):
    """How long a look may take."""

    deadline_s: Annotated[float, Field(gt=0, le=60)] = (
        10.0  # of one probe: a source that needs longer cannot be relied on
    )
    grace_s: Annotated[float, Field(ge=0, le=60)] = 10.0  # for connecting and importing around the probes of one check
    retry_delay_s: Annotated[float, Field(ge=0, le=600)] = 20.0  # a restart of a server is over by then


class Reporting(Limits):
    """Where reports go and how much of them is shown."""

    channel: Annotated[str, Field(pattern=r"^(#[a-z0-9_-]{1,79}|[CG][A-Z0-9]{8,})$")] = "#operations"
    pages: tuple[str, ...] = ("pages",)  # a failed task pages when its DAG carries one of these tags
    deadline_s: Annotated[float, Field(gt=0, le=120)] = (
        10.0  # of one call to Slack or PagerDuty: both queue badly when down
    )
    late_after_s: Seconds = 600.0  # a later start is said in the report; H-01 asks for it after 10 minutes


class Settings(BaseSettings):
    """All of it; read once a process by `load`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__")

    environment: Literal["sandbox", "staging", "production"] = "sandbox"
    code_version: str = "unknown"  # the commit that runs; `make up` and the image set it, the evidence records it
    time_zone: TimeZoneName = "UTC"  # of the team: 09:00 means their morning
    maintenance_time_zone: TimeZoneName = "UTC"  # of the customers: 02:00 means their night
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "ai-orchestrator"
    connections: Connections = Connections()
    kubernetes: KubernetesLimits = KubernetesLimits()
    postgres: PostgresLimits = PostgresLimits()
    redis: RedisLimits = RedisLimits()
    performance: PerformanceLimits = PerformanceLimits()
    alerts: AlertLimits = AlertLimits()
    grafana: GrafanaLimits = GrafanaLimits()
    business: BusinessLimits = BusinessLimits()
    backup: BackupLimits = BackupLimits()
    configuration: ConfigurationLimits = ConfigurationLimits()
    retention: RetentionLimits = RetentionLimits()
    maintenance: MaintenanceLimits = MaintenanceLimits()
    optimisation: OptimisationLimits = OptimisationLimits()
    disaster: DisasterLimits = DisasterLimits()
    recovery: RecoveryLimits = RecoveryLimits()
    restore: RestoreLimits = RestoreLimits()
    cache: CacheLimits = CacheLimits()
    configuration_recovery: ConfigurationRecoveryLimits = ConfigurationRecoveryLimits()
    failover: FailoverLimits = FailoverLimits()
    cleanup: CleanupLimits = CleanupLimits()
    gate: GateLimits = GateLimits()
    looking: Looking = Looking()
    reporting: Reporting = Reporting()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over default."""
        return Environment(settings_cls), YamlConfigSettingsSource(settings_cls, yaml_file=_file_of_the_place())

    @model_validator(mode="after")
    def _reports_are_no_alerts(self) -> Settings:
        if self.reporting.channel == self.alerts.channel:
            raise ValueError(
                f"reporting.channel and alerts.channel are both {self.alerts.channel!r}, where our own report would count as"
                f" an alert that nobody answered; change one of them in {_file_of_the_place()} or in OPS_REPORTING__CHANNEL"
            )
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The team's time zone."""
        return ZoneInfo(self.time_zone)


class Environment(EnvSettingsSource):
    """The environment, where everything is text: plain digits are a whole number there, also for the strict ones of what deletes."""

    def __call__(self) -> dict[str, Any]:
        """Return what is set."""
        found = super().__call__()
        groups = {name: found[name] for name in ("retention", "cleanup") if isinstance(found.get(name), dict)}
        return {**found, **{name: _with_whole_numbers(group) for name, group in groups.items()}}


def _with_whole_numbers(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value) else value
        for name, value in group.items()
    }


def _file_of_the_place() -> Path:
    return CONFIG / f"{os.environ.get('OPS_ENVIRONMENT', 'sandbox')}.yaml"


@lru_cache
def load() -> Settings:
    """Read the settings; ConfigurationError names the field, the rule and where to change it."""
    _refuse_unknown(name for name in os.environ if name.startswith(PREFIX))
    try:
        return _with_its_file(Settings())
    except ValidationError as error:
        raise ConfigurationError(_one_sentence(error)) from None
    except SettingsError as error:
        raise ConfigurationError(_not_json(error)) from None
    except YAMLError as error:
        raise ConfigurationError(f"{_file_of_the_place()} is no YAML: {' '.join(str(error).split())}") from None


def _with_its_file(settings: Settings) -> Settings:
    # Without its file a place would run on the defaults, and nobody would have said so.
    if not _file_of_the_place().exists():
        raise ConfigurationError(
            f"there is no {_file_of_the_place()}: make it, with `environment: {settings.environment}` and whatever differs"
            f" from the defaults, or set OPS_ENVIRONMENT to a place that has its file"
        )
    return settings


def _refuse_unknown(variables: Iterable[str]) -> None:
    for name in variables:
        if (
            name not in NOT_SETTINGS
            and name.removeprefix(PREFIX).partition("__")[0].lower() not in Settings.model_fields
        ):
            raise ConfigurationError(f"there is no setting {name}; correct its name or unset it")


def _not_json(error: SettingsError) -> str:
    field = str(error).partition('field "')[2].partition('"')[0].upper()
    named = sorted(name for name in os.environ if name.startswith(f"{PREFIX}{field}"))
    return f"{' or '.join(named)} cannot be read: write a list or a whole group as JSON"


def _one_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:  # a rule between two settings, which names both
        return f"settings: {first['msg']}"
    field = ".".join(str(part) for part in first["loc"])
    variable = "OPS_" + "__".join(str(part) for part in first["loc"]).upper()
    got = repr(masked(str(first["input"]))[:80])
    return f"setting {field}: {first['msg']} (got {got}); change it in {_file_of_the_place()} or in {variable}"
