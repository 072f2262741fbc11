"""The evidence database, by its Airflow Connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from include.errors import ConfigurationError, PermanentError, TransientError
from include.masking import one_line
from include.ops import evidence
from include.ops.evidence import Earlier, Evidence, Recorded
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 10
SAID_BY_LIBPQ = ("authentication failed", "does not exist", "permission denied", "no pg_hba.conf entry")
"""A refused login has no SQLSTATE on the client's side, only words."""


class EvidenceHook(BaseHook):
    """Append to the evidence and read what was recorded before.

    :param conn_id: Connection of type postgres, of a role that may call `ops.append_evidence`.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    def append(self, rows: Iterable[Evidence]) -> int:
        """Append and return how many were new; TransientError when the database does not answer, so nothing is lost unsaid."""
        with self._connected() as connected:
            return evidence.append(connected, rows)

    def earlier(self, dag_id: str, before: datetime, run_id: str) -> Earlier:
        """Return what the other runs recorded: the last that came to a verdict, and each that saw something last."""
        with self._connected() as connected:
            return Earlier(
                previous=tuple(evidence.verdicts_of_previous_run(connected, dag_id, before, run_id)),
                last=tuple(evidence.last_seen(connected, dag_id, before, run_id)),
            )

    def last_values(self, item: str, before: datetime) -> dict[str, Recorded]:
        """Return, by subject, what was recorded of an item last before a moment."""
        with self._connected() as connected:
            return evidence.last_values(connected, item=item, before=before)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        import psycopg

        to = parameters(self.conn_id)
        try:
            with psycopg.connect(
                **to,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="runbooks-evidence",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s",
            ) as connected:
                yield connected
        except psycopg.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: psycopg.Error) -> TransientError | PermanentError:
        from psycopg import InterfaceError, OperationalError, errors

        reason = one_line(str(error), 200)
        if isinstance(error, errors.UndefinedFunction | errors.UndefinedTable | errors.InvalidSchemaName):
            return ConfigurationError(
                f"the evidence database has no schema yet ({reason}); run python -m include.ops.migrate"
            )
        if isinstance(error, errors.InsufficientPrivilege) or any(words in str(error) for words in SAID_BY_LIBPQ):
            return ConfigurationError(
                f"the evidence database refused us ({reason}); check the Connection {self.conn_id}"
            )
        if isinstance(error, OperationalError | InterfaceError):
            return TransientError(f"the evidence database does not answer ({reason}); nothing was recorded")
        return PermanentError(f"the evidence database refused the row ({reason})")
