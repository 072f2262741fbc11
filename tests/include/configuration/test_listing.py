"""Listing, when the API server answers 403, 410 or 429 in the middle: named, begun again, waited for; never half a list."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes import client

from include.configuration import listing
from include.configuration.listing import Lister, PatientReader
from include.errors import ConfigurationError, RunbookError, TransientError
from include.probes.kubernetes import ApiReader, ExpiredListError, Json, LaterError, refusal

SERVED: Mapping[str, Json] = {
    "/version": {"gitVersion": "v1.36.3"},
    "/api/v1/namespaces/kube-system": {"metadata": {"uid": "u-1"}},
    "/api/v1/namespaces/shop": {"metadata": {"name": "shop"}},
    "/apis": {"groups": [{"name": "apps", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}]},
    "/api/v1": {
        "resources": [
            {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": ["get", "list", "create"]},
            {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get", "list", "create"]},
            {"name": "secrets/status", "kind": "Secret", "namespaced": True, "verbs": ["get", "list", "create"]},
            {"name": "readings", "kind": "Reading", "namespaced": True, "verbs": ["get", "list"]},
            {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
            {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["list", "create"]},
            {"name": "events", "kind": "Event", "namespaced": True, "verbs": ["list", "create"]},
        ]
    },
    "/apis/apps/v1": {
        "resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list", "create"]}]
    },
}
MAPS, SECRETS = "/api/v1/namespaces/shop/configmaps", "/api/v1/namespaces/shop/secrets"
N = 7


class Server:
    """An API server with seven config maps, whose every answer can be another one.

    :param odd: what an answer is, by how often that path was asked before; None answers as usual.
    """

    def __init__(self, odd: Callable[[str, int], RunbookError | None] = lambda *_: None) -> None:
        self.odd = odd
        self.asked: list[str] = []

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        before = self.asked.count(path)
        self.asked.append(path)
        if error := self.odd(path, before):
            raise error
        if path in SERVED:
            return SERVED[path]
        return self._page(path, query)

    def _page(self, path: str, query: Mapping[str, str | int]) -> Json:
        names = [f"{number}" for number in range(N)] if path == MAPS else []
        first = int(query.get("continue", 0))
        last = first + int(query["limit"])
        items = [{"metadata": {"name": name, "namespace": "shop"}} for name in names[first:last]]
        return {"items": items, "metadata": {"continue": f"{last}"} if last < len(names) else {}}


def looked(odd: Callable[[str, int], RunbookError | None] = lambda *_: None) -> tuple[listing.Seen, Server]:
    server = Server(odd)
    patient = PatientReader(server, sleep=lambda _: None)
    return Lister(reader=patient, namespace="shop", page_size=3).look(), server


def names(seen: listing.Seen) -> list[str]:
    return [thing["metadata"]["name"] for thing in seen.objects if thing["kind"] == "ConfigMap"]


def test_a_list_is_read_in_pages_and_what_is_no_configuration_is_not_asked_for() -> None:
    seen, server = looked()
    assert names(seen) == [f"{number}" for number in range(N)]
    assert server.asked.count(MAPS) == 3
    inside = {path for path in server.asked if "/namespaces/shop/" in path}
    assert inside == {MAPS, SECRETS, "/apis/apps/v1/namespaces/shop/deployments"}


def test_bug_22_a_refused_kind_is_named_and_is_not_an_empty_one() -> None:
    seen, _ = looked(lambda path, _: refusal(403, path, "") if path == SECRETS else None)
    unread = {kind.name: kind.unread for kind in seen.kinds if kind.unread}
    assert unread == {
        "secrets": f"the Kubernetes API forbids the service account of the Connection to read {SECRETS} (403)"
    }
    assert len(names(seen)) == N


def test_bug_22_a_kind_that_is_refused_in_the_middle_of_its_list_is_unknown_as_a_whole() -> None:
    seen, _ = looked(lambda path, before: refusal(403, path, "") if (path, before) == (MAPS, 1) else None)
    assert names(seen) == []
    assert [kind.name for kind in seen.kinds if kind.unread] == ["configmaps"]


def test_a_list_that_expires_in_the_middle_is_begun_again_and_nothing_is_in_it_twice() -> None:
    seen, server = looked(lambda path, before: refusal(410, path, "") if (path, before) == (MAPS, 2) else None)
    assert names(seen) == [f"{number}" for number in range(N)]
    assert server.asked.count(MAPS) == 3 + 3


def test_a_list_that_always_expires_is_one_sentence_and_no_backup() -> None:
    with pytest.raises(ExpiredListError, match="410: the list expired while it was read"):
        looked(lambda path, before: refusal(410, path, "") if path == MAPS and before % 2 else None)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_for_the_same_page(status: int) -> None:
    seen, server = looked(lambda path, before: refusal(status, path, "") if (path, before) == (MAPS, 1) else None)
    assert names(seen) == [f"{number}" for number in range(N)]
    assert server.asked.count(MAPS) == 4


def test_a_server_that_stays_busy_is_one_sentence_and_no_backup() -> None:
    with pytest.raises(LaterError, match=f"answered GET {MAPS} with 429"):
        looked(lambda path, _: refusal(429, path, "Too Many Requests") if path == MAPS else None)


def test_the_pause_that_the_server_asks_for_is_kept_and_too_long_a_one_is_not_waited_for() -> None:
    slept: list[float] = []
    server = Server(lambda path, before: refusal(429, path, "", 7) if before < 2 else None)
    PatientReader(server, patience_s=20, sleep=slept.append).get("/version", {})
    assert slept == [7, 7]
    with pytest.raises(LaterError):
        PatientReader(Server(lambda path, _: refusal(429, path, "", 99)), patience_s=20, sleep=slept.append).get(
            "/version", {}
        )
    assert slept == [7, 7]


def test_a_group_that_does_not_answer_is_one_kind_that_could_not_be_read() -> None:
    seen, _ = looked(lambda path, _: refusal(503, path, "down") if path == "/apis/apps/v1" else None)
    assert [kind.name for kind in seen.kinds if kind.unread] == ["*.apps"]


def test_measurements_are_not_waited_for() -> None:
    groups = [
        {"name": "metrics.k8s.io", "versions": [{"version": "v1"}]},
        {"name": "custom.metrics.k8s.io", "versions": [{"version": "v1"}]},
    ]
    server = Server()
    assert [kind.name for kind in listing.discover(Only(server, {"groups": groups}))] == [
        "configmaps",
        "secrets",
        "events",
    ]
    assert not [path for path in server.asked if "metrics" in path]


class Only:
    """A server with other groups."""

    def __init__(self, server: Server, groups: Json) -> None:
        self.server, self.groups = server, groups

    def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        return self.groups if path == "/apis" else self.server.get(path, query)


def test_a_kind_that_cannot_be_listed_after_all_is_unknown() -> None:
    seen, _ = looked(lambda path, _: refusal(405, path, "") if path == SECRETS else None)
    assert [kind.name for kind in seen.kinds if kind.unread] == ["secrets"]


def test_a_request_that_is_not_understood_is_not_repeated() -> None:
    with pytest.raises(TransientError, match="with 400"):
        looked(lambda path, _: refusal(400, path, "Bad Request") if path == SECRETS else None)


def test_a_namespace_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="there is no namespace shop in this cluster"):
        looked(lambda path, _: refusal(404, path, "") if path == "/api/v1/namespaces/shop" else None)


def test_a_login_that_is_not_accepted_is_no_kind_that_was_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not accept the login"):
        looked(lambda path, _: refusal(401, path, "") if path == SECRETS else None)


def test_a_broken_line_is_no_backup() -> None:
    with pytest.raises(TransientError):
        looked(lambda path, _: TransientError("reset") if path == SECRETS else None)


@pytest.fixture
def busy() -> Iterator[str]:
    """A server that puts everybody off, over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", "3")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_retry_after_arrives_from_the_wire(busy: str) -> None:
    configuration = client.Configuration(host=busy)
    configuration.retries = False
    with pytest.raises(LaterError) as later:
        ApiReader(client.ApiClient(configuration)).get("/api/v1/pods", {})
    assert later.value.pause_s == 3
