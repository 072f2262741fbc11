"""Fixtures for all tests: the platform in small, started once a session on free ports and stopped at its end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import own
from sandbox.platform import Platform, components
from sandbox.site import Site, bypass_proxies, free_ports
from tests.proof import Proof


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--proof-full`: the N that the claims name, instead of a small one."""
    parser.addoption("--proof-full", action="store_true", help="run the proofs with their full N and write docs/proof")


STAGING = [name for name in components() if "staging" in name]
"""What only the failover exercise needs, and what takes its time to elect a leader."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let three processes share the work (`-n 3 --dist loadgroup`), each with a platform of its own: one of them with Airflow."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    if "airflow_site" in getattr(item, "fixturenames", ()) or "tests/integration/" in item.nodeid:
        return "airflow"
    breaking = ("tests/include/recovery/", "tests/include/failover/")
    return "breaking" if item.nodeid.startswith(breaking) else "platform"


bypass_proxies()


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """The number of cases, the seed, and the file of a proof; `PROOF_SEED` repeats an earlier run."""
    seed = int(os.environ.get("PROOF_SEED") or int.from_bytes(os.urandom(4)))
    name = request.node.originalname.removeprefix("test_")
    return Proof(name=name, full=request.config.getoption("--proof-full"), seed=seed)


@pytest.fixture(scope="session")
def empty_site() -> Iterator[Site]:
    """A site with free ports and nothing started; its folder is removed at the end."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    try:
        yield Site.create(state, free_ports())
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
def platform(empty_site: Site) -> Iterator[Platform]:
    """The whole platform in small without Airflow and without the staging pairs, running; stopped whatever happens."""
    names = [name for name in components() if not name.startswith("airflow-") and "staging" not in name]
    platform = Platform(empty_site, names, without=own.left_out(empty_site))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def site(platform: Platform) -> Site:
    """The site of the running platform."""
    return platform.site


@pytest.fixture(scope="session")
def airflow_site(platform: Platform) -> Site:
    """The same site with Airflow running over it; stopped together with the platform."""
    left_out = [*own.left_out(platform.site), *STAGING]
    Platform(platform.site, without=left_out).start()
    return platform.site


@pytest.fixture(scope="session")
def staging(platform: Platform) -> Site:
    """The same site with the staging pairs of the failover exercise; stopped together with the platform."""
    Platform(platform.site, STAGING).start()
    return platform.site
