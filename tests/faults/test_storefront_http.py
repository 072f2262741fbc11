"""What boto3 and the S3 server of the sandbox do not say to each other, but others may."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import pytest

from tests.faults.answers import error, flip_request
from tests.faults.http1 import Head, Peer
from tests.faults.operations import operation
from tests.faults.sockets import connected, serving
from tests.faults.storefront import Storefront, storefront

BLOCK = bytes(1_000_000)
Say = Callable[[Peer, Head], None]


@contextmanager
def shop(say: Say) -> Iterator[Storefront]:
    """A storefront before a server that deals with each request like this."""

    def handle(sock: socket.socket) -> None:
        peer = Peer(sock)
        while (head := peer.head()) is not None:
            say(peer, head)
        peer.close()

    with serving(handle, lambda: None) as port, storefront(port) as front:
        yield front


def raw(front: Storefront, request: bytes) -> bytes:
    """Everything that is answered until the other side hangs up."""
    with connected(front.port) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def mirror(peer: Peer, head: Head) -> None:
    """Answer with the request as it came."""
    said = head.raw + b"".join(piece.data for piece in peer.request_body(head))
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)


def test_head_body_and_trailers_pass_byte_for_byte() -> None:
    request = (
        b"PUT /b/a%2Fb%20c//?x=%7E&y HTTP/1.1\r\nhOST:  example:1 \r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;s=1\r\nabc\r\n00\r\nx-amz-checksum-crc32: AAAA\r\n\r\n"
    )
    with shop(mirror) as front:
        assert raw(front, request).partition(b"\r\n\r\n")[2] == request
        assert front.requests == [("PUT", "/b/a%2Fb%20c//", "x=%7E&y", "PutObject")]


def test_one_connection_serves_many_requests_with_and_without_faults() -> None:
    with shop(mirror) as front:
        front.fault("GetObject", error(503, "SlowDown"), times=1, skip=1)
        http = HTTPConnection("127.0.0.1", front.port)
        assert [asked(http, "GET", "/b/k"), asked(http, "GET", "/b/k")] == [200, 503]
        first = http.sock
        assert asked(http, "PUT", "/b/k", b"x" * 1_000_000) == 200
        assert http.sock is first is not None
        http.close()


def asked(http: HTTPConnection, method: str, target: str, body: bytes = b"") -> int:
    http.request(method, target, body)
    with http.getresponse() as answer:
        answer.read()
        return answer.status


def refuse(peer: Peer, head: Head) -> None:
    peer.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")


def test_a_server_may_refuse_a_body_before_it_is_sent() -> None:
    with shop(refuse) as front:
        answer = raw(front, b"PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 417")


def no_body(peer: Peer, head: Head) -> None:
    status = {"HEAD": b"200 OK", "GET": b"304 Not Modified"}.get(head.words[0], b"204 No Content")
    peer.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\n\r\n")


@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE"])
def test_answers_without_a_body_end_with_their_head(method: str) -> None:
    with shop(no_body) as front:
        http = HTTPConnection("127.0.0.1", front.port, timeout=2)
        assert asked(http, method, "/b/k") == asked(http, method, "/b/k")
        http.close()


def endless(peer: Peer, head: Head) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    peer.hang_up()


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    with shop(endless) as front:
        assert raw(front, b"GET /b/k HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nuntil the end")


CHUNKED = b"2\r\nab\r\n2\r\ncd\r\n0\r\nx-trailer: 1\r\n\r\n"


def chunks(peer: Peer, head: Head) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED)


def test_an_answer_in_chunks_passes_with_its_trailer() -> None:
    with shop(chunks) as front:
        assert raw(front, b"GET /b/k HTTP/1.1\r\n\r\n").endswith(CHUNKED)


def test_only_bytes_inside_the_chunks_count() -> None:
    with shop(mirror) as front:
        front.fault(None, flip_request(3))
        answer = raw(front, b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED)
    assert answer.endswith(CHUNKED.replace(b"cd", b"ce"))


def swallow(peer: Peer, head: Head) -> None:
    size = sum(len(piece.data) for piece in peer.request_body(head))
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size // len(BLOCK)):
        peer.send(BLOCK)


def test_large_bodies_do_not_fill_the_memory() -> None:
    with shop(swallow) as front, closing(HTTPConnection("127.0.0.1", front.port, timeout=5)) as http, traced():
        http.request("PUT", "/b/k", (BLOCK for _ in range(50)), {"Content-Length": str(50 * len(BLOCK))})
        answer = http.getresponse()
        assert sum(map(len, iter(lambda: answer.read(len(BLOCK)), b""))) == 50 * len(BLOCK)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(BLOCK)


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("method", "path", "query", "name"),
    [
        ("GET", "/", "", "ListBuckets"),
        ("GET", "/b", "versions&prefix=backups%2F", "ListObjectVersions"),
        ("GET", "/b/", "list-type=2&prefix=a", "ListObjectsV2"),
        ("GET", "/b", "prefix=a", "ListObjects"),
        ("POST", "/b", "delete", "DeleteObjects"),
        ("HEAD", "/b", "", "HeadBucket"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", "UploadPart"),
        ("GET", "/b/k", "versionId=tagging", "GetObject"),
        ("PUT", "/b/k", "versionId=v&tagging", "PutObjectTagging"),
        ("DELETE", "/b/k", "versionId=v", "DeleteObject"),
        ("PATCH", "/create-user", "", ""),
    ],
)
def test_guesses_the_operation(method: str, path: str, query: str, name: str) -> None:
    assert operation(method, path, query) == name


def test_a_copy_is_told_by_its_header() -> None:
    assert operation("PUT", "/b/k", "", copies=True) == "CopyObject"
