"""What a component of the platform in small is: how it is made ready, started, and known to be healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.site import Site


class NotReadyError(Exception):
    """The component runs, or should, but does not do its work yet; the text says what is missing."""


class SetupError(Exception):
    """The component cannot be started on this machine; the text says what is in the way and the way out."""


def nothing(site: Site) -> None:
    """Do nothing: for components without that step."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One process, or one step. `prepare` runs first, then `command` under the process manager, `ready` until it returns, `after`.

    :param prepare: make files, certificates and data folders; runs at every start, so it leaves what is there alone.
    :param command: the argument list, asked for after `prepare`; None for a step that has no process of its own.
    :param environment: what the process needs beyond PATH, HOME and LANG. Passwords go here or in files, never in argv.
    :param ready: return when the component answers, raise NotReadyError with the reason when it does not yet.
    :param after: fill it (schema, roles, seed); idempotent; runs when it is ready.
    :param needs: names of components that are ready and filled before this one is prepared.
    :param user: run as this user instead of ours; a name or None.
    :param ready_within_s: how long `ready` may take to return before the start counts as failed.
    """

    name: str
    ready: Callable[[Site], None] = nothing
    command: Callable[[Site], list[str]] | None = None
    prepare: Callable[[Site], None] = nothing
    after: Callable[[Site], None] = nothing
    environment: Callable[[Site], Mapping[str, str]] = field(default=lambda site: {})
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    user: str | None = None
    ready_within_s: float = 60.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether it has a process of its own."""
        return self.command is not None
