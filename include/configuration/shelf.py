"""The bundles in the bucket as whoever restores sees them: which count, and one of them opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.backups import sealing
from include.backups.store import Store
from include.configuration import bundle, reading
from include.configuration.request import Chosen
from include.errors import RefusedError

if TYPE_CHECKING:
    from include.backups.catalogue import Catalogue
    from include.backups.manifest import ConfigurationManifest


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """All bundles of one namespace.

    :param store: may list and read.
    :param key: an age private key to which they are sealed; `key_from` says whose, for errors.
    """

    store: Store
    namespace: str
    key: str = field(repr=False)
    key_from: str

    def catalogue(self) -> Catalogue[ConfigurationManifest]:
        """Return what is in the bucket."""
        return reading.backups(self.store, self.namespace)

    def open(self, key: str) -> Chosen:
        """Return a bundle, the newest GOOD one for ""; RefusedError if it does not count, VerificationError if it is damaged."""
        backup = self.catalogue().find(key)
        if not backup.is_good:
            raise RefusedError(
                f"bundle: {backup.key} is {backup.verdict.value}, and only a GOOD one is restored; nothing was changed, choose"
                " another (show_choice in the report of a run lists them)"
            )
        identity = sealing.identity(self.key, self.key_from)
        opened = bundle.unseal(reading.read_sealed(self.store, backup), identity)
        return Chosen(key=backup.key, sha256=backup.sha256, bundle=opened)
