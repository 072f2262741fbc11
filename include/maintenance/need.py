"""What the database needs, measured: dead rows, statistics, bloat, invalid indexes, transaction age, and who holds cleaning back."""

from __future__ import annotations

import logging
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.backups.source import rows
from include.maintenance.giving_way import LOOKS_EVERY_S, PostponedError, give_way, watched
from include.plans.maintenance import Bloat, Holder, Index, Observed, Table
from include.settings import MaintenanceLimits
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Login, Session

log = logging.getLogger(__name__)

PAGE_BYTES = 8192


def measure(
    login: Login, limits: MaintenanceLimits, *, application: str, ours: frozenset[str], free_bytes: int | None
) -> Observed:
    """Look at every table and index, and measure those that are large enough for their bloat to matter; changes nothing."""
    timed = {"lock_timeout": f"{limits.lock_timeout_s:g}s", "statement_timeout": f"{limits.measure_timeout_s:g}s"}
    with login.session(application, **timed) as session:
        looking = _Looking(login=login, application=application, session=session)
        (moment,) = session.execute("select clock_timestamp()").fetchone() or (None,)
        cluster = one_with(session, "maintenance_cluster", {"application": application})
        cluster.pop("at_work")
        return Observed(
            at=moment,
            tables=[_measured_table(looking, table, limits) for table in tables(session)],
            indexes=[_measured_index(looking, index, limits) for index in indexes(session)],
            holders=[Holder(**row) for row in rows(session, "maintenance_holders")],
            ours=ours,
            free_bytes=free_bytes,
            replica_lag_s=replica_lag_s(session),
            **cluster,
        )


def tables(session: Session) -> list[Table]:
    """List the tables of all schemas."""
    return [Table(**row) for row in rows(session, "maintenance_tables")]


def indexes(session: Session) -> list[Index]:
    """List their indexes."""
    return [Index(**row) for row in rows(session, "maintenance_indexes")]


def replica_lag_s(session: Session) -> float | None:
    """Return how far the replica that is furthest behind is; 0 if there is none, None if one does not tell."""
    lags = [row["lag_s"] for row in rows(session, "replication")]
    return None if None in lags else max(lags, default=0.0)


def one_with(session: Session, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the only row of a statement of ours."""
    found = maybe(session, name, values)
    assert found, f"{name}.sql returns exactly one row"
    return found


def maybe(session: Session, name: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row of a statement of ours, or None."""
    from psycopg.rows import dict_row

    return session.cursor(row_factory=dict_row).execute(statement(name), values).fetchone()


@dataclass(frozen=True, kw_only=True)
class _Looking:
    """A session that measures, and how a second one is opened beside it."""

    login: Login
    application: str
    session: Session

    def one(self, name: str, oid: int) -> dict[str, Any]:
        """Measure one thing; PostponedError if it stands in somebody's way."""
        return watched(self.session, lambda: one_with(self.session, name, {"oid": oid}), self._watch)

    def _watch(self, running: Future[Any]) -> None:
        if wait([running], LOOKS_EVERY_S).done:
            return
        with self.login.session(self.application) as beside:
            while not wait([running], LOOKS_EVERY_S).done:
                give_way(beside, self.session.info.backend_pid)


def _measured_table(looking: _Looking, table: Table, limits: MaintenanceLimits) -> Table:
    if table.partitioned or table.bytes < limits.table_min_bytes:
        return table
    found = _try(looking, "maintenance_table_bloat", table.oid, table.full_name)
    if not found:
        return table
    wasted = round(found["dead_bytes"] + found["free_bytes"])
    percent = 100 * wasted / max(found["bytes"], 1)
    return replace(table, bloat=Bloat(wasted_bytes=wasted, percent=percent, method="pgstattuple_approx"))


def _measured_index(looking: _Looking, index: Index, limits: MaintenanceLimits) -> Index:
    measurable = index.method == "btree" and index.valid
    if not measurable or not limits.index_min_bytes <= index.bytes <= limits.measured_max_bytes:
        return index
    found = _try(looking, "maintenance_index_bloat", index.oid, index.full_name)
    return replace(index, bloat=bloat_of(index, found)) if found else index


def bloat_of(index: Index, found: dict[str, Any]) -> Bloat:
    """Return what a rebuild would win: it packs the leaves up to the fill factor, and gives empty pages back."""
    density = min(float(found["avg_leaf_density"]), float(index.fillfactor))  # NaN of an index without leaves is none
    leaves = found["leaf_pages"] * (density / index.fillfactor if density == density else 0.0)  # noqa: PLR0124 - NaN
    wasted = max(found["pages"] - leaves, 0) * PAGE_BYTES
    return Bloat(
        wasted_bytes=round(wasted), percent=100 * wasted / max(found["pages"] * PAGE_BYTES, 1), method="pgstatindex"
    )


def _try(looking: _Looking, name: str, oid: int, what: str) -> dict[str, Any] | None:
    """Measure one thing; None, and a line in the log, if somebody holds it, waits for it, drops it, or it takes too long."""
    from psycopg import errors

    gone = (errors.LockNotAvailable, errors.QueryCanceled, errors.UndefinedTable, errors.UndefinedObject)
    try:
        return looking.one(name, oid)
    except gone as error:
        log.warning("%s was not measured: %s", what, error.diag.message_primary)
    except PostponedError as error:
        log.warning("%s was not measured: %s", what, error)
    return None
