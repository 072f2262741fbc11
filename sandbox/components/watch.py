"""The exporter of watch/ in the platform in small; it needs the ops database and the bucket, and nothing of Airflow."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import httpx

from sandbox.component import Component, NotReadyError
from sandbox.components import s3
from sandbox.components.postgres import dsn
from sandbox.site import Site


def environment(site: Site) -> Mapping[str, str]:
    """Return the settings of the watch on this site."""
    return {
        "OPS_ENVIRONMENT": "sandbox",  # whose settings name the team's time zone
        "WATCH_PORT": str(site.ports["watch"]),
        "WATCH_STATE": str(site.path("watch")),
        "WATCH_EVIDENCE_DSN": dsn(site, "ops_evidence_reader", "ops", "postgres-ops"),
        "WATCH_AIRFLOW_URL": site.url("airflow"),
        "WATCH_AIRFLOW_PASSWORD": site.secret("airflow-watch"),
        "WATCH_S3_ENDPOINT_URL": site.url("s3"),
        "WATCH_S3_REGION": s3.REGION,
        "WATCH_BACKUP_BUCKET": s3.BUCKET,
        "WATCH_S3_ACCESS_KEY": "watch",
        "WATCH_S3_SECRET_KEY": site.secret("s3-watch"),
        "WATCH_LOOK_EVERY_S": "5",
    }


def _ready(site: Site) -> None:
    address = f"{site.url('watch')}/metrics"
    try:
        text = httpx.get(address, timeout=2, trust_env=False).raise_for_status().text
    except httpx.HTTPError as error:
        raise NotReadyError(f"{address}: {error}") from error
    if 'watch_source_up{source="evidence"} 1.0' not in text:
        raise NotReadyError("it cannot read the evidence yet")


COMPONENTS = (
    Component(
        name="watch",
        command=lambda site: [sys.executable, "-m", "watch"],
        environment=environment,
        ready=_ready,
        needs=("postgres-ops",),
        ports=("watch",),
    ),
)
