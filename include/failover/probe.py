"""A client that writes one number after another while something is switched over, and counts what it noticed.

A write counts as lost if its acknowledgement came and it is not there afterwards. One whose answer never came may be there or
not: it is neither lost nor a duplicate.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import TransientError

if TYPE_CHECKING:
    import psycopg
    from redis import Redis

ANSWER_WITHIN_S = 1.0
"""Of one write. A client that waits longer would call its own patience an outage."""


class Writer(Protocol):
    """Writes numbers to whoever accepts them at the moment."""

    def write(self, number: int) -> None:
        """Return when the write is acknowledged; raise if it is not, whatever the reason."""
        ...

    def present(self) -> Sequence[int]:
        """Return the numbers that are there, as often as they are there."""
        ...

    def clear(self) -> None:
        """Remove what was written, and hang up."""
        ...


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the client noticed.

    :param gap_s: the longest time without an acknowledged write.
    :param gap_began_s: when it began, counted from the start.
    :param lost: acknowledged numbers that are not there.
    :param duplicates: numbers that are there more than once.
    """

    lasted_s: float
    attempted: int
    acknowledged: int
    gap_s: float
    gap_began_s: float
    lost: tuple[int, ...]
    duplicates: tuple[int, ...]


def longest_gap(began: float, acknowledged: Iterable[float], ended: float) -> tuple[float, float]:
    """Return the longest time without an acknowledgement and when it began, after the start; the ends count too."""
    times = [began, *acknowledged, ended]
    start, end = max(pairwise(times), key=lambda between: between[1] - between[0])
    return end - start, start - began


def compare(acknowledged: Iterable[int], present: Iterable[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the acknowledged numbers that are not there, and the numbers that are there more than once."""
    found = Counter(present)
    lost = tuple(number for number in acknowledged if number not in found)
    return lost, tuple(sorted(number for number, times in found.items() if times > 1))


@dataclass
class Probe:
    """Writes in a thread of its own for as long as its `with` block lasts.

    :param every_s: between the starts of two writes; one that hangs delays the next.
    """

    writer: Writer
    every_s: float
    attempted: int = 0
    acknowledged: dict[int, float] = field(default_factory=dict)
    last_error: str = ""
    _lap_began: float = 0.0
    _lap_first: int = 1

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="failover-probe", daemon=True)

    def __enter__(self) -> Probe:
        self._lap_began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(Exception):  # numbers that stay behind harm nobody; the next exercise uses a name of its own
            self.writer.clear()

    def lap(self) -> Measured:
        """Return what was noticed since the last lap, or since the start; lost writes are those of the whole time."""
        ended, first, began = time.monotonic(), self._lap_first, self._lap_began
        known = dict(self.acknowledged)
        attempted = self.attempted
        lost, duplicates = compare(known, self._present())
        self._lap_began, self._lap_first = ended, attempted + 1
        own = [at for number, at in known.items() if number >= first and at <= ended]
        gap_s, gap_began_s = longest_gap(began, own, ended)
        return Measured(
            lasted_s=ended - began,
            attempted=attempted - first + 1,
            acknowledged=len(own),
            gap_s=gap_s,
            gap_began_s=gap_began_s,
            lost=lost,
            duplicates=duplicates,
        )

    def _present(self) -> Sequence[int]:
        return insist(self.writer.present, ANSWER_WITHIN_S * 20)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._write(self.attempted + 1)
            self._stop.wait(max(0.0, began + self.every_s - time.monotonic()))

    def _write(self, number: int) -> None:
        self.attempted = number
        try:
            self.writer.write(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no acknowledgement
            self.last_error = f"{type(error).__name__}: {error}"
        else:
            self.acknowledged[number] = time.monotonic()


def insist(ask: Callable[[], Sequence[int]], within_s: float) -> Sequence[int]:
    """Ask until it is answered; TransientError after `within_s`, since what cannot be counted is not called lost."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except Exception as error:
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the probe cannot read back what it wrote ({type(error).__name__}), so nothing is known of lost writes;"
                    " look at the target, then run the exercise again"
                ) from error
        time.sleep(0.1)


@dataclass
class PostgresWriter:
    """Inserts into `failover.probe` on whichever host accepts writes.

    :param parameters: of `psycopg.connect`, with all hosts and `target_session_attrs=read-write`.
    :param run: name of this exercise; letters, digits, dashes.
    """

    parameters: Mapping[str, Any]
    run: str

    def __post_init__(self) -> None:
        self._session: psycopg.Connection[tuple[Any, ...]] | None = None
        self._lock = threading.Lock()

    def write(self, number: int) -> None:
        """Insert and commit."""
        self._ask("insert into failover.probe (run, n) values (%s, %s)", self.run, number)

    def present(self) -> Sequence[int]:
        """Read them back from who is the primary now, never from a session of before."""
        with self._connect() as session:
            return [n for (n,) in session.execute("select n from failover.probe where run = %s", [self.run])]

    def clear(self) -> None:
        """Delete this run's rows."""
        self._ask("delete from failover.probe where run = %s", self.run)
        self._hang_up()

    def _ask(self, statement: str, *values: object) -> None:
        with self._lock:
            self._session = self._session or self._connect()
            try:
                self._session.execute(statement, values)
            except BaseException:
                self._hang_up()
                raise

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        patience = f"-c statement_timeout={ANSWER_WITHIN_S * 1000:.0f}"
        bounds = {"connect_timeout": 2, "tcp_user_timeout": int(ANSWER_WITHIN_S * 1000), "options": patience}
        return psycopg.connect(**{**self.parameters, **bounds}, autocommit=True)

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session:
            with suppress(Exception):
                session.close()


@dataclass
class RedisWriter:
    """Appends to a list on whichever member says that it is the master.

    :param members: a client each, with short time-outs.
    """

    members: Mapping[str, Redis]
    run: str
    lives_s: int = 86_400

    def __post_init__(self) -> None:
        self._master: Redis | None = None

    @property
    def key(self) -> str:
        """Where the numbers are."""
        return f"failover:probe:{self.run}"

    def write(self, number: int) -> None:
        """Append; a refused write looks for another master the next time."""
        self._master = self._master or self._find()
        try:
            self._master.rpush(self.key, number)
        except BaseException:
            self._master.connection_pool.disconnect()
            self._master = None
            raise
        if number == 1:
            self._master.expire(self.key, self.lives_s)

    def present(self) -> Sequence[int]:
        """Read them back from who is the master now."""
        return [int(text) for text in self._find().lrange(self.key, 0, -1)]

    def clear(self) -> None:
        """Unlink this run's list."""
        self._find().unlink(self.key)

    def _find(self) -> Redis:
        for member in self.members.values():
            with suppress(Exception):
                if member.execute_command("ROLE")[0] in ("master", b"master"):  # type: ignore[no-untyped-call]
                    return member
        raise TransientError("no member of the Redis pair says that it is the master")
