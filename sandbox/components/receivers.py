"""Slack, PagerDuty, Statuspage and Grafana of the platform in small: one process."""

from __future__ import annotations

import sys

import httpx

from sandbox.component import Component, NotReadyError
from sandbox.receivers.counter import Tokens
from sandbox.site import Site


def _prepare(site: Site) -> None:
    Tokens.of(site)


def _command(site: Site) -> list[str]:
    return [sys.executable, "-m", "sandbox.receivers"]


def _ready(site: Site) -> None:
    try:
        httpx.get(f"{site.url('receivers')}/_control", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(f"the receivers at {site.url('receivers')} do not answer yet: {error}") from None


COMPONENTS = (
    Component(
        name="receivers",
        prepare=_prepare,
        command=_command,
        environment=lambda site: {"SANDBOX_STATE": str(site.state)},
        ready=_ready,
        ports=("receivers",),
        ready_within_s=30,
    ),
)
