"""The history, written into a database of its own on the scratch server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import psycopg
import pytest

from sandbox.components.postgres import connect
from sandbox.seed import history
from sandbox.site import Site

pytestmark = pytest.mark.integration

DATABASE = "history_under_test"
NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=3, hours=5)


@pytest.fixture(scope="module")
def filled(site: Site) -> Iterator[history.Connection]:
    with connect(site, database="postgres", server="postgres_scratch") as admin:
        admin.execute(f"drop database if exists {DATABASE}")
        admin.execute(f"create database {DATABASE}")
        with connect(site, database=DATABASE, server="postgres_scratch") as connection:
            history.fill(connection, NOW)
            yield connection
        admin.execute(f"drop database {DATABASE}")


@pytest.mark.parametrize(
    ("table", "least", "most"),
    [
        ("users", 400, 400),
        ("api_keys", 600, 600),
        ("workflows", 60, 60),
        ("workflow_versions", 60, 60 * 25),
        ("workflow_executions", 60_000, 200_000),
        ("execution_logs", 30_000, 300_000),
        ("audit_logs", 40_000, 60_000),
        ("events", 60_000, 150_000),
        ("billing", 10_000, 20_000),
        ('"AuditExport"', 30, 30),
    ],
)
def test_holds_a_believable_number_of_rows(filled: history.Connection, table: str, least: int, most: int) -> None:
    assert least <= _value(filled, f"select count(*) from {table}") <= most


@pytest.mark.parametrize(
    ("table", "column", "days"),
    [("workflow_executions", "created_at", 95), ("audit_logs", "created_at", 400), ("events", "ts", 95)],
)
def test_goes_back_as_far_as_it_should_and_not_beyond_now(
    filled: history.Connection, table: str, column: str, days: int
) -> None:
    first, last = filled.execute(f"select min({column}), max({column}) from {table}").fetchone() or (None, None)
    assert first is not None
    assert last is not None
    assert NOW - timedelta(days=days) <= first < NOW - timedelta(days=days - 1)
    assert NOW - timedelta(hours=1) < last <= NOW


def test_about_98_percent_of_the_executions_succeed_on_every_day(filled: history.Connection) -> None:
    shares = filled.execute("""
        select count(*) filter (where status = 'succeeded')::float8 / count(*) filter (where status <> 'cancelled')
        from workflow_executions where created_at < '2026-03-04' and created_at >= '2025-12-01' group by created_at::date
    """).fetchall()
    assert len(shares) == 93
    assert all(0.95 < share < 1 for (share,) in shares)


def test_nothing_is_left_open_or_ends_in_the_future(filled: history.Connection) -> None:
    assert _value(filled, "select count(*) from workflow_executions where status in ('queued', 'running')") == 0
    assert _value(filled, f"select count(*) from workflow_executions where finished_at > '{NOW}'") == 0
    assert _value(filled, "select count(*) from workflow_executions where started_at > finished_at") == 0


def test_workflows_have_few_or_many_versions_and_some_active_ones_are_old(
    filled: history.Connection,
) -> None:
    fewest, most = filled.execute(
        "select min(n), max(n) from (select count(*) as n from workflow_versions group by workflow_id) x"
    ).fetchone() or (0, 0)
    assert 1 <= fewest <= 5
    assert 20 <= most <= 25
    assert (
        _value(
            filled,
            """
        select count(*) from workflows w join workflow_versions active on active.id in (active_version_id, pinned_version_id)
        where active.version <= (select max(version) - 10 from workflow_versions v where v.workflow_id = w.id)
    """,
        )
        >= 2
    )


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("workflow_executions", "created_at", "count(*)"),
        ("events", "ts", "count(distinct user_id)"),
        ("billing", "recorded_at", "sum(amount)::float8"),
    ],
)
def test_the_last_24_hours_lie_in_the_band_of_the_same_weekday(
    filled: history.Connection, table: str, column: str, value: str
) -> None:
    for hours in range(0, 21 * 24, 7):
        today, *before = (
            _value(
                filled,
                f"select {value} from {table} where {column} > '{end - timedelta(days=1)}' and {column} <= '{end}'",
            )
            for end in (NOW - timedelta(hours=hours, weeks=week) for week in range(5))
        )
        middle = median(before)
        assert abs(today - middle) <= 3 * median(abs(other - middle) for other in before), f"{hours} hours before"


def test_continues_after_a_pause_and_the_steps_do_not_matter(filled: history.Connection) -> None:
    history.fill(filled, LATER)
    in_one_step = _since(filled, NOW)
    assert all(in_one_step.values())
    with filled.transaction():
        filled.execute(
            "delete from execution_logs where execution_id in (select id from workflow_executions where created_at > %s)",
            [NOW],
        )
        for table, (column, _) in history.STREAMS.items():
            filled.execute(f"delete from {table} where {column} > %s", [NOW])
    for hours in (0.01, 20, 20.3, 50, 77):
        history.fill(filled, NOW + timedelta(hours=hours))
    assert _since(filled, NOW) == in_one_step


def test_adds_nothing_when_there_is_no_time_to_fill(filled: history.Connection) -> None:
    history.fill(filled, LATER)
    assert set(history.fill(filled, NOW).values()) == {0}


def test_leaves_sequences_that_give_free_numbers(filled: history.Connection) -> None:
    for table in (
        "users",
        "workflows",
        "workflow_versions",
        "workflow_executions",
        "execution_logs",
        "audit_logs",
        "billing",
    ):
        assert _value(filled, f"select nextval(pg_get_serial_sequence('{table}', 'id'))") > _value(
            filled, f"select max(id) from {table}"
        )


def test_a_fill_that_dies_leaves_nothing_half_done(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(history.FILES, "billing", ("no_such_file.sql",))
    name = f"{DATABASE}_dying"
    with connect(site, database="postgres", server="postgres_scratch") as admin:
        admin.execute(f"create database {name}")
        try:
            with connect(site, database=name, server="postgres_scratch") as connection:
                with pytest.raises(FileNotFoundError):
                    history.fill(connection, NOW)
                assert (
                    _value(
                        connection,
                        "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
                    )
                    == 0
                )
        finally:
            admin.execute(f"drop database {name}")


def test_the_live_application_does_not_invent_what_it_missed(filled: history.Connection, site: Site) -> None:
    address = filled.info.dsn + f" password={site.secret('postgres-superuser')}"
    day_after = LATER + timedelta(days=1)
    history.keep_up(address, day_after)
    between = f"select count(*) from events where ts > '{LATER}' and ts <= '{day_after - history.LIVE}'"
    assert _value(filled, between) == 0
    assert _value(filled, f"select count(*) from events where ts > '{day_after - history.LIVE}'") > 0


def _value(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _since(connection: psycopg.Connection[Any], start: datetime) -> dict[str, list[Any]]:
    chosen = {
        "workflow_executions": "workflow_id, workflow_version_id, user_id, status, error_class, created_at",
        "audit_logs": "actor_id, action, target, detail::text, created_at",
        "events": "user_id, kind, ts",
        "billing": "user_id, kind, amount, recorded_at",
    }
    return {
        table: connection.execute(
            f"select {columns} from {table} where {history.STREAMS[table][0]} > %s order by {history.STREAMS[table][0]}, 1",
            [start],
        ).fetchall()
        for table, columns in chosen.items()
    }
