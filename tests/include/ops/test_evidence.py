from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest

from include.findings import Blind, Finding, Severity
from include.ops import export
from include.ops.evidence import Evidence, Try, append, last_seen, last_values, measured, verdicts_of_previous_run

NOW = datetime(2030, 1, 2, 9, 0, tzinfo=UTC)
BY = Try(dag_id="daily_health_check", task_id="check_postgres", run_id="r1", try_number=1, code_version="abc")


def row(subject: str = "orchestrator", **changes: Any) -> Evidence:
    finding = Finding(item="H-08", check="connections", subject=subject, severity=Severity.OK, summary="12 of 100 used")
    return replace(Evidence.of(finding, source="postgres", by=BY, observed_at=NOW), **changes)


def test_known_numbers_get_columns_and_all_others_go_into_the_detail() -> None:
    numbers = {
        "value": 12,
        "unit": "connections",
        "threshold": 80,
        "n": 5,
        "request": "select 1",
        "idle": 3,
        "lag": None,
    }
    finding = Finding(item="H-08", check="c", subject="s", severity=Severity.OK, summary="fine", evidence=numbers)
    evidence = Evidence.of(finding, source="postgres", by=BY, observed_at=NOW)
    assert (evidence.value, evidence.threshold, evidence.n, evidence.source) == (12, "80", 5, "postgres")
    assert evidence.detail == {"idle": 3}


def test_why_it_was_blind_is_kept() -> None:
    finding = Finding.unseen(
        item="H-08", check="c", subject="s", blind=Blind(error="TransientError", reason="no answer", transient=True)
    )
    evidence = Evidence.of(finding, source="postgres", by=BY, observed_at=NOW)
    assert evidence.verdict == "UNKNOWN"
    assert evidence.detail["blind"]["reason"] == "no answer"


@pytest.fixture
def writer(ops: Callable[[str], str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(ops("ops_evidence_writer"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def superuser(ops: Callable[[str], str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(ops("postgres"), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # triggers off: what an intruder would do
        yield connection


@pytest.mark.integration
def test_appends_each_row_once_a_try(writer: psycopg.Connection) -> None:
    assert append(writer, [row("a"), row("b")]) == 2
    assert append(writer, [row("a"), row("c")]) == 1
    assert append(writer, [row("a", try_number=2)]) == 1
    assert export.verify_chain(writer).rows == 4


@pytest.mark.integration
def test_the_same_row_twice_in_one_call_is_stored_once(writer: psycopg.Connection) -> None:
    assert append(writer, [row("a"), row("a")]) == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "ab"),
        ("a\\u0000b", "a\\u0000b"),
        ("half \ud83d", "half ?"),
        ("\N{PILE OF POO} “quotes”", "\N{PILE OF POO} “quotes”"),
    ],
)
def test_text_that_postgres_cannot_hold_does_not_lose_the_row(
    writer: psycopg.Connection, text: str, stored: str
) -> None:
    assert append(writer, [row(summary=text, detail={"log": text})]) == 1
    assert writer.execute("select summary, detail->>'log' from ops.evidence").fetchall() == [(stored, stored)]
    assert export.verify_chain(writer).broken_id is None


@pytest.mark.integration
@pytest.mark.parametrize(
    "statement",
    [
        "update ops.evidence set verdict = 'OK'",
        "delete from ops.evidence",
        "truncate ops.evidence",
        "insert into ops.evidence select * from ops.evidence",
    ],
)
@pytest.mark.parametrize("role", ["ops_evidence_writer", "ops_evidence_reader", "ops_owner", "postgres"])
def test_nobody_changes_what_is_written(ops: Callable[[str], str], role: str, statement: str) -> None:
    with psycopg.connect(ops("ops_evidence_writer")) as connection:
        append(connection, [row()])
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UniqueViolation)
    with psycopg.connect(ops(role)) as connection, pytest.raises(refused):
        connection.execute(statement)


@pytest.mark.integration
def test_a_reader_reads_and_does_not_append(ops: Callable[[str], str]) -> None:
    with psycopg.connect(ops("ops_evidence_reader"), autocommit=True) as connection:
        assert export.verify_chain(connection).rows == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            append(connection, [row()])


@pytest.mark.integration
def test_eight_writers_at_once_make_one_chain(ops: Callable[[str], str]) -> None:
    def write(name: int) -> None:
        with psycopg.connect(ops("ops_evidence_writer")) as connection:
            for each in range(10):
                append(connection, [row(f"{name}-{each}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with psycopg.connect(ops("ops_evidence_reader")) as connection:
        assert export.verify_chain(connection) == export.Verified(rows=80, head=head(connection))


def head(connection: psycopg.Connection) -> str:
    found = connection.execute("select hash from ops.evidence order by id desc limit 1").fetchone()
    assert found
    return str(found[0])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("update ops.evidence set verdict = 'OK' where id = 3", 3),
        ("update ops.evidence set summary = summary || ' ' where id = 5", 5),
        ("update ops.evidence set detail = '{\"a\": 1}' where id = 1", 1),
        ("delete from ops.evidence where id = 4", 5),
        ("delete from ops.evidence where id = 1", 2),
        ("update ops.evidence set previous_hash = repeat('0', 64) where id = 2", 2),
        ("update ops.evidence set observed_at = observed_at - interval '1 day' where id = 2", 2),
    ],
)
def test_the_first_row_that_was_tampered_with_is_named(
    writer: psycopg.Connection, superuser: psycopg.Connection, statement: str, broken: int
) -> None:
    append(writer, [row(f"s{number}", verdict="WARNING", value=0.1 + number) for number in range(5)])
    assert export.verify_chain(writer).broken_id is None
    superuser.execute(statement)
    assert export.verify_chain(writer).broken_id == broken


@pytest.mark.integration
def test_the_chain_holds_for_a_reader_with_other_session_settings(writer: psycopg.Connection) -> None:
    append(writer, [row(value=1 / 3, window_start=NOW - timedelta(hours=1), window_end=NOW)])
    writer.execute("set timezone = 'Asia/Kathmandu'; set datestyle = 'German'; set extra_float_digits = 0")
    assert export.verify_chain(writer).broken_id is None


@pytest.mark.integration
def test_the_last_values_are_the_newest_before_the_moment(writer: psycopg.Connection) -> None:
    append(writer, [row("a", value=1), row("a", value=2, try_number=2, observed_at=NOW + timedelta(hours=1))])
    assert last_values(writer, item="H-08", before=NOW + timedelta(minutes=1))["a"].value == 1
    assert last_values(writer, item="H-08", before=NOW + timedelta(hours=2))["a"].value == 2
    assert last_values(writer, item="H-09", before=NOW + timedelta(hours=2)) == {}


@pytest.mark.integration
def test_the_previous_run_is_the_last_other_run_with_a_verdict_and_its_last_try(writer: psycopg.Connection) -> None:
    day = timedelta(days=1)
    verdict = {"item": "H-17+", "check": "verdict"}
    older = {"run_id": "r0", "observed_at": NOW - 2 * day}
    append(writer, [row("old", **older), row("run", **verdict, **older)])
    append(
        writer,
        [row("a", verdict="WARNING"), row("a", verdict="OK", try_number=2, observed_at=NOW + timedelta(minutes=1))],
    )
    append(writer, [row("run", **verdict)])
    append(writer, [row("skipped", run_id="r2", observed_at=NOW + day)])
    found = verdicts_of_previous_run(writer, "daily_health_check", NOW + 2 * day, run_id="r3")
    assert {(each.subject, each.severity) for each in found} == {("a", Severity.OK), ("run", Severity.OK)}
    assert verdicts_of_previous_run(writer, "another_dag", NOW + 2 * day) == []


DAY = timedelta(days=1)


def verdict(run_id: str, at: datetime, ended: list[list[str]]) -> Evidence:
    done = {"run_id": run_id, "observed_at": at, "task_id": "publish_report", "detail": {"ended": ended}}
    return row("run", item="H-17+", check="verdict", **done)


@pytest.mark.integration
def test_what_was_last_seen_of_each_subject_is_not_hidden_by_a_dark_day(writer: psycopg.Connection) -> None:
    append(writer, [row("a", verdict="CRITICAL"), row("b"), row("slot", check="slot"), verdict("r1", NOW, [])])
    dark = {"run_id": "r2", "observed_at": NOW + DAY}
    append(writer, [row("a", verdict="UNKNOWN", **dark), row("c", verdict="WARNING", **dark)])
    append(writer, [row("a", run_id="r3", observed_at=NOW + 2 * DAY)])
    found = last_seen(writer, "daily_health_check", NOW + 2 * DAY + DAY / 2, run_id="r3")
    assert [(each.subject, each.severity.name, each.run_id, each.paged) for each in found] == [
        ("a", "CRITICAL", "r1", True),
        ("b", "OK", "r1", False),
        ("c", "WARNING", "r2", False),
    ]
    assert last_seen(writer, "another_dag", NOW + 2 * DAY) == []
    assert [each.subject for each in last_seen(writer, "daily_health_check", NOW + 14 * DAY + DAY / 2)] == ["a", "c"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("ended", "critical_again", "paged"),
    [([], False, True), ([["H-08", "a"]], False, False), ([["H-08", "b"]], False, True), ([["H-08", "a"]], True, True)],
)
def test_a_page_may_be_open_until_a_verdict_says_that_it_ended(
    writer: psycopg.Connection, ended: list[list[str]], critical_again: bool, paged: bool
) -> None:
    append(writer, [row("a", verdict="CRITICAL"), verdict("r1", NOW, [])])
    append(writer, [row("a", run_id="r2", observed_at=NOW + DAY), verdict("r2", NOW + DAY, ended)])
    if critical_again:
        append(writer, [row("a", verdict="CRITICAL", run_id="r3", observed_at=NOW + 2 * DAY)])
    (found,) = last_seen(writer, "daily_health_check", NOW + 3 * DAY, run_id="r4")
    assert found.paged is paged


@pytest.mark.integration
def test_exports_a_span_and_says_that_the_chain_holds(
    ops: Callable[[str], str],
    writer: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    append(writer, [row("=cmd()", detail={"a": 1})])
    monkeypatch.setenv("OPS_DSN", ops("ops_evidence_reader"))
    assert export.main([]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["subject"] == "=cmd()"
    assert "the chain of 1 rows holds" in printed.err
    assert export.main(["--to", "2000-01-01"]) == 0
    assert capsys.readouterr().out == ""
    assert export.main(["--format", "csv"]) == 0
    assert next(csv.DictReader(StringIO(capsys.readouterr().out)))["subject"] == "'=cmd()"


@pytest.mark.integration
def test_an_export_of_a_broken_chain_exits_with_1_and_names_the_row(
    ops: Callable[[str], str],
    writer: psycopg.Connection,
    superuser: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    append(writer, [row("a"), row("b")])
    superuser.execute("update ops.evidence set verdict = 'CRITICAL' where id = 2")
    monkeypatch.setenv("OPS_DSN", ops("ops_evidence_reader"))
    assert export.main([]) == 1
    printed = capsys.readouterr()
    assert "BROKEN at row 2" in printed.err
    assert len(printed.out.splitlines()) == 2


def test_an_export_without_a_database_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPS_DSN", "postgresql://reader:hush-canary@127.0.0.1:1/ops")
    assert export.main([]) == 2
    assert "hush-canary" not in capsys.readouterr().err


@pytest.mark.integration
def test_numbers_of_a_check_are_read_back_of_each_run_its_last_try_oldest_first(writer: psycopg.Connection) -> None:
    def of(run_id: str, hours: int, value: float, **changes: Any) -> Evidence:
        at = NOW + timedelta(hours=hours)
        return row("s", run_id=run_id, observed_at=at, value=value, detail={"bytes": hours}, **changes)

    append(writer, [of("late", 5, 3.5), of("early", 1, 1.0), of("early", 2, 2.0, try_number=2)])
    append(writer, [of("other", 3, 9.0, check="other"), of("old", -9, 9.0), replace(of("none", 4, 0), value=None)])
    append(writer, [replace(of("elsewhere", 3, 9.0), subject="t"), of("now", 6, 9.0)])
    found = measured(writer, item="H-08", check="connections", subject="s", since=NOW, before=NOW + timedelta(hours=6))
    assert [(each.run_id, each.value, each.detail) for each in found] == [
        ("early", 2.0, {"bytes": 2}),
        ("late", 3.5, {"bytes": 5}),
    ]
