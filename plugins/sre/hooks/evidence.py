"""The evidence database, by its Airflow Connection."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from include.ops import evidence
from include.ops.database import OpsDatabase
from include.ops.evidence import Earlier, Evidence, Measured, Recorded
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    from include.ops.database import Session


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

    def measured(self, item: str, check: str, subject: str, *, since: datetime, before: datetime) -> list[Measured]:
        """Return the numbers of a check between two moments, oldest first."""
        with self._connected() as connected:
            return evidence.measured(connected, item=item, check=check, subject=subject, since=since, before=before)

    def _connected(self) -> AbstractContextManager[Session]:
        database = OpsDatabase(parameters(self.conn_id), who=self.conn_id, name="evidence database")
        return database.session("runbooks-evidence")
