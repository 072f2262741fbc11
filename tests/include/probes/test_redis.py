from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from redis import Redis

from include.errors import ConfigurationError, TransientError
from include.probes.redis import enqueued_at, explained, queue, server
from sandbox.site import Site


@pytest.mark.parametrize(
    ("item", "moment"),
    [
        (None, None),
        (b'{"execution_id": 7, "enqueued_at": "2026-03-02T08:00:00+00:00"}', datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ('{"execution_id": 7, "enqueued_at": "2026-03-02T08:00:00"}', datetime(2026, 3, 2, 8, tzinfo=UTC)),
    ],
)
def test_an_item_says_since_when_it_waits(item: bytes | str | None, moment: datetime | None) -> None:
    assert enqueued_at(item) == moment


@pytest.mark.parametrize("item", [b"not json", b"{}", b"[1]", b'{"enqueued_at": "yesterday"}', b'{"enqueued_at": 7}'])
def test_an_item_of_another_form_names_the_setting(item: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.queue"):
        enqueued_at(item)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.AuthenticationError("invalid username-password pair"), ConfigurationError),
        (redis.exceptions.NoPermissionError("no permissions to run the 'llen' command"), ConfigurationError),
        (redis.ResponseError("WRONGTYPE Operation against a key"), ConfigurationError),
        (redis.ResponseError("NOAUTH Authentication required."), ConfigurationError),
        (redis.exceptions.BusyLoadingError("Redis is loading"), TransientError),
        (redis.ConnectionError("refused"), TransientError),
        (redis.TimeoutError("timeout"), TransientError),
        (ConnectionResetError("reset"), TransientError),
    ],
)
def test_an_error_says_whether_it_may_succeed_in_a_minute(error: Exception, kind: type[Exception]) -> None:
    def fail() -> Any:
        raise error

    with pytest.raises(kind):
        explained(fail)


@pytest.mark.integration
class TestOnARealServer:
    @pytest.fixture
    def client(self, site: Site) -> Redis:
        password = site.secret("redis-ops_health")
        return Redis(port=site.ports["valkey"], username="ops_health", password=password)

    def test_it_says_how_it_is(self, client: Redis) -> None:
        found = server(client)
        assert found.info["role"] == "master"
        assert found.keys > 0

    def test_the_queue_has_a_depth_and_a_head(self, client: Redis) -> None:
        found = queue(client, "queue:workflows")
        assert (found.depth == 0) == (found.oldest_at is None)
