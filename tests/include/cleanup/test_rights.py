"""What `make doctor` says of the doors of a clean-up."""

from __future__ import annotations

import pytest

from include.cleanup import rights
from include.errors import ConfigurationError
from tests.include.cleanup.yard import Yard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_the_deleter_calls_functions_and_has_no_right_on_a_table(yard: Yard) -> None:
    login = yard.login("ops_cleanup", "connections.cleanup_postgres")
    with yard.superuser() as session:
        session.execute("revoke all on schema public from public")  # as orchestrator_grants.sql does
    assert "no right on a table" in rights.of_deleter(login, yard.database)
    with pytest.raises(ConfigurationError, match="not 'another'"):
        rights.of_deleter(login, "another")
    with yard.superuser() as session:
        session.execute("grant delete on audit_logs to ops_cleanup")
    with pytest.raises(ConfigurationError, match=r"may also use public\.audit_logs directly"):
        rights.of_deleter(login, yard.database)
    with yard.superuser() as session:
        session.execute("drop schema ops_cleanup cascade")
    with pytest.raises(ConfigurationError, match=r"run deploy/postgres/orchestrator_cleanup\.sql there"):
        rights.of_deleter(login, yard.database)


def test_the_archiver_only_puts(yard: Yard) -> None:
    assert "may neither read nor list" in rights.of_archiver(yard.world.store("archive_writer"), yard.database)
    with pytest.raises(ConfigurationError, match="backup_writer may also write backups"):
        rights.of_archiver(yard.world.store("backup_writer"), yard.database)
