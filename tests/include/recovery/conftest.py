"""One small platform for all tests of a recovery: its servers are killed in the middle, which nobody else's may be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sandbox.components import postgres
from sandbox.platform import Platform
from sandbox.site import Site, free_ports
from tests.include.ops.conftest import ops, runner, server, template
from tests.include.recovery.scene import Scene, approve, scene, tidied

__all__ = ["ops", "runner", "server", "template"]


@pytest.fixture(scope="package")
def servers() -> Iterator[Platform]:
    """The server in production, the scratch server and the bucket, without the history that fills the platform's."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    state.chmod(0o755)
    platform = Platform(Site.create(state, free_ports()), ("postgres", "postgres-scratch", "s3"), say=lambda _: None)
    roles = partial(postgres._make_roles, server="postgres")
    platform.components["postgres"] = replace(platform.components["postgres"], after=roles)
    try:
        platform.start()
        approve(platform.site)
        yield platform
    finally:
        platform.stop()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="package")
def production(servers: Platform) -> Site:
    """The site of the running servers."""
    return servers.site


@pytest.fixture(scope="package")
def shop(production: Site) -> Iterator[Scene]:
    """A database with a good backup."""
    with scene(production) as made:
        yield made


@pytest.fixture
def here(shop: Scene) -> Iterator[Scene]:
    """A recovery of it."""
    with tidied(shop) as recovery:
        yield recovery
