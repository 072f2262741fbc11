"""Whatever is wrong with a backup, it is not called GOOD, it does not become the newest good one, and the reason is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from include.backups.catalogue import Verdict
from include.errors import VerificationError
from sandbox.site import Site
from tests.include.backups.damages import IN_THE_BUCKET, IN_THE_COPY, Scene, Tampering, fill, in_the_copy
from tests.include.backups.world import World, world
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.proof, pytest.mark.timeout(7200)]

KINDS = (*IN_THE_BUCKET, *IN_THE_COPY)


@pytest.fixture(scope="module")
def scene(site: Site) -> Iterator[Scene]:
    with world(site) as here:
        empty = here.take()
        fill(here)
        yesterday = here.take()
        here.prover().prove(yesterday.manifest.facts.key, sha256=yesterday.sha256)
        with here.superuser() as connection:
            connection.execute("update scene.thing_1 set note = 'changed today' where id = 7")
        yield Scene(here, today=here.take(), yesterday=yesterday, empty=empty)


def test_bug_13_a_damaged_backup_is_never_good(scene: Scene, proof: Proof) -> None:
    n = proof.n(small=len(KINDS), full=1000)
    chance, kinds, wrong = proof.random, Counter[str](), []
    for number in range(n):
        kind = KINDS[number % len(KINDS)]
        if why := not_refused(scene, kind, chance):
            wrong.append(f"{kind}: {why}")
        else:
            kinds[kind] += 1
    assert wrong == []
    assert good_after_all(scene.world, scene)
    what = "a damaged, mixed up, forged or emptied backup, or a restored copy that differs, is BAD and not the newest good one"
    proof.held(what, n=n, held=kinds.total(), kinds=len(kinds), each=dict(kinds))


def not_refused(scene: Scene, kind: str, chance: Random) -> str:
    """Return what was wrong with the verdict on one damage, or nothing."""
    key, prover = scene.today.manifest.facts.key, scene.world.prover()
    with scene.intact():
        if kind in IN_THE_BUCKET:
            IN_THE_BUCKET[kind](scene, chance)
        else:
            prover = Tampering.of(prover, in_the_copy(kind, chance))
        try:
            prover.prove(key)
        except VerificationError as error:
            return "" if f"{error}".startswith(f"{key} is BAD: ") or "no backup at" in f"{error}" else f"says {error}"
        finally:
            newest = scene.world.catalogue().newest_good
        return f"called GOOD, newest is {newest.key if newest else None}"


def good_after_all(here: World, scene: Scene) -> bool:
    """Undamaged it is good: what was refused was refused for its damage."""
    newest = here.catalogue().newest_good
    assert newest
    assert newest.key == scene.yesterday.manifest.facts.key
    here.prover().prove(scene.today.manifest.facts.key, sha256=scene.today.sha256)
    found = {backup.key: backup.verdict for backup in here.catalogue().backups}
    return found[scene.today.manifest.facts.key] is Verdict.GOOD


def test_a_backup_of_a_database_that_was_emptied_is_bad(scene: Scene) -> None:
    with pytest.raises(VerificationError, match="it holds no table"):
        scene.world.prover().prove(scene.empty.manifest.facts.key)
