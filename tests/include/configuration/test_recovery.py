"""Configuration recoveries of a namespace on the real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.configuration.normalise import name
from sandbox.site import Site
from tests.include.configuration.village import Village

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def here(site: Site) -> Iterator[Village]:
    village = Village.built(site)
    village.take()
    yield village
    village.remove()


def test_x_07_a_deleted_namespace_comes_back_field_by_field_and_a_second_time_nothing_changes(here: Village) -> None:
    was = here.live()
    here.delete_namespace()
    facts = here.recover()
    here.wait_until_ready()
    assert {name(each): each for each in here.live()} == {name(each): each for each in was}
    assert facts["compare"]["differing"] == {}
    assert set(facts["restart"]["ready"].values()) == {""}

    before = here.versions()
    again = here.recover()
    assert again["apply"]["applied"] == []
    assert here.versions() == before
