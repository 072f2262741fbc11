"""Fixtures for all tests: the platform in small, started once a session on free ports and stopped at its end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from sandbox import own
from sandbox.platform import Platform, components
from sandbox.site import Site, bypass_proxies, free_ports
from tests.proof import Proof


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--proof-full`: the N that the claims name, instead of a small one."""
    parser.addoption("--proof-full", action="store_true", help="run the proofs with their full N and write docs/proof")


STAGING = [name for name in components() if "staging" in name]
"""What only the failover exercise needs, and what takes its time to elect a leader."""


GROUPS = {
    "people": (
        "tests/integration/test_approvals",
        "tests/integration/test_disaster_recovery",
        "tests/integration/test_ledger",
    ),
    "airflow": ("tests/integration/", "tests/watch/test_with_airflow"),
    "sandbox": ("tests/sandbox/", "tests/watch/", "tests/zoo/"),
    "broken": (
        "tests/include/recovery/",
        "tests/include/failover/",
        "tests/deploy/test_failover",
        "tests/plugins/operators/test_failover",
    ),
}
"""What shares a platform, by the beginning of its name; all others share one more. Two run Airflow, one breaks much."""


class ByPlatform(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Let three processes share the suite (`-n 3`), each with a platform of its own; a fourth would find no core to work on."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group, places in GROUPS.items() if nodeid.startswith(places)), "platform")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPlatform | None:
    """Group by platform, which its own `--dist loadgroup` does not under pytest 9 (xdist 3.8); the fast tests have none to share."""
    return None if config.option.markexpr == "not integration" else ByPlatform(config, log)


bypass_proxies()


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """The number of cases, the seed, and the file of a proof; `PROOF_SEED` repeats an earlier run."""
    seed = int(os.environ.get("PROOF_SEED") or int.from_bytes(os.urandom(4)))
    name = request.node.originalname.removeprefix("test_")
    return Proof(name=name, full=request.config.getoption("--proof-full"), seed=seed)


@contextmanager
def new_site() -> Iterator[Site]:
    """A site with free ports and nothing started; its folder is removed at the end."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    try:
        yield Site.create(state, free_ports())
    finally:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def running(site: Site) -> Iterator[Platform]:
    """The whole platform in small without Airflow and without the staging pairs, running; stopped whatever happens."""
    names = [name for name in components() if not name.startswith("airflow-") and "staging" not in name]
    platform = Platform(site, names, without=own.left_out(site))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def empty_site() -> Iterator[Site]:
    """A site with free ports and nothing started."""
    with new_site() as site:
        yield site


@pytest.fixture(scope="session")
def platform(empty_site: Site) -> Iterator[Platform]:
    """The platform of this process and its tests."""
    with running(empty_site) as platform:
        yield platform


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
