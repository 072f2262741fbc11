"""Copies of the keys that are removed: each batch sealed to the keys of the backups, in the bucket, until the undo is over."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.backups import sealing
from include.backups.store import Store
from include.errors import VerificationError

FOLDER = "backups/cache/"
"""Below what the writer of backups may write, and beside what a catalogue of backups looks at."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One key as the server serialised it.

    :param expires_at_ms: since 1970; 0 if it has no lifetime.
    :param dump: what DUMP said, which RESTORE takes.
    """

    name: bytes
    expires_at_ms: int
    dump: bytes = field(repr=False)

    def ran_out(self, now_ms: int) -> bool:
        """Whether its time is past; RESTORE would answer OK and make nothing."""
        return 0 < self.expires_at_ms <= now_ms

    def to_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        return {"name": _text(self.name), "expires_at_ms": self.expires_at_ms, "dump": _text(self.dump)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Copy:
        """Read back what `to_json` wrote."""
        return cls(name=_bytes(value["name"]), expires_at_ms=value["expires_at_ms"], dump=_bytes(value["dump"]))


@dataclass(frozen=True)
class Keeper:
    """Who puts copies away; it cannot read them.

    :param store: as the writer of backups.
    :param recipients: public keys, by name.
    """

    store: Store
    recipients: Mapping[str, str] = field(repr=False)

    def keep(self, key: str, copies: Sequence[Copy]) -> str:
        """Put a batch away and return its version."""
        plain = zlib.compress(json.dumps([copy.to_json() for copy in copies]).encode())
        sealed = io.BytesIO()
        sealing.seal(io.BytesIO(plain), sealed, sealing.recipients(self.recipients))
        return self.store.put(key, sealed.getvalue(), once=True).id


@dataclass(frozen=True)
class Opener:
    """Who opens copies.

    :param store: as the verifier; `key`: the operational private key; `key_from`: where it was found, for errors.
    """

    store: Store
    key: str = field(repr=False)
    key_from: str

    def open(self, key: str, version: str) -> Sequence[Copy]:
        """Return a batch; VerificationError if it is damaged or was sealed to others."""
        plain = io.BytesIO()
        try:
            sealing.unseal(self.store.open(key, version), plain, sealing.identity(self.key, self.key_from))
            return [Copy.from_json(each) for each in json.loads(zlib.decompress(plain.getvalue()))]
        except VerificationError as error:
            raise VerificationError(f"{key}: {error}; its keys cannot be brought back") from None


def place(op_id: str, token: int, number: int) -> str:
    """Return where a batch lies: the token of the lease tells two processes of one operation apart."""
    return f"{FOLDER}{op_id}/{token}-{number:06}.age"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value)
