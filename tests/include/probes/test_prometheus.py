from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from include.errors import ConfigurationError, TransientError
from include.probes.prometheus import Prometheus

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
QUERY = 'sum by (le) (rate(http_request_duration_seconds_bucket{namespace="ns"}[5m]))'


def prometheus(answer: Callable[[httpx.Request], httpx.Response]) -> Prometheus:
    return Prometheus(httpx.Client(base_url="http://prometheus:9090/prefix", transport=httpx.MockTransport(answer)))


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"service": "api"}, "value": [NOW.timestamp(), value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_bug_68_a_query_travels_as_a_form_body_and_arrives_whole() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=vector("3"))

    assert prometheus(answer).instant(QUERY, NOW).total == 3
    (request,) = seen
    assert (request.method, request.url.path, request.url.query) == ("POST", "/prefix/api/v1/query", b"")
    assert parse_qs(request.content.decode())["query"] == [QUERY]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(400, json={"status": "error", "error": "parse error"}), ConfigurationError),
        (httpx.Response(401, text="no"), ConfigurationError),
        (httpx.Response(403, text="no"), ConfigurationError),
        (httpx.Response(404, text="no"), ConfigurationError),
        (httpx.Response(429, text="later"), TransientError),
        (httpx.Response(503, json={"status": "error", "error": "query timed out"}), TransientError),
        (httpx.Response(200, json={"status": "error", "error": "too many samples"}), TransientError),
        (httpx.Response(200, text="<html>welcome</html>"), ConfigurationError),
        (httpx.Response(200, json={"hello": "world"}), ConfigurationError),
        (httpx.Response(200, json=["hello"]), ConfigurationError),
    ],
)
def test_bug_68_whatever_is_no_success_is_an_error_and_never_silence(
    response: httpx.Response, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        prometheus(lambda request: response).instant(QUERY, NOW)


def test_a_server_that_is_gone_is_transient_and_named() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(TransientError, match="Prometheus did not answer POST api/v1/query: ConnectError"):
        prometheus(refuse).instant(QUERY, NOW)


def test_an_empty_vector_has_no_series() -> None:
    assert not prometheus(lambda request: httpx.Response(200, json=vector())).instant(QUERY, NOW).series


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_number_is_no_data(odd: str) -> None:
    assert not prometheus(lambda request: httpx.Response(200, json=vector(odd))).instant(QUERY, NOW).series


def test_a_range_keeps_its_points_in_order() -> None:
    values = [[NOW.timestamp(), "1"], [NOW.timestamp() + 60, "NaN"], [NOW.timestamp() + 120, "3"]]
    body = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    found = prometheus(lambda request: httpx.Response(200, json=body)).range(
        QUERY, start=NOW - timedelta(hours=1), end=NOW, step_s=60
    )
    assert [value for _, value in found.series[0].points] == [1, 3]
