from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.site import Site
from tests.include.failover.pair import whole


@pytest.fixture
def pair_site(staging: Site) -> Iterator[Site]:
    """The site of the platform; both staging pairs are whole before and after the test."""
    whole(staging)
    yield staging
    whole(staging)
