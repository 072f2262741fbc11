from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes import client

from include.configuration import applying
from include.configuration.applying import DryApplier, RejectedError
from include.errors import ConfigurationError
from include.probes.kubernetes import LaterError
from tests.include.configuration.things import CANARY, config, secret

CANNOT = 'secrets "login" is forbidden: User "x" cannot patch resource "secrets" in API group "" in the namespace "s"'


class Answer:
    """A server with one answer to everything, which keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, dict[str, Any](), list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                outer.asked.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                text = json.dumps(outer.body).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", f"{len(text)}")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def applier(self) -> DryApplier:
        return DryApplier(client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{self.server.server_port}")))

    def says(self, status: int, message: str, *causes: tuple[str, str]) -> None:
        told = [{"field": field, "reason": reason, "message": f"Invalid value: {CANARY}"} for field, reason in causes]
        self.status, self.body = status, {"message": message, "details": {"causes": told}}


@pytest.fixture
def answer() -> Iterator[Answer]:
    answer = Answer()
    yield answer
    answer.server.shutdown()
    answer.server.server_close()


def test_whatever_is_asked_is_a_dry_run(answer: Answer) -> None:
    answer.applier.dry_apply("/api/v1/namespaces/s/configmaps/app", config())
    (path,) = answer.asked
    assert "dryRun=All" in path
    assert "fieldValidation=Strict" in path


def test_bug_20_what_a_server_quotes_of_a_secret_is_not_repeated(answer: Answer) -> None:
    for causes in ((), (("data[password]", "FieldValueInvalid"),)):
        answer.says(422, f"Secret is invalid: {CANARY}", *causes)
        with pytest.raises(RejectedError) as refused:
            answer.applier.dry_apply("/x", secret())
        assert CANARY not in str(refused.value)
        assert str(refused.value) == (
            "422: data[password]: FieldValueInvalid" if causes else "422: Unprocessable Entity"
        )


def test_what_it_says_of_anything_else_is(answer: Answer) -> None:
    answer.says(400, "spec.foo: field not declared in schema")
    with pytest.raises(RejectedError, match=r"400: .* field not declared in schema"):
        answer.applier.dry_apply("/x", config())


def test_a_right_that_is_missing_says_nothing_about_the_object_a_secret_too(answer: Answer) -> None:
    answer.says(403, CANNOT)
    with pytest.raises(RejectedError) as refused:
        answer.applier.dry_apply("/x", secret())
    assert applying.is_missing_right(refused.value)
    answer.says(403, "admission webhook denied the request: it cannot be")
    with pytest.raises(RejectedError) as denied:
        answer.applier.dry_apply("/x", config())
    assert not applying.is_missing_right(denied.value)


@pytest.mark.parametrize(("status", "kind"), [(429, LaterError), (503, LaterError), (401, ConfigurationError)])
def test_a_server_that_cannot_say_condemns_nothing(answer: Answer, status: int, kind: type[Exception]) -> None:
    answer.says(status, "later")
    with pytest.raises(kind):
        answer.applier.dry_apply("/x", config())


def test_an_object_moves_with_its_subjects_and_without_what_one_namespace_alone_can_have() -> None:
    binding = {"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "shop"}}
    moved = applying.into(
        {**binding, "subjects": [{"namespace": "shop"}, {"namespace": "till"}, {"kind": "User"}]}, "s"
    )
    assert [each.get("namespace") for each in moved["subjects"]] == ["s", "till", None]
    service = {"kind": "Service", "metadata": {"name": "b", "namespace": "shop"}}
    ports = applying.into({**service, "spec": {"ports": [{"port": 80, "nodePort": 30_000}]}}, "s")["spec"]["ports"]
    assert ports == [{"port": 80}]
