"""What the running platform promises: every component healthy, and nothing that another machine could reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import own
from sandbox.platform import Platform
from sandbox.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

LISTEN = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


def of_the_platform(platform: Platform) -> Iterator[Path]:
    """Every process below the site's supervisord."""
    sessions = {os.getsid(platform.supervisor.pid(name)) for name in platform.supervisor.states()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) in sessions:
                yield process
        except ProcessLookupError:
            continue


def sockets(process: Path) -> set[str]:
    try:
        links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
    except OSError:
        return set()
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def listening() -> dict[str, str]:
    """Local address by inode of every listening TCP socket of the machine."""
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {line[9]: line[1] for line in lines if line[3] == LISTEN}


def test_every_component_is_healthy(airflow_site: Site, staging: Site) -> None:
    assert staging == airflow_site
    sick = [each for each in Platform(airflow_site, without=own.left_out(airflow_site)).status() if not each.healthy]
    assert sick == []


def test_nothing_listens_for_other_machines(airflow_site: Site, platform: Platform) -> None:
    addresses = listening()
    ours = {
        addresses[inode] for process in of_the_platform(platform) for inode in sockets(process) if inode in addresses
    }
    assert len(ours) >= 15
    assert {address for address in ours if address.partition(":")[0] not in LOOPBACK} == set()
