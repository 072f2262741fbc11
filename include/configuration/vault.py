"""What a recovery overwrites, sealed in the bucket before it does: the way back."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.backups import sealing
from include.backups.store import Store
from include.errors import VerificationError
from include.probes.kubernetes import Json


@dataclass(frozen=True, kw_only=True)
class Vault:
    """Where it is kept.

    :param writer: may put below `backups/`; `reader` may read there.
    :param recipients: age public keys by name.
    :param key: an age private key among them; `key_from` says whose, for errors.
    """

    writer: Store
    reader: Store
    recipients: Mapping[str, str]
    key: str = field(repr=False)
    key_from: str

    def keep(self, op_id: str, token: int, things: Sequence[Json]) -> Mapping[str, Any]:
        """Seal and store the objects, read them back, and return where they are; JSON values."""
        plain = json.dumps(list(things), sort_keys=True).encode()
        sealed = io.BytesIO()
        sealing.seal(io.BytesIO(plain), sealed, sealing.recipients(self.recipients))
        content = sealed.getvalue()
        place = f"backups/recovery/{op_id}/before-{token}.age"
        stored = self.writer.put(place, content)
        kept = {"key": place, "version": stored.id, "sha256": hashlib.sha256(content).hexdigest(), "n": len(things)}
        if self.read(kept) != list(things):  # nothing is overwritten whose copy cannot be read
            raise VerificationError(f"{place} does not hold what was put there; nothing was changed, look at the store")
        return kept

    def read(self, kept: Mapping[str, Any]) -> list[Json]:
        """Return the objects; VerificationError if they are not what was kept."""
        content = self.reader.get(kept["key"], kept["version"])
        if hashlib.sha256(content).hexdigest() != kept["sha256"]:
            raise VerificationError(f"{kept['key']} is not what the journal says was kept; look for its other versions")
        plain = io.BytesIO()
        sealing.unseal(io.BytesIO(content), plain, sealing.identity(self.key, self.key_from))
        things: list[Json] = json.loads(plain.getvalue())
        return things
