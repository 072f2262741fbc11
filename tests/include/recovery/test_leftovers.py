"""Redis after a recovery: what the restored database does not know is set aside, and comes back if the swap is undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis.exceptions
from redis import Redis

from include.errors import ConfigurationError, RefusedError, TransientError
from include.recovery.leftovers import Tidied, counts, drop, executions, explained, foreign, put_back, tidy
from include.settings import RecoveryLimits
from sandbox.components import valkey
from sandbox.components.postgres import connect
from sandbox.site import Site
from tests.proof import Proof

# What the application itself uses is not touched here: other tests share it.
LIMITS = RecoveryLimits(queues=("queue:tidied",), caches=("cache:tidied:",), sessions=("session:tidied:",))
QUEUE = "queue:tidied"
MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC)


def item(execution_id: int) -> str:
    """What the application puts into the queue; the higher the id the later."""
    return json.dumps(
        {"execution_id": execution_id, "enqueued_at": f"{MORNING + timedelta(seconds=execution_id):%FT%TZ}"}
    )


def below(limit: int) -> Callable[[Sequence[int]], Collection[int]]:
    """A database that was restored to the moment before this execution."""
    return lambda ids: {number for number in ids if number < limit}


@pytest.mark.parametrize(
    ("items", "known", "moved"),
    [
        ([], set(), []),
        ([item(7)], {7}, []),
        ([item(9), item(8), item(7)], {7, 8}, [item(9)]),
        ([item(9), item(9)], {7}, [item(9), item(9)]),
        (["no json", "{}", '{"execution_id": "7"}', '{"execution_id": true}', "[7]"], {1, 7}, None),
    ],
)
def test_bug_34_only_items_of_known_executions_stay(items: list[str], known: set[int], moved: list[str] | None) -> None:
    assert foreign(items, known) == (items if moved is None else moved)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.exceptions.NoPermissionError("no permissions"), ConfigurationError),
        (redis.exceptions.AuthenticationError("wrong password"), ConfigurationError),
        (redis.exceptions.BusyLoadingError("loading"), TransientError),
        (redis.exceptions.ResponseError("OOM command not allowed"), TransientError),
        (ConnectionResetError("reset"), TransientError),
        (RefusedError("ours"), RefusedError),
    ],
)
def test_an_error_says_whether_it_may_succeed_in_a_minute(error: Exception, kind: type[Exception]) -> None:
    def fail() -> Any:
        raise error

    with pytest.raises(kind):
        explained(fail)


@pytest.fixture
def app(site: Site) -> Iterator[Redis]:
    """The application, which fills what is tidied."""
    with valkey.client(site, "admin") as found:
        yield found
        for family in ("queue", "cache", "session"):
            for pattern in (f"{family}:tidied*", f"recovery:*:{family}:tidied*"):
                if keys := list(found.scan_iter(pattern, count=1000)):
                    found.unlink(*keys)


@pytest.fixture
def ours(site: Site) -> Iterator[Redis]:
    with valkey.client(site, "ops_recover") as found:
        yield found


@pytest.fixture
def op_id() -> str:
    return str(uuid4())


def fill(app: Redis, *, items: int = 10, keys: int = 20) -> None:
    """Items 1 to n, the newest on the left, and as many sessions and cached things as told."""
    with app.pipeline() as pipeline:
        for number in range(1, items + 1):
            pipeline.lpush(QUEUE, item(number))
        for number in range(keys):
            pipeline.set(f"session:tidied:{number}", f"user {number}", ex=600 + number)
            pipeline.set(f"cache:tidied:{number}", "x" * 100, ex=600)
        pipeline.execute()


def whole(app: Redis) -> dict[str, Any]:
    """Everything that the application has of it."""
    sessions = {key: app.get(key) for key in app.scan_iter("session:tidied:*", count=1000)}
    return {QUEUE: app.lrange(QUEUE, 0, -1), **sessions}


@pytest.mark.integration
def test_bug_34_what_is_newer_than_the_restored_point_is_set_aside(app: Redis, ours: Redis, op_id: str) -> None:
    fill(app)
    before = app.dbsize()
    expected = Tidied(kept=6, parked=4, sessions=20, caches=20)
    assert counts(ours, LIMITS, below(7)) == expected
    assert app.dbsize() == before
    assert tidy(ours, LIMITS, below(7), op_id=op_id) == expected
    assert app.lrange(QUEUE, 0, -1) == [item(number) for number in range(6, 0, -1)]
    assert app.lrange(f"recovery:{op_id[:8]}:{QUEUE}", 0, -1) == [item(number) for number in range(10, 6, -1)]
    assert list(app.scan_iter("cache:tidied:*")) == list(app.scan_iter("session:tidied:*")) == []
    assert 600 < int(str(app.ttl(f"recovery:{op_id[:8]}:session:tidied:19"))) <= 619
    assert tidy(ours, LIMITS, below(7), op_id=op_id) == Tidied(kept=6)


@pytest.mark.integration
def test_bug_34_it_all_comes_back_when_the_swap_is_undone(app: Redis, ours: Redis, op_id: str) -> None:
    fill(app)
    before = whole(app)
    tidy(ours, LIMITS, below(7), op_id=op_id)
    app.set("cache:tidied:meanwhile", "of the database that is swapped away again")
    assert put_back(ours, LIMITS, op_id=op_id) == Tidied(parked=4, sessions=20, caches=1)
    assert whole(app) == before
    assert put_back(ours, LIMITS, op_id=op_id) == Tidied()


@pytest.mark.integration
def test_what_was_set_aside_can_be_dropped_and_nothing_else(app: Redis, ours: Redis, op_id: str) -> None:
    fill(app)
    tidy(ours, LIMITS, below(7), op_id=op_id)
    assert drop(ours, LIMITS, op_id=str(uuid4())) == 0
    assert drop(ours, LIMITS, op_id=op_id) == 1
    assert app.llen(QUEUE) == 6


@pytest.mark.integration
def test_a_queue_that_somebody_still_writes_to_is_refused_and_left(app: Redis, ours: Redis, op_id: str) -> None:
    fill(app, keys=0)

    def meanwhile(ids: Sequence[int]) -> Collection[int]:
        app.lrem(QUEUE, 1, item(9))  # a worker took it
        return below(7)(ids)

    with pytest.raises(RefusedError, match="1 of its items are gone while queue:tidied was tidied"):
        tidy(ours, LIMITS, meanwhile, op_id=op_id)
    assert app.llen(QUEUE) == 9
    assert app.exists(f"recovery:{op_id[:8]}:{QUEUE}") == 0


@pytest.mark.integration
def test_a_client_that_answers_in_bytes_is_refused(site: Site, op_id: str) -> None:
    login = {"username": "ops_recover", "password": site.secret("redis-ops_recover")}
    with (
        Redis(port=site.ports["valkey"], **login) as raw,  # type: ignore[arg-type]
        pytest.raises(ConfigurationError, match="decode_responses"),
    ):
        tidy(raw, LIMITS, below(7), op_id=op_id)


@pytest.mark.integration
def test_the_database_says_which_executions_it_has(site: Site) -> None:
    with connect(site, "orchestrator_app", "orchestrator") as connection:
        row = connection.execute("select min(id), max(id) from workflow_executions").fetchone()
        assert row
        assert executions(connection, [row[0], row[1], row[1] + 1_000_000, 2**70]) == {row[0], row[1]}
        assert executions(connection, []) == set()


@pytest.mark.integration
@pytest.mark.proof
def test_bug_34_stopped_between_any_two_batches_nothing_is_lost_or_doubled(
    app: Redis, ours: Redis, proof: Proof
) -> None:
    n = proof.n(small=4, full=60)
    held = sum(_interrupted(app, ours, proof.random.randrange(0, 5), proof.random.randrange(1, 1200)) for _ in range(n))
    proof.held(
        "tidied, stopped before any batch, tidied again and put back: every item and session once", n=n, held=held
    )


def _interrupted(app: Redis, ours: Redis, at: int, limit: int) -> bool:
    fill(app, items=1200, keys=600)
    before, op_id = whole(app), str(uuid4())
    steps = iter(range(at))

    def stop(effect: str) -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tidy(ours, LIMITS, below(limit), op_id=op_id, before=stop)
    tidy(ours, LIMITS, below(limit), op_id=op_id)
    parted = app.llen(QUEUE) == limit - 1 and app.llen(f"recovery:{op_id[:8]}:{QUEUE}") == 1201 - limit
    put_back(ours, LIMITS, op_id=op_id)
    same = whole(app) == before
    app.unlink(QUEUE)
    return parted and same
