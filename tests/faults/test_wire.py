from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from tests.faults.sockets import connected, serving
from tests.faults.wire import Wire, wire

MB = 1_000_000
PATTERN = random.Random(5).randbytes(MB)
SOON_S = 0.4
DATA_S = 2.0


def echo(sock: socket.socket) -> None:
    with suppress(OSError):
        while data := sock.recv(65536):
            sock.sendall(data)


def pump(sock: socket.socket) -> None:
    with suppress(OSError):
        while True:
            sock.sendall(PATTERN)


def deaf(sock: socket.socket) -> None:
    """Talk, until the client is gone, and take nothing."""
    with suppress(OSError):
        while True:
            sock.sendall(b".")
            time.sleep(0.02)


@contextmanager
def wired(handle: Callable[[socket.socket], None]) -> Iterator[Wire]:
    with serving(handle, lambda: None) as port, wire(port) as laid:
        yield laid


@pytest.fixture
def echoing() -> Iterator[Wire]:
    with wired(echo) as laid:
        yield laid


@pytest.fixture
def pumping() -> Iterator[Wire]:
    with wired(pump) as laid:
        yield laid


@contextmanager
def client(laid: Wire) -> Iterator[socket.socket]:
    with connected(laid.port) as sock:
        sock.settimeout(DATA_S)
        yield sock


def said_back(sock: socket.socket, data: bytes = b"hello") -> bytes:
    sock.sendall(data)
    return exactly(sock, len(data))


def exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return bytes(data)


def until_it_breaks(sock: socket.socket) -> tuple[int, type[OSError]]:
    """The number of bytes that arrive, and what ends them."""
    size = 0
    while True:
        try:
            size += len(sock.recv(65536)) or pytest.fail("a goodbye instead of a break")
        except OSError as error:
            return size, type(error)


def rate(sock: socket.socket, seconds: float) -> float:
    size, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        size += len(sock.recv(4 * MB))
    return size / (time.monotonic() - start)


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + DATA_S
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_a_healthy_wire_says_what_the_server_says(echoing: Wire) -> None:
    with client(echoing) as sock:
        assert said_back(sock, PATTERN[:100_000]) == PATTERN[:100_000]


def test_a_healthy_wire_carries_200_mb_a_second(pumping: Wire) -> None:
    with client(pumping) as sock:
        assert rate(sock, 0.5) > 200 * MB


def test_it_counts_bytes_and_connections(echoing: Wire) -> None:
    with client(echoing) as first, client(echoing) as second:
        assert (said_back(first), said_back(second, b"hi")) == (b"hello", b"hi")
        assert (echoing.connections, echoing.open, echoing.bytes_from_server) == (2, 2, 7)
    assert eventually(lambda: echoing.open == 0)
    assert echoing.connections == 2


def test_a_goodbye_of_one_side_leaves_the_other_its_say(echoing: Wire) -> None:
    with client(echoing) as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert exactly(sock, 99) == b"last words"


def test_a_server_that_is_not_there_resets_its_clients() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        # The reset may come while the client still connects.
        with wire(held.getsockname()[1]) as laid, pytest.raises(ConnectionResetError):
            knock(laid)


def knock(laid: Wire) -> None:
    with client(laid) as sock:
        read, error = until_it_breaks(sock)
        assert read == 0
        raise error


def test_a_client_that_does_not_read_holds_the_server_back(pumping: Wire) -> None:
    with client(pumping):
        time.sleep(SOON_S)
        before = pumping.bytes_from_server
        time.sleep(SOON_S)
        assert pumping.bytes_from_server == before < 20 * MB


def test_a_server_that_does_not_read_holds_the_client_back() -> None:
    with wired(deaf) as laid, client(laid) as sock:
        sock.settimeout(SOON_S)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(30 * MB))


def test_a_black_hole_begins_at_the_byte(pumping: Wire) -> None:
    pumping.black_hole(after_bytes=3_000_001)
    with client(pumping) as sock:
        sock.settimeout(SOON_S)
        assert until_it_breaks(sock) == (3_000_001, TimeoutError)
        assert pumping.open == 1


def test_a_black_hole_counts_all_connections_together(pumping: Wire) -> None:
    pumping.black_hole(after_bytes=MB)
    with client(pumping) as first, client(pumping) as second:
        for sock in (first, second):
            sock.settimeout(SOON_S)
        assert until_it_breaks(first)[0] + until_it_breaks(second)[0] == MB


def test_a_black_hole_takes_what_the_client_says_and_new_connections_too(echoing: Wire) -> None:
    echoing.black_hole()
    with client(echoing) as sock:
        sock.settimeout(SOON_S)
        sock.sendall(b"hello?")
        assert until_it_breaks(sock) == (0, TimeoutError)
        assert (echoing.open, echoing.bytes_from_server) == (1, 0)


def test_a_black_hole_hides_that_the_server_hung_up() -> None:
    with wired(lambda sock: None) as laid:
        laid.black_hole()
        with client(laid) as sock:
            sock.settimeout(SOON_S)
            assert until_it_breaks(sock) == (0, TimeoutError)


def test_after_a_black_hole_nothing_is_missing(pumping: Wire) -> None:
    pumping.black_hole(after_bytes=1000)
    with client(pumping) as sock:
        assert exactly(sock, 1000) == PATTERN[:1000]
        pumping.heal()
        assert exactly(sock, MB - 1000) == PATTERN[1000:]


def test_a_reset_comes_after_the_byte_and_once(pumping: Wire) -> None:
    pumping.reset(after_bytes=2_000_003)
    with client(pumping) as first:
        assert until_it_breaks(first) == (2_000_003, ConnectionResetError)
    with client(pumping) as second:
        assert exactly(second, 3 * MB) == PATTERN * 3


def test_every_connection_can_be_reset_after_its_own_bytes(pumping: Wire) -> None:
    pumping.reset(after_bytes=70_000, every=True)
    for _ in range(3):
        with client(pumping) as sock:
            assert until_it_breaks(sock) == (70_000, ConnectionResetError)
    assert eventually(lambda: pumping.open == 0)


def test_a_reset_counts_from_the_moment_it_is_asked_for(echoing: Wire) -> None:
    with client(echoing) as sock:
        said_back(sock)
        echoing.reset(after_bytes=2, every=True)
        sock.sendall(b"hello")
        assert until_it_breaks(sock) == (2, ConnectionResetError)


def test_the_server_sees_the_reset_too() -> None:
    seen: list[type[OSError]] = []

    def listen(sock: socket.socket) -> None:
        sock.sendall(b"go")
        seen.append(until_it_breaks(sock)[1])

    with wired(listen) as laid:
        laid.reset(after_bytes=2)
        with client(laid) as sock:
            assert until_it_breaks(sock) == (2, ConnectionResetError)
        assert eventually(lambda: seen == [ConnectionResetError])


def test_a_cut_breaks_silent_connections_and_those_that_are_stuck(echoing: Wire) -> None:
    with client(echoing) as silent, wired(pump) as pumping, client(pumping) as stuck:
        said_back(silent)
        assert eventually(lambda: pumping.bytes_from_server > 0)
        echoing.cut()
        pumping.cut()
        assert until_it_breaks(silent) == (0, ConnectionResetError)
        assert until_it_breaks(stuck)[1] is ConnectionResetError
    with client(echoing) as later:
        assert said_back(later) == b"hello"


def test_one_bit_of_one_byte_is_flipped_once(pumping: Wire) -> None:
    pumping.flip(at_byte=1_234_567)
    with client(pumping) as sock:
        got, sent = exactly(sock, 3 * MB), PATTERN * 3
    assert [(at, a ^ b) for at, (a, b) in enumerate(zip(got, sent, strict=True)) if a != b] == [(1_234_567, 1)]


def test_a_slow_wire_keeps_its_rate(pumping: Wire) -> None:
    pumping.slow(200_000)
    with client(pumping) as sock:
        assert 0 < rate(sock, 1) < 230_000  # never faster; a machine that is busy is slower


def test_a_slow_wire_is_slow_for_all_connections_together(pumping: Wire) -> None:
    pumping.slow(200_000)
    with client(pumping) as first, client(pumping) as second, ThreadPoolExecutor() as pool:
        rates = list(pool.map(rate, (first, second), (1, 1)))
    assert 0 < sum(rates) < 230_000


def test_heal_ends_the_slowness_at_once(pumping: Wire) -> None:
    pumping.slow(10)
    with client(pumping) as sock:
        exactly(sock, 1)
        pumping.heal()
        assert exactly(sock, MB) == PATTERN[1:] + PATTERN[:1]


@pytest.mark.parametrize("fault", ["black_hole", "slow", "none"])
def test_no_thread_outlives_the_wire(fault: str) -> None:
    before = set(threading.enumerate())
    with serving(pump, lambda: None) as port, wire(port) as laid, client(laid) as sock:
        {"black_hole": laid.black_hole, "slow": lambda: laid.slow(1), "none": laid.heal}[fault]()
        sock.sendall(b"x")
        time.sleep(0.1)
    assert eventually(lambda: not set(threading.enumerate()) - before)
