"""Advise on indexes, with the exact statement and its way back; nothing is dropped or made by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from include.findings import Finding, Severity
from include.plans.maintenance import quoted
from include.probes.indexes import ForeignKey, Indexes, IndexUse
from include.settings import OptimisationLimits

PAGE = "docs/runbooks/weekly_performance_optimization.md"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One index to drop, and why.

    :param by: oid of the one that does its work; 0 if nobody has to.
    """

    index: IndexUse
    check: str
    why: str
    by: int = 0


def judge_indexes(seen: Indexes, limits: OptimisationLimits, subject: str) -> Iterator[Finding]:
    """How every index is used (F-09), and which to add and to drop (W-10)."""
    yield _used(seen, limits, subject)
    hindrance = unsure(seen, limits)
    unused = [] if hindrance else list(unused_of(seen, limits))
    twice = list(doubled(seen.found))
    settled = {advice.index.oid for advice in twice} | {advice.by for advice in twice}  # what does another's work stays
    yield _counted(seen, hindrance, len(unused), subject)
    for advice in (*twice, *(each for each in unused if each.index.oid not in settled)):
        yield _drop(advice)
    yield _keys(seen, limits, subject)
    for key in _missing(seen, limits):
        yield _add(key)


def _used(seen: Indexes, limits: OptimisationLimits, subject: str) -> Finding:
    least = sorted(seen.found, key=lambda index: (index.scans, -index.bytes))
    rows = [f"{index.full_name}: {index.scans} scans, {index.bytes} bytes{_keeps(index)}" for index in least]
    since = min(each.counted_since for each in (seen.counters, *seen.looked_at))
    said = f"{len(rows)} indexes, counted since {since:%Y-%m-%d} on {1 + len(seen.looked_at)} servers"
    evidence = {"n": len(rows), "indexes": rows[: 10 * limits.top], "counted_since": since.isoformat()}
    return Finding(
        item="F-09", check="index_use", subject=subject, severity=Severity.OK, summary=said, evidence=evidence
    )


def _keeps(index: IndexUse) -> str:
    return f" ({reason})" if (reason := kept_because(index)) else ""


def kept_because(index: IndexUse) -> str:
    """Return why an index must stay although nothing may ever have searched in it; "" if nothing says so."""
    reasons = {
        "the primary key": index.is_primary,
        "holds a constraint": index.constrained,
        "keeps values unique": index.is_unique,
        "replicas know the rows by it": index.replica_identity,
        "serves a foreign key": index.serves_foreign_key,
        "the table is ordered by it": index.clustered,
        "a part of an index of partitions": index.of_partitions,
        "not valid: the maintenance sees to it": not index.valid,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def unsure(seen: Indexes, limits: OptimisationLimits) -> str:
    """Return why nobody can say now that an index is unused; "" if one can."""
    if seen.counters.replicas > len(seen.looked_at):
        return (
            f"{seen.counters.replicas} replicas stream and {len(seen.looked_at)} were looked at: name their Connections in"
            " optimisation.replicas"
        )
    for counters in (seen.counters, *seen.looked_at):
        days = (counters.at - counters.counted_since) / timedelta(days=1)
        if days < limits.statistics_min_days:
            return (
                f"uses are counted for {days:.1f} days only (at least {limits.statistics_min_days}): no end of a month"
            )
    return ""


def unused_of(seen: Indexes, limits: OptimisationLimits) -> Iterator[Advice]:
    """Return the indexes that nothing used for long enough, nowhere, and that nothing needs."""
    oldest = seen.counters.at - timedelta(days=limits.statistics_min_days)
    for index in seen.found:
        idle = not index.scans or (index.last_used_at is not None and index.last_used_at < oldest)
        if idle and index.bytes >= limits.index_min_bytes and not kept_because(index):
            last = f"last used {index.last_used_at:%Y-%m-%d}" if index.last_used_at else "never used"
            yield Advice(index=index, check="unused", why=f"{last}, on no server, since the counters began")


def doubled(found: Sequence[IndexUse]) -> Iterator[Advice]:
    """Return the indexes whose work another one of the same table does as well."""
    for index in found:
        if other := next((each for each in found if _does_it_too(each, index)), None):
            same = other.columns == index.columns
            why = (
                f"{other.full_name} has the same columns" if same else f"{other.full_name} begins with the same columns"
            )
            yield Advice(index=index, check="doubled", why=why, by=other.oid)


def _does_it_too(other: IndexUse, index: IndexUse) -> bool:
    alike = (other.schema, other.table_name, other.method, other.condition) == (
        index.schema,
        index.table_name,
        index.method,
        index.condition,
    )
    if other.oid == index.oid or not alike or not (other.valid and index.valid) or _must_stay(index):
        return False
    if other.columns == index.columns:
        return other.operators == index.operators and not index.includes and _outlives(other, index)
    return index.method == "btree" and _begins_with(other, index)


def _must_stay(index: IndexUse) -> bool:
    """Of one that does what another does, only its own promises count, not what the other keeps as well."""
    return index.is_unique or index.constrained or index.replica_identity or index.clustered or index.of_partitions


def _outlives(other: IndexUse, index: IndexUse) -> bool:
    """Of two alike the one with more promises stays, then the older."""
    return _must_stay(other) or other.oid < index.oid


def _begins_with(other: IndexUse, index: IndexUse) -> bool:
    n = len(index.columns)
    alike = all(
        _first(of_other, n) == _first(own, n) for of_other, own in zip(_parts(other), _parts(index), strict=True)
    )
    return (
        other.columns[:n] == index.columns
        and len(other.columns) > n
        and 0 not in index.columns
        and alike
        and not index.includes
    )


def _parts(index: IndexUse) -> list[list[str]]:
    return [part.split() for part in index.operators.split("/")]


def _first(parts: list[str], n: int) -> list[str]:
    return parts[:n]


def _counted(seen: Indexes, hindrance: str, unused: int, subject: str) -> Finding:
    said = f"nobody can say which indexes are unused: {hindrance}" if hindrance else f"{unused} indexes are unused"
    severity = Severity.INFO if hindrance else Severity.OK
    evidence = {"n": len(seen.found), "value": unused, "replicas": seen.counters.replicas}
    return Finding(
        item="W-10", check="unused_known", subject=subject, severity=severity, summary=said, evidence=evidence
    )


def _drop(advice: Advice) -> Finding:
    index = advice.index
    statement = f"DROP INDEX CONCURRENTLY {quoted(index.schema)}.{quoted(index.name)};"
    return Finding(
        item="W-10",
        check=advice.check,
        subject=f"index/{index.full_name}",
        severity=Severity.WARNING,
        summary=f"{index.full_name} of {index.table_name} ({index.bytes} bytes, {index.scans} scans): {advice.why}",
        evidence={
            "value": index.bytes,
            "unit": "bytes",
            "n": index.scans,
            "ddl": statement,
            "undo": f"{index.definition};",
        },
        next_step=f"a person decides: {statement} -- back: {index.definition};",
    )


def _missing(seen: Indexes, limits: OptimisationLimits) -> list[ForeignKey]:
    return [key for key in seen.foreign_keys if key.rows >= limits.foreign_key_min_rows]


def _keys(seen: Indexes, limits: OptimisationLimits, subject: str) -> Finding:
    small = len(seen.foreign_keys) - len(_missing(seen, limits))
    said = f"{len(_missing(seen, limits))} foreign keys lack an index, {small} more of tables below {limits.foreign_key_min_rows} rows"
    evidence = {"n": len(seen.foreign_keys), "value": len(_missing(seen, limits))}
    return Finding(
        item="W-10", check="foreign_keys", subject=subject, severity=Severity.OK, summary=said, evidence=evidence
    )


def _add(key: ForeignKey) -> Finding:
    columns = ", ".join(map(quoted, key.columns))
    how = "" if key.partitioned else "CONCURRENTLY "  # a partitioned table takes it only part by part
    statement = f"CREATE INDEX {how}ON {quoted(key.schema)}.{quoted(key.table_name)} ({columns});"
    return Finding(
        item="W-10",
        check="foreign_key_without_index",
        subject=f"constraint/{key.schema}.{key.table_name}.{key.name}",
        severity=Severity.WARNING,
        summary=f"{key.schema}.{key.table_name} ({', '.join(key.columns)}) has no index: a delete in {key.refers_to} reads all"
        f" {key.rows:.0f} rows of it",
        evidence={"value": key.rows, "unit": "rows", "n": key.bytes, "ddl": statement},
        next_step=f"a person decides: {statement}",
    )
