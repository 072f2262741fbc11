"""Bring the ops database to the newest schema: `OPS_DSN=postgresql://ops_owner@… python -m include.ops.migrate`."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from include.errors import ConfigurationError, RunbookError, TransientError
from include.masking import one_line
from include.ops.database import address

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(dsn: str) -> None:
    """Run what is missing, all or nothing; of two at once the second waits and then finds nothing to do."""
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            _upgrade(connection)
    except psycopg.OperationalError as error:
        raise TransientError(f"the ops database does not answer: {one_line(str(error), 300)}") from None
    except (psycopg.Error, SQLAlchemyError) as error:
        raise ConfigurationError(f"the ops database refused a migration: {one_line(str(error), 300)}") from None


def _upgrade(connection: psycopg.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection)
    with engine.begin() as bound:
        bound.execute(text("select pg_advisory_xact_lock(hashtext('ops.migrations'))"))
        bound.execute(text("create schema if not exists ops"))
        config.attributes["connection"] = bound
        command.upgrade(config, "head")


def main() -> int:
    """Migrate the database of OPS_DSN; 2 with one sentence if that is no address, 1 if it fails."""
    try:
        dsn = address("as its owner")
    except RunbookError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        migrate(dsn)
    except RunbookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
