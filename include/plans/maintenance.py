"""What a database needs by measurement: tables to vacuum or analyze, indexes to rebuild, and what is left to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from include.settings import MaintenanceLimits


class Verb(StrEnum):
    """What is done to one table or index, in this order.

    An index is rebuilt without the entries of rows that a vacuum removed, and statistics do not wait for the rest after a rebuild.
    """

    SWEEP = "sweep"
    VACUUM = "vacuum"
    ANALYZE = "analyze"
    REINDEX = "reindex"


ORDER = tuple(Verb)


@dataclass(frozen=True, kw_only=True)
class Bloat:
    """Space that holds nothing, by measurement.

    :param method: the function that told.
    """

    wasted_bytes: int
    percent: float
    method: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table as the server's counters show it.

    :param dead: rows that a vacuum could remove; `changed`: rows written since the last statistics.
    :param frozen_age: transactions since its oldest row was frozen.
    :param reachable: our role may use its schema.
    :param bloat: None if it was not measured: it is small, or could not be.
    """

    oid: int
    schema: str
    name: str
    bytes: int
    rows: float
    live: int
    dead: int
    changed: int
    vacuumed_at: datetime | None = None
    analyzed_at: datetime | None = None
    frozen_age: int = 0
    partitioned: bool = False
    reachable: bool = True
    bloat: Bloat | None = None

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index.

    :param leftover_of: the index of which it is an unfinished copy; "" if it is none.
    :param bloat: None if it was not measured.
    """

    oid: int
    schema: str
    name: str
    table_name: str
    table_oid: int
    bytes: int
    method: str
    valid: bool
    definition: str
    exclusion: bool = False
    is_unique: bool = False
    leftover_of: str = ""
    fillfactor: int = 90
    reachable: bool = True
    bloat: Bloat | None = None

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who keeps dead rows from being removed, and for how many transactions and seconds already."""

    kind: str
    who: str
    age_xids: int | None
    age_s: float | None

    def __str__(self) -> str:
        long = f", open for {self.age_s:.0f} s" if self.age_s is not None else ""
        return f"{self.kind} {self.who}: {self.age_xids} transactions back{long}"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The database as it was measured.

    :param ours: full names of the indexes that an earlier run of ours began to rebuild.
    :param free_bytes: on the server's disk; None if nobody can see it.
    :param replica_lag_s: of the replica that is furthest behind; None if one does not tell.
    """

    at: datetime
    tables: Sequence[Table]
    indexes: Sequence[Index]
    holders: Sequence[Holder] = ()
    ours: frozenset[str] = frozenset()
    free_bytes: int | None = None
    replica_lag_s: float | None = 0.0
    longest_transaction_s: float = 0.0
    xid_age: int = 0
    multixact_age: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do to one table or index.

    :param oid: of the table or index; a rebuilt index has another one.
    """

    verb: Verb
    oid: int
    schema: str
    name: str
    why: str
    bytes: int
    partitioned: bool = False

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> str:
        """Name of the step in the journal."""
        return f"{self.verb} {self.full_name}"

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Left:
    """What needs something and does not get it.

    :param verb: which line of the runbook it belongs to.
    :param advice: what a person can do, exactly.
    """

    verb: Verb
    name: str
    why: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Steps in order, and what is left to a person."""

    steps: Sequence[Step]
    left: Sequence[Left]

    def of(self, *verbs: Verb) -> list[Step]:
        """Return the steps of these kinds."""
        return [step for step in self.steps if step.verb in verbs]

    def __str__(self) -> str:
        if not self.steps:
            return "nothing to do: no table and no index needs anything"
        counts = [f"{len(self.of(verb))} to {verb}" for verb in ORDER if self.of(verb)]
        return ", ".join(counts)


def decide(observed: Observed, limits: MaintenanceLimits) -> Plan:
    """Decide for every table and index by itself; nothing is done that no measurement asks for."""
    found = [*_tables(observed, limits), *_indexes(observed, limits)]
    steps = [each for each in found if isinstance(each, Step)]
    return Plan(
        steps=sorted(steps, key=lambda step: (ORDER.index(step.verb), step.bytes, step.full_name)),
        left=[each for each in found if isinstance(each, Left)],
    )


def worst(observed: Observed, top: int) -> list[tuple[str, int, Bloat]]:
    """Return name, bytes and bloat of what wastes most, worst first."""
    both: list[Table | Index] = [*observed.tables, *observed.indexes]
    found = [(each.full_name, each.bytes, each.bloat) for each in both if each.bloat]
    return sorted(found, key=lambda each: -each[2].wasted_bytes)[:top]


# --- tables -------------------------------------------------------------------------------------------------------------


def _tables(observed: Observed, limits: MaintenanceLimits) -> Iterator[Step | Left]:
    for table in observed.tables:
        needs = {Verb.VACUUM: needs_vacuum(table, limits), Verb.ANALYZE: needs_statistics(table, observed.at, limits)}
        for verb, why in needs.items():
            if why:
                yield _step(verb, table, why) if table.reachable else _unreachable(verb, table, why)


def needs_vacuum(table: Table, limits: MaintenanceLimits) -> str:
    """Return why a table needs a vacuum; "" if it does not."""
    if table.partitioned:
        return ""
    if table.frozen_age > limits.freeze_age:
        return f"{table.frozen_age} transactions since it was frozen (limit {limits.freeze_age})"
    percent = _percent(table.dead, table.live + table.dead)
    if table.dead >= limits.dead_min and percent > limits.dead_percent:
        return f"{table.dead} dead rows, {percent:.1f} % (limit {limits.dead_percent:g} %)"
    return ""


def needs_statistics(table: Table, now: datetime, limits: MaintenanceLimits) -> str:
    """Return why a table needs new statistics; "" if it does not."""
    if table.analyzed_at is None:
        return "never analyzed" if table.live or table.rows or table.partitioned else ""
    percent = _percent(table.changed, max(table.live, 1))
    if table.changed >= limits.dead_min and percent > limits.changed_percent:
        return (
            f"{table.changed} rows changed since the statistics, {percent:.1f} % (limit {limits.changed_percent:g} %)"
        )
    days = (now - table.analyzed_at) / timedelta(days=1)
    if days > limits.statistics_days and (table.changed or table.partitioned):
        return (
            f"statistics are {days:.1f} d old (limit {limits.statistics_days} d) and {table.changed} rows changed since"
        )
    return ""


# --- indexes ------------------------------------------------------------------------------------------------------------


def _indexes(observed: Observed, limits: MaintenanceLimits) -> Iterator[Step | Left]:
    for index in observed.indexes:
        if not index.valid and (index.leftover_of or is_leftover_name(index.name)):
            yield _leftover(index, observed)
        elif why := needs_rebuild(index, limits):
            hindrance = _hindrance(index, observed, limits)
            yield _left(index, f"{why}; {hindrance}") if hindrance else _step(Verb.REINDEX, index, why)


def is_leftover_name(name: str) -> bool:
    """Whether PostgreSQL gives such a name to the copy that a concurrent rebuild makes."""
    base = name.rstrip("0123456789")
    return base.endswith(("_ccnew", "_ccold"))


def needs_rebuild(index: Index, limits: MaintenanceLimits) -> str:
    """Return why an index should be rebuilt; "" if it should not."""
    if not index.valid:
        return "it is not valid: it slows writes and serves no query"
    if index.bloat and index.bytes >= limits.index_min_bytes and index.bloat.percent > limits.index_bloat_percent:
        return (
            f"{index.bloat.percent:.1f} % of {index.bytes} bytes are empty by {index.bloat.method}"
            f" (limit {limits.index_bloat_percent:g} % from {limits.index_min_bytes} bytes on)"
        )
    return ""


def _leftover(index: Index, observed: Observed) -> Step | Left:
    if index.leftover_of and f"{index.schema}.{index.leftover_of}" in observed.ours:
        return _step(Verb.SWEEP, index, f"left by our own rebuild of {index.leftover_of} that was cut off")
    advice = f"if nobody is rebuilding it: DROP INDEX CONCURRENTLY {quoted(index.schema)}.{quoted(index.name)};"
    why = "looks like the leftover of a rebuild, which none of our runs began"
    return Left(verb=Verb.SWEEP, name=index.full_name, why=why, advice=advice)


def _hindrance(index: Index, observed: Observed, limits: MaintenanceLimits) -> str:
    """Return what speaks against rebuilding it now; "" if nothing does."""
    if index.exclusion:
        return "the index of an exclusion constraint cannot be rebuilt beside writers"
    if index.bytes > limits.index_max_bytes:
        return f"{index.bytes} bytes are more than a run rebuilds by itself (limit {limits.index_max_bytes})"
    if not index.reachable:
        return f"our role may not use the schema {index.schema}"
    return hindrance(observed, limits, index.bytes)


def hindrance(observed: Observed, limits: MaintenanceLimits, index_bytes: int) -> str:
    """Return what about the server speaks against any rebuild of this size now; "" if nothing does."""
    needed = round(limits.disk_factor * index_bytes)
    if observed.free_bytes is None:
        return "nobody can see what is free on the server's disk (setting restore.free_bytes_query)"
    if observed.free_bytes < needed:
        return f"{observed.free_bytes} bytes are free on the disk, {needed} are wanted"
    if observed.longest_transaction_s > limits.transaction_max_s:
        open_s = observed.longest_transaction_s
        return f"a transaction is open for {open_s:.0f} s (limit {limits.transaction_max_s:g} s), and a rebuild waits for it"
    return behind(observed.replica_lag_s, limits)


def behind(lag_s: float | None, limits: MaintenanceLimits) -> str:
    """Return how far a replica is behind, if that is too far; "" if it is not."""
    if lag_s is None:
        return "a replica does not say how far it is behind"
    if lag_s > limits.replica_lag_max_s:
        return f"a replica is {lag_s:.0f} s behind (limit {limits.replica_lag_max_s:g} s)"
    return ""


def rest_s(verb: Verb, worked_s: float, limits: MaintenanceLimits) -> float:
    """Return how long the server is left to the application after a step: only a vacuum yields by itself."""
    return 0.0 if verb is Verb.VACUUM else worked_s * (100 / limits.busy_percent - 1)


# --- both ---------------------------------------------------------------------------------------------------------------


def _step(verb: Verb, of: Table | Index, why: str) -> Step:
    partitioned = isinstance(of, Table) and of.partitioned
    return Step(verb=verb, oid=of.oid, schema=of.schema, name=of.name, why=why, bytes=of.bytes, partitioned=partitioned)


def _unreachable(verb: Verb, table: Table, why: str) -> Left:
    advice = f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO ops_maint;"
    return Left(verb=verb, name=table.full_name, why=f"{why}; our role may not use its schema", advice=advice)


def _left(index: Index, why: str) -> Left:
    advice = f"REINDEX INDEX CONCURRENTLY {quoted(index.schema)}.{quoted(index.name)};"
    if index.exclusion:
        advice = advice.replace(" CONCURRENTLY", "") + " -- locks the table, in a maintenance window"
    return Left(verb=Verb.REINDEX, name=index.full_name, why=why, advice=advice)


def quoted(name: str) -> str:
    """Return a name as SQL wants it, whatever it is made of."""
    return '"' + name.replace('"', '""') + '"'


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
