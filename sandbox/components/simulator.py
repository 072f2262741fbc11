"""The application of the platform: one process that works for the pods of a cluster whose pods do nothing."""

from __future__ import annotations

import sys

import httpx

from sandbox.component import Component, NotReadyError
from sandbox.site import Site


def _ready(site: Site) -> None:
    try:
        answer = httpx.get(f"{site.url('gateway')}/health", timeout=2)
    except httpx.HTTPError as error:
        raise NotReadyError(f"the gateway does not answer: {error}") from error
    if answer.status_code != 200:
        raise NotReadyError(f"the gateway says {answer.text[:200]}")


COMPONENTS = (
    Component(
        name="simulator",
        command=lambda site: [sys.executable, "-m", "sandbox.simulator"],
        ready=_ready,
        needs=("kwok", "metrics-server", "postgres", "valkey"),
        ports=("gateway", "simulator_metrics"),
        ready_within_s=90,
    ),
)
