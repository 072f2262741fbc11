"""A look at the server that is to be recovered into: what is there, and whether a database like the original can be made."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from include.backups import scratch
from include.backups.login import Login
from include.backups.programs import Programs
from include.disaster.pieces import Target
from include.errors import ConfigurationError
from include.settings import BackupLimits
from include.sql import statement


def look(server: Login, like: Mapping[str, Any], limits: BackupLimits) -> Target:
    """Look, and make an empty database for a moment, since only a new one shows which extensions it brings.

    :param like: encoding and locale of the original.
    """
    with server.session("disaster look") as session, session.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("disaster_target")).fetchone() or {}
    extensions, locale = _new_database(server, like, limits) if found["makes_databases"] else (frozenset(), "")
    return Target(
        name=server.name,
        restore_major=Programs(limits.programs).version("pg_restore")[1],
        extensions=extensions,
        locale=locale,
        spool_free=_free(limits.spool),
        **{**found, "roles": frozenset(found["roles"])},
    )


def _new_database(server: Login, like: Mapping[str, Any], limits: BackupLimits) -> tuple[frozenset[str], str]:
    """Return the extensions of a new database, and why there can be none; a dead process' is swept by its name."""
    name = f"{scratch.PREFIX}empty_{secrets.token_hex(4)}"
    try:
        with scratch.database(server, name, like, limits) as new, new.session("disaster look") as session:
            return frozenset(scratch.extensions(session)), ""
    except ConfigurationError as error:
        return frozenset(), str(error)


def _free(spool: Path) -> int:
    """Bytes where the spool lies, or will lie."""
    return shutil.disk_usage(next(place for place in (spool, *spool.parents) if place.exists())).free
