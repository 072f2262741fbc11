"""Whether each door of the cache opens as far as it must, and no further: what `make doctor` asks. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.cache.selection import REMOVER, primary
from include.cache.wire import Wire
from include.errors import ConfigurationError
from include.probes.cache import Nodes
from include.settings import CacheLimits

if TYPE_CHECKING:
    from redis import Redis

NOBODY = "orchestrator-doctor-asks"
"""Last part of a key that nobody has."""


def of_reader(found: Nodes) -> str:
    """Say which nodes can be seen; one that cannot is an error."""
    if found.dark:
        name, why = next(iter(found.dark.items()))
        raise ConfigurationError(
            f"cannot look at {name} ({why.reason}): name all nodes in its extra, as .env.example shows"
        )
    return f"sees the primary {found.primary.name} and {len(found.seen) - 1} replicas; keys are looked at on {found.walked.name}"


def of_remover(client: Redis, limits: CacheLimits) -> str:
    """Ask for a copy of a key that is not there below each prefix, and of one that must be refused."""
    primary(client)
    with Wire(client, REMOVER) as wire:
        for prefix in limits.prefixes:
            wire.one("DUMP", f"{prefix}{NOBODY}")
        for prefix in limits.never:
            (answer,) = wire.answers([("DUMP", f"{prefix}{NOBODY}")])
            if not isinstance(answer, Exception):
                raise ConfigurationError(
                    f"may also touch keys below {prefix}: use the user ops_cache_remover of deploy/redis"
                )
    return f"may remove keys below {', '.join(limits.prefixes)}, and is refused below {', '.join(limits.never)}"
