"""Which cache keys may be removed, and what a removal would do: decided from what was asked for, what was counted, and the limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from include.errors import ConfigurationError, RefusedError
from include.masking import one_line
from include.ops.gate import Plan
from include.settings import CacheLimits

KIND = "cache removal"
REASON_LETTERS = 10
ROOM_KEYS, ROOM_SHARE = 100, 0.1
"""How many more keys than were counted an approval covers: an application goes on while people read."""

_PREFIX = re.compile(r"[a-z0-9_-]{2,}:([a-z0-9_-]+:)*")


class Which(StrEnum):
    """Which keys below the prefix."""

    WITHOUT_LIFETIME = "without a lifetime"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for."""

    op_id: str
    prefix: str
    which: str
    reason: str

    @classmethod
    def of(cls, op_id: str, facts: Mapping[str, Any]) -> Request:
        """Return the request that an approved plan holds, by which a later process goes on."""
        return cls(op_id=op_id, prefix=facts["prefix"], which=facts["which"], reason=facts["reason"])

    def refuse(self, limits: CacheLimits) -> None:
        """ConfigurationError if a field of the form is unusable, RefusedError if the prefix is none that may be removed."""
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError(
                f"prefix: small letters, digits, - and _ in parts that each end with a colon, as in cache:report:, not"
                f" {one_line(repr(self.prefix), 60)}; nothing was changed, trigger it again"
            )
        if not self.prefix.startswith(limits.prefixes) or self.prefix.startswith(limits.never):
            raise RefusedError(
                f"prefix: keys below {self.prefix} are never removed, only those below {', '.join(limits.prefixes)}"
                " (cache.prefixes); nothing was changed"
            )
        if self.which not in list(Which):
            raise ConfigurationError(
                f"which: one of {', '.join(Which)}, not {one_line(repr(self.which), 60)}; nothing was changed, trigger it again"
            )
        if len(self.reason.strip()) < REASON_LETTERS:
            raise ConfigurationError(
                f"reason: at least {REASON_LETTERS} characters say why they are removed, not"
                f" {one_line(repr(self.reason.strip()), 60)}; nothing was changed, trigger it again"
            )


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What lies below the prefix now.

    :param server: the process of the primary, by its `run_id`; `place`: where it listens.
    :param keys: that would be removed; `others`: below the prefix that would stay.
    :param bytes: that they take, by a sample.
    """

    server: str
    place: str
    keys: int
    others: int
    bytes: float


def target(request: Request, counted: Counted) -> str:
    """Return what it is done to, by a name that cannot be mistaken."""
    return f"{request.prefix} on redis {counted.place}"


def most(counted: Counted) -> int:
    """Return how many keys an approval of this count covers."""
    return counted.keys and counted.keys + max(ROOM_KEYS, int(counted.keys * ROOM_SHARE))


def plan(
    request: Request, counted: Counted, limits: CacheLimits, *, code_version: str, approved: int | None = None
) -> Plan:
    """Return the plan; RefusedError if it is more than one run may remove, or more than was approved.

    :param approved: how many keys people agreed to; None makes a plan to be asked for.
    """
    allowed = most(counted) if approved is None else approved
    if counted.keys > limits.removal_keys_max:
        raise RefusedError(
            f"{counted.keys} keys below {request.prefix} would be removed, and one run may remove {limits.removal_keys_max}"
            " (cache.removal_keys_max); nothing was changed: name a longer prefix, or let the application do it"
        )
    if counted.keys > allowed:
        raise RefusedError(
            f"{counted.keys} keys below {request.prefix} would be removed, and {allowed} were approved: somebody goes on writing"
            " them; nothing was changed, trigger the runbook again"
        )
    facts = {
        "prefix": request.prefix,
        "which": request.which,
        "reason": request.reason,
        "most": allowed,
        "server": counted.server,
    }
    return Plan(
        op_id=request.op_id,
        kind=KIND,
        target=target(request, counted),
        steps=_steps(request, limits, allowed),
        facts=facts,
        seen=_seen(request, counted),
        code_version=code_version,
    )


def _steps(request: Request, limits: CacheLimits, allowed: int) -> Sequence[str]:
    which = "that have no lifetime" if request.which == Which.WITHOUT_LIFETIME else "of any lifetime"
    return [
        f"find the keys below {request.prefix} {which}, and no others; a key that changes meanwhile is in use and stays",
        f"in batches of {limits.removal_batch_keys}: copy each key, sealed, into the bucket, then UNLINK it; {allowed} keys at most",
        f"keep the copies for {limits.undo_days} days: python -m include.cache undo {request.op_id} brings the keys back",
    ]


def _seen(request: Request, counted: Counted) -> Sequence[str]:
    from include.backups.moving import size

    return [
        f"Would be removed: {counted.keys} keys, about {size(counted.bytes)}; {counted.others} others below {request.prefix} stay",
        f"Why: {request.reason}",
    ]
