"""One small platform for all tests of the clean-up: its database, the ops database and the bucket, on a quiet server of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.cleanup import servers
from sandbox.site import Site
from tests.include.cleanup.yard import PARTITIONED, Yard, made, template


@pytest.fixture(scope="package")
def production() -> Iterator[Site]:
    """The site of the running servers."""
    with servers() as site:
        template(site)
        yield site


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
