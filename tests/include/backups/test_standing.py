"""A week in a real bucket, with a hole of each kind: the matrix says which, and what cannot be read is never taken for health."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from include.backups import keys, manifest
from include.backups.catalogue import Verdict
from include.backups.store import CONFIG, Store
from include.checks import week
from include.findings import Finding, Report, Severity
from sandbox.components import s3
from sandbox.connections import IDS, all_of
from sandbox.site import Site
from sre.operators.verification import JudgeWeekOperator
from tests.faults import answers
from tests.faults.http1 import Piece, Pieces
from tests.faults.storefront import Storefront, storefront
from tests.include.backups.planted import LOCK_DAYS, Plant, plant
from tests.include.backups.world import World
from tests.integration.morning import connected, said

pytestmark = pytest.mark.integration

HOLE = 2
"""The day of the week, counted from its first, on which something is wrong."""


class Week:
    """Seven planted nights of a database of its own, as old as the days that are asked for now."""

    def __init__(self, site: Site) -> None:
        self.world = World(site, f"week_{uuid4().hex[:8]}")
        self.limits = self.world.limits().model_copy(update={"configuration_expected": False})
        self.days = week.days(datetime.now(UTC), self.limits)
        self.nights: dict[date, Plant] = {}

    def plant(self, *without: int) -> Week:
        self.nights = {day: plant(self.world, day) for number, day in enumerate(self.days) if number not in without}
        return self

    @property
    def hole(self) -> date:
        return self.days[HOLE]

    def report(self, *, port: int | None = None, user: str = "backup_verifier") -> Report:
        """What the task leaves; it finds nothing but the bucket's Connection."""
        fields: dict[str, Any] = {**all_of(self.world.site)[IDS.backup_verifier], "login": user}
        fields["password"] = self.world.site.secret(f"s3-{user}")
        if port:
            fields["extra"] = {**fields["extra"], "endpoint_url": f"http://127.0.0.1:{port}"}
        with connected(self.world.site, {IDS.backup_verifier: fields}):
            return JudgeWeekOperator(task_id="judge_week", limits=self.limits).report({})

    def column(self, report: Report) -> list[str]:
        cells = {each.evidence["window_start"][:10]: each for each in self.cells(report)}
        return [cells[f"{day}"].evidence["state"] for day in self.days]

    def cells(self, report: Report) -> list[Finding]:
        return [each for each in report.findings if each.check == "cell" and each.subject.endswith("/database")]


def the(report: Report, check: str) -> Finding:
    """What is said of the database's week, or of the configuration's if there is none of it."""
    found, *others = [finding for finding in report.findings if finding.check == check]
    assert [each for each in others if not each.subject.startswith("configuration/")] == []
    return found


@pytest.fixture
def nights(site: Site) -> Week:
    return Week(site)


@pytest.fixture(scope="module")
def whole(site: Site) -> Week:
    """Nothing is missing; for tests that only read it."""
    return Week(site).plant()


def test_w_11_a_whole_week_is_good_and_only_the_configuration_is_yellow(whole: Week) -> None:
    report = whole.report()
    assert whole.column(report) == ["GOOD"] * 7
    assert (the(report, "gaps").severity, the(report, "standing").severity) == (Severity.OK, Severity.OK)
    assert the(report, "newest_good").severity is Severity.OK
    assert (report.severity, report.blind) == (Severity.WARNING, ())
    assert the(report, "configuration").severity is Severity.WARNING
    assert len(report.table) == 8
    assert len([each for each in report.findings if each.check == "cell"]) == 14
    locked = whole.cells(report)[0].evidence["locked_until"]
    assert datetime.fromisoformat(locked) > datetime.now(UTC) + timedelta(days=LOCK_DAYS - 8)


def forged(there: Plant) -> None:
    """One number changed, and the checksum made right again."""
    rows = there.whole.facts.rows + 1
    facts = there.whole.facts.model_copy(update={"rows": rows})
    there.file(keys.MANIFEST).write_bytes(manifest.render(there.whole.model_copy(update={"facts": facts})))


def edited(there: Plant) -> None:
    text = there.file(keys.MANIFEST).read_text()
    there.file(keys.MANIFEST).write_text(text.replace('"rows": 100', '"rows": 101'))


def shortened(there: Plant) -> None:
    there.file(keys.GLOBALS).write_bytes(b"role")


HOLES: Mapping[str, tuple[Callable[[Plant], None], str, str]] = {
    "a missing dump": (lambda there: there.file(keys.DUMP).unlink(), "BAD", "dump.age is not there in the version"),
    "a shorter object": (shortened, "BAD", "globals.age has 4 bytes instead of 5"),
    "an edited manifest": (edited, "BAD", "was changed after it was written: its checksum does not match"),
    "a forged manifest": (forged, "UNPROVED", "nobody has restored and compared it"),
    "no manifest": (lambda there: there.file(keys.MANIFEST).unlink(), "MISSING", "no backup of that day"),
    "a mark of BAD": (lambda there: there.mark(Verdict.BAD, reason="a row is missing"), "BAD", "a row is missing"),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_in_the_week_pages_and_the_other_days_stand(nights: Week, name: str) -> None:
    damage, state, why = HOLES[name]
    nights.plant()
    damage(nights.nights[nights.hole])
    report = nights.report()
    assert nights.column(report) == ["GOOD"] * HOLE + [state] + ["GOOD"] * (6 - HOLE)
    gaps = the(report, "gaps")
    assert (gaps.severity, gaps.summary) == (Severity.CRITICAL, f"no good backup of {nights.hole} ({state})")
    (cell,) = [each for each in nights.cells(report) if each.severity is Severity.WARNING]
    assert why in cell.summary
    assert f"{nights.hole}" in said([report])


def test_a_night_that_was_never_taken_never_proved_or_never_locked_is_a_hole(nights: Week) -> None:
    nights.plant(1, 3, 4)
    plant(nights.world, nights.days[3], None)
    plant(nights.world, nights.days[4], locked=False)
    report = nights.report()
    assert nights.column(report) == ["GOOD", "MISSING", "GOOD", "UNPROVED", "BAD", "GOOD", "GOOD"]
    assert [each.summary for each in nights.cells(report) if "not locked" in each.summary]


def test_what_is_written_over_a_good_one_hides_nothing(nights: Week) -> None:
    there, writer = nights.plant().nights[nights.hole], nights.world.store("backup_writer")
    writer.put(there.key + keys.DUMP, b"something else")
    writer.put(there.key + keys.MANIFEST, b"{}")
    assert nights.column(nights.report()) == ["GOOD"] * 7


def test_a_deletion_by_name_hides_nothing(nights: Week) -> None:
    there = nights.plant().nights[nights.hole]
    s3.client(nights.world.site).delete_object(Bucket=s3.BUCKET, Key=there.key + keys.DUMP)
    assert nights.column(nights.report()) == ["GOOD"] * 7


def test_a_week_whose_newest_backup_is_two_days_old_pages(nights: Week) -> None:
    report = nights.plant(5, 6).report()
    assert the(report, "newest_good").severity is Severity.CRITICAL
    assert "h old (limit 26 h)" in the(report, "newest_good").summary or "d old" in the(report, "newest_good").summary


@pytest.fixture
def front(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storefront]:
    monkeypatch.setitem(CONFIG, "retries", {"mode": "standard", "total_max_attempts": 1})
    monkeypatch.setitem(CONFIG, "read_timeout", 1)
    with storefront(site.ports["s3"]) as opened:
        yield opened


def port(front: Storefront) -> int:
    return int(front.url.rpartition(":")[2])


def cut_list(pieces: Pieces) -> Pieces:
    """The store says that there is more and not how to go on; as many bytes as before."""
    whole = b"".join(piece.data for piece in pieces)
    yield Piece(whole.replace(b"<IsTruncated>false</IsTruncated>", b"<IsTruncated>true</IsTruncated> "))


def is_a_week_of_unknown(nights: Week, report: Report, *, blind: Sequence[str] = ("database", "configuration")) -> None:
    """Nothing is known of the database's days; `blind` are the kinds of backups that could not be looked at."""
    assert nights.column(report) == ["UNKNOWN"] * 7
    assert {each.severity for each in nights.cells(report)} == {Severity.UNKNOWN}
    assert report.severity is Severity.UNKNOWN
    assert [each.subject.partition("/")[0] for each in report.blind] == list(blind)
    assert the(report, "gaps").severity is Severity.UNKNOWN
    assert sum("UNKNOWN" in line for line in report.table) == 7
    assert said([report]).count("could not look") == len(blind)  # one line for each kind, not one for each day


def test_half_a_list_is_a_week_of_unknown_and_no_gap(whole: Week, front: Storefront) -> None:
    front.fault("ListObjectVersions", lambda exchange: exchange.relay(answer=cut_list))
    report = whole.report(port=port(front))
    is_a_week_of_unknown(whole, report)
    assert "only in part" in the(report, "gaps").summary
    assert the(report, "gaps").blind
    front.heal()
    assert whole.column(whole.report(port=port(front))) == ["GOOD"] * 7


@pytest.mark.parametrize(
    ("operation", "answer", "blind"),
    [
        ("ListObjectVersions", answers.error(403, "AccessDenied"), ["database", "configuration"]),
        ("ListObjectVersions", answers.hang(), ["database", "configuration"]),
        ("GetObject", answers.reset(), ["database"]),  # of a configuration there is nothing to get
        ("GetObjectTagging", answers.error(503, "SlowDown"), ["database"]),
    ],
)
def test_a_bucket_that_cannot_be_read_is_a_week_of_unknown(
    whole: Week, front: Storefront, operation: str, answer: Any, blind: Sequence[str]
) -> None:
    front.fault(operation, answer)
    is_a_week_of_unknown(whole, whole.report(port=port(front)), blind=blind)


def test_locks_that_cannot_be_read_are_unknown_and_no_gap(whole: Week, front: Storefront) -> None:
    front.fault("GetObjectRetention", answers.error(403, "AccessDenied"))
    report = whole.report(port=port(front))
    assert whole.column(report) == ["UNKNOWN"] * 7
    assert the(report, "gaps").severity is Severity.UNKNOWN
    assert len(report.blind) == 7


def test_a_user_who_may_not_list_sees_a_week_of_unknown(whole: Week) -> None:
    report = whole.report(user="backup_writer")
    is_a_week_of_unknown(whole, report)
    assert "lacks the right" in the(report, "gaps").summary


def test_a_mark_keeps_the_tags_that_others_wrote(nights: Week) -> None:
    there, verifier = plant(nights.world, nights.hole), nights.world.store("backup_verifier")
    place = there.key + keys.MANIFEST, there.version_id
    verifier.tag(*place, {"retention": "hold"})
    there.mark(Verdict.BAD, reason="a row")
    tags = verifier.tags(*place)
    assert (tags["retention"], tags["verdict"], tags["reason"]) == ("hold", "BAD", "a row")
    there.mark(Verdict.GOOD)
    assert verifier.tags(*place) == tags | {"verdict": "GOOD", "reason": ""}


def test_a_version_that_was_never_locked_has_no_lock(nights: Week) -> None:
    there, verifier = plant(nights.world, nights.hole, locked=False), nights.world.store("backup_verifier")
    assert verifier.locked_until(there.key + keys.MANIFEST, there.version_id) is None
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    there.lock(until)
    assert verifier.locked_until(there.key + keys.MANIFEST, there.version_id) == until


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """The calls of a store's client by their names."""
    calls: list[str] = []
    store.client.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    yield calls


def test_nothing_is_downloaded_but_manifests(whole: Week) -> None:
    from include.backups import standing

    store = whole.world.store("backup_verifier")
    with counted(store) as calls:
        found = standing.look(store, whole.world.database, datetime.now(UTC) - timedelta(days=8))
    assert len(found) == 7
    assert {name: calls.count(name) for name in set(calls)} == {
        "ListObjectVersions": 1,
        "GetObject": 7,  # a manifest each
        "GetObjectTagging": 7,
        "GetObjectRetention": 28,
    }
