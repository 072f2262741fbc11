"""Whether each door of a clean-up opens as far as it must, and no further: what `make doctor` asks. Nothing is changed."""

from __future__ import annotations

from include.backups.login import Login
from include.backups.rights import PROBE, refuse
from include.backups.store import Store
from include.cleanup import rows
from include.errors import ConfigurationError
from include.plans.cleanup import Subject

EXCESS = """
    select 'public.' || relname from pg_class
    where relnamespace = 'public'::regnamespace and relname = any(%s)
        and has_table_privilege(oid, 'select, insert, update, delete, truncate')
"""
"""By oid: a name could not even be looked up in a schema that the role may not use."""


def of_deleter(login: Login, database: str) -> str:
    """Log in: may it call the functions, and has it no right on the tables themselves?"""
    with login.session("doctor") as session:
        rows.refuse_wrong(session, database, login.setting)
        [(there,)] = session.execute("select to_regnamespace('ops_cleanup') is not null").fetchall()
        if not there:
            raise ConfigurationError(
                f"{database} has no schema ops_cleanup: run deploy/postgres/orchestrator_cleanup.sql there"
            )
        function = "ops_cleanup.delete_archived(bigint, integer, integer)"
        [(may,)] = session.execute("select has_function_privilege(%s, 'execute')", [function]).fetchall()
        excess = [name for (name,) in session.execute(EXCESS, [list(Subject)])]
    if not may:
        raise ConfigurationError(
            "may not call ops_cleanup.delete_archived: run deploy/postgres/orchestrator_cleanup.sql again"
        )
    if excess:
        raise ConfigurationError(f"may also use {', '.join(excess)} directly: take that away, the functions are enough")
    return "calls the functions of ops_cleanup, and has no right on a table"


def of_archiver(store: Store, database: str) -> str:
    """Everything but putting must be refused; that is not tried, since what is put stays."""
    place = f"archive/{database}/{PROBE}"
    refuse(
        store,
        {
            "read": lambda: store.get(place, ""),
            "list": lambda: list(store.versions("archive/")),
            "write backups": lambda: store.put(f"backups/{PROBE}", b""),
        },
    )
    return "may neither read nor list, nor write backups; nothing is put, since it would stay"
