"""As much of HTTP/1.1 as a proxy needs that passes heads on byte for byte and bodies in pieces as they come."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from tests.faults.sockets import at_once, drop

CHUNK = 128 * 1024
END = b"\r\n"


class Piece(NamedTuple):
    """Bytes of a body; those that only say how long a chunk is do not count."""

    data: bytes
    counts: bool = True


Pieces = Iterator[Piece]


@dataclass(frozen=True)
class Head:
    """The first line and the fields of a request or an answer."""

    raw: bytes

    @cached_property
    def words(self) -> list[str]:
        """The three parts of the first line."""
        return self.raw.partition(END)[0].decode("latin-1").split(" ", 2)

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The fields by their names in small letters."""
        lines = self.raw.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def status(self) -> int:
        return int(self.words[1])

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.says("connection", "close") or "HTTP/1.0" in self.words

    @property
    def has_length(self) -> bool:
        return "content-length" in self.fields or self.says("transfer-encoding", "chunked")

    def says(self, field: str, word: str) -> bool:
        return word in self.fields.get(field, "").lower()


class Peer:
    """One side of an exchange."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self.socket = at_once(sock)
        self._input = sock.makefile("rb")

    def head(self) -> Head | None:
        """Read the next head; None if the other side has nothing more to say."""
        first = self._input.readline()
        return Head(b"".join([first, *self._lines()])) if first else None

    def request_body(self, head: Head) -> Pieces:
        """Read what follows that head of a request."""
        if head.says("transfer-encoding", "chunked"):
            return self._chunked()
        return self._sized(int(head.fields.get("content-length", 0)))

    def answer_body(self, head: Head, method: str) -> Pieces:
        """Read what follows that head of an answer; without a length it goes on until the server hangs up."""
        if method == "HEAD" or head.status in {204, 304}:
            return iter(())
        if head.has_length:
            return self.request_body(head)
        return (Piece(data) for data in iter(lambda: self._input.read1(CHUNK), b""))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self._input.close()
        self.socket.close()

    def drop(self) -> None:
        """Reset the connection."""
        self._input.close()  # it holds the socket open
        drop(self.socket)

    def hang_up(self) -> None:
        """Let the thread that waits for this side go on, from another thread."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _line(self) -> bytes:
        if not (line := self._input.readline()):
            raise ConnectionAbortedError("hung up in the middle")
        return line

    def _lines(self) -> Iterator[bytes]:
        """Read up to and with the empty line that ends a head or a trailer."""
        while (line := self._line()) != END:
            yield line
        yield END

    def _sized(self, left: int) -> Pieces:
        while left:
            if not (data := self._input.read1(min(left, CHUNK))):
                raise ConnectionAbortedError("hung up in the middle")
            left -= len(data)
            yield Piece(data)

    def _chunked(self) -> Pieces:
        size = -1
        while size:
            line = self._line()
            size = int(line.partition(b";")[0], 16)
            ending = self._lines() if size == 0 else (self._line() for _ in range(1))
            framing = (Piece(data, counts=False) for data in ending)
            yield from chain([Piece(line, counts=False)], self._sized(size), framing)
