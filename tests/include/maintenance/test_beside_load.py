"""The application does not notice: its statements beside the maintenance, against the same load in the quiet of the same run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, pairwise
from statistics import median
from threading import Event, Thread

import pytest

from include.maintenance.work import Worker
from include.plans.maintenance import Step, Verb, rest_s
from include.settings import MaintenanceLimits
from sandbox.components.postgres import dsn
from tests.include.maintenance.load import Load, Offered
from tests.include.maintenance.scene import Scene, limits
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

ROWS = 200_000
SHARE_OF_CAPACITY = 0.2
RATE_MAX = 200.0
NOTICED = 1.25


@pytest.fixture
def load(here: Scene) -> Iterator[Load]:
    here.sql(
        "create table big (id bigint primary key, tag text not null)",
        f"insert into big select i, md5(i::text) from generate_series(0, {ROWS}) as i",
        "create index big_tag_idx on big (tag)",
        "vacuum (analyze) big",
        "alter table big owner to orchestrator_owner",
        "grant usage on schema public to orchestrator_app",
        "grant select, insert, update on big to orchestrator_app",
    )
    made = Load(dsn(here.site, "orchestrator_app", here.database), ROWS)
    yield made
    made.close()


def steps(here: Scene) -> list[Step]:
    """Vacuum, statistics, both indexes: all of it whether it is needed or not."""
    found = dict(here.sql("select relname, oid::bigint from pg_class where relname like 'big%'"))
    verbs = {"big": (Verb.VACUUM, Verb.ANALYZE), "big_pkey": (Verb.REINDEX,), "big_tag_idx": (Verb.REINDEX,)}
    return [
        Step(verb=verb, oid=found[name], schema="public", name=name, why="the test", bytes=0)
        for name in verbs
        for verb in verbs[name]
    ]


@contextmanager
def maintained(here: Scene, done: list[str]) -> Iterator[None]:
    """Maintain for as long as it takes, with the rests of the usual settings."""
    over, usual = Event(), limits(progress_s=1, busy_percent=MaintenanceLimits().busy_percent)
    worker = Worker(
        login=here.login,
        limits=usual,
        application=f"maintenance {uuid.uuid4()}",
        guard=lambda: None,
        until=time.monotonic() + 3600,
    )

    def work() -> None:
        for step in cycle(steps(here)):
            if over.is_set():
                return
            began = time.monotonic()
            worker.do(step)
            done.append(step.key)
            over.wait(rest_s(step.verb, time.monotonic() - began, usual))

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.proof
def test_bug_44_the_application_does_not_notice_the_maintenance(here: Scene, load: Load, proof: Proof) -> None:
    pairs, seconds = proof.n(small=1, full=12), 12.0 if proof.full else 1.5  # a turn of all steps with their rests
    free = load.offered(0, seconds / 2, proof.seed)
    capacity = len(free.waits_s) / free.seconds
    rate = min(SHARE_OF_CAPACITY * capacity, RATE_MAX)
    quiet, busy, done = [load.offered(rate, seconds, proof.seed + 1)], [], list[str]()
    for number in range(pairs):
        with maintained(here, done):
            busy.append(load.offered(rate, seconds, proof.seed + 2 * number))
        quiet.append(load.offered(rate, seconds, proof.seed + 2 * number + 1))
    told = figures(quiet, busy)
    print(f"{rate:.0f} of {capacity:.0f} statements/s, {len(done)} steps: {told}")  # noqa: T201 - shown with -s
    assert [each for offered in (*quiet, *busy) for each in offered.errors] == []
    assert len(done) >= pairs
    assert told["longest_wait_s"] <= here.limits.lock_timeout_s
    assert here.invalid == []
    if proof.full:
        what = "p99 of the application's statements beside the maintenance / quiet p99 ≤ 1.25, longest wait ≤ lock time-out"
        proof.held(what, n=1, held=told["p99_over_quiet"] <= NOTICED, **told, rate=round(rate), steps=len(done))


def figures(quiet: list[Offered], busy: list[Offered]) -> dict[str, float]:
    """Medians over the windows: each busy one against the quiet ones beside it."""
    ratios = [
        each.p99_s / ((before.p99_s + after.p99_s) / 2)
        for each, (before, after) in zip(busy, pairwise(quiet), strict=True)
    ]
    return {
        "p99_over_quiet": round(median(ratios), 3),
        "quiet_over_quiet": round(median(after.p99_s / before.p99_s for before, after in pairwise(quiet)), 3),
        "quiet_p99_ms": round(1000 * median(each.p99_s for each in quiet), 2),
        "busy_p99_ms": round(1000 * median(each.p99_s for each in busy), 2),
        "longest_wait_s": round(max(max(each.waits_s) for each in busy), 3),
        "windows": len(busy),
    }
