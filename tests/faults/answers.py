"""The faults of a storefront: each of these makes an answer for `Storefront.fault`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import uuid4
from xml.sax.saxutils import escape

from tests.faults.http1 import Piece, Pieces
from tests.faults.storefront import Answer, Change, Exchange

SLICES_PER_S = 20
MESSAGES: Mapping[str, str] = {
    "AccessDenied": "Access Denied",
    "ExpiredToken": "The provided token has expired.",
    "InternalError": "We encountered an internal error. Please try again.",
    "RequestTimeTooSkewed": "The difference between the request time and the current time is too large.",
    "ServiceUnavailable": "Service is unable to handle request.",
    "SlowDown": "Please reduce your request rate.",
}


def error(status: int, code: str) -> Answer:
    """The whole request is taken, nothing of it passed on, and this error answered."""

    def answer(exchange: Exchange) -> None:
        exchange.drain()
        exchange.say(status, _xml(code, exchange.asked.path))

    return answer


def error_inside_200() -> Answer:
    """An error under the status of success, as S3 does when a CompleteMultipartUpload fails after it began to answer."""
    return error(200, "InternalError")


def lost_answer() -> Answer:
    """The server does what it is asked; the connection is reset before its answer arrives."""

    def answer(exchange: Exchange) -> None:
        with exchange.forwarded() as (server, head):
            for _ in server.answer_body(head, exchange.asked.method):
                pass
        raise ConnectionResetError

    return answer


def reset() -> Answer:
    """The connection is reset, and nothing passed on."""

    def answer(exchange: Exchange) -> None:
        raise ConnectionResetError

    return answer


def hang() -> Answer:
    """The request is taken and never answered; at `heal` or the end the connection is reset."""

    def answer(exchange: Exchange) -> None:
        exchange.drain()
        exchange.wait()
        raise ConnectionResetError

    return answer


def reset_after(n_bytes: int) -> Answer:
    """The connection is reset after so many bytes of the answer's body; a shorter answer arrives whole."""
    return lambda exchange: exchange.relay(answer=_cut(n_bytes))


def flip_answer(at_byte: int) -> Answer:
    """The lowest bit of that byte of the answer's body arrives flipped."""
    return lambda exchange: exchange.relay(answer=_flipped(at_byte))


def flip_request(at_byte: int) -> Answer:
    """The lowest bit of that byte of the request's body arrives flipped."""
    return lambda exchange: exchange.relay(request=_flipped(at_byte))


def slow(bytes_per_s: int) -> Answer:
    """Both bodies pass at this rate, each request's for itself."""

    def answer(exchange: Exchange) -> None:
        change = _paced(exchange, bytes_per_s)
        exchange.relay(request=change, answer=change)

    return answer


def _xml(code: str, resource: str) -> str:
    fields = {
        "Code": code,
        "Message": MESSAGES.get(code, code),
        "Resource": resource,
        "RequestId": uuid4().hex[:16].upper(),
        "HostId": uuid4().hex,
    }
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'


def _cut(left: int) -> Change:
    def change(pieces: Pieces) -> Pieces:
        for start, piece in _counted(pieces):
            if start + len(piece.data) >= left and piece.counts:
                yield Piece(piece.data[: left - start])
                raise ConnectionResetError
            yield piece

    return change


def _flipped(at_byte: int) -> Change:
    def change(pieces: Pieces) -> Pieces:
        for start, piece in _counted(pieces):
            yield Piece(_flip(piece.data, at_byte - start), piece.counts) if piece.counts else piece

    return change


def _flip(data: bytes, offset: int) -> bytes:
    if not 0 <= offset < len(data):
        return data
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def _paced(exchange: Exchange, bytes_per_s: int) -> Change:
    size = max(1, bytes_per_s // SLICES_PER_S)

    def change(pieces: Pieces) -> Pieces:
        for data, counts in pieces:
            for start in range(0, len(data), size):
                yield Piece(data[start : start + size], counts)
                exchange.wait(size / bytes_per_s)

    return change


def _counted(pieces: Pieces) -> Iterator[tuple[int, Piece]]:
    """Each piece with the number of its first byte."""
    start = 0
    for piece in pieces:
        yield start, piece
        start += len(piece.data) if piece.counts else 0
