from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from include.errors import ConfigurationError, TransientError
from include.ops.migrate import MIGRATIONS, main, migrate

pytestmark = pytest.mark.integration

NEWEST = max(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def versions(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("select version_num from ops.alembic_version")]


def test_migrates_and_a_second_time_changes_nothing(empty_ops: Callable[[str], str]) -> None:
    migrate(empty_ops("ops_owner"))
    migrate(empty_ops("ops_owner"))
    assert versions(empty_ops("ops_owner")) == [NEWEST]


def test_several_at_once_end_alike(empty_ops: Callable[[str], str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [empty_ops("ops_owner")] * 4))
    assert versions(empty_ops("ops_owner")) == [NEWEST]


def test_a_refused_migration_leaves_nothing_and_says_why(empty_ops: Callable[[str], str]) -> None:
    with pytest.raises(ConfigurationError, match="permission denied"):
        migrate(empty_ops("ops_evidence_reader"))
    with psycopg.connect(empty_ops("postgres")) as connection:
        assert connection.execute("select from pg_namespace where nspname = 'ops'").fetchall() == []


def test_a_dead_database_is_transient_and_its_password_stays_unsaid() -> None:
    with pytest.raises(TransientError, match="does not answer") as raised:
        migrate("postgresql://ops_owner:hush-canary@127.0.0.1:1/ops")
    assert "hush-canary" not in str(raised.value)


def test_without_an_address_it_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPS_DSN", raising=False)
    assert main() == 2
    assert "OPS_DSN" in capsys.readouterr().err
