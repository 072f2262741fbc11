"""A wire between a client and a server on this machine that goes dark, breaks, flips a bit or slows down when told to.

It carries bytes and knows no protocol, so TLS passes too. Every number counts from the moment of the call: the next byte
of the server is byte 0. All switches may be set at once, from any thread.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.faults.sockets import at_once, connected, drop, serving

NEVER = sys.maxsize
CHUNK = 256 * 1024
SLICES_PER_S = 20
TICK_S = 0.05
"""How long a thread stays inside one call: a socket is reset only when no other thread is in a call on it."""


@dataclass(eq=False)
class Link:
    """One connection: the client's half, the server's half."""

    client: socket.socket
    server: socket.socket
    passed: int = 0
    last: bool = False
    """It breaks as soon as what was admitted is sent."""
    broken: bool = False


@dataclass
class Plan:
    """What is to happen, and at which byte."""

    dark_at: int = NEVER
    reset_at: int = NEVER
    reset_each_at: int = NEVER
    flip_at: int = NEVER
    rate: int = NEVER

    @property
    def slice(self) -> int:
        return max(1, self.rate // SLICES_PER_S)


Admit = Callable[[Link, memoryview], int]


class Wire:
    """The switches and the counters; `wire` makes one."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.connections = 0
        self.bytes_from_server = 0
        self._target_port = target_port
        self._changed = threading.Condition()
        self._links: set[Link] = set()
        self._plan = Plan()
        self._free_at = 0.0
        self._over = False

    @property
    def open(self) -> int:
        """Number of connections that are open now."""
        return len(self._links)

    def heal(self) -> None:
        """Forget every fault; what a black hole held back goes on, in order."""
        with self._switch():
            self._plan = Plan()
            self._free_at = 0.0

    def black_hole(self, after_bytes: int = 0) -> None:
        """Keep every socket open and forward nothing any more, once that many further bytes came from the server."""
        with self._switch():
            self._plan.dark_at = self.bytes_from_server + after_bytes

    def reset(self, after_bytes: int = 0, *, every: bool = False) -> None:
        """Reset the connection that brings that byte; or every one, now and later, that brings so many itself."""
        with self._switch():
            if not every:
                self._plan.reset_at = self.bytes_from_server + after_bytes
                return
            self._plan.reset_each_at = after_bytes
            for link in self._links:
                link.passed = 0

    def cut(self) -> None:
        """Reset all connections that are open now, also those that are silent."""
        with self._switch():
            for link in self._links:
                link.broken = True

    def flip(self, at_byte: int = 0) -> None:
        """Flip the lowest bit of that byte from the server, once."""
        with self._switch():
            self._plan.flip_at = self.bytes_from_server + at_byte

    def slow(self, bytes_per_s: int) -> None:
        """Let all connections and both directions share this many bytes a second."""
        with self._switch():
            self._plan.rate = bytes_per_s

    @contextmanager
    def _switch(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()

    def carry(self, client: socket.socket) -> None:
        """Connect to the server and carry bytes until both sides are done, or one is gone."""
        try:
            link = Link(at_once(client), connected(self._target_port))
        except OSError:
            drop(client)
            return
        with self._listed(link):
            self._carry_both_ways(link)
        for half in (link.client, link.server):
            drop(half) if link.broken else half.close()

    def stop(self) -> None:
        """End every connection."""
        with self._switch():
            self._over = True

    @contextmanager
    def _listed(self, link: Link) -> Iterator[None]:
        with self._switch():
            self.connections += 1
            self._links.add(link)
        yield
        with self._switch():
            self._links.remove(link)

    def _carry_both_ways(self, link: Link) -> None:
        for half in (link.client, link.server):
            half.settimeout(TICK_S)
        up = threading.Thread(target=self._pump, args=(link, link.client, link.server, self._admit_up))
        up.start()
        self._pump(link, link.server, link.client, self._admit_down)
        up.join()

    def _pump(self, link: Link, source: socket.socket, sink: socket.socket, admit: Admit) -> None:
        try:
            for data in self._received(link, source):
                self._forward(link, sink, data, admit)
            self._admit_up(link, memoryview(b""))  # a black hole swallows the goodbye too
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with self._switch():
                link.broken = True

    def _received(self, link: Link, source: socket.socket) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(CHUNK))
        while True:
            self._check(link)
            with suppress(TimeoutError):
                if not (size := source.recv_into(buffer)):
                    return
                yield buffer[:size]

    def _forward(self, link: Link, sink: socket.socket, data: memoryview, admit: Admit) -> None:
        while data:
            admitted = admit(link, data)
            self._send(link, sink, data[:admitted])
            if link.last:
                raise ConnectionAbortedError
            self._pace(admitted)
            data = data[admitted:]

    def _send(self, link: Link, sink: socket.socket, data: memoryview) -> None:
        while data:
            self._check(link)
            with suppress(TimeoutError):
                data = data[sink.send(data) :]

    def _check(self, link: Link) -> None:
        if self._over or link.broken:
            raise ConnectionAbortedError

    def _admit_up(self, link: Link, data: memoryview) -> int:
        with self._changed:
            self._wait_for_light(link)
            return min(len(data), self._plan.slice)

    def _admit_down(self, link: Link, data: memoryview) -> int:
        with self._changed:
            self._wait_for_light(link)
            admitted = min(len(data), self._plan.slice, self._left(link))
            self._flip(data[:admitted])
            self.bytes_from_server += admitted
            link.passed += admitted
            self._break_if_due(link)
            return admitted

    def _wait_for_light(self, link: Link) -> None:
        self._changed.wait_for(lambda: self._over or link.broken or self.bytes_from_server < self._plan.dark_at)
        self._check(link)

    def _left(self, link: Link) -> int:
        in_all = min(self._plan.dark_at, self._plan.reset_at) - self.bytes_from_server
        return max(0, min(in_all, self._plan.reset_each_at - link.passed))

    def _flip(self, data: memoryview) -> None:
        offset = self._plan.flip_at - self.bytes_from_server
        if offset < len(data):
            data[offset] ^= 1
            self._plan.flip_at = NEVER

    def _break_if_due(self, link: Link) -> None:
        if self.bytes_from_server >= self._plan.reset_at:
            self._plan.reset_at = NEVER
            link.last = True
        if link.passed >= self._plan.reset_each_at:
            link.last = True

    def _pace(self, size: int) -> None:
        with self._changed:
            rate = self._plan.rate
            if rate == NEVER:
                return
            self._free_at = max(self._free_at, time.monotonic()) + size / rate
            wait_s = self._free_at - time.monotonic()
            self._changed.wait_for(lambda: self._over or self._plan.rate != rate, wait_s)


@contextmanager
def wire(target_port: int) -> Iterator[Wire]:
    """Lay a wire to this port; at the end every connection is reset."""
    laid = Wire(target_port)
    with serving(laid.carry, laid.stop) as laid.port:
        yield laid
