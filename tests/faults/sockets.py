"""What the wire and the storefront share: a server with a thread for each connection, and a reset that loses no byte."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingTCPServer
from typing import Any

LOOPBACK = "127.0.0.1"
STUCK_AFTER_S = 0.05


class _Server(ThreadingTCPServer):
    request_queue_size = 128
    handle: Callable[[socket.socket], None]

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.handle(request)

    def shutdown_request(self, request: Any) -> None:
        request.close()  # the default says goodbye first, which a reset must not


@contextmanager
def serving(handle: Callable[[socket.socket], None], stop: Callable[[], None]) -> Iterator[int]:
    """A server on a free port that handles each connection in a thread; `stop` must make those threads end."""
    with _Server((LOOPBACK, 0), None) as server:  # type: ignore[arg-type]  # finish_request needs no handler class
        server.handle = handle
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            stop()


def connected(port: int) -> socket.socket:
    """Connect to a server on this machine."""
    return at_once(socket.create_connection((LOOPBACK, port), timeout=5))


def at_once(sock: socket.socket) -> socket.socket:
    """Let small packets leave without waiting for more."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def drop(sock: socket.socket) -> None:
    """Close with a reset, after what was sent has arrived or no longer moves."""
    with suppress(OSError):
        _wait_until_arrived(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _wait_until_arrived(sock: socket.socket) -> None:
    # A reset throws away what the kernel still holds; then "after N bytes" would mean any number up to N.
    before = -1
    while (left := _on_the_way(sock)) and left != before:
        before = left
        time.sleep(STUCK_AFTER_S)


def _on_the_way(sock: socket.socket) -> int:
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, "little")
