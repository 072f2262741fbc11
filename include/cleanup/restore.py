"""A day of the archive comes back: fetched, opened, staged beside the table, put into it piece by piece, compared row by row."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

from include.backups import source
from include.backups.store import Version
from include.cleanup import archive, deletes, rows
from include.cleanup.archive import Header
from include.cleanup.operation import BOUNDS
from include.cleanup.pace import Pace
from include.errors import RefusedError, VerificationError
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.ops.saga import DONE
from include.plans.cleanup import Subject

if TYPE_CHECKING:
    from include.backups.login import Session
    from include.cleanup.request import Cleanup

log = logging.getLogger(__name__)

Objects = Sequence[tuple[Header, Version]]
"""Of a day, the newest first; their rows are held one object at a time, since a day may be larger than the memory."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What came back.

    :param rows: of the day in the archive; `brought`: that were missing.
    :param there: that were there already, and equal.
    :param other: that are there and differ; they stay as they are.
    """

    rows: int
    brought: int
    there: int
    other: int
    objects: int


def found(wanted: Cleanup, subject: Subject, day: date) -> Objects:
    """Open what is kept of a day, so that what is damaged is known before any of it comes back; RefusedError if that is nothing."""
    if objects := wanted.access.archive.of_day(subject, day):
        return objects
    raise RefusedError(f"the archive holds nothing of {subject} of {day}; nothing was changed, choose another day")


def newest(wanted: Cleanup, objects: Objects) -> Iterator[tuple[Header, Sequence[bytes]]]:
    """Open them once more, one after the other, and return the newest state of each row."""
    return archive.newest_rows(wanted.access.archive.open(version) for _, version in objects)


def act(
    wanted: Cleanup, ops: OpsDatabase, subject: Subject, day: date, *, holder: str, wait_s: float = 0.0
) -> Restored:
    """Bring the day back; doing it again brings nothing twice. RefusedError before anything is touched if it does not fit."""
    objects = found(wanted, subject, day)
    lease = leases.acquire(ops, wanted.wanted(holder), wait_s=wait_s)
    with leases.keep(lease), ExitStack() as sessions:
        writing = Journal(ops, wanted.op_id, holder, lease.token)
        bringer = Bringer.begun(wanted, lease, subject, sessions)
        bringer.refuse(objects)
        writing.intend(f"restore {subject}/{day}", objects=len(objects))
        restored = bringer.bring(objects)
        writing.record(DONE, **asdict(restored))
        return restored


def refuse_other_shape(header: Header, columns: Sequence[tuple[str, str]]) -> None:
    """RefusedError if the table has not every column of the archive any more, with its type."""
    now: Mapping[str, str] = dict(columns)
    if lost := [f"{name} {kind}" for name, kind in header.columns if now.get(name) != kind]:
        raise RefusedError(
            f"{header.subject} has no column {', '.join(lost)} any more, which the archive of {header.day} holds; nothing was"
            " changed, open the object by hand (docs/runbooks/restore_archive.md)"
        )


@dataclass(frozen=True, kw_only=True)
class Bringer:
    """One process at it.

    :param deleter: the session that may call the functions of `ops_cleanup`, those that bring back among them.
    """

    wanted: Cleanup
    subject: Subject
    deleter: Session
    reader: Session
    pace: Pace

    @classmethod
    def begun(cls, wanted: Cleanup, lease: Lease, subject: Subject, sessions: ExitStack) -> Bringer:
        """Log in everywhere."""
        opened, name = sessions.enter_context, "restore archive"
        watcher = opened(wanted.access.watcher.session(name))
        deleter = opened(wanted.access.deleter.session(name, **BOUNDS))
        reader = opened(wanted.access.reader.session(name))
        for each in (deleter, reader):  # the text is read, and its types are named, as they were written
            source.settle(each)
        return cls(
            wanted=wanted,
            subject=subject,
            deleter=deleter,
            reader=reader,
            pace=Pace(watcher=watcher, limits=wanted.limits, guard=lease.guard),
        )

    def refuse(self, objects: Objects) -> None:
        """RefusedError if the table is another one by now."""
        rows.refuse_wrong(self.deleter, self.wanted.database, self.wanted.access.deleter.setting)
        for header, _ in objects:
            refuse_other_shape(header, rows.columns_of(self.reader, self.subject))

    def bring(self, objects: Objects) -> Restored:
        """Object by object; VerificationError if not every row is there afterwards."""
        counts = [(len(lines), *self._brought(header, lines)) for header, lines in newest(self.wanted, objects)]
        total, brought, equal, other = (sum(each) for each in zip(*counts, strict=True))
        if total != equal + other:
            raise VerificationError(
                f"{total} rows of {self.subject} were to come back, and {equal + other} are there; look at what deletes them"
            )
        return Restored(rows=total, brought=brought, there=equal - brought, other=other, objects=len(objects))

    def _brought(self, header: Header, lines: Sequence[bytes]) -> tuple[int, int, int]:
        """Return how many rows were brought, are there and equal, are there and differ."""
        columns = [name for name, _ in header.columns]
        deletes.open_stage(self.deleter, self.wanted.op_id, self.subject)
        try:
            self._stage(columns, lines)
            return self._taken(columns)
        finally:
            deletes.close_stage(self.deleter, self.wanted.op_id)

    def _stage(self, columns: Sequence[str], lines: Sequence[bytes]) -> None:
        from psycopg import sql

        stage = sql.Identifier("ops_cleanup", f"stage_{self.wanted.op_id.replace('-', '')}")
        named = sql.SQL(", ").join(map(sql.Identifier, columns))
        with self.deleter.cursor().copy(sql.SQL("copy {} ({}) from stdin").format(stage, named)) as copy:
            copy.write(b"".join(line + b"\n" for line in lines))

    def _taken(self, columns: Sequence[str]) -> tuple[int, int, int]:
        after, brought, equal, other = -(2**63), 0, 0, 0
        while True:
            last, *counts = self._piece(columns, after)
            if last is None:
                return brought, equal, other
            after, brought, equal, other = last, brought + counts[0], equal + counts[1], other + counts[2]

    def _piece(self, columns: Sequence[str], after: int) -> tuple[int | None, int, int, int]:
        from psycopg import errors

        size = self.wanted.limits.rows_per_batch
        try:
            with self.pace.piece():
                return deletes.take_stage(self.deleter, self.wanted.op_id, self.subject, columns, (after, size))
        except errors.CheckViolation:
            raise RefusedError(
                f"{self.subject} has no partition for that day any more; make one, then trigger it again"
            ) from None
        except errors.ForeignKeyViolation as error:
            raise RefusedError(
                f"rows of {self.subject} refer to what is not there any more ({error.diag.constraint_name}); those before them"
                " came back, the rest stays in the archive: open it by hand (docs/runbooks/restore_archive.md)"
            ) from None
