"""A login at PostgreSQL for sessions of ours and for its own programs; the password reaches neither argv, environment nor disk."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RunbookError, TransientError
from include.probes.postgres import ALIVE, CONNECT_TIMEOUT_S, explained

if TYPE_CHECKING:
    from psycopg import Connection

    Session = Connection[tuple[Any, ...]]

UNTIMED = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",  # the snapshot waits while other sessions read it
    "client_connection_check_interval": "10s",  # a query of a process that was killed ends by itself
}
READABLE = {"datestyle": "ISO", "timezone": "UTC", "client_encoding": "UTF8"}
"""A database may have another style set for everybody, which the client cannot read, or another encoding than our statements."""
LOCK_TIMEOUT_S = 30
"""How long a table may be locked by others; a backup that waits longer holds up everybody behind it."""
_OURS = frozenset(
    {"host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}
)


@dataclass(frozen=True)
class Login:
    """How to reach one database.

    :param parameters: of `psycopg.connect`; the password among them is never shown.
    :param setting: which setting names the Connection that led there, for errors.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    setting: str = "connections.backup_source"

    @property
    def name(self) -> str:
        """Host, port and database, for errors."""
        p = self.parameters
        return f"{p.get('host', 'localhost')}:{p.get('port', 5432)}/{p.get('dbname', '')}"

    def to(self, database: str) -> Login:
        """Return the same login at another database of the server."""
        return replace(self, parameters={**self.parameters, "dbname": database})

    @contextmanager
    def session(self, application: str, **settings: str) -> Iterator[Session]:
        """Log in, in autocommit; a RunbookError says why that, or a statement, failed.

        At the end it is closed without a last word: psycopg would send COMMIT, and wait for ever on a line that has gone dark.
        """
        import psycopg

        chosen = {**UNTIMED, **READABLE, "lock_timeout": f"{LOCK_TIMEOUT_S}s", **settings}
        options = " ".join(f"-c {name}={value}" for name, value in chosen.items())
        bounded = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": application, **ALIVE}
        try:
            with closing(
                psycopg.connect(**{**bounded, **self.parameters}, options=options, autocommit=True)
            ) as session:
                yield session
        except psycopg.Error as error:
            raise self.explained(error) from None

    def explained(self, error: Exception) -> RunbookError:
        """Return the error of ours that one of psycopg stands for."""
        from psycopg import errors

        if isinstance(error, errors.LockNotAvailable):
            return TransientError(
                f"PostgreSQL at {self.name}: a table stayed locked by another session for {LOCK_TIMEOUT_S} s; nothing was"
                " changed; find the holder in pg_locks, or try again when it is done"
            )
        if isinstance(error, errors.OutOfMemory):
            return ConfigurationError(
                f"PostgreSQL at {self.name} has no room for a lock on every table; raise max_locks_per_transaction there"
            )
        return explained(error, self.name, self.setting)

    @property
    def conninfo(self) -> str:
        """What a program of PostgreSQL is told on its command line: everything but the password."""
        from psycopg.conninfo import make_conninfo

        ours = {name: value for name, value in self.parameters.items() if name in _OURS}
        return make_conninfo("", **{**ALIVE, **ours})

    @contextmanager
    def passfile(self) -> Iterator[int]:
        """Yield the descriptor of a password file in memory, which is gone with the last process that holds it."""
        password = str(self.parameters.get("password", ""))
        file = os.memfd_create("pgpass")
        try:
            os.fchmod(file, 0o600)  # libpq ignores a file that others may read
            os.write(file, f"*:*:*:*:{_escaped(password)}\n".encode())
            yield file
        finally:
            os.close(file)


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")


def hang_up(session: Session) -> None:
    """End a session from another thread, even one that waits for a server which will never answer."""
    import psycopg

    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
