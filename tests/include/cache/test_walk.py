"""Walking over keys of odd names: within its budget, with the answers of a full walk, and without being in anybody's way."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest

from include.cache.names import RARE, family
from include.cache.tally import Line, lines, merged, together
from include.cache.walk import Walked, walk
from include.cache.wire import Wire
from include.checks.keys import judge_walk, table
from include.errors import ConfigurationError, TransientError
from include.findings import Finding, Severity
from include.settings import CacheLimits
from tests.include.cache.servers import READER, REMOVER, Server, commands, filled, granted, pair, served, watched
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

QUICK = CacheLimits(busy_percent=50)
SMALL = 3_000
COUNTING = {"LLEN", "HLEN", "SCARD", "ZCARD"}


@pytest.fixture(scope="module")
def many() -> Iterator[Server]:
    with served() as running:
        filled(running, SMALL, 20)
        running.client().acl_log_reset()
        yield running


def walked(
    server: Server, limits: CacheLimits = QUICK, *, budget_s: float = 300, seed: int = 1, began: int = 0
) -> Walked:
    with server.client(READER) as client, Wire(client, "connections.cache_reader") as wire:
        return walk(wire, limits, budget_s=budget_s, seed=seed, began=began)


def estimated(of: Walked) -> Mapping[str, Line]:
    found = lines(merged(of.tally.families, QUICK.named_from_keys), seen=of.tally.seen, keys=of.keys, whole=of.whole)
    return {line.family: line for line in found}


def truth(server: Server) -> Mapping[str, tuple[int, int, int]]:
    """Keys, bytes and keys without a lifetime of each family, by looking at every key with other calls."""
    found: dict[str, tuple[int, int, int]] = {}
    with server.client() as admin:
        names = list(admin.scan_iter(count=1000))
        for start in range(0, len(names), 1000):
            part = names[start : start + 1000]
            with admin.pipeline(transaction=False) as pipeline:
                for name in part:
                    pipeline.memory_usage(name, samples=5)
                    pipeline.pttl(name)
                answers = iter(pipeline.execute())
            for name, size, ttl in zip(part, answers, answers, strict=True):
                keys, total, forever = found.get(family(name), (0, 0, 0))
                found[family(name)] = (keys + 1, total + size, forever + (ttl == -1))
    return found


def test_all_keys_measured_are_what_every_key_says(many: Server) -> None:
    of = walked(many)
    assert of.whole
    found = {name: (line.keys.value, line.bytes.value, line.forever.value) for name, line in estimated(of).items()}
    assert found == {name: tuple(map(float, each)) for name, each in truth(many).items()}


def test_bug_66_the_largest_are_ranked_by_bytes_and_not_by_elements(many: Server) -> None:
    with many.client() as admin:
        admin.set("cache:report:large", "x" * 2_000_000)
        admin.rpush("cache:report:long", *range(20_000))
        try:
            limits = CacheLimits(busy_percent=50, big_key_bytes=1_500_000, big_key_elements=1_000_000)
            (said,) = [each for each in judged(walked(many, limits), limits) if each.check == "largest_keys"]
        finally:
            admin.delete("cache:report:large", "cache:report:long")
    assert said.severity is Severity.WARNING
    assert [big["kind"] for big in said.evidence["largest"][:2]] == ["string", "list"]
    assert said.summary.startswith("1 keys are larger than 1.5 MB")
    assert "large" not in str(said.evidence["largest"])


def test_many_elements_are_large_however_few_bytes_they_take(many: Server) -> None:
    limits = CacheLimits(busy_percent=50, big_key_elements=200_000)
    with many.client() as admin:
        admin.rpush("cache:report:long", *["1"] * 300_000)
        try:
            found = [each for each in judged(walked(many, limits), limits) if each.check == "largest_keys"]
        finally:
            admin.delete("cache:report:long")
    assert found[0].summary.startswith("1 keys are larger than 10.5 MB or 200000 elements: ")
    assert found[0].evidence["largest"][0]["elements"] == 300_000


def judged(of: Walked, limits: CacheLimits = QUICK) -> list[Finding]:
    return list(judge_walk(of, limits, node="node:1", run_id="a" * 40))


def test_keys_without_a_lifetime_are_named_by_prefix_and_only_in_caches(many: Server) -> None:
    found = {each.subject: each for each in judged(walked(many)) if each.check == "no_lifetime"}
    assert found.keys() == {f"prefix/cache:{name}:" for name in ("report", "user", "template")}
    (keys, _, forever) = truth(many)["cache:report:"]
    assert found["prefix/cache:report:"].summary.startswith(
        f"{forever} (± 0) of {keys} keys below cache:report: never run out"
    )


def test_no_name_reaches_a_message_or_the_evidence(many: Server) -> None:
    with many.client() as admin:
        names = [name.rpartition(b":")[2] for name in admin.scan_iter(count=1000)]
    of = walked(many)
    told = f"{judged(of)} {table(of, QUICK)}".encode()
    assert [name for name in names if len(name) > 4 and name in told] == []


def test_time_that_is_up_leaves_a_part_with_its_error_and_the_next_walk_goes_on(many: Server) -> None:
    slow = CacheLimits(busy_percent=5, batch_keys=50)
    first = walked(many, slow, budget_s=0.3)
    assert 0 < first.tally.seen < SMALL
    assert not first.whole
    assert first.cursor != 0
    assert first.seconds < 5
    (said,) = [each for each in judged(first) if each.check == "key_patterns"]
    assert said.severity is Severity.INFO
    assert "% of the names, the next run goes on there" in said.summary
    assert int(said.evidence["cursor"]) == first.cursor
    rest = walked(many, began=first.cursor)
    assert rest.cursor == 0
    assert first.tally.seen + rest.tally.seen >= SMALL


def test_nothing_there_is_unknown() -> None:
    with served() as empty:
        of = walked(empty)
    (said,) = [each for each in judged(of) if each.check == "key_patterns"]
    assert said.severity is Severity.UNKNOWN


def test_a_server_that_goes_away_is_said_so() -> None:
    with served() as leaving:
        filled(leaving, 500, 1)
        with leaving.client(READER) as client, Wire(client, "connections.cache_reader") as wire:
            leaving.process.kill()
            leaving.process.wait()
            with pytest.raises(TransientError, match="Redis did not answer"):
                walk(wire, QUICK, budget_s=10, seed=1)


def test_a_login_that_may_not_look_is_said_so(many: Server) -> None:
    with many.client(REMOVER) as client, Wire(client, "connections.cache_reader") as wire:
        with pytest.raises(ConfigurationError, match=r"check the Connection in connections\.cache_reader"):
            wire.one("TYPE", "cache:report:1")
        assert wire.answers([("PTTL", "cache:report:1")])  # it is of further use
        many.client().acl_log_reset()


def test_bug_59_bug_66_the_walk_sends_what_its_user_may_and_changes_nothing(many: Server) -> None:
    with many.client() as admin:
        admin.rpush("cache:report:list", *range(9_000))
        admin.sadd("cache:report:set", *range(9_000))
        admin.zadd("cache:report:zset", {f"{n}": n for n in range(9_000)})
        admin.hset("cache:report:hash", mapping={f"{n}": "x" for n in range(9_000)})
        before = admin.info("persistence")["rdb_changes_since_last_save"]
        with watched(many) as seen:
            of = walked(many)
        after = admin.info("persistence")["rdb_changes_since_last_save"]
        admin.delete(*(f"cache:report:{kind}" for kind in ("list", "set", "zset", "hash")))
        assert admin.acl_log() == []
    assert of.whole
    assert before == after
    assert commands(seen) == {"HELLO", "CLIENT SETINFO", "DBSIZE", "SCAN", "TYPE", "PTTL", "MEMORY USAGE"} | COUNTING
    assert granted(READER) - commands(seen) == {
        "PING",
        "AUTH",
        "CLIENT SETNAME",
        "CLIENT ID",
        "INFO",
        "MEMORY DOCTOR",
        "XLEN",
    }


# --- the proof ------------------------------------------------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_a_walk_over_odd_names_says_what_a_full_walk_says_and_keeps_nobody_waiting(proof: Proof) -> None:
    keys, rounds, cut = proof.n(small=20_000, full=1_000_000), 2, proof.n(small=3, full=8)
    quick: dict[str, Any] = {} if proof.full else {"busy_percent": 50}
    limits = CacheLimits(sample_keys=max(1000, keys // 10), **quick)
    with pair() as (primary, replica):
        filled(primary, keys, proof.seed)
        caught_up(primary, replica)
        whole = truth(replica)
        tried = [_tried(replica, limits, proof.seed + number, whole) for number in range(rounds)]
        parts = [_tried(replica, limits, proof.seed + n, whole, budget_s=tried[0][1] / 4) for n in range(cut)]
        with apart(primary, replica) as core:
            waits = _waits(primary, limits, core, windows=proof.n(small=2, full=12))
    held, n = sum(each for each, _, _ in tried + parts), sum(each for _, _, each in tried + parts)
    figures = {"keys": keys, "walk_s": round(median(seconds for _, seconds, _ in tried), 1), "wrong": n - held, **waits}
    if proof.full:
        assert waits["p99_over_quiet"] <= 1.1
    within = held >= n - max(1, n // 100)  # of statements that hold 99 times in 100
    what = "within its budget, what is exact is exact, and the truth within the error of the rest 99 times in 100"
    proof.held(what, n=n, held=n if within else held, **figures)


def _tried(
    server: Server, limits: CacheLimits, seed: int, whole: Mapping[str, tuple[int, int, int]], budget_s: float = 0.0
) -> tuple[int, float, int]:
    """One walk, whole or cut off: how many of its statements hold, how long it took, and how many there are."""
    of = walked(server, limits, budget_s=budget_s or limits.budget_s, seed=seed)
    assert of.whole or budget_s, "the budget was too small for all of it"
    checks = [of.seconds <= (budget_s or limits.budget_s) + 1.0]
    found = estimated(of)
    rare = tuple(
        sum(part) for part in zip((0, 0, 0), *(whole[name] for name in whole.keys() - found.keys()), strict=True)
    )
    for name, line in found.items():
        count, size, forever = rare if name == RARE else whole[name]
        checks += [line.keys.holds(count), line.bytes.holds(size), line.forever.holds(forever)]
        assert not of.whole or (line.keys.value, line.bytes.value) == (count, size)
    pooled = together(of.tally.families, seen=of.tally.seen, keys=of.keys, whole=of.whole)
    checks.append(pooled.bytes.holds(sum(size for _, size, _ in whole.values())))
    return sum(checks), of.seconds, len(checks)


def caught_up(primary: Server, replica: Server) -> None:
    with primary.client() as one:
        assert one.wait(1, 60_000) == 1


@contextmanager
def apart(*servers: Server) -> Iterator[set[int]]:
    """Yield a core that neither this client nor the servers use: a walk comes from another machine and takes no core from them."""
    cores = os.sched_getaffinity(0)
    core = {min(cores)}
    rest = cores - core or cores
    threads = [int(each.name) for of in servers for each in Path(f"/proc/{of.process.pid}/task").iterdir()]
    for thread in (0, *threads):
        os.sched_setaffinity(thread, rest)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, cores)


def _waits(primary: Server, limits: CacheLimits, core: set[int], windows: int) -> dict[str, float]:
    """99th percentile of a client at a fixed rate on the node that is walked over, quiet and busy in turn: median of the ratios."""
    second, fork = 2.0 if windows > 2 else 0.5, multiprocessing.get_context("fork")
    quiet_before, busy, quiet_after = [], [], []
    for _ in range(windows):
        quiet_before.append(_p99(primary, second))
        over = fork.Event()
        walking = fork.Process(target=_walk_until, args=(primary, limits, core, over))
        walking.start()
        busy.append(_p99(primary, second))
        over.set()
        walking.join()
        quiet_after.append(_p99(primary, second))
    around = [(before + after) / 2 for before, after in zip(quiet_before, quiet_after, strict=True)]
    ratios = [each / quiet for each, quiet in zip(busy, around, strict=True)]
    noise = [after / before for before, after in zip(quiet_before, quiet_after, strict=True)]
    return {
        "p99_over_quiet": round(median(ratios), 3),
        "quiet_over_quiet": round(median(noise), 3),
        "quiet_p99_ms": round(1000 * median(around), 3),
    }


def _walk_until(server: Server, limits: CacheLimits, core: set[int], over: Event) -> None:
    os.sched_setaffinity(0, core)
    while not over.is_set():
        walked(server, limits, budget_s=0.5)


def _p99(server: Server, seconds: float) -> float:
    """The application's own client in this process: 500 questions a second, and one that is late waits from its time on."""
    times, until = [], time.monotonic() + seconds
    with server.client("orchestrator_app") as redis:
        due = time.monotonic()
        while due < until:
            due += 0.002
            time.sleep(max(0.0, due - time.monotonic()))
            redis.get("cache:report:1")
            times.append(time.monotonic() - due)
    return quantiles(times, n=100)[98]
