"""How the indexes are used, on the primary and on its replicas, and which foreign keys have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from include.errors import ConfigurationError
from include.probes.postgres import Server
from include.sql import statement


@dataclass(frozen=True, kw_only=True)
class IndexUse:
    """One index: how often it served, and what keeps it from being dropped.

    :param scans: on all servers that were looked at.
    :param columns: numbers of its key columns in order, 0 for an expression.
    """

    oid: int
    schema: str
    name: str
    table_name: str
    bytes: int
    scans: int
    last_used_at: datetime | None
    method: str
    valid: bool
    is_unique: bool
    is_primary: bool
    replica_identity: bool
    clustered: bool
    of_partitions: bool
    constrained: bool
    columns: tuple[int, ...]
    operators: str
    condition: str
    includes: bool
    serves_foreign_key: bool
    definition: str

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """A foreign key without an index that begins with its columns."""

    schema: str
    table_name: str
    name: str
    refers_to: str
    columns: tuple[str, ...]
    rows: float
    bytes: int
    partitioned: bool


@dataclass(frozen=True, kw_only=True)
class IndexCounters:
    """Who counts, and since when.

    :param replicas: how many stream from it.
    """

    at: datetime
    database: str
    system_identifier: str
    in_recovery: bool
    counted_since: datetime
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Indexes:
    """All indexes, their scans summed over primary and replicas.

    :param counters: of the primary; `looked_at`: those of the replicas.
    """

    counters: IndexCounters
    looked_at: Sequence[IndexCounters]
    found: Sequence[IndexUse]
    foreign_keys: Sequence[ForeignKey]


def indexes(primary: Server, replicas: Sequence[Server]) -> Indexes:
    """Ask the primary and each replica; RunbookError if any of them cannot be asked: half a sum would call a used index unused."""
    with primary.session() as connection:
        counters = IndexCounters(**(connection.execute(statement("index_server")).fetchone() or {}))
        found = [_use(row) for row in connection.execute(statement("index_use"))]
        keys = [
            ForeignKey(**{**row, "columns": tuple(row["columns"])})
            for row in connection.execute(statement("index_foreign_keys"))
        ]
    if counters.in_recovery:
        raise ConfigurationError(
            f"{primary.name} is a standby: let connections.postgres lead to the primary, and name replicas in optimisation.replicas"
        )
    others = [_of_replica(server, counters) for server in replicas]
    return Indexes(
        counters=counters,
        looked_at=[each for each, _ in others],
        found=_summed(found, [uses for _, uses in others]),
        foreign_keys=keys,
    )


def _of_replica(server: Server, primary: IndexCounters) -> tuple[IndexCounters, Mapping[int, IndexUse]]:
    with server.session() as connection:
        counters = IndexCounters(**(connection.execute(statement("index_server")).fetchone() or {}))
        uses = {row["oid"]: _use(row) for row in connection.execute(statement("index_use"))}
    if counters.system_identifier != primary.system_identifier or not counters.in_recovery:
        raise ConfigurationError(
            f"{server.name} is no replica of the primary; correct its Connection in optimisation.replicas"
        )
    return counters, uses


def _summed(found: Sequence[IndexUse], others: Sequence[Mapping[int, IndexUse]]) -> list[IndexUse]:
    return [_added(index, [uses[index.oid] for uses in others if index.oid in uses]) for index in found]


def _added(index: IndexUse, others: Sequence[IndexUse]) -> IndexUse:
    used = [each.last_used_at for each in (index, *others) if each.last_used_at]
    return replace(
        index, scans=index.scans + sum(each.scans for each in others), last_used_at=max(used) if used else None
    )


def _use(row: Mapping[str, object]) -> IndexUse:
    return IndexUse(**{**row, "columns": tuple(row["columns"])})  # type: ignore[arg-type]  # columns of index_use.sql
