from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
from pyrage.x25519 import Identity

from include.backups import sealing
from include.errors import ConfigurationError, RefusedError, TransientError, VerificationError

FIRST, SECOND, STRANGER = (Identity.generate() for _ in range(3))
NAMED = {"operations": str(FIRST.to_public()), "escrow": str(SECOND.to_public())}
CHUNK = 64 << 10


def sealed(plain: bytes) -> bytes:
    sink = io.BytesIO()
    sealing.seal(io.BytesIO(plain), sink, sealing.recipients(NAMED))
    return sink.getvalue()


def opened(data: bytes, key: Identity = FIRST) -> bytes:
    sink = io.BytesIO()
    sealing.unseal(io.BytesIO(data), sink, key)
    return sink.getvalue()


PLAIN = random.Random(3).randbytes(3 * CHUNK + 1000)
SEALED = sealed(PLAIN)
HEADER = SEALED.index(b"\n---") + 48
"""Bytes of the header, its MAC included; then come the nonce and the chunks."""


class Broken:
    """A file whose disk, network or server fails after some bytes."""

    def __init__(self, error: BaseException, inner: io.BytesIO, after: int = 0) -> None:
        self.error, self.inner, self.after = error, inner, after

    def _failing(self, size: int) -> None:
        self.after -= max(size, 1)
        if self.after < 0:
            raise self.error

    def read(self, size: int = -1, /) -> bytes:
        self._failing(size)
        return self.inner.read(size)

    def write(self, data: bytes, /) -> int:
        self._failing(len(data))
        return self.inner.write(data)

    def flush(self) -> None:
        self.inner.flush()


class InDrops(io.BytesIO):
    """A pipe: it gives fewer bytes than were asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 777) if size and size > 0 else size)


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17])
@pytest.mark.parametrize("key", [FIRST, SECOND])
def test_each_recipient_alone_opens_what_was_sealed(length: int, key: Identity) -> None:
    plain = random.Random(length).randbytes(length)
    assert opened(sealed(plain), key) == plain


def test_a_pipe_that_gives_a_few_bytes_at_a_time_is_sealed_and_opened_whole() -> None:
    sink, plain = io.BytesIO(), io.BytesIO()
    sealing.seal(InDrops(PLAIN), sink, sealing.recipients(NAMED))
    sealing.unseal(InDrops(sink.getvalue()), plain, SECOND)
    assert plain.getvalue() == PLAIN


def test_nothing_of_the_plain_text_shows_and_no_two_seals_are_alike() -> None:
    plain = b"one row of a customer, " * 100
    first, second = sealed(plain), sealed(plain)
    assert b"customer" not in first
    assert first != second


def test_a_stranger_does_not_open_it() -> None:
    with pytest.raises(VerificationError, match=r"^it is not sealed to this key$"):
        opened(SEALED, STRANGER)


@pytest.mark.parametrize(
    "end",
    [
        0,
        1,
        10,
        HEADER // 2,
        HEADER - 1,
        HEADER,
        HEADER + 15,
        HEADER + 16,
        HEADER + 17,
        HEADER + 16 + CHUNK,
        HEADER + 16 + CHUNK + 16,
        HEADER + 16 + 2 * (CHUNK + 16),
        HEADER + 16 + 3 * (CHUNK + 16),
        HEADER + 16 + 3 * (CHUNK + 16) + 16,
        len(SEALED) - 17,
        len(SEALED) - 16,
        len(SEALED) - 1,
    ],
    ids=lambda _: "case",
)
def test_what_is_cut_short_is_refused_wherever_it_is_cut(end: int) -> None:
    with pytest.raises(VerificationError, match=r"damaged or cut short"):
        opened(SEALED[:end])


def test_a_seal_is_refused_that_ends_with_a_whole_chunk_too_few() -> None:
    whole = sealed(PLAIN[: 2 * CHUNK])
    with pytest.raises(VerificationError, match=r"damaged or cut short"):
        opened(whole[: -CHUNK - 16])


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\0",
        lambda data: data + data[-16:],
        lambda data: data + data,
        lambda data: data[: HEADER + 16] + data[HEADER + 32 + CHUNK :],
        lambda data: b"",
        lambda data: b"\0" * len(data),
        lambda data: PLAIN,
    ],
)
def test_what_is_longer_shuffled_or_nothing_of_ours_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(VerificationError):
        opened(change(SEALED))


def test_every_flipped_bit_of_a_small_seal_is_refused() -> None:
    small = sealed(b"a row")
    chosen = random.Random(4)
    for at in range(len(small)):
        flipped = bytearray(small)
        flipped[at] ^= 1 << chosen.randrange(8)
        with pytest.raises(VerificationError):
            opened(bytes(flipped))


def test_flipped_bits_anywhere_in_a_large_one_are_refused() -> None:
    chosen = random.Random(5)
    for at in chosen.sample(range(HEADER, len(SEALED)), 40):
        flipped = bytearray(SEALED)
        flipped[at] ^= 1 << chosen.randrange(8)
        with pytest.raises(VerificationError, match=r"damaged or cut short"):
            opened(bytes(flipped))


ERRORS = [
    TransientError("the store said SlowDown, later"),
    RefusedError("that key is taken"),
    VerificationError("a part differs"),
    OSError(28, "No space left on device"),
    ValueError("no error of ours"),
    KeyboardInterrupt("the task was stopped"),
]


@pytest.mark.parametrize("after", [0, CHUNK, 2 * CHUNK + 5000])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_source_comes_out_as_itself(error: BaseException, after: int) -> None:
    with pytest.raises(type(error)) as raised:
        sealing.seal(Broken(error, io.BytesIO(PLAIN), after), io.BytesIO(), sealing.recipients(NAMED))
    assert raised.value is error
    with pytest.raises(type(error)) as raised:
        sealing.unseal(Broken(error, io.BytesIO(SEALED), after), io.BytesIO(), FIRST)
    assert raised.value is error


@pytest.mark.parametrize("after", [0, CHUNK, 2 * CHUNK + 5000])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_sink_comes_out_as_itself(error: BaseException, after: int) -> None:
    with pytest.raises(type(error)) as raised:
        sealing.seal(io.BytesIO(PLAIN), Broken(error, io.BytesIO(), after), sealing.recipients(NAMED))
    assert raised.value is error
    with pytest.raises(type(error)) as raised:
        sealing.unseal(io.BytesIO(SEALED), Broken(error, io.BytesIO(), after), FIRST)
    assert raised.value is error


@pytest.mark.parametrize(
    ("named", "count"),
    [
        ({}, 0),
        ({"operations": NAMED["operations"]}, 1),
        ({"operations": NAMED["operations"], "escrow": NAMED["operations"]}, 1),
        ({"operations": NAMED["operations"], "escrow": NAMED["operations"].upper()}, 1),
    ],
)
def test_fewer_than_two_recipients_are_refused_and_the_same_one_twice_is_one(named: dict[str, str], count: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"^backup.recipients names {count} .*OPS_BACKUP__RECIPIENTS$"):
        sealing.recipients(named)


@pytest.mark.parametrize(
    "text", ["", "age1", "escrow@example.com", NAMED["escrow"][:-1], NAMED["escrow"] + "q"], ids=lambda _: "case"
)
def test_what_is_no_recipient_is_named_by_its_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"backup.recipients.wrong is no age recipient") as raised:
        sealing.recipients({**NAMED, "wrong": text})
    assert text[:20] in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("pasted", ["{}", "{}\n", " {}", "\t{}", '"{}"', "'{}", "# public key: x\n{}", "key={}"])
def test_a_private_key_pasted_as_recipient_is_not_shown(pasted: str) -> None:
    secret = str(FIRST)
    with pytest.raises(ConfigurationError) as raised:
        sealing.recipients({**NAMED, "wrong": pasted.format(secret)})
    assert "a private key: make a new one" in str(raised.value)
    assert secret[len("AGE-SECRET-KEY-1") :][:2] not in str(raised.value).partition("AGE-SECRET-KEY-1")[2]


def test_a_private_key_is_read_with_the_blanks_around_it() -> None:
    assert str(sealing.identity(f"\n {FIRST}\n", "the Connection x").to_public()) == NAMED["operations"]


@pytest.mark.parametrize("text", ["", "hush-canary", NAMED["operations"], str(FIRST)[:-1]], ids=lambda _: "case")
def test_what_is_no_private_key_is_not_shown_and_the_place_is(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the Connection x holds no age private key") as raised:
        sealing.identity(text, "the Connection x")
    assert not text or text not in str(raised.value)
    assert raised.value.__cause__ is None
