"""What a real login finds in PostgreSQL."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RunbookError, TransientError
from include.sql import statement

if TYPE_CHECKING:
    from psycopg import Connection

Row = Mapping[str, Any]
CONNECT_TIMEOUT_S = 5
ALIVE = {"tcp_user_timeout": 60_000, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""By which the kernel notices that a server is gone; not one behind something that acknowledges for it."""
SLOTS_TAKEN = ("too many clients already", "remaining connection slots are reserved")
"""How the server says that its connection pool is full; libpq gives no SQLSTATE for a failed login."""
WRONG_LOGIN = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied",
    "invalid sslmode value",
)
AROUND = re.compile(
    r"connection (?:failed|is bad): |connection to server .*? failed: |FATAL: +| Is the server running [^?]*\?"
)
"""What libpq puts around its reason; the address is named already."""
PINGS = 5
DAY = timedelta(days=1)


class SlotsTakenError(TransientError):
    """The server runs and refuses every new session: that is a finding about it, not about us."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a login arrived, and how long it took."""

    database: str
    user: str
    in_recovery: bool
    read_only: bool
    tls: bool
    version: str
    started_at: datetime
    connect_ms: float
    ping_ms: float


@dataclass(frozen=True, kw_only=True)
class ConnectionUse:
    """Sessions taken of those that ordinary roles may open."""

    used: int
    most: int
    idle_in_transaction: int
    waiting_for_locks: int


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One streaming replica; its lag is None where the server does not tell."""

    name: str
    state: str
    lag_s: float | None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One replication slot and the write-ahead log that it keeps."""

    name: str
    active: bool
    retained_bytes: float


@dataclass(frozen=True, kw_only=True)
class Replication:
    """Replicas and slots of a primary."""

    replicas: tuple[Replica, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Whether a row could be written (and was rolled back), or what the server said instead."""

    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """How executions ended in a window."""

    since: datetime
    until: datetime
    succeeded: int
    failed: int
    cancelled: int
    p99_run_s: float | None
    causes: tuple[Row, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """An execution that has run for longer than it should."""

    id: str
    workflow_id: str
    running_s: float


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """What one login finds."""

    session: Session
    use: ConnectionUse
    replication: Replication


@dataclass(frozen=True, kw_only=True)
class Workflows:
    """How executions end, in a day and in the last minutes, and which do not."""

    day: Outcomes
    recent: Outcomes
    stuck: tuple[Stuck, ...]


@dataclass(frozen=True)
class Server:
    """How to log in; every look has a session of its own, so that one that hangs holds up no other.

    :param parameters: of `psycopg.connect`; the password among them is never shown.
    """

    parameters: Mapping[str, Any]
    statement_timeout_s: float

    @contextmanager
    def session(self) -> Iterator[Connection[dict[str, Any]]]:
        """Log in; a RunbookError says why that, or a statement, failed."""
        import psycopg
        from psycopg.rows import dict_row

        try:
            with psycopg.connect(**self._arguments(), row_factory=dict_row, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            raise explained(error, self.name) from None

    @property
    def name(self) -> str:
        """Host, port and database, for errors."""
        p = self.parameters
        return f"{p.get('host', 'localhost')}:{p.get('port', 5432)}/{p.get('dbname', '')}"

    def _arguments(self) -> dict[str, Any]:
        options = f"-c statement_timeout={self.statement_timeout_s * 1000:.0f} -c lock_timeout=1000"
        # A peer that vanished must not hold the socket for the kernel's two hours.
        bounded = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": 9000, "application_name": "health_check"}
        return {**bounded, **self.parameters, "options": options}


def explained(error: Exception, name: str, setting: str = "connections.postgres") -> RunbookError:
    """Return the error of ours that a driver's error stands for.

    :param setting: which setting names the Connection that led there.
    """
    import psycopg

    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None  # its details may quote a row
    text = AROUND.sub("", " ".join((said or str(error)).split()))
    if any(words in text for words in SLOTS_TAKEN):
        return SlotsTakenError(f"PostgreSQL at {name} refuses new sessions: all slots are taken")
    if isinstance(
        error, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn
    ):
        return ConfigurationError(f"PostgreSQL at {name}: {text}; apply deploy/postgres, or check {setting}")
    if isinstance(error, psycopg.OperationalError) and any(words in text for words in WRONG_LOGIN):
        return ConfigurationError(f"PostgreSQL at {name} refuses the login: {text}; check the Connection in {setting}")
    return TransientError(f"PostgreSQL at {name} did not answer: {text}")


def vitals(server: Server) -> Vitals | SlotsTakenError:
    """Log in, ask where that led to, and who else is there.

    That there was no room is an answer too: the only failed login that says something about the server.
    """
    started = time.monotonic()
    try:
        with server.session() as connection:
            connect_ms = 1000 * (time.monotonic() - started)
            return Vitals(
                session=_session(connection, connect_ms),
                use=ConnectionUse(**_one(connection, "connection_use")),
                replication=_replication(connection),
            )
    except SlotsTakenError as error:
        return error


def _session(connection: Connection[dict[str, Any]], connect_ms: float) -> Session:
    row = _one(connection, "session")
    ping_ms = median(_timed_ms(lambda: connection.execute("SELECT 1").fetchone()) for _ in range(PINGS))
    return Session(**row, connect_ms=connect_ms, ping_ms=ping_ms)


def write(server: Server) -> Writing:
    """Write one row and roll it back; asks for a writing transaction by name, since our role reads by default."""
    import psycopg

    with server.session() as connection:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("SET TRANSACTION READ WRITE")
                connection.execute(statement("write_probe"))
        except (
            psycopg.errors.ReadOnlySqlTransaction,
            psycopg.errors.FeatureNotSupported,
            psycopg.errors.DiskFull,
        ) as error:
            return Writing(refused=error.diag.message_primary or type(error).__name__)
        except psycopg.errors.ActiveSqlTransaction as error:
            return Writing(refused=str(error))
    return Writing()


def _replication(connection: Connection[dict[str, Any]]) -> Replication:
    """List replicas and slots; a server in recovery has no position of its own to measure slots by."""
    replicas = tuple(Replica(**row) for row in connection.execute(statement("replication")))
    if _one(connection, "session")["in_recovery"]:
        return Replication(replicas=replicas, slots=())
    return Replication(
        replicas=replicas, slots=tuple(Slot(**row) for row in connection.execute(statement("replication_slots")))
    )


def workflows(
    server: Server, *, now: datetime, recent_s: float, stuck_factor: float, stuck_floor_s: float
) -> Workflows:
    """Count how the executions of the day and of the last minutes ended, and list those that do not end.

    :param stuck_factor: times the day's 99th percentile of run times is too long.
    :param stuck_floor_s: and never less than this.
    """
    with server.session() as connection:
        day = _outcomes(connection, now - DAY, now)
        recent = _outcomes(connection, now - timedelta(seconds=recent_s), now)
        before = now - timedelta(seconds=max(stuck_floor_s, stuck_factor * (day.p99_run_s or 0)))
        rows = connection.execute(statement("stuck_executions"), {"at": now, "started_before": before})
        return Workflows(day=day, recent=recent, stuck=tuple(Stuck(**row) for row in rows))


def _outcomes(connection: Connection[dict[str, Any]], since: datetime, until: datetime) -> Outcomes:
    moments = {"since": since, "until": until}
    row = _one(connection, "workflow_outcomes", moments)
    causes = tuple(connection.execute(statement("workflow_failures"), moments))
    p99 = row.pop("p99_run_s")
    return Outcomes(since=since, until=until, **row, p99_run_s=None if p99 is None else float(p99), causes=causes)


def _one(connection: Connection[dict[str, Any]], name: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    row = connection.execute(statement(name), values).fetchone()
    assert row, f"{name}.sql returns exactly one row"
    return row


def _timed_ms(deed: Callable[[], object]) -> float:
    started = time.monotonic()
    deed()
    return 1000 * (time.monotonic() - started)
