"""The report of the disaster-recovery test: what it says, in Markdown and on paper."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.backups.catalogue import Backup
from include.backups.prove import Proof
from include.checks import disaster, recovery
from include.disaster.drill import Outcome
from include.disaster.pieces import Missing, Piece
from include.findings import Finding, Report, Severity
from include.ops.evidence import Measured, Recorded
from include.reporting import pdf
from include.reporting.changes import Changes
from include.reporting.disaster import FAILED, PASSED, WARNED, Exercise, compose, differences
from include.reporting.document import Bullets, Document, Section, Signatures, Table, Text, markdown
from include.settings import BackupLimits, DisasterLimits
from tests.include.backups.samples import AT, KEY, facts, manifest

NOW = AT + timedelta(hours=11)
LIMITS, TEST = BackupLimits(), DisasterLimits()


def proof(**changed: Any) -> Proof:
    whole = manifest(facts=facts(last_commit_at=AT - timedelta(seconds=3), database_bytes=41_000_000_000))
    backup = Backup(key=KEY, version_id="v", stored_at=AT, sha256="c" * 64, manifest=whole)
    known: dict[str, Any] = {
        "backup": backup,
        "fetch_s": 212.4,
        "restore_s": 801.0,
        "rto_s": 1210.5,
        "rpo_s": 39_603.0,
        "indexes": 5,
        "schema_bytes": 9000,
        "in_flux": (),
        "locked_until": NOW,
        "restored_into": "verify_1f0c9a2e_0a1b2c3d",
    }
    return Proof(**known | changed)


def outcome(**changed: Any) -> Outcome:
    known: dict[str, Any] = {
        "good": 30,
        "newest": KEY,
        "proof": proof(),
        "roles": 6,
        "roles_there": 6,
        "before_s": 4.2,
        "rto_s": 1214.7,
    }
    return Outcome(**known | changed)


def month(back: int, *, rto_s: float, size: int) -> Measured:
    at = NOW - timedelta(days=back)
    return Measured(
        run_id=f"m{back}", subject="database/orchestrator", value=rto_s, observed_at=at, detail={"database_bytes": size}
    )


PAST = [month(61, rto_s=1005.0, size=34_000_000_000), month(33, rto_s=1100.0, size=37_500_000_000)]
LOST = [replace(each, value=40_000.0 + place) for place, each in enumerate(PAST)]


def exercise(found: Outcome | None = None, **changed: Any) -> Exercise:
    done = found or outcome()
    newest = Report(source="newest backup", checked=1, findings=tuple(disaster.judge_newest(done, LIMITS)))
    restored = next((each.evidence for each in newest.findings if each.check == "restored_newest"), {})
    tests = [*recovery.points(PAST, LOST), *recovery.this_one(restored, NOW)]
    judged = (
        *recovery.judge_recovery_time(restored, tests, LIMITS, TEST),
        *recovery.judge_data_loss(restored, [], LIMITS, TEST, NOW),
    )
    known: dict[str, Any] = {
        "reports": {
            "restore_newest": newest,
            "judge_recovery": Report(source="recovery targets", checked=1, findings=judged),
        },
        "changes": Changes(),
        "before": (),
        "run_id": "scheduled__2026-12-07T13:00:00+00:00",
        "url": "https://airflow.example/dags/monthly_disaster_recovery_test/runs/scheduled__2026-12-07",
        "at": NOW,
        "by": "its schedule",
        "environment": "production",
        "database": "orchestrator",
        "code_version": "c0ee74d",
    }
    return Exercise(**known | changed)


def said(test: Exercise) -> str:
    return markdown(compose(test))


def section(test: Exercise, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", said(test), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def with_reports(test: Exercise, **reports: Report) -> Exercise:
    return replace(test, reports={**test.reports, **reports})


FAILOVER = Report(
    source="failover",
    checked=2,
    findings=(
        Finding(
            item="M-02",
            check="unavailable",
            subject="staging/postgres",
            severity=Severity.OK,
            summary="pg-0 handed over to pg-1 and took back: no write was acknowledged for 2.1 s and 1.9 s (target 30 s)",
        ),
        Finding(
            item="M-02",
            check="lost_writes",
            subject="staging/redis",
            severity=Severity.CRITICAL,
            summary="3 of 800 acknowledged writes are lost",
            next_step="stop relying on this failover",
        ),
    ),
)


def test_a_test_that_went_well_has_passed_and_says_what_was_restored_and_how_long_it_took() -> None:
    test = exercise()
    assert test.verdict == PASSED
    assert "## Result: PASSED\n" in said(test)
    restored = section(test, "What was restored")
    assert KEY in restored
    assert re.search(r"\| Together +\| 20 min \(1,215 s\)", restored)
    assert re.search(r"\| Fetch and open +\| 212.4 s", restored)
    assert "not restored" in restored  # the older one
    targets = section(test, "Targets")
    assert re.search(
        r"\| RTO: decision to restored and equal +\| 20 min \(1,215 s\) +\| 60 min \(3,600 s\) +\| - +\| OK", targets
    )
    assert section(test, "What was missing, or done by hand").strip() == "Nothing."
    assert section(test, "What to do").strip() == "Nothing."


@pytest.mark.parametrize(
    ("severity", "verdict"),
    [
        (Severity.INFO, PASSED),
        (Severity.WARNING, WARNED),
        (Severity.UNKNOWN, FAILED),  # what nobody could look at has not passed
        (Severity.CRITICAL, FAILED),
    ],
)
def test_the_worst_finding_of_any_step_is_the_verdict(severity: Severity, verdict: str) -> None:
    finding = Finding(item="M-02", check="c", subject="s", severity=severity, summary="x")
    test = with_reports(exercise(), failover=Report(source="f", checked=1, findings=(finding,)))
    assert test.verdict == verdict
    assert f"## Result: {verdict}\n" in said(test)


def test_a_report_of_nothing_has_not_passed() -> None:
    assert exercise(reports={}).verdict == FAILED
    assert "Not known: nothing could be looked at." in said(exercise(reports={}))


def test_each_missing_piece_and_each_next_step_is_named() -> None:
    missing = [Missing(piece=Piece.EXTENSIONS, said="it lacks vector"), Missing(piece=Piece.SPACE, said="no room")]
    test = exercise(Outcome(good=3, newest=KEY, missing=missing))
    assert (
        section(test, "What was missing, or done by hand").strip() == "- extensions: it lacks vector\n- space: no room"
    )
    assert "section Missing pieces" in section(test, "What to do")
    assert re.search(
        r"\| RTO: decision to restored and equal +\| - +\| 60 min .* +\| - +\| not known", section(test, "Targets")
    )
    assert section(test, "What was restored").strip() == "Nothing was restored."
    assert len(re.findall(r"^\| 2026-", section(test, "Trend"), re.MULTILINE)) == len(PAST)  # the tests before stay
    assert test.verdict == FAILED


def test_the_trend_stands_with_the_tests_before_and_ends_with_this_one() -> None:
    trend = section(exercise(), "Trend")
    rows = re.findall(r"^\| (2026-\d\d-\d\d)", trend, re.MULTILINE)
    assert rows == ["2026-09-25", "2026-10-23", "2026-11-25"]
    assert "In 90 days a recovery takes" in trend


def test_failover_is_told_by_whichever_step_exercised_it_and_said_to_be_missing_else() -> None:
    assert section(exercise(), "Failover").strip() == "Not exercised in this run."
    assert "- Failover (M-02)." in section(exercise(), "What this test does not show")
    test = with_reports(exercise(), failover=FAILOVER)
    assert re.search(r"\| staging/redis +\| CRITICAL +\| 3 of 800", section(test, "Failover"))
    assert "Failover" not in section(test, "What this test does not show")
    assert test.verdict == FAILED


def test_an_off_site_copy_that_nobody_named_is_said() -> None:
    assert "An off-site copy" in section(exercise(), "What this test does not show")
    assert "An off-site copy" not in section(exercise(off_site="elsewhere"), "What this test does not show")


BEFORE = (
    Recorded(
        item="M-04",
        check="rto",
        subject="database/orchestrator",
        severity=Severity.CRITICAL,
        value=Decimal("1100.0"),
        observed_at=NOW - timedelta(days=33),
        run_id="m33",
        task_id="judge_recovery",
    ),
)


def test_it_is_compared_with_the_test_before() -> None:
    since = NOW - timedelta(days=33)
    worse = Finding(item="M-05", check="rpo", subject="s", severity=Severity.WARNING, summary="too old")
    test = exercise(before=BEFORE, changes=Changes(since=since, worse=(worse,), better=BEFORE))
    compared = section(test, "Compared with the test before")
    assert "With that of 2026-10-23 13:00 UTC." in compared
    assert "- Worse: M-05 too old\n- Better: M-04 rto of database/orchestrator, CRITICAL then" in compared
    assert "| 18 min" in section(test, "Targets")
    assert differences(test) == (
        "with the test of 2026-10-23 13:00 UTC: RTO 18 min (1,100 s) then, 20 min (1,215 s) now; RPO - then,"
        " 11 h (39,603 s) now; 1 worse, 1 better"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (Changes(), "There was no test before this one."),
        (Changes(unread=True), "Not compared: what earlier tests recorded could not be read."),
        (Changes(since=NOW), "No verdict changed."),
    ],
)
def test_what_cannot_be_compared_is_said(changes: Changes, words: str) -> None:
    assert words in section(exercise(changes=changes), "Compared with the test before")
    assert differences(exercise(changes=changes))


# --- words


def document(*blocks: Any) -> Document:
    return Document(title="A title", lines=["a line"], sections=[Section(title="One", blocks=list(blocks))])


@pytest.mark.parametrize("text", ["<b>x</b>", "a | b", "*bold*", "`code`", "[a](b)", "two\nlines"])
def test_text_from_outside_means_nothing_to_markdown(text: str) -> None:
    shown = markdown(document(Table(head=("x", "y"), rows=[(text, "z")])))
    row = shown.splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert not re.search(r"(?<!\\)[<*`\[]", row)


def test_a_secret_is_in_neither() -> None:
    secret = "postgresql://ops:hunter2hunter2@db/orchestrator"
    made = document(Text(text=f"could not reach {secret}"), Bullets(items=[secret]))
    assert "hunter2" not in markdown(made)
    assert "hunter2" not in words_of(pdf.render(made, seal=""))


# --- paper


def words_of(content: bytes) -> str:
    """What a reader of the PDF can select; the library writes no text back, so a small one does."""
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


def pages(test: Exercise) -> Sequence[str]:
    from pypdf import PdfReader

    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf.render(compose(test), seal="seal 0123"))).pages]


def test_the_paper_says_what_the_markdown_says() -> None:
    test = with_reports(exercise(), failover=FAILOVER)
    paper = re.sub(r"\s+", "", "".join(pages(test)))
    for line in said(test).splitlines():
        for cell in re.split(r"(?<!\\)\|", line.lstrip("#- ")):
            assert re.sub(r"[\s\\]+", "", cell.strip("- ")) in paper, line


def test_every_page_says_which_of_how_many_it_is_and_bears_the_seal() -> None:
    many = tuple(replace(FAILOVER.findings[0], subject=f"staging/{number}", summary="w" * 400) for number in range(30))
    made = pages(with_reports(exercise(), failover=Report(source="f", checked=30, findings=many)))
    assert len(made) > 2
    for number, page in enumerate(made, 1):
        assert f"page {number} of {len(made)}" in page
        assert "seal 0123" in page


def test_the_same_report_is_the_same_paper() -> None:
    assert pdf.render(compose(exercise()), seal="x") == pdf.render(compose(exercise()), seal="x")


def test_letters_that_the_font_lacks_and_words_without_end_do_not_break_it() -> None:
    made = pdf.render(document(Text(text="状态 ok <&> ü"), Table(head=("x" * 300,), rows=[("y" * 3000,)])), seal="")
    assert "?? ok <&> ü" in words_of(made)


def test_there_is_room_to_sign() -> None:
    made = document(Signatures(roles=("Ran the test", "Read it")))
    assert "| Ran the test |" in markdown(made)
    assert "Signature" in words_of(pdf.render(made, seal=""))
    assert "whose result is PASSED" in section(exercise(), "Signatures")  # it may stand on a page of its own


def test_moments_are_of_one_zone() -> None:
    assert f"{datetime(2026, 11, 25, 13, tzinfo=UTC):%Y-%m-%d %H:%M} UTC" in said(exercise())
