"""The database that is maintained: is it the one that is meant, on its primary, and may our role do this and no more?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from include.backups.source import one
from include.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from include.backups.login import Session

NEEDED_MAJOR = 17
"""From there on a role can be allowed to maintain every table and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the login arrived.

    :param maintains: the role has `pg_maintain`; `monitors`: `pg_monitor`.
    :param measures: pgstattuple is there; `sweeps`: our function that drops leftovers is.
    """

    database: str
    system_identifier: str
    major: int
    in_recovery: bool
    role: str
    is_superuser: bool
    monitors: bool
    maintains: bool
    measures: bool
    sweeps: bool
    now: datetime

    @property
    def name(self) -> str:
        """The database, by a name that cannot be mistaken."""
        return f"{self.database} on cluster {self.system_identifier}"


def look(session: Session) -> Target:
    """Ask the server who it is."""
    return Target(**one(session, "maintenance_target"))


def refuse(target: Target, *, database: str, system_identifier: str) -> None:
    """Raise the first reason why nothing may be done here.

    :param system_identifier: of the cluster that is meant: that of the newest good backup, or of the settings; "" if neither is known.
    """
    if target.database != database:
        raise ConfigurationError(
            f"the login leads into database {target.database!r}, not {database!r}; nothing was changed, correct the schema of"
            " the Connection in connections.maintenance, or backup.database"
        )
    if target.in_recovery:
        raise RefusedError(
            f"{target.name} is a standby, where nothing can be maintained; let the Connection in connections.maintenance lead"
            " to the primary"
        )
    if system_identifier and target.system_identifier != system_identifier:
        raise RefusedError(
            f"the server is cluster {target.system_identifier}, the backups are of {system_identifier}; nothing was changed,"
            " correct the Connection in connections.maintenance"
        )
    _refuse_rights(target)


def _refuse_rights(target: Target) -> None:
    if target.major < NEEDED_MAJOR:
        raise ConfigurationError(
            f"the server is PostgreSQL {target.major}: a role that may maintain and do nothing else exists from"
            f" {NEEDED_MAJOR} on; nothing was changed"
        )
    if target.is_superuser:
        raise ConfigurationError(f"role {target.role} is a superuser: maintenance needs no such right; use ops_maint")
    lacks = {"pg_maintain": target.maintains, "pg_monitor": target.monitors}
    if missing := [name for name, held in lacks.items() if not held]:
        raise ConfigurationError(
            f"role {target.role} lacks {' and '.join(missing)}: run deploy/postgres/orchestrator_roles.sql; nothing was changed"
        )
    if not (target.measures and target.sweeps):
        raise ConfigurationError(
            f"{target.database} lacks the extension pgstattuple or the function that sweeps leftovers: run"
            " deploy/postgres/extensions.sql and orchestrator_maintenance.sql there; nothing was changed"
        )
