"""A storefront before an S3 server on this machine: it passes requests on, or answers as a rule says.

The head of a request goes on byte for byte, since the signature covers Host, path, query and other fields. Each request
has its own connection to the server, so that nothing of one fault is left over for the next. Bytes of bodies count from
0; in a chunked body the lines between the chunks do not count, in an aws-chunked one they do.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from tests.faults.http1 import END, Head, Peer, Piece, Pieces
from tests.faults.operations import operation
from tests.faults.sockets import LOOPBACK, connected, serving

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Asked(NamedTuple):
    """One request as it came; path and query are not decoded."""

    method: str
    path: str
    query: str
    operation: str


class Exchange:
    """One request and the ways to deal with it."""

    def __init__(self, front: Storefront, client: Peer, head: Head) -> None:
        self.front = front
        self.client = client
        self.head = head
        self.asked = _asked(head)
        self.closes = head.closes
        self._healed = front.healed

    def relay(self, request: Change = iter, answer: Change = iter) -> None:
        """Pass the request on and its answer back, changed like this."""
        with self.forwarded(request) as (server, head):
            self.client.send(head.raw)
            for piece in answer(server.answer_body(head, self.asked.method)):
                self.client.send(piece.data)
        self.closes |= head.closes or not head.has_length

    @contextmanager
    def forwarded(self, request: Change = iter) -> Iterator[tuple[Peer, Head]]:
        """Pass the request on; yield the server and the head of its answer."""
        with self.front.known(connected(self.front.target_port)) as server:
            server.send(self.head.raw)
            refusal = self._refusal(server) if self._asks_first else None
            if refusal is None:
                self._forward_body(server, request)
            self.closes |= refusal is not None  # nobody knows whether the client sends the body all the same
            yield server, refusal or _head(server)

    def drain(self) -> None:
        """Take the whole request."""
        if self._asks_first:
            self.client.send(CONTINUE)
        for _ in self.client.request_body(self.head):
            pass

    def say(self, status: int, body: str) -> None:
        """Answer without asking the server."""
        said = body.encode()
        fields = {"Date": formatdate(usegmt=True), "Content-Type": "application/xml", "Content-Length": len(said)}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {fields[name]}" for name in fields)]
        head = "\r\n".join(lines).encode() + END + END
        self.client.send(head if self.asked.method == "HEAD" else head + said)

    def wait(self, seconds: float | None = None) -> None:
        """Wait that long, but not beyond the first `heal` since the request came, or the end."""
        self.front.wait(self._healed, seconds)

    @property
    def _asks_first(self) -> bool:
        return self.head.says("expect", "100-continue")

    def _refusal(self, server: Peer) -> Head | None:
        head = _head(server)
        if head.status != HTTPStatus.CONTINUE:
            return head
        self.client.send(head.raw)
        return None

    def _forward_body(self, server: Peer, request: Change) -> None:
        # A server may answer before it has taken everything; a client reads that only when it has sent everything.
        taken = True
        for piece in request(self.client.request_body(self.head)):
            taken = taken and _taken(server, piece)


def _asked(head: Head) -> Asked:
    method, target = head.words[:2]
    path, _, query = target.partition("?")
    return Asked(method, path, query, operation(method, path, query, copies="x-amz-copy-source" in head.fields))


def _head(server: Peer) -> Head:
    if (head := server.head()) is None:
        raise ConnectionAbortedError("the server hung up without an answer")
    return head


def _taken(server: Peer, piece: Piece) -> bool:
    try:
        server.send(piece.data)
    except OSError:
        return False
    return True


Change = Callable[[Pieces], Pieces]
Answer = Callable[[Exchange], None]


@dataclass
class Rule:
    """Which requests get this answer."""

    operation: str | None
    answer: Answer
    times: int | None
    skip: int

    def takes(self, asked: Asked) -> bool:
        """Decide, and count; one rule sees each request once."""
        if self.operation not in {None, asked.operation} or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Storefront:
    """The rules and what was asked; `storefront` makes one."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.requests: list[Asked] = []
        self.healed = 0
        self._changed = threading.Condition()
        self._rules: list[Rule] = []
        self._peers: set[Peer] = set()
        self._over = False

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def fault(self, operation: str | None, answer: Answer, *, times: int | None = None, skip: int = 0) -> None:
        """Answer this operation (None: any) so, after `skip` of them, `times` times; the first rule that is due wins."""
        with self._changed:
            self._rules.append(Rule(operation, answer, times, skip))

    def heal(self) -> None:
        """Forget the rules; requests that hang are reset, slow ones go on at full speed."""
        with self._changed:
            self._rules.clear()
            self.healed += 1
            self._changed.notify_all()

    def wait(self, healed: int, seconds: float | None) -> None:
        """Wait that long, but not beyond the `heal` after that many, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self.healed != healed, seconds)

    @contextmanager
    def known(self, sock: socket.socket) -> Iterator[Peer]:
        """A side that is hung up on at the end, so that no thread outlives the storefront."""
        peer = Peer(sock)
        self._remember(peer)
        try:
            yield peer
        finally:
            with self._changed:
                self._peers.remove(peer)
            peer.close()

    def serve(self, sock: socket.socket) -> None:
        """Deal with all the requests of a connection; whatever breaks breaks it with a reset."""
        with self.known(sock) as client:
            try:
                while self._serve_one(client):
                    pass
            except OSError:
                client.drop()

    def stop(self) -> None:
        """End every connection."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            for peer in self._peers:
                peer.hang_up()

    def _remember(self, peer: Peer) -> None:
        with self._changed:
            self._peers.add(peer)
            if self._over:
                peer.hang_up()

    def _serve_one(self, client: Peer) -> bool:
        if (head := client.head()) is None:
            return False
        exchange = Exchange(self, client, head)
        self._answer(exchange.asked)(exchange)
        return not exchange.closes

    def _answer(self, asked: Asked) -> Answer:
        with self._changed:
            self.requests.append(asked)
            return next((rule.answer for rule in self._rules if rule.takes(asked)), Exchange.relay)


@contextmanager
def storefront(target_port: int) -> Iterator[Storefront]:
    """Open a storefront before the server on this port."""
    front = Storefront(target_port)
    with serving(front.serve, front.stop) as front.port:
        yield front
