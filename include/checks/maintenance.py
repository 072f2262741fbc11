"""Judge what the database needs, and what came of doing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from include.findings import Finding, Severity
from include.maintenance.operation import Ended, Outcome, Result
from include.plans.maintenance import Bloat, Index, Observed, Plan, Table, Verb, worst
from include.settings import MaintenanceLimits

PAGE = "docs/runbooks/weekly_database_maintenance.md"
SHOWN = 5

ITEM = {
    Verb.SWEEP: "D-04",
    Verb.VACUUM: "D-06",
    Verb.REINDEX: "D-04",
    Verb.ANALYZE: "D-03",
}
DEEDS = (
    ("D-06", "vacuum", (Verb.VACUUM,)),
    ("D-04", "reindex", (Verb.REINDEX, Verb.SWEEP)),
    ("D-03", "statistics", (Verb.ANALYZE,)),
)
"""Item, check, and the steps that answer it."""


def judge_need(observed: Observed, plan: Plan, limits: MaintenanceLimits, subject: str) -> Iterator[Finding]:
    """What was measured, what follows from it, and what is left to a person (D-03 to D-06)."""
    yield from _planned(plan, subject)
    yield from _bloat(observed, limits, subject)
    yield from _unmeasured(observed, limits)
    yield _age(observed, limits, subject)
    yield from _holders(observed, subject)
    yield from judge_left(plan)


def judge_left(plan: Plan) -> Iterator[Finding]:
    """What needs something and does not get it by itself."""
    for left in plan.left:
        yield Finding(
            item=ITEM[left.verb],
            check="left_to_a_person",
            subject=f"relation/{left.name}",
            severity=Severity.WARNING,
            summary=str(left),
            next_step=left.advice,
        )


def _planned(plan: Plan, subject: str) -> Iterator[Finding]:
    for item, check, verbs in DEEDS:
        steps = plan.of(*verbs)
        said = f"{len(steps)} need it: {'; '.join(map(str, steps[:SHOWN]))}" if steps else "nothing needs it"
        yield Finding(
            item=item,
            check=f"{check}_needed",
            subject=subject,
            severity=Severity.OK,
            summary=said,
            evidence={"n": len(steps), "steps": [{**asdict(step), "verb": str(step.verb)} for step in steps]},
        )


def _bloat(observed: Observed, limits: MaintenanceLimits, subject: str) -> Iterator[Finding]:
    found = worst(observed, limits.top)
    lines = [_of_bloat(*each) for each in found]
    said = f"most is wasted by {'; '.join(lines[:3])}" if lines else "nothing is large enough for its bloat to matter"
    total = sum(bloat.wasted_bytes for _, _, bloat in found)
    told: dict[str, Any] = {"value": total, "unit": "bytes", "n": len(observed.tables) + len(observed.indexes)}
    yield Finding(
        item="D-05",
        check="bloat",
        subject=subject,
        severity=Severity.OK,
        summary=said,
        evidence=told | {"worst": lines},
    )
    for table in observed.tables:
        if table.bloat and table.bloat.percent > limits.table_bloat_warning_percent:
            yield _of_table(table.full_name, table.bytes, table.bloat, limits)


def _of_table(name: str, size: int, bloat: Bloat, limits: MaintenanceLimits) -> Finding:
    limit = limits.table_bloat_warning_percent
    return Finding(
        item="D-05",
        check="table_bloat",
        subject=f"relation/{name}",
        severity=Severity.WARNING,
        summary=f"{_of_bloat(name, size, bloat)} (limit {limit:g} %); a vacuum keeps this room for new rows",
        evidence={"value": round(bloat.percent, 1), "unit": "%", "threshold": limit},
        next_step=f"if it will not be filled again, pg_repack in an approved window, never VACUUM FULL; {PAGE}",
    )


def _of_bloat(name: str, size: int, bloat: Bloat) -> str:
    return f"{name}: {bloat.percent:.1f} % of {size} bytes, {bloat.wasted_bytes} bytes by {bloat.method}"


def _unmeasured(observed: Observed, limits: MaintenanceLimits) -> Iterator[Finding]:
    tables = [each for each in observed.tables if not each.partitioned and each.bytes >= limits.table_min_bytes]
    indexes = [each for each in observed.indexes if each.method == "btree" and each.valid]
    large: list[Table | Index] = [*tables, *(each for each in indexes if each.bytes >= limits.index_min_bytes)]
    if names := [each.full_name for each in large if not each.bloat]:
        yield Finding(
            item="D-05",
            check="not_measured",
            subject="database",
            severity=Severity.UNKNOWN,
            summary=f"{len(names)} could not be measured: {', '.join(names[:SHOWN])}; locked, waited for, gone, too slow,"
            f" or larger than maintenance.measured_max_bytes",
            evidence={"n": len(names), "names": names},
            next_step=PAGE,
        )


def _age(observed: Observed, limits: MaintenanceLimits, subject: str) -> Finding:
    age = max(observed.xid_age, observed.multixact_age)
    bad = age > limits.xid_age_critical
    return Finding(
        item="D-05",
        check="transaction_age",
        subject=subject,
        severity=Severity.CRITICAL if bad else Severity.OK,
        summary=f"the oldest row was frozen {age} transactions ago (critical above {limits.xid_age_critical})",
        evidence={"value": age, "unit": "transactions", "threshold": limits.xid_age_critical},
        next_step=f"end who holds cleaning back, then vacuum the oldest table; {PAGE}" if bad else "",
    )


def _holders(observed: Observed, subject: str) -> Iterator[Finding]:
    told = [str(holder) for holder in observed.holders]
    said = f"the oldest snapshot is held by {told[0]}" if told else "nobody holds cleaning back"
    yield Finding(
        item="D-05",
        check="oldest_snapshot",
        subject=subject,
        severity=Severity.OK,
        summary=said,
        evidence={"holders": told},
    )


# --- afterwards ---------------------------------------------------------------------------------------------------------


def judge_done(result: Result, after: Observed, limits: MaintenanceLimits, subject: str) -> Iterator[Finding]:
    """What came of each step, what it brought, and what stayed (D-03, D-04, D-06)."""
    for item, check, verbs in DEEDS:
        yield _summed(item, check, [each for each in result.outcomes if each.verb in verbs], subject)
    for outcome in result.outcomes:
        yield from _not_done(outcome)
        if outcome.ended is Ended.DONE and outcome.verb == Verb.VACUUM:
            yield from _held_back(outcome, after)
            yield from _not_frozen(outcome, after, limits)
    yield from _leftovers(result, after, subject)


def _summed(item: str, check: str, outcomes: Sequence[Outcome], subject: str) -> Finding:
    done = [each for each in outcomes if each.ended is Ended.DONE]
    won = sum(each.before.get("bytes", 0) - each.after.get("bytes", 0) for each in done)
    dead = sum(each.before.get("dead", 0) - each.after.get("dead", 0) for each in done)
    said = (
        f"{len(done)} of {len(outcomes)} done, {dead} dead rows and {won} bytes less" if outcomes else "nothing to do"
    )
    return Finding(
        item=item,
        check=f"{check}_done",
        subject=subject,
        severity=Severity.OK,
        summary=said,
        evidence={"n": len(outcomes), "value": len(done), "outcomes": [_plain(each) for each in outcomes]},
    )


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "ended": str(outcome.ended)}


def _not_done(outcome: Outcome) -> Iterator[Finding]:
    if outcome.ended in {Ended.POSTPONED, Ended.FAILED}:
        yield Finding(
            item=ITEM[Verb(outcome.verb)],
            check="not_done",
            subject=f"relation/{outcome.name}",
            severity=Severity.WARNING,
            summary=f"{outcome.verb} {outcome.ended}: {outcome.why}",
            next_step=PAGE if outcome.ended is Ended.FAILED else "",
        )


def _held_back(outcome: Outcome, after: Observed) -> Iterator[Finding]:
    """A vacuum that removed less than half of the dead rows: somebody may still see them."""
    dead, still = outcome.before.get("dead", 0), outcome.after.get("dead", 0)
    if dead and still > dead / 2:
        holder = str(after.holders[0]) if after.holders else "somebody who is gone again"
        yield Finding(
            item="D-06",
            check="held_back",
            subject=f"relation/{outcome.name}",
            severity=Severity.WARNING,
            summary=f"{still} of {dead} dead rows stayed, since {holder} may still see them",
            evidence={"value": still, "n": dead},
            next_step=f"let that end, then trigger the runbook again with dry_run = no; {PAGE}",
        )


def _not_frozen(outcome: Outcome, after: Observed, limits: MaintenanceLimits) -> Iterator[Finding]:
    """A vacuum after which the oldest row is as old as before, whether or not it removed any."""
    age = outcome.after.get("frozen_age", 0)
    if age > limits.freeze_age:
        yield Finding(
            item="D-06",
            check="not_frozen",
            subject=f"relation/{outcome.name}",
            severity=Severity.WARNING,
            summary=f"still {age} transactions since it was frozen (limit {limits.freeze_age}): {_why_old(after, limits)}",
            evidence={"value": age, "unit": "transactions", "threshold": limits.freeze_age},
            next_step=f"end that, then trigger the runbook again with dry_run = no; {PAGE}",
        )


def _why_old(after: Observed, limits: MaintenanceLimits) -> str:
    old = [holder for holder in after.holders if (holder.age_xids or 0) > limits.freeze_age]
    if old:
        return f"held back by {old[0]}"
    return "nobody holds it back now: it was somebody who is gone again, or vacuum_freeze_table_age is above the limit"


def _leftovers(result: Result, after: Observed, subject: str) -> Iterator[Finding]:
    invalid = [index.full_name for index in after.indexes if not index.valid]
    gone, stayed = list(result.swept.dropped), [f"{name} ({why})" for name, why in result.swept.stayed]
    said = f"{len(gone)} leftovers swept, {len(invalid)} invalid indexes left"
    yield Finding(
        item="D-04",
        check="invalid_indexes",
        subject=subject,
        severity=Severity.WARNING if invalid else Severity.OK,
        summary=f"{said}: {', '.join(invalid[:SHOWN])}" if invalid else said,
        evidence={"n": len(invalid), "value": len(gone), "invalid": invalid, "swept": gone, "stayed": stayed},
        next_step=PAGE if invalid else "",
    )


# --- before -------------------------------------------------------------------------------------------------------------


def judge_backup(key: str, at: datetime | None, since: datetime, subject: str) -> Finding:
    """Whether the backup that must come first is there (D-01).

    :param key: of the newest good backup, "" if there is none; `at`: when it was taken; `since`: from when on it counts.
    """
    fresh = bool(at and at >= since)
    there = f"the newest good backup is {key} of {at:%Y-%m-%d %H:%M} UTC" if at else "there is no good backup"
    return Finding(
        item="D-01",
        check="backup_first",
        subject=subject,
        severity=Severity.OK if fresh else Severity.WARNING,
        summary=f"{there}, one since {since:%Y-%m-%d %H:%M} UTC is wanted",
        evidence={"key": key},
        next_step="" if fresh else "docs/runbooks/daily_database_backup.md; nothing is maintained before",
    )
