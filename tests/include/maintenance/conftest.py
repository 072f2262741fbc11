from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.maintenance import leftovers
from sandbox.site import Site
from tests.include.maintenance.scene import Scene, scene


@pytest.fixture
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(leftovers, "TRIES", 4)
    with scene(site) as made:
        yield made
