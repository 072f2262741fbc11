"""What `make doctor` says of the cache's Connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.cache.rights import of_reader, of_remover
from include.errors import ConfigurationError
from include.probes.cache import nodes
from include.settings import CacheLimits
from tests.include.cache.servers import READER, REMOVER, Server, as_, served

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def alone() -> Iterator[Server]:
    with served() as running:
        yield running


def test_the_reader_says_what_it_sees(alone: Server) -> None:
    found = nodes(as_(READER), alone.place, deadline_s=10)
    place = f"127.0.0.1:{alone.port}"
    assert of_reader(found) == f"sees the primary {place} and 0 replicas; keys are looked at on {place}"


def test_a_node_that_it_cannot_see_is_wrong(alone: Server) -> None:
    found = nodes(as_(READER), alone.place, [alone.place, ("127.0.0.1", 1)], deadline_s=10)
    with pytest.raises(ConfigurationError, match=r"cannot look at 127\.0\.0\.1:1 .*: name all nodes in its extra"):
        of_reader(found)


def test_the_remover_may_touch_caches_and_nothing_else(alone: Server) -> None:
    said = of_remover(alone.client(REMOVER), CacheLimits())
    assert said == "may remove keys below cache:, and is refused below queue:, session:, lock:, recovery:, failover:"


def test_a_remover_that_may_more_is_wrong(alone: Server) -> None:
    with pytest.raises(ConfigurationError, match="may also touch keys below queue:"):
        of_remover(alone.client(), CacheLimits())


def test_a_remover_that_may_not_touch_an_allowed_prefix_is_wrong(alone: Server) -> None:
    with pytest.raises(ConfigurationError, match=r"connections\.cache_remover"):
        of_remover(alone.client(REMOVER), CacheLimits(prefixes=("cache:", "pages:")))
