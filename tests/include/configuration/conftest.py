"""Fixtures: a namespace of every kind, made once a module and made the same again before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.site import Site
from tests.include.configuration.village import Village


@pytest.fixture(scope="module")
def village(site: Site) -> Iterator[Village]:
    """It is built, and backed up in memory."""
    built = Village.built(site)
    built.take()
    yield built
    built.remove()


@pytest.fixture
def here(village: Village) -> Village:
    """It is as its bundle has it, and every pod is ready."""
    village.reset()
    return village
