from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.site import Site
from tests.include.maintenance.scene import Scene, scene


@pytest.fixture
def here(site: Site) -> Iterator[Scene]:
    with scene(site) as made:
        yield made
