"""Whether the login of the maintenance may do what it needs, and no more: what `make doctor` asks. Nothing is changed."""

from __future__ import annotations

from include.backups.login import Login
from include.errors import ConfigurationError
from include.maintenance import target
from include.settings import BackupLimits


def of_maintenance(login: Login, limits: BackupLimits) -> str:
    """Log in, and compare the server and the rights with what maintenance needs; reading rows must be refused."""
    with login.session("doctor") as session:
        found = target.look(session)
        [(readable,)] = session.execute(
            "select count(*) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where c.relkind = 'r' and n.nspname = 'public' and has_table_privilege(c.oid, 'select')"
        ).fetchall()
    target.refuse(found, database=limits.database, system_identifier=limits.system_identifier)
    if readable:
        raise ConfigurationError(f"role {found.role} reads {readable} tables: maintenance reads no row; use ops_maint")
    return f"maintains {found.name} as {found.role}, and reads no row"
