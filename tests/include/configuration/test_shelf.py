"""Which bundle a recovery opens: only one that counts, and only with a key to which it is sealed."""

from __future__ import annotations

import pytest
from pyrage.x25519 import Identity

from include.configuration import bundle
from include.configuration.shelf import Shelf
from include.errors import ConfigurationError, RefusedError, VerificationError
from sandbox.site import Site
from tests.include.configuration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def shelf(world: World, key: str = "", namespace: str = "") -> Shelf:
    store = world.store("backup_verifier")
    return Shelf(
        store=store, namespace=namespace or world.namespace, key=key or world.private, key_from="the test's key"
    )


def test_only_a_good_bundle_is_opened_and_the_newest_one_if_none_is_named(site: Site) -> None:
    world = World(site)
    taken = world.take()
    key = taken.manifest.facts.key
    with pytest.raises(
        RefusedError, match=f"bundle: {key} is UNPROVED, and only a GOOD one is restored; nothing was changed"
    ):
        shelf(world).open(key)
    world.prover().prove(key, sha256=taken.sha256)
    chosen = shelf(world).open("")
    assert (chosen.key, chosen.sha256) == (key, taken.sha256)
    assert any(bundle.is_secret(each) and each["data"] for each in chosen.bundle.objects)
    with pytest.raises(VerificationError, match="it is not sealed to this key"):
        shelf(world, str(Identity.generate())).open(key)


def test_a_bundle_that_is_not_there_is_named(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="there is no backup backups/configuration/shop/2026/"):
        shelf(World(site)).open("backups/configuration/shop/2026/11/26/030000Z-12345678-1/")
    with pytest.raises(ConfigurationError, match="there is no good backup"):
        shelf(World(site), namespace="nobody-backs-this-up").open("")
