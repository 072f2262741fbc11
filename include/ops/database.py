"""The ops database as an operation uses it: short sessions, and its complaints in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, PermanentError, RefusedError, TransientError
from include.masking import one_line
from include.probes.postgres import ALIVE, CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    import psycopg

    Session = psycopg.Connection[tuple[Any, ...]]

STATEMENT_TIMEOUT_S = 10
SAID_BY_LIBPQ = ("authentication failed", "does not exist", "permission denied", "no pg_hba.conf entry")
"""A refused login has no SQLSTATE on the client's side, only words."""


def address(of: str) -> str:
    """Return OPS_DSN; ConfigurationError if it is not set or cannot be read, without a word of it: it may hold a password.

    :param of: as whom it leads there, for people.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    found = os.environ.get("OPS_DSN")
    if not found:
        raise ConfigurationError(f"OPS_DSN is not set; give it the address of the ops database {of}")
    try:
        conninfo_to_dict(found)
    except ProgrammingError:
        raise ConfigurationError(
            "OPS_DSN is no address of a database; write it as postgresql://user@host:5432/ops, special characters as %XX"
        ) from None
    return found


@dataclass(frozen=True)
class OpsDatabase:
    """A login at the ops database.

    :param parameters: of `psycopg.connect`; the password among them is never shown.
    :param who: Connection that led there, for errors.
    :param name: what it is called in errors.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    who: str = "OPS_DSN"
    name: str = "ops database"

    @contextmanager
    def session(self, application: str = "runbooks") -> Iterator[Session]:
        """Log in, in autocommit; TransientError when it does not answer, RefusedError when a rule of its functions says no."""
        import psycopg

        options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
        bounded = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": application, "options": options, **ALIVE}
        try:
            with psycopg.connect(**{**bounded, **self.parameters}, autocommit=True) as session:
                yield session
        except psycopg.Error as error:
            raise self._in_our_words(error) from error

    def ask(self, function: str, *arguments: object) -> Any:
        """Call one function of the schema `ops` and return its one value."""
        from psycopg import sql

        holes = sql.SQL(", ").join([sql.Placeholder()] * len(arguments))
        call = sql.SQL("select {}({})").format(sql.Identifier("ops", function), holes)
        with self.session() as session:
            answer = session.execute(call, arguments).fetchone()
        return answer[0] if answer else None

    def _in_our_words(self, error: psycopg.Error) -> TransientError | PermanentError:
        from psycopg import InterfaceError, OperationalError, errors

        reason = one_line(str(error), 200)
        if isinstance(error, errors.UndefinedFunction | errors.UndefinedTable | errors.InvalidSchemaName):
            return ConfigurationError(
                f"the {self.name} has no schema yet ({reason}); run python -m include.ops.migrate"
            )
        if isinstance(error, errors.InsufficientPrivilege) or any(words in str(error) for words in SAID_BY_LIBPQ):
            return ConfigurationError(f"the {self.name} refused us ({reason}); check the Connection {self.who}")
        if isinstance(error, errors.ObjectNotInPrerequisiteState):
            return RefusedError(f"{reason}; this process stops before its next effect")
        if isinstance(error, OperationalError | InterfaceError):
            return TransientError(f"the {self.name} does not answer ({reason}); nothing was recorded")
        return PermanentError(f"the {self.name} refused the call ({reason})")
