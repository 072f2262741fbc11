"""The age keys of the platform in small, made at the first start: who can open its backups."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.site import Site

OPERATIONAL, RECOVERY, ESCROW = "operational", "disaster_recovery", "escrow"
CONFIGURATION = "configuration"
NAMES = (OPERATIONAL, RECOVERY, ESCROW)
OF_CONFIGURATION = (CONFIGURATION, RECOVERY, ESCROW)
"""With the prover and the restorer; with the worker of disaster recovery alone; offline, for a person. The configuration's Secrets
have an operational key of their own."""


def private(site: Site, name: str) -> str:
    """Return a private key, kept in a file that only we read."""
    from pyrage.x25519 import Identity

    return site.secret(f"age-{name}", make=lambda: str(Identity.generate()))


def recipients(site: Site, names: Sequence[str] = NAMES) -> dict[str, str]:
    """Return the public key of each, by name."""
    from pyrage.x25519 import Identity

    return {name: str(Identity.from_str(private(site, name)).to_public()) for name in names}
