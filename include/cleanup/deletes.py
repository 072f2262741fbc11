"""What the clean-up may do in the database: the functions of `ops_cleanup`, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.errors import RefusedError
from include.plans.cleanup import Chunk, Subject

if TYPE_CHECKING:
    from include.backups.login import Session
    from include.cleanup.archive import Kept
    from include.cleanup.rows import Taken


def old_versions(session: Session, keep: int) -> list[tuple[int, str | None]]:
    """Return id of each version beyond the newest, and what keeps it, if anything does."""
    return session.execute("select id, kept_by from ops_cleanup.old_versions(%s)", [keep]).fetchall()


def record(session: Session, op_id: str, chunk: Chunk, taken: Taken, kept: Kept) -> int:
    """Write down that rows are in the archive, and return the number of the receipt."""
    where = (kept.version.key, kept.version.id, kept.sha256)
    arguments = [op_id, chunk.name, str(chunk.subject), *where, list(taken.ids), list(taken.states)]
    number: int = _one(
        session, "select ops_cleanup.record_receipt(%s, %s, %s, %s, %s, %s, %s::bigint[], %s::text[])", arguments
    )
    return number


def receipts(session: Session, op_id: str, chunk: Chunk) -> list[tuple[int, list[int], bool]]:
    """Return number, ids, and whether it is settled, of each receipt that earlier processes left."""
    query = "select id, ids, settled from ops_cleanup.receipts(%s, %s)"
    return session.execute(query, [op_id, chunk.name]).fetchall()


def batches(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Return first and last position of each batch of a receipt."""
    return ((start, min(start + size - 1, rows)) for start in range(1, rows + 1, size))


def delete(session: Session, receipt: int, first: int, last: int) -> int:
    """Delete rows of a receipt that are still as they were archived; return how many; RefusedError if a table refers to it."""
    with _unlinked():
        number: int = _one(session, "select ops_cleanup.delete_archived(%s, %s, %s)", [receipt, first, last])
    return number


def settle(session: Session, receipt: int) -> None:
    """Close a receipt; when this returns, the deletions before it are on disk, too."""
    with session.transaction():
        session.execute("set local synchronous_commit = on")
        _one(session, "select ops_cleanup.settle_receipt(%s)", [receipt])


def forget(session: Session, op_id: str, chunk: Chunk) -> None:
    """Let the receipts of a piece that is done forget its ids."""
    _one(session, "select ops_cleanup.forget_ids(%s, %s)", [op_id, chunk.name])


def old_partitions(session: Session, subject: Subject, before: datetime) -> list[tuple[str, datetime, datetime]]:
    """Return quoted name and bounds of each partition that ends before a moment; none if the table has none."""
    query = "select name, first_at, end_at from ops_cleanup.old_partitions(%s, %s)"
    return session.execute(query, [str(subject), before]).fetchall()


def empty_partition(session: Session, op_id: str, subject: Subject, name: str) -> bool:
    """Empty a partition at once if every row of it is archived as it is; return whether that was done."""
    with _unlinked():
        done: bool = _one(session, "select ops_cleanup.empty_partition(%s, %s, %s)", [op_id, str(subject), name])
    return done


def drop_partition(session: Session, subject: Subject, name: str) -> bool:
    """Detach and drop a partition if nothing is in it; return whether that was done."""
    done: bool = _one(session, "select ops_cleanup.drop_partition(%s, %s)", [str(subject), name])
    return done


def open_stage(session: Session, op_id: str, subject: Subject) -> None:
    """Make an empty table of the same shape."""
    _one(session, "select ops_cleanup.open_stage(%s, %s)", [op_id, str(subject)])


def take_stage(
    session: Session, op_id: str, subject: Subject, columns: Sequence[str], piece: tuple[int, int]
) -> tuple[int | None, int, int, int]:
    """Put the next staged rows back; return the last id, and how many were brought, are there and equal, are there and not.

    :param piece: the id after which it begins, and how many rows it is.
    """
    query = "select last_id, brought, equal, other from ops_cleanup.take_stage(%s, %s, %s::text[], %s, %s)"
    [(last, brought, equal, other)] = session.execute(query, [op_id, str(subject), list(columns), *piece]).fetchall()
    return last, brought, equal, other


def close_stage(session: Session, op_id: str) -> None:
    """Drop that table."""
    _one(session, "select ops_cleanup.close_stage(%s)", [op_id])


@contextmanager
def _unlinked() -> Iterator[None]:
    from psycopg import errors

    try:
        yield
    except errors.DependentObjectsStillExist as error:
        raise RefusedError(
            f"{error.diag.message_primary} since the clean-up began, so that its rows would keep ours or go with them uncopied; the"
            " clean-up stands still: archive that table first or drop its foreign key, then clear the task"
        ) from None


def _one(session: Session, query: Any, arguments: Sequence[Any]) -> Any:
    [(value,)] = session.execute(query, arguments).fetchall()
    return value
