"""One small platform for all tests of the clean-up: its database, the ops database and the bucket, on a quiet server of their own."""

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
from tests.include.cleanup.yard import PARTITIONED, Yard, made, template


@pytest.fixture(scope="package")
def production() -> Iterator[Site]:
    """The site of the running servers."""
    state = Path(tempfile.mkdtemp(prefix="aos-"))
    state.chmod(0o755)
    platform = Platform(Site.create(state, free_ports()), ("postgres", "postgres-ops", "s3"), say=lambda _: None)
    roles = partial(postgres._make_roles, server="postgres")
    platform.components["postgres"] = replace(platform.components["postgres"], after=roles)
    try:
        platform.start()
        template(platform.site)
        yield platform.site
    finally:
        platform.stop()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def yard(production: Site) -> Iterator[Yard]:
    """An orchestrator's database in small with old rows in it, of a test's own."""
    with made(production) as here:
        here.fill()
        yield here


@pytest.fixture
def partitioned(yard: Yard) -> Yard:
    """The same, its logs partitioned: one that is old as a whole, and one that is not."""
    with yard.superuser() as session:
        session.execute(PARTITIONED.encode())
        session.execute("analyze")
    return yard
