"""The Redis (or Valkey) pair of the exercise, switched by its own FAILOVER."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, OutcomeUnknownError, RefusedError, TransientError
from include.failover.exercise import POLL_S, Follower, Standing
from include.masking import one_line

if TYPE_CHECKING:
    from redis import Redis

TARGET = "failover:target"
EXERCISE = "failover:exercise"
STAGING = "staging"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one member says of itself.

    :param of: the master that it follows, `host:port`; empty for a master.
    :param connected: whether it receives the master's writes.
    :param offset: of the replication stream.
    :param followers: offsets that followers acknowledged, by `host:port`; of a master only.
    """

    master: bool
    of: str = ""
    connected: bool = False
    offset: int = 0
    followers: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RedisPair:
    """Members by `host:port`, as each announces itself to the other; their clients decode answers and have short time-outs."""

    members: Mapping[str, Redis]
    switch_within_s: float

    @property
    def name(self) -> str:
        """What people call it."""
        return "Redis staging"

    def identify(self) -> None:
        """Refuse unless every member carries the mark that `make up`, or whoever built staging, wrote there."""
        for member, client in self.members.items():
            if (found := self._ask(client, "GET", TARGET)) != STAGING:
                raise RefusedError(
                    f"{member} is not the recorded staging target ({TARGET} is {str(found)[:40]!r}, not {STAGING!r});"
                    " nothing was changed, give the exercise the Connection of the staging pair"
                )

    def observe(self) -> Standing:
        """Ask every member for its role."""
        return standing({member: self._role(client) for member, client in self.members.items()})

    def switch(self, *, leader: str, to: str) -> None:
        """Order the failover, which pauses writes until the follower has caught up, and wait until the roles are changed."""
        host, _, port = to.rpartition(":")
        within_ms = int(self.switch_within_s * 1000)
        self._order(leader, "FAILOVER", "TO", host, port, "TIMEOUT", within_ms)
        deadline = time.monotonic() + self.switch_within_s + 1
        while time.monotonic() < deadline:
            if (its := self._role(self.members[to])) and its.master:
                return
            time.sleep(POLL_S / 4)
        raise OutcomeUnknownError(f"{to} did not take over from {leader} within {self.switch_within_s:g} s")

    def opened(self) -> str | None:
        """Return the home of an exercise that began and did not end."""
        found = self._ask(self._leading(), "GET", EXERCISE)
        return str(found) if found else None

    def begin(self, home: str) -> None:
        """Write a key, which goes with the data wherever the lead goes."""
        self._ask(self._leading(), "SET", EXERCISE, home)

    def end(self) -> None:
        """Remove the key."""
        self._ask(self._leading(), "DEL", EXERCISE)

    def _leading(self) -> Redis:
        return self.members[self.observe().leader]

    def _order(self, leader: str, *command: object) -> None:
        from redis.exceptions import ResponseError

        try:
            self._ask(self.members[leader], *command)
        except ResponseError as error:
            raise RefusedError(f"{leader} does not hand over: {one_line(str(error), 160)}") from error

    def _role(self, client: Redis) -> Role | None:
        try:
            return role(self._ask(client, "ROLE"))
        except TransientError:
            return None

    def _ask(self, client: Redis, *command: object) -> Any:
        from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (AuthenticationError, NoPermissionError) as error:
            raise ConfigurationError(f"Redis refuses {command[0]}: {one_line(str(error), 160)}") from error
        except ResponseError:
            raise
        except RedisError as error:
            raise TransientError(f"{self.name} does not answer {command[0]}: {one_line(str(error), 160)}") from error


def role(answer: Any) -> Role:
    """Return what ROLE says."""
    if answer[0] == "master":
        followers = {f"{host}:{port}": int(offset) for host, port, offset in answer[2]}
        return Role(master=True, offset=int(answer[1]), followers=followers)
    _, host, port, state, offset = answer
    return Role(master=False, of=f"{host}:{port}", connected=state == "connected", offset=int(offset), followers={})


def standing(roles: Mapping[str, Role | None]) -> Standing:
    """Return who leads; TransientError if none or more than one does: between two masters nobody can say whose writes count."""
    masters = [member for member, role in roles.items() if role and role.master]
    if len(masters) != 1:
        raise TransientError(f"{len(masters)} members say that they are the master ({', '.join(masters) or 'none'})")
    (leader,) = masters
    others = ((member, role) for member, role in roles.items() if member != leader)
    return Standing(leader=leader, followers=tuple(_follower(member, role, leader, roles) for member, role in others))


def _follower(member: str, its: Role | None, leader: str, roles: Mapping[str, Role | None]) -> Follower:
    leading = roles[leader]
    acknowledged = leading.followers.get(member) if leading else None
    return Follower(
        name=member,
        streaming=bool(its and its.connected and its.of == leader),
        lag_bytes=max(0, leading.offset - acknowledged) if leading and acknowledged is not None else None,
    )
