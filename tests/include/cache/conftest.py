"""What the tests of the cache share: a bucket, an ops database each, and a Redis of their own, which they may fill and empty."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.ops.database import OpsDatabase
from sandbox.platform import Platform
from sandbox.site import Site, free_ports
from tests.include.cache.scene import Scene, scene
from tests.include.cache.servers import Server, served
from tests.include.ops.conftest import approver, ops, runner, server, template

__all__ = ["approver", "ops", "runner", "server", "template"]


@pytest.fixture(scope="package")
def bucket() -> Iterator[Site]:
    """A site with the bucket alone."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    platform = Platform(Site.create(state, free_ports()), ("s3",), say=lambda _: None)
    try:
        platform.start()
        yield platform.site
    finally:
        platform.stop()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="package")
def valkey() -> Iterator[Server]:
    """A primary without replicas."""
    with served() as running:
        yield running


@pytest.fixture
def here(bucket: Site, valkey: Server, runner: OpsDatabase, approver: OpsDatabase) -> Scene:
    """An empty Redis, and who removes from it."""
    with valkey.client() as admin:
        admin.flushall()
        admin.acl_log_reset()
    return scene(bucket, valkey, runner, approver)
