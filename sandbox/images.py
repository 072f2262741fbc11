"""Images of the simulated services: the digest alone decides how a replica behaves, as a build does in earnest."""

from __future__ import annotations

import hashlib

REGISTRY = "registry.ai-orchestrator.example"

BEHAVIOURS = ("good", "slow", "errors", "crashes", "never-ready", "unpullable")


def _digest(behaviour: str) -> str:
    return "sha256:" + hashlib.sha256(f"ai-orchestrator/{behaviour}".encode()).hexdigest()


DIGESTS: dict[str, str] = {behaviour: _digest(behaviour) for behaviour in BEHAVIOURS}
"""Digest of each behaviour; the stages of the simulated kubelets and the simulator both go by it."""

_BEHAVIOUR_OF = {digest: behaviour for behaviour, digest in DIGESTS.items()}


def image(service: str, behaviour: str = "good") -> str:
    """Return the full reference of a service's build; KeyError for a behaviour that nobody plays."""
    return f"{REGISTRY}/{service}@{DIGESTS[behaviour]}"


def behaviour_of(reference: str) -> str:
    """Return how a replica with this image behaves; a digest that nobody knows is a good build of a later day."""
    return _BEHAVIOUR_OF.get(reference.rpartition("@")[2], "good")
