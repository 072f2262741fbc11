"""Encryption of a stream to several age recipients (age-encryption.org/v1), each of whom opens it alone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import ConfigurationError, VerificationError

if TYPE_CHECKING:
    from pyrage.x25519 import Identity, Recipient

RECIPIENTS_MIN = 2
READ_BYTES = 128 << 10
"""Of what is opened, at once; what is sealed is taken as it comes, since a dump that compresses well comes in drops."""


class Source(Protocol):
    """What is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int:
        """Take the bytes and return how many."""

    def flush(self) -> None:
        """Do what is needed after the last byte."""


def recipients(named: Mapping[str, str], setting: str = "backup.recipients") -> list[Recipient]:
    """Return the keys to seal to; ConfigurationError names the setting if one is no age recipient, or if they are too few."""
    found = {str(key): key for key in (_recipient(name, text, setting) for name, text in named.items())}
    if len(found) < RECIPIENTS_MIN:
        raise ConfigurationError(
            f"{setting} names {len(found)} age recipients and {RECIPIENTS_MIN} are the least: one lost key must not"
            f" lose every backup; add another public key to {_variable(setting)}"
        )
    return list(found.values())


def _variable(setting: str) -> str:
    return "OPS_" + setting.upper().replace(".", "__")


def _recipient(name: str, text: str, setting: str) -> Recipient:
    from pyrage import RecipientError
    from pyrage.x25519 import Recipient as Public

    try:
        return Public.from_str(text)
    except RecipientError:
        raise ConfigurationError(
            f"{setting}.{name} is no age recipient (got {_shown(text)}); write the line that begins with age1 which"
            f" `age-keygen` prints, into {_variable(setting)}"
        ) from None


def _shown(text: str) -> str:
    # Whoever pastes the wrong half of a key pair here must not find it in a log.
    return "a private key: make a new one" if "AGE-SECRET" in text.upper() else repr(text[:20])


def identity(text: str, where: str) -> Identity:
    """Return the private key; ConfigurationError says where it was looked for, and never what it is."""
    from pyrage import IdentityError
    from pyrage.x25519 import Identity as Private

    try:
        return Private.from_str(text.strip())
    except IdentityError:
        raise ConfigurationError(f"{where} holds no age private key; it begins with AGE-SECRET-KEY-1") from None


def seal(source: Source, sink: Sink, to: Sequence[Recipient]) -> None:
    """Encrypt all of the source into the sink; an error of either comes out as it is."""
    import pyrage

    read, written = _Read(source), _Written(sink)
    try:
        pyrage.encrypt_io(read, written, list(to))
    except (pyrage.EncryptError, OSError):
        raise read.error or written.error or VerificationError("age could not encrypt") from None


def unseal(source: Source, sink: Sink, key: Identity) -> None:
    """Decrypt all of the source; VerificationError if it is damaged, cut short or sealed to others.

    What was written to the sink before that error came is not to be used.
    """
    import pyrage

    read, written = _Read(source), _Written(sink)
    try:
        pyrage.decrypt_io(io.BufferedReader(read, READ_BYTES), written, [key])
    except (pyrage.DecryptError, OSError) as error:
        raise read.error or written.error or VerificationError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if "No matching keys" in str(error):
        return "it is not sealed to this key"
    return "it does not decrypt: damaged or cut short"


class _Kept:
    """The error of a file: the library turns every error into one of its own."""

    error: BaseException | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # a time-out of the task is one, too, and says nothing about the backup
            self.error = error
            raise


class _Read(_Kept, io.RawIOBase):
    """A source whose own error is kept; one of `io`, so that a buffer can stand before it: the library reads 8 kB at a time."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self.keeping():
            data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Written(_Kept):
    """A sink whose own error is kept."""

    def __init__(self, inner: Sink) -> None:
        self.inner = inner

    def write(self, data: bytes) -> int:
        with self.keeping():
            self.inner.write(data)
            return len(data)

    def flush(self) -> None:
        with self.keeping():
            self.inner.flush()
