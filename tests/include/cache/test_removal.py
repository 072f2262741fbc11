"""Removing cache keys: what was approved and nothing else, with a copy of each, resumed after every kill, and taken back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import NoPermissionError

from include.cache.copies import Keeper
from include.cache.removal import Removal
from include.cache.removing import Remover, batches
from include.errors import ConfigurationError, RefusedError, VerificationError
from include.ops import gate, journal, leases
from include.ops.leases import HeldBackError, Mode, Wanted
from include.plans.cache_removal import Request, Which
from tests.include.cache.scene import WHY, Scene, killed
from tests.include.cache.servers import REMOVER, commands, filled, granted, served, watched
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

KEYS = 400
SHORT_MS = 5000
"""A lifetime that a removal on a busy machine comes in time for."""
UNUSED = {"PING", "AUTH", "CLIENT SETNAME", "CLIENT ID", "UNWATCH"}
"""Of logins by other clients than ours; and of a batch that nothing is left of."""


def expected(before: Mapping[bytes, tuple[bytes, bool]], prefix: bytes = b"cache:") -> set[bytes]:
    return {name for name, (_, forever) in before.items() if forever and name.startswith(prefix)}


def test_bug_59_only_cache_keys_without_a_lifetime_go_and_every_other_key_lives(here: Scene) -> None:
    filled(here.valkey, KEYS, 1)
    before = here.contents()
    went = expected(before)
    assert 20 < len(went) < len(before) / 2
    its = here.approved(here.removal())
    became = here.act(its)
    assert (became["removed"], became["remaining"]) == (len(went), 0)
    after = here.contents()
    assert before.keys() - after.keys() == went
    assert {name: after[name] for name in after} == {name: before[name] for name in after}


def test_bug_61_names_with_quotes_spaces_newlines_and_bytes_go_and_come_back_as_they_were(here: Scene) -> None:
    filled(here.valkey, KEYS, 2)
    before = here.contents()
    its = here.approved(here.removal(which=Which.ALL))
    removed = here.act(its)["removed"]
    assert removed == sum(name.startswith(b"cache:") for name in before)
    assert here.undo(its) == {"brought_back": removed}
    assert here.contents() == before


def test_a_plan_changes_nothing_and_asks_only_what_reads(here: Scene) -> None:
    filled(here.valkey, KEYS, 3)
    before = here.contents()
    with watched(here.valkey) as seen:
        plan = here.removal().plan()
    assert here.contents() == before
    assert commands(seen) == {"HELLO", "CLIENT SETINFO", "INFO", "SCAN", "PTTL", "MEMORY USAGE"}
    assert plan.facts["most"] == len(expected(before)) + 100
    assert f"Would be removed: {len(expected(before))} keys" in plan.text


def test_nothing_to_remove_is_a_plan_of_nothing(here: Scene) -> None:
    here.valkey.client().set("cache:report:1", "x", ex=100)
    assert here.removal().plan().facts["most"] == 0


def test_without_an_approval_nothing_goes(here: Scene) -> None:
    filled(here.valkey, KEYS, 4)
    before, its = here.contents(), here.removal()
    gate.store(here.runner, its.plan(), requester="alice", people=2)
    with pytest.raises(RefusedError, match="nobody approved it"):
        here.act(its)
    assert here.contents() == before


def test_another_form_than_the_approved_one_is_refused(here: Scene) -> None:
    filled(here.valkey, KEYS, 5)
    before, its = here.contents(), here.approved(here.removal("cache:report:"))
    wider = Request(op_id=its.request.op_id, prefix="cache:", which=its.request.which, reason=WHY)
    with pytest.raises(RefusedError, match="is of another form than this run's"):
        here.act(Removal(request=wider, redis=its.redis, chosen=its.chosen))
    assert here.contents() == before


def test_no_more_than_was_approved_is_removed(here: Scene) -> None:
    with here.valkey.client() as admin:
        admin.mset({f"cache:a:{n}": "x" for n in range(50)})
        its = here.approved(here.removal())
        admin.mset({f"cache:b:{n}": "x" for n in range(200)})
        with pytest.raises(RefusedError, match="250 keys below cache: would be removed, and 150 were approved"):
            here.act(its)
        assert admin.dbsize() == 250


def test_keys_that_come_while_it_removes_stay_beyond_the_approval(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gate.authorise
    with here.valkey.client() as admin:
        admin.mset({f"cache:a:{n}": "x" for n in range(40)})
        its = here.approved(here.removal())

        def authorise(*arguments: Any) -> Mapping[str, Any]:
            facts = whole(*arguments)
            admin.mset({f"cache:b:{n}": "x" for n in range(500)})
            return facts

        monkeypatch.setattr(gate, "authorise", authorise)
        became = here.act(its)
        assert admin.dbsize() == 400
    assert (became["removed"], became["beyond_the_approval"], became["remaining"]) == (140, 400, 400)


def test_a_key_that_is_used_meanwhile_stays_with_its_new_value(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Keeper.keep
    with here.valkey.client() as admin:
        admin.mset({f"cache:a:{n}": "old" for n in range(30)})
        its = here.approved(here.removal())

        def keep(self: Keeper, key: str, copies: Any) -> str:
            admin.set("cache:a:7", "new")
            admin.expire("cache:a:8", 100)
            return whole(self, key, copies)

        monkeypatch.setattr(Keeper, "keep", keep)
        became = here.act(its)
        assert admin.get("cache:a:7") == b"new"
    assert (became["removed"], became["in_use"], became["remaining"]) == (28, 1, 1)  # 8 has a lifetime now, 7 has none
    assert here.contents().keys() == {b"cache:a:7", b"cache:a:8"}


def test_bug_62_a_large_key_stays_and_no_batch_is_larger_than_the_limit(here: Scene) -> None:
    with here.valkey.client() as admin:
        admin.set("cache:a:large", "x" * 50_000)
        admin.mset({f"cache:a:{n}": "x" * 1000 for n in range(60)})
        its = here.approved(here.removal(removal_batch_bytes=20_000))
        with watched(here.valkey) as seen:
            became = here.act(its)
        assert admin.exists("cache:a:large")
    assert (became["removed"], became["too_large"]) == (60, 1)
    sizes = [len(words) - 1 for words in seen if words[0] == "UNLINK"]
    assert sum(sizes) == 60
    assert max(sizes) <= 20


POINTS = (
    ("include.cache.copies.Keeper.keep", True),
    ("include.cache.copies.Keeper.keep", False),
    ("include.ops.journal.Journal.intend", True),
    ("include.ops.journal.Journal.intend", False),
    ("include.ops.journal.Journal.record", True),
    ("include.ops.journal.Journal.record", False),
    ("include.cache.wire.Wire.ask", False),
)


@pytest.mark.proof
def test_a_killed_removal_goes_on_and_every_key_that_is_gone_comes_back(here: Scene, proof: Proof) -> None:
    dice, n, held = proof.random, proof.n(small=7, full=140), 0
    for case in range(n):
        with here.valkey.client() as admin:
            admin.flushall()
        filled(here.valkey, 150, dice.randrange(1 << 30))
        before, its = here.contents(), here.approved(here.removal(removal_batch_keys=5))
        target, at = POINTS[case % len(POINTS)]
        killed(lambda its=its: here.act(its), target, dice.randrange(1, 4), before=at)  # type: ignore[misc]
        gone = before.keys() - here.contents().keys()
        if gone and dice.random() < 0.5:  # people take it back as it stands
            held += here.undo(its)["brought_back"] == len(gone) and here.contents() == before
            continue
        became = here.act(its)
        gone = before.keys() - here.contents().keys()
        whole = gone == expected(before) and became["remaining"] == 0
        held += whole and here.undo(its)["brought_back"] == len(gone) and here.contents() == before
    proof.held("killed anywhere, what was approved goes, and all of it comes back", n=n, held=held)


def test_done_is_done_and_what_was_taken_back_is_not_removed_again(here: Scene) -> None:
    filled(here.valkey, KEYS, 6)
    before, its = here.contents(), here.approved(here.removal())
    first = here.act(its)
    here.valkey.client().set("cache:new", "x")
    assert here.act(its) == first
    assert here.valkey.client().exists("cache:new")
    here.undo(its)
    with pytest.raises(RefusedError, match="was taken back"):
        here.act(its)
    assert here.contents().keys() == before.keys() | {b"cache:new"}


def test_the_undo_leaves_what_somebody_made_anew_and_brings_nothing_back_that_ran_out(here: Scene) -> None:
    with here.valkey.client() as admin:
        admin.mset({"cache:a:1": "old", "cache:a:2": "old"})
        admin.set("cache:a:3", "short", px=SHORT_MS)
        runs_out = time.monotonic() + SHORT_MS / 1000 + 0.05
        admin.set("cache:a:4", "long", ex=1000)
        its = here.approved(here.removal(which=Which.ALL))
        here.act(its)
        admin.set("cache:a:1", "new")
        time.sleep(max(0.0, runs_out - time.monotonic()))
        assert here.undo(its) == {"made_anew": 1, "brought_back": 2, "ran_out": 1}
        assert admin.mget("cache:a:1", "cache:a:2", "cache:a:3") == [b"new", b"old", None]
        assert 900 < admin.ttl("cache:a:4") <= 1000


@pytest.mark.parametrize(
    ("which", "newer", "back"),
    [
        (Which.WITHOUT_LIFETIME, {}, (b"newer", {"brought_back": 1})),
        (Which.ALL, {"px": SHORT_MS}, (None, {"ran_out": 1})),
    ],
)
def test_the_undo_brings_back_what_was_removed_and_no_older_copy_of_a_killed_try(
    here: Scene, which: str, newer: Mapping[str, int], back: tuple[bytes | None, Mapping[str, int]]
) -> None:
    with here.valkey.client() as admin:
        admin.set("cache:a:1", "older")
        its = here.approved(here.removal(which=which))
        killed(lambda: here.act(its), "include.cache.removing.Remover._intended", 1, before=False)
        admin.set("cache:a:1", "newer", **newer)
        runs_out = time.monotonic() + SHORT_MS / 1000 + 0.05
        assert here.act(its)["remaining"] == 0
        time.sleep(max(0.0, runs_out - time.monotonic()))
        became = here.undo(its)
        assert (admin.get("cache:a:1"), became) == back


def test_the_undo_brings_back_the_last_value_of_a_key_that_was_met_twice(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Remover.batch
    with here.valkey.client() as admin:
        admin.set("cache:a:1", "older")
        its = here.approved(here.removal())

        def batch(self: Remover, wire: Any, found: Any) -> None:
            whole(self, wire, found)
            admin.set("cache:a:1", "newer")
            whole(self, wire, found)

        monkeypatch.setattr(Remover, "batch", batch)
        assert here.act(its)["removed"] == 2
        assert here.undo(its) == {"brought_back": 1}
        assert admin.get("cache:a:1") == b"newer"


def test_copies_that_are_gone_are_named_and_all_others_come_back(here: Scene) -> None:
    filled(here.valkey, KEYS, 8)
    before, its = here.contents(), here.approved(here.removal())
    removed = here.act(its)["removed"]
    first, *_ = batches(journal.entries(here.runner, its.request.op_id))
    assert first.removed
    here.store("backup_reaper").delete(first.copy, first.version)
    with pytest.raises(
        VerificationError, match=f"^{removed - first.removed} keys came back, and these did not: {first.copy}"
    ):
        here.undo(its)
    assert len(before.keys() - here.contents().keys()) == first.removed


def test_a_copy_is_sealed_and_who_writes_it_cannot_read_it(here: Scene) -> None:
    here.valkey.client().set("cache:a:1", "the secret of a customer")
    its = here.approved(here.removal())
    here.act(its)
    (batch,) = batches(journal.entries(here.runner, its.request.op_id))
    stored = here.store("backup_verifier").get(batch.copy, batch.version)
    assert stored.startswith(b"age-encryption.org/v1")
    assert b"customer" not in stored
    with pytest.raises(ConfigurationError, match="lacks the right"):
        here.store("backup_writer").get(batch.copy, batch.version)


def test_a_recovery_of_the_database_and_a_removal_exclude_each_other(here: Scene) -> None:
    filled(here.valkey, KEYS, 9)
    before, its = here.contents(), here.approved(here.removal())
    recovery = Wanted(resource="database/orchestrator", mode=Mode.RESTORE, op_id=str(uuid4()), holder="a recovery")
    with (
        leases.keep(leases.acquire(here.runner, recovery)),
        pytest.raises(RefusedError, match="is held: restore by a rec"),
    ):
        here.act(its)
    assert here.contents() == before


def test_an_order_to_stop_holds_between_two_batches_and_the_rest_goes_later(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(here.valkey, KEYS, 10)
    before, its = here.contents(), here.approved(here.removal())
    whole, calls = Keeper.keep, iter((False, True))

    def keep(self: Keeper, key: str, copies: Any) -> str:
        if next(calls):
            here.runner.ask("order_stop", "look at this first", "a person")
        return whole(self, key, copies)

    with monkeypatch.context() as patched:
        patched.setattr(Keeper, "keep", keep)
        with pytest.raises(HeldBackError, match="look at this first"):
            here.act(its)
    one_batch = len(before.keys() - here.contents().keys())
    assert 0 < one_batch < len(expected(before))
    here.runner.ask("lift_stop", "a person")
    assert here.act(its)["removed"] == len(expected(before))


def test_a_replica_is_refused(here: Scene) -> None:
    with served(here.valkey) as replica:
        its = here.removal()
        there = Removal(request=its.request, redis=lambda: replica.client(REMOVER), chosen=its.chosen)
        with pytest.raises(RefusedError, match="leads to a replica"):
            there.plan()


def test_another_process_than_the_approved_one_is_left_alone(here: Scene) -> None:
    here.valkey.client().set("cache:a:1", "x")
    its = here.approved(here.removal())
    with served() as other, other.client() as admin:
        admin.set("cache:a:1", "x")
        with pytest.raises(RefusedError, match=r"must not be carried out: .*plan"):
            here.act(Removal(request=its.request, redis=lambda: other.client(REMOVER), chosen=its.chosen))
        assert admin.exists("cache:a:1")


def test_bug_60_bug_62_it_sends_what_its_user_may_and_that_is_all_that_it_may(here: Scene) -> None:
    filled(here.valkey, KEYS, 11)
    its = here.removal(which=Which.ALL)
    with watched(here.valkey) as seen:
        gate.store(here.runner, its.plan(), requester="alice", people=2)
        stored = gate.newest(here.runner, its.request.op_id)
        gate.approve(here.approver, stored.id, person="bob", reason=WHY, answered_at=datetime.now(UTC))
        here.act(its)
        here.undo(its)
    assert commands(seen) == granted(REMOVER) - UNUSED
    with here.valkey.client() as admin:
        assert admin.acl_log() == []


@pytest.mark.parametrize(
    "command",
    [
        ("DEL", "cache:a"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("GET", "cache:a"),
        ("UNLINK", "queue:workflows"),
        ("UNLINK", "session:1"),
        ("DUMP", "session:1"),
        ("RESTORE", "queue:x", "0", "x"),
        ("EVAL", "return 1", "0"),
    ],
)
def test_its_user_may_not(here: Scene, command: tuple[str, ...]) -> None:
    with here.valkey.client(REMOVER) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command)
