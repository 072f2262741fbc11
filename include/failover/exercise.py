"""Switch a pair over and back while a client writes, and leave it as it was, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from include.errors import RefusedError, RunbookError, TransientError, VerificationError
from include.failover.probe import Measured, Probe, Writer
from include.masking import one_line
from include.settings import FailoverLimits

POLL_S = 0.2
ERROR_LIMIT = 160
"""Characters of what went wrong: a report shows 300, and how the target was left must be among them."""


@dataclass(frozen=True, kw_only=True)
class Follower:
    """A member that is not the leader.

    :param lag_bytes: how far it is behind; None if that is not known.
    """

    name: str
    streaming: bool
    lag_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Who leads and who follows; `paused` if nobody may switch."""

    leader: str
    followers: tuple[Follower, ...]
    paused: bool = False


class Pair(Protocol):
    """A leader with its followers that can be asked to change places."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def identify(self) -> None:
        """Raise RefusedError unless it is the recorded staging target."""
        ...

    def observe(self) -> Standing:
        """Return who leads; TransientError if nobody does at the moment."""
        ...

    def switch(self, *, leader: str, to: str) -> None:
        """Hand the lead over; RefusedError if it was declined, TransientError or OutcomeUnknownError if nobody knows."""
        ...

    def opened(self) -> str | None:
        """Return the home of an exercise that began and did not end."""
        ...

    def begin(self, home: str) -> None:
        """Write down, on the target itself, that an exercise began."""
        ...

    def end(self) -> None:
        """Write down that it ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Exercised:
    """An exercise that ended where it began.

    :param brought_home: the member that led because an earlier exercise had been killed; empty if none had.
    """

    home: str
    away: str
    there: Measured
    back: Measured
    brought_home: str = ""

    @property
    def worst_gap_s(self) -> float:
        """The longer of the two gaps."""
        return max(self.there.gap_s, self.back.gap_s)


def exercise(pair: Pair, writer: Writer, limits: FailoverLimits) -> Exercised:
    """Switch over, measure, switch back, measure; any error is raised after the pair was brought home, and says how it stands.

    RefusedError before anything was changed: not the staging target, or not whole.
    """
    await_identified(pair, limits)
    brought_home = come_home(pair, limits)
    home, away = _preflight(pair, limits)
    pair.begin(home)
    try:
        there, back = _there_and_back(pair, writer, home=home, away=away, limits=limits)
    except BaseException as error:
        raise told(error, _after_failure(pair, home, limits)) from error
    pair.end()
    return Exercised(home=home, away=away, there=there, back=back, brought_home=brought_home)


def _preflight(pair: Pair, limits: FailoverLimits) -> tuple[str, str]:
    """Return who leads and who is to take over."""
    try:
        standing = await_whole(pair, None, limits)
    except VerificationError as error:
        raise RefusedError(f"{error}; nothing was changed") from error
    return standing.leader, candidate(standing, limits)


def await_identified(pair: Pair, limits: FailoverLimits) -> None:
    """Identify it; whoever killed an exercise may be back while the switch that it ordered still goes on."""
    deadline = time.monotonic() + limits.whole_within_s
    while True:
        try:
            return pair.identify()
        except TransientError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def come_home(pair: Pair, limits: FailoverLimits) -> str:
    """End an exercise that was killed; return who led instead of its home, or nothing if all was as it should be."""
    home = pair.opened()
    if home is None:
        return ""
    leader = _wait_for_leader(pair, limits).leader
    if leader != home:
        go(pair, home, limits)
    pair.end()
    return leader if leader != home else ""


def go(pair: Pair, to: str, limits: FailoverLimits) -> None:
    """Hand the lead to `to` and return when the pair is whole under it; VerificationError if it is not in time."""
    leader = await_whole(pair, None, limits).leader
    if leader == to:
        return
    pair.switch(leader=leader, to=to)
    await_whole(pair, to, limits)


def would(pair: Pair, limits: FailoverLimits) -> str:
    """Look only, and return what an exercise would do; RefusedError if it would be refused."""
    pair.identify()
    standing = pair.observe()
    return f"{standing.leader} would hand over to {candidate(standing, limits)} and take back"


def candidate(standing: Standing, limits: FailoverLimits) -> str:
    """Return the follower that lags least; RefusedError if the pair must not be switched as it stands."""
    if standing.paused:
        raise RefusedError(f"{standing.leader} leads a pair that is paused; nothing was changed, resume it first")
    fit = [each for each in standing.followers if is_fit(each, limits)]
    if not fit:
        raise RefusedError(
            f"no follower of {standing.leader} streams within {limits.lag_max_bytes} bytes ({_told_of(standing.followers)});"
            " nothing was changed, mend replication first"
        )
    return min(fit, key=lambda each: (each.lag_bytes or 0, each.name)).name


def is_fit(follower: Follower, limits: FailoverLimits) -> bool:
    """Whether a follower could take the lead."""
    return follower.streaming and follower.lag_bytes is not None and follower.lag_bytes <= limits.lag_max_bytes


def await_whole(pair: Pair, leader: str | None, limits: FailoverLimits) -> Standing:
    """Wait until it leads (whoever does, if None) and every follower is fit; VerificationError with what stands instead."""

    def whole(standing: Standing) -> bool:
        right = leader in (None, standing.leader)
        return right and bool(standing.followers) and all(is_fit(each, limits) for each in standing.followers)

    return _wait(pair, whole, f"{leader or 'a member'} leads and the others follow", limits)


def _wait_for_leader(pair: Pair, limits: FailoverLimits) -> Standing:
    return _wait(pair, lambda standing: bool(standing.leader), "somebody leads", limits)


def _wait(pair: Pair, wanted: Callable[[Standing], bool], said: str, limits: FailoverLimits) -> Standing:
    deadline = time.monotonic() + limits.whole_within_s
    last = "nobody answered"
    while time.monotonic() < deadline:
        try:
            standing = pair.observe()
        except TransientError as error:
            last = str(error)
        else:
            if wanted(standing):
                return standing
            last = f"{standing.leader} leads, {_told_of(standing.followers)}"
        time.sleep(POLL_S)
    raise VerificationError(
        f"{pair.name}: waited {limits.whole_within_s:g} s until {said}, but {last}; look at its log, then run the exercise again"
    )


def _told_of(followers: Sequence[Follower]) -> str:
    said = (
        f"{each.name} {'streams' if each.streaming else 'does not stream'}, {_lag(each.lag_bytes)} behind"
        for each in followers
    )
    return "; ".join(said) or "nobody follows"


def _lag(lag_bytes: int | None) -> str:
    return "unknown" if lag_bytes is None else f"{lag_bytes} bytes"


def _there_and_back(
    pair: Pair, writer: Writer, *, home: str, away: str, limits: FailoverLimits
) -> tuple[Measured, Measured]:
    with Probe(writer, limits.probe_every_s) as probe:
        return _lap(pair, probe, away, limits), _lap(pair, probe, home, limits)


def _lap(pair: Pair, probe: Probe, to: str, limits: FailoverLimits) -> Measured:
    time.sleep(limits.steady_s)
    if not probe.acknowledged:
        raise VerificationError(f"no write was acknowledged before the switch ({probe.last_error[:120]})")
    go(pair, to, limits)
    time.sleep(limits.steady_s)
    return probe.lap()


def _after_failure(pair: Pair, home: str, limits: FailoverLimits) -> str:
    """Bring it home and say how it stands."""
    try:
        go(pair, home, limits)
        pair.end()
    except Exception as error:  # noqa: BLE001 - what went wrong first is what is told, and this beside it
        return f"it could not be brought home to {home}: {error}"
    return f"{home} leads again and the others follow"


def told(error: BaseException, state: str) -> BaseException:
    """Return the error with the state in which the target was left; an order to stop stays what it is."""
    if isinstance(error, RunbookError):
        return type(error)(f"{one_line(str(error), ERROR_LIMIT)}; {state}")
    if isinstance(error, Exception):
        return VerificationError(f"broke off: {type(error).__name__}: {one_line(str(error), ERROR_LIMIT)}; {state}")
    error.add_note(state)
    return error
