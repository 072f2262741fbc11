"""Seven days of backups, each day and kind one cell: judged from what the bucket holds, the clock included (items W-11, W-12)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.backups.catalogue import Verdict
from include.backups.standing import Standing
from include.findings import Blind, Finding, Severity
from include.reporting import text
from include.settings import BackupLimits

if TYPE_CHECKING:
    from include.backups.again import Outcome
    from include.backups.prove import Proof

DAYS = 7
DATABASE, CONFIGURATION = "database", "configuration"
CLOCKS_AGREE_S = 60
"""What a clock may be ahead of ours."""
UNLOCKS_WITHIN = timedelta(hours=1)
"""Locks end a little before their days, counted from the mark, are over."""

PAGE = "docs/runbooks/weekly_backup_verification.md"


@dataclass(frozen=True)
class Column:
    """What a column is of: `database/orchestrator`, `configuration/ai-orchestrator`."""

    kind: str
    name: str

    @property
    def subject(self) -> str:
        """As in all findings."""
        return f"{self.kind}/{self.name}"


class State(StrEnum):
    """What a cell says. Only GOOD counts."""

    GOOD = "GOOD"
    """Restored and compared when it was taken, and all of it lies there as it was written, locked."""
    BAD = "BAD"
    """It differed, its manifest is torn, or what was good is not there any more as it was."""
    UNPROVED = "UNPROVED"
    MISSING = "MISSING"
    UNKNOWN = "UNKNOWN"
    """Nobody could look. Never taken for health."""


BEST_FIRST = (State.GOOD, State.UNKNOWN, State.UNPROVED, State.BAD)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One day (UTC) of one kind: the best backup of it.

    :param why: one clause; "" if it is good.
    :param n: how many backups are of that day.
    :param blind: why one cannot know.
    :param excused: nothing could be there: it is no gap.
    """

    day: date
    kind: str
    state: State
    why: str = ""
    key: str = ""
    age_s: float | None = None
    locked_until: datetime | None = None
    n: int = 0
    blind: Blind | None = None
    excused: bool = False

    @property
    def is_gap(self) -> bool:
        """Whether it is known that there is no good backup of the day, and there should be one."""
        return self.state not in {State.GOOD, State.UNKNOWN} and not self.excused


def days(now: datetime, limits: BackupLimits) -> list[date]:
    """Return the last seven days (UTC), today among them as soon as its backup must be good."""
    last = (now.astimezone(UTC) - timedelta(seconds=limits.good_by_s)).date()
    return [last - timedelta(days=back) for back in reversed(range(DAYS))]


def cells_of(kind: str, found: Sequence[Standing], limits: BackupLimits, now: datetime) -> list[Cell]:
    """Return a cell for each of the seven days."""
    return [_cell(kind, day, found, limits, now) for day in days(now, limits)]


def unseen_cells(kind: str, why: str, limits: BackupLimits, now: datetime, *, excused: bool = False) -> list[Cell]:
    """Return a week of which nothing is known."""
    return [Cell(day=day, kind=kind, state=State.UNKNOWN, why=why, excused=excused) for day in days(now, limits)]


def _cell(kind: str, day: date, found: Sequence[Standing], limits: BackupLimits, now: datetime) -> Cell:
    of_day = [_of_one(kind, each, day, limits, now) for each in found if each.day.date() == day]
    if not of_day:
        before = _is_before_the_first(day, found)
        why = "before the first backup of all" if before else "no backup of that day is in the bucket"
        return Cell(day=day, kind=kind, state=State.MISSING, why=why, excused=before)
    best = min(of_day, key=lambda cell: BEST_FIRST.index(cell.state))
    return Cell(**{**vars(best), "n": len(of_day)})


def _of_one(kind: str, each: Standing, day: date, limits: BackupLimits, now: datetime) -> Cell:
    state, why = _judged(each, limits, now)
    return Cell(
        day=day,
        kind=kind,
        state=state,
        why=why,
        key=each.backup.key,
        age_s=each.age_s(now),
        locked_until=each.locked_until,
        blind=each.unseen,
    )


def _judged(each: Standing, limits: BackupLimits, now: datetime) -> tuple[State, str]:
    backup = each.backup
    if backup.verdict is Verdict.BAD:
        return State.BAD, backup.problem or (backup.mark.reason if backup.mark else "") or "it was compared and differs"
    if backup.verdict is Verdict.UNPROVED:
        return State.UNPROVED, "it was taken, and nobody has restored and compared it"
    if each.wrong:
        return State.BAD, f"it was good, and {each.wrong}"
    if each.unseen:
        return State.UNKNOWN, f"how long it is locked is not known: {each.unseen.reason}"
    if not _is_locked(each, limits, now):
        return State.BAD, f"it is not locked, as a good one is for {limits.lock_days} days: anybody may have touched it"
    return State.GOOD, ""


def _is_locked(each: Standing, limits: BackupLimits, now: datetime) -> bool:
    if each.locked_until and each.locked_until > now:
        return True
    mark = each.backup.mark
    return mark is not None and mark.at + timedelta(days=limits.lock_days) - UNLOCKS_WITHIN <= now


def _is_before_the_first(day: date, found: Sequence[Standing]) -> bool:
    """Whether nothing was ever taken until then: the first manifest of all names none before it."""
    if not found or not found[0].backup.manifest:
        return False
    return day < found[0].day.date() and found[0].backup.manifest.facts.previous is None


def table(*columns: Sequence[Cell]) -> tuple[str, ...]:
    """Return the matrix as lines of equal columns: `Wed 2026-11-25  GOOD       8 h  UNKNOWN`."""
    head = ("UTC day", *(column[0].kind for column in columns))
    rows = [(f"{cells[0].day:%a %Y-%m-%d}", *map(_shown, cells)) for cells in zip(*columns, strict=True)]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return tuple("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))


def _shown(cell: Cell) -> str:
    age = "" if cell.age_s is None else text.span(cell.age_s)
    if cell.state is State.MISSING and cell.excused:
        return "-"
    return f"{cell.state.value:<8} {age:>7}".rstrip()


def judge_cells(cells: Sequence[Cell]) -> Iterator[Finding]:
    """One row of evidence for each day of a column; messages tell what is known to be wrong, the table shows the rest."""
    yield from map(_told, cells)


def _told(cell: Cell) -> Finding:
    severity = _severity(cell)
    said = f"{cell.day} {cell.state.value}"
    evidence = {
        "state": cell.state.value,
        "key": cell.key or None,
        "value": None if cell.age_s is None else round(cell.age_s),
        "unit": None if cell.age_s is None else "s",
        "n": cell.n,
        "window_start": f"{cell.day}T00:00:00+00:00",
        "window_end": f"{cell.day + timedelta(days=1)}T00:00:00+00:00",
        "locked_until": cell.locked_until.isoformat() if cell.locked_until else None,
    }
    return Finding(
        item="W-11",
        check="cell",
        subject=f"{cell.day:%A}/{cell.kind}".lower(),  # of each week the same, so that two weeks can be compared
        severity=severity,
        summary=f"{said}: {cell.why}" if cell.why else f"{said}: as it was written, and locked",
        evidence=evidence,
        next_step=_NEXT.get(cell.state, "") if severity > Severity.INFO else "",
        blind=cell.blind if cell.state is State.UNKNOWN else None,
        in_table=severity <= Severity.INFO or (cell.state is State.UNKNOWN and cell.blind is None),
    )


def _severity(cell: Cell) -> Severity:
    if cell.state is State.GOOD:
        return Severity.OK
    if cell.is_gap:
        return Severity.WARNING  # the gap itself pages, once for all days
    if cell.state is State.UNKNOWN and not cell.excused:
        return Severity.UNKNOWN
    return Severity.INFO


_NEXT = {
    State.BAD: f"{PAGE}, section BAD; do not restore from it",
    State.UNPROVED: f"{PAGE}, section UNPROVED: the log of that night's prove_backup says what was in its way",
    State.MISSING: f"{PAGE}, section MISSING: was Airflow down that night?",
    State.UNKNOWN: "mend what the reason names, then trigger the runbook again",
}


def judge_column(
    column: Column, found: Sequence[Standing], cells: Sequence[Cell], limits: BackupLimits, now: datetime
) -> Iterator[Finding]:
    """The week of one kind as a whole: a day without a good backup, or none young enough, is critical."""
    yield _gaps(column, cells)
    yield _newest(column, found, limits, now)
    yield _all_stand(column, found, {cell.key for cell in cells})


def _gaps(column: Column, cells: Sequence[Cell]) -> Finding:
    gaps = [cell for cell in cells if cell.is_gap]
    if gaps:
        named = ", ".join(f"{cell.day} ({cell.state.value})" for cell in gaps)
        evidence = {"value": len(gaps), "unit": "days", "threshold": 0, "n": len(cells)}
        return _of(column, "gaps", Severity.CRITICAL, f"no good backup of {named}", f"{PAGE}, section Gaps", **evidence)
    good, unknown = (sum(cell.state is state for cell in cells) for state in (State.GOOD, State.UNKNOWN))
    dark = f"; {unknown} could not be seen" if unknown else ""
    severity = Severity.UNKNOWN if unknown else Severity.OK
    said = f"a good backup of each of {good} days{dark}" if good else f"no day of the week needed a backup yet{dark}"
    next_step = _NEXT[State.UNKNOWN] if unknown else ""
    return _of(column, "gaps", severity, said, next_step, value=0, unit="days", threshold=0, n=len(cells))


def _newest(column: Column, found: Sequence[Standing], limits: BackupLimits, now: datetime) -> Finding:
    there = [each for each in found if each.is_there]
    if not there:
        said = f"none of {len(found)} backups is good" if found else "there is no backup at all"
        return _of(
            column, "newest_good", Severity.CRITICAL, said, f"trigger daily_{column.kind}_backup now", n=len(found)
        )
    newest = there[-1]
    age_s, limit_s = newest.age_s(now), limits.newest_critical_s
    evidence: dict[str, Any] = {
        "key": newest.backup.key,
        "value": round(age_s),
        "unit": "s",
        "threshold": limit_s,
        "n": len(found),
    }
    if age_s < -CLOCKS_AGREE_S:
        said = f"the newest good backup is of a moment {text.span(-age_s)} ahead: a clock is wrong, and no age is known"
        return _of(
            column, "newest_good", Severity.UNKNOWN, said, "set the clocks by NTP: worker, store, database", **evidence
        )
    said = f"the newest good backup is {text.span(age_s)} old (limit {text.span(limit_s)})"
    if age_s > limit_s:
        return _of(
            column, "newest_good", Severity.CRITICAL, said, f"trigger daily_{column.kind}_backup now", **evidence
        )
    return _of(column, "newest_good", Severity.OK, said, **evidence)


def _all_stand(column: Column, found: Sequence[Standing], told: Collection[str]) -> Finding:
    """Those of other days too, which have no cell of their own."""
    good = [each for each in found if each.backup.is_good and (not each.wrong or each.backup.key not in told)]
    if fallen := [each for each in good if each.wrong]:
        said = f"{len(fallen)} of {len(good)} good backups are not whole any more: {fallen[0].backup.key}: {fallen[0].wrong}"
        named = [each.backup.key for each in fallen]
        return _of(column, "standing", Severity.WARNING, said, f"{PAGE}, section BAD", n=len(good), fallen=named)
    said = f"{len(good)} good backups in the bucket, every object there in its size"
    return _of(column, "standing", Severity.OK, said, n=len(good))


def nothing_expected() -> Finding:
    """A place without backups of its configuration: never green, and neither red nor a page (backup.configuration_expected)."""
    return Finding(
        item="W-11",
        check="configuration",
        subject=CONFIGURATION,
        severity=Severity.WARNING,
        summary=f"{State.UNKNOWN.value} for each of {DAYS} days: {NO_CONFIGURATION}",
        next_step=f"{PAGE}, section Configuration: keep a copy by hand until then",
    )


NO_CONFIGURATION = "nothing backs the configuration up here"


def judge_restore(outcome: Outcome, limits: BackupLimits, now: datetime) -> Iterator[Finding]:
    """What came of restoring one older backup (item W-12): one that differs is critical, though another one held."""
    yield from _came_of_it(outcome, limits, now)
    for number, (key, why) in enumerate(outcome.bad.items(), 1):
        said = why if key in why else f"{key} is BAD: {why}"
        next_step = f"{PAGE}, section BAD; do not restore from it"
        yield _restored(limits, f"bad_{number}", Severity.CRITICAL, said, next_step, key=key, equal=False)


def _came_of_it(outcome: Outcome, limits: BackupLimits, now: datetime) -> Iterator[Finding]:
    if outcome.unseen:
        why_not = outcome.unseen
        yield Finding.unseen(item="W-12", check="restored", subject=_subject(limits), blind=why_not, next_step=PAGE)
    elif outcome.proof:
        yield from _equal(outcome, outcome.proof, limits, now)
    elif outcome.bad:
        said = f"none of the older backups that were restored ({len(outcome.bad)}) is equal: look at the scratch server first"
        yield _restored(limits, "restored", Severity.CRITICAL, said, f"{PAGE}, section BAD", n=outcome.candidates)
    else:
        said = "no older good backup is there: the newest one is proved when it is taken, so nothing was restored today"
        next_step = f"none if backups began within these days, else {PAGE}, section MISSING"
        yield _restored(limits, "restored", Severity.WARNING, said, next_step, n=0)


def _equal(outcome: Outcome, proof: Proof, limits: BackupLimits, now: datetime) -> Iterator[Finding]:
    from include.backups.prove import told

    backup = proof.backup
    assert backup.manifest  # it was proved
    facts = backup.manifest.facts
    others = f" ({outcome.sealed_otherwise} more are sealed to other keys)" if outcome.sealed_otherwise else ""
    which = f"{backup.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {text.span((now - backup.at).total_seconds())} old"
    said = f"drawn from {outcome.candidates} older good backups{others}, that of {which}: {told(proof)}"
    counted: dict[str, Any] = {
        "n": facts.rows,
        "rows": facts.rows,
        "tables": facts.tables,
        "indexes_checked": proof.indexes,
    }
    timed: dict[str, Any] = {"value": round(proof.restore_s, 2), "unit": "s", "fetch_s": round(proof.fetch_s, 2)}
    where: dict[str, Any] = {"key": backup.key, "scratch_database": proof.restored_into, "equal": True}
    yield _restored(limits, "restored", Severity.OK, said, **counted, **timed, **where)
    yield _recovery(proof, limits)


def _recovery(proof: Proof, limits: BackupLimits) -> Finding:
    """How long a recovery from it takes, against the target and the day when it was new."""
    slow = proof.rto_s > limits.rto_target_s
    severity = Severity.WARNING if slow else Severity.OK
    first_s = proof.backup.mark.rto_s if proof.backup.mark else 0.0
    said = f"a recovery from it takes {proof.rto_s:.0f} s (target {limits.rto_target_s:.0f} s; {first_s:.0f} s when it was new)"
    next_step = "docs/runbooks/daily_database_backup.md, section RTO and RPO" if slow else ""
    timed: dict[str, Any] = {
        "value": round(proof.rto_s, 2),
        "unit": "s",
        "threshold": limits.rto_target_s,
        "first_rto_s": first_s,
    }
    return _restored(limits, "rto", severity, said, next_step, **timed)


def _of(column: Column, check: str, severity: Severity, said: str, next_step: str = "", **evidence: object) -> Finding:
    return Finding(
        item="W-11",
        check=check,
        subject=column.subject,
        severity=severity,
        summary=said,
        evidence=evidence,
        next_step=next_step,
    )


def _restored(
    limits: BackupLimits, check: str, severity: Severity, said: str, next_step: str = "", **evidence: object
) -> Finding:
    return Finding(
        item="W-12",
        check=check,
        subject=_subject(limits),
        severity=severity,
        summary=said,
        evidence=evidence,
        next_step=next_step,
    )


def _subject(limits: BackupLimits) -> str:
    return f"{DATABASE}/{limits.database}"
