"""Patroni's REST interface: who leads, and the order to change places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from include.errors import ConfigurationError, OutcomeUnknownError, RefusedError, TransientError
from include.failover.exercise import Follower, Standing
from include.masking import one_line

LEADING = {"leader", "standby_leader"}


@dataclass(frozen=True, kw_only=True)
class Patroni:
    """The members of one cluster by the addresses of their REST interfaces.

    :param client: with the password, the certificate authority and a time-out.
    """

    members: Sequence[str]
    client: httpx.Client

    def scope(self) -> str:
        """Return the name of the cluster."""
        return str(self._ask("GET", "/patroni").json()["patroni"]["scope"])

    def standing(self) -> Standing:
        """Return who leads; TransientError if nobody answers or nobody leads."""
        return standing(self._ask("GET", "/cluster").json())

    def switch(self, *, leader: str, to: str, within_s: float) -> None:
        """Order a switchover now; RefusedError with Patroni's own words if it declines."""
        body = {"leader": leader, "candidate": to}
        try:
            answer = self._ask("POST", "/switchover", json=body, timeout=within_s)
        except _NoAnswerError as error:
            raise OutcomeUnknownError(
                f"the order to hand over from {leader} to {to} was sent and not answered ({error}); see who leads before any other"
            ) from error
        if answer.status_code in (401, 403):
            raise ConfigurationError(f"Patroni refuses the login ({answer.status_code}); correct its Connection")
        if answer.is_error:
            raise RefusedError(
                f"Patroni does not hand over from {leader} to {to}: {one_line(answer.text, 160)} ({answer.status_code})"
            )

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        failed = []
        for member in self.members:
            try:
                return self.client.request(method, f"{member}{path}", **more)
            except httpx.ConnectError as error:
                failed.append(f"{member}: {error}")
            except httpx.HTTPError as error:
                if method != "GET":
                    raise _NoAnswerError(f"{member}: {type(error).__name__}") from error
                failed.append(f"{member}: {type(error).__name__}")
        raise TransientError(f"no Patroni answers ({'; '.join(failed)})")


class _NoAnswerError(Exception):
    """Sent, and no answer came."""


def standing(cluster: Mapping[str, Any]) -> Standing:
    """Return what `GET /cluster` says; TransientError if it names no leader that runs."""
    members = cluster.get("members", ())
    leader = next((each["name"] for each in members if each["role"] in LEADING and each["state"] == "running"), None)
    if leader is None:
        raise TransientError(f"no member leads at the moment ({_told(members) or 'none is known'})")
    followers = tuple(_follower(each) for each in members if each["role"] not in LEADING)
    return Standing(leader=leader, followers=followers, paused=bool(cluster.get("pause")))


def _follower(member: Mapping[str, Any]) -> Follower:
    lag = member.get("lag")  # a number of bytes, or "unknown"
    return Follower(
        name=member["name"],
        streaming=member["state"] == "streaming",
        lag_bytes=lag if isinstance(lag, int) else None,
    )


def _told(members: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['name']} is a {each['role']}, {each['state']}" for each in members)
