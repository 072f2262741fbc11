"""The clean-up at work: list, then for each piece archive, read back, delete exactly that; killed anywhere, it goes on.

What was listed first is all that goes; rows that arrive meanwhile are the next month's. A row leaves only while it is the one that
lies in the archive: if somebody changed it since, the new state is archived first (docs/adr/0073).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.backups import source
from include.backups.store import SMALL
from include.cleanup import deletes, rows
from include.cleanup.pace import Pace
from include.cleanup.request import Cleanup, Seen
from include.errors import PermanentError, RefusedError
from include.ops import gate, journal, leases
from include.ops.database import OpsDatabase
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.ops.saga import DONE
from include.plans import cleanup
from include.plans.cleanup import Chunk, Subject

if TYPE_CHECKING:
    from include.backups.login import Session
    from include.cleanup.rows import Taken

log = logging.getLogger(__name__)

LIST = "list"
TEXT_MAX = SMALL // 2
"""Bytes of rows in one object; what is more goes into two."""
BOUNDS = {
    "statement_timeout": "120s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "off",
}
"""A batch is not waited for until it is on disk, so the application's own commits need not queue behind it; a receipt is."""


@dataclass(kw_only=True)
class Done:
    """What became of one table.

    :param planned: rows that were listed; `archived` and `deleted` of them.
    :param vanished: that somebody else had deleted before they were archived.
    :param left: that stayed: changed, locked or referred to whenever they were tried.
    """

    planned: int = 0
    archived: int = 0
    deleted: int = 0
    vanished: int = 0
    left: int = 0
    objects: int = 0

    def add(self, other: Done) -> None:
        """Add up."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


Result = Mapping[Subject, Done]
Receipt = tuple[int, Sequence[int]]
"""Number, and the ids of its rows."""


def act(wanted: Cleanup, ops: OpsDatabase, *, holder: str, wait_s: float = 0.0) -> Result:
    """Carry it out, or go on where an earlier process was killed; return what became of each table.

    RefusedError before anything is touched if it must not be; TransientError when it stands still and may go on.
    """
    lease = leases.acquire(ops, wanted.wanted(holder), wait_s=wait_s)
    with leases.keep(lease):
        now = wanted.now(ops, holder)
        writing = Journal(ops, wanted.op_id, holder, lease.token)
        facts = authorise(wanted, ops, writing, now)
        with ExitStack() as sessions:
            worker = Worker.begun(wanted, writing, lease, sessions)
            return worker.run(facts)


def authorise(wanted: Cleanup, ops: OpsDatabase, writing: Journal, now: datetime) -> Mapping[str, Any]:
    """Return the facts by which it acts: those of an earlier process, or of now; RefusedError if anything stands against it by now."""
    if line := journal.last(writing.entries(), gate.USE):
        _refuse_to_go_on(wanted, line.detail)
        return line.detail
    seen = wanted.look(now)
    if why := wanted.unsafe(seen.server.clock):
        raise RefusedError(f"{why}; nothing was changed")
    facts = wanted.facts(seen)
    if seen.over:
        facts = _approved(wanted, ops, writing, seen)
    writing.record(gate.USE, **facts)
    return facts


def _refuse_to_go_on(wanted: Cleanup, facts: Mapping[str, Any]) -> None:
    server = wanted.server()
    if server.system_identifier != facts["system_identifier"]:
        raise RefusedError(
            f"{wanted.database} is on another server than {wanted.subject} began on; it stands still, let the Connections lead"
            " back there or trigger a new one"
        )
    if why := wanted.changed(facts):
        raise RefusedError(f"{why} since {wanted.subject} began; it stands still, set that back or trigger a new one")
    if why := wanted.unsafe(server.clock):
        raise RefusedError(f"{why}, then clear the task; until then {wanted.subject} stands still")


def _approved(wanted: Cleanup, ops: OpsDatabase, writing: Journal, seen: Seen) -> Mapping[str, Any]:
    """Use the plan that people approved; rows that have gone since are no other plan, more of them are."""
    stored = gate.newest(ops, wanted.op_id)
    approved = stored.plan.facts
    if more := cleanup.grown(approved["rows"], seen.decisions):
        raise RefusedError(
            f"more would be deleted now than was approved: {more}; nothing was changed, trigger it again"
        )
    now = wanted.plan(seen)
    if (now.target, now.code_version, wanted.changed(approved)) != (stored.plan.target, stored.plan.code_version, ""):
        raise RefusedError(
            "server, code or settings are not those of the approved plan; nothing was changed, trigger it again"
        )
    if not (stored.used and journal.last(writing.entries(), gate.USE, journal.Phase.INTENT)):
        writing.intend(gate.USE)
        gate.use(ops, stored, stored.plan, by=writing.by)
    return approved


@dataclass(kw_only=True)
class Worker:
    """One process at it.

    :param reader: `deleter`: sessions, open for as long as it takes.
    """

    wanted: Cleanup
    writing: Journal
    lease: Lease
    reader: Session
    deleter: Session
    pace: Pace
    stored: int = field(default=0)

    @classmethod
    def begun(cls, wanted: Cleanup, writing: Journal, lease: Lease, sessions: ExitStack) -> Worker:
        """Log in everywhere."""
        access = wanted.access
        opened = sessions.enter_context
        watcher = opened(access.watcher.session("clean-up pace"))
        reader = opened(access.reader.session("clean-up archive"))
        source.settle(reader)  # it writes the text of the archive
        return cls(
            wanted=wanted,
            writing=writing,
            lease=lease,
            reader=reader,
            deleter=opened(access.deleter.session("clean-up", **BOUNDS)),
            pace=Pace(watcher=watcher, limits=wanted.limits, guard=lease.guard),
        )

    def run(self, facts: Mapping[str, Any]) -> Result:
        """List all first, so that what is planned is fixed before the first row goes; then piece by piece."""
        now = datetime.fromisoformat(facts["now"])
        listed = {subject: self.listed(subject, now) for subject in map(Subject, facts["rows"])}
        done = self._done()
        for subject, chunks in listed.items():
            left = [each for each in chunks if each.name not in done]
            partitions = self._partitions(subject, now)
            for name, first, end in partitions:
                self._empty(subject, name, [each for each in left if first <= each.day < end])
            for chunk in left:
                done[chunk.name] = self.clean(chunk)
                self.writing.record(chunk.name, **asdict(done[chunk.name]))
                deletes.forget(self.deleter, self.wanted.op_id, chunk)
            for name, _, _ in partitions:
                self._drop(subject, name)
        self.writing.record(DONE)
        return summed(done)

    def _done(self) -> dict[str, Done]:
        outcomes = [each for each in self.writing.entries() if each.phase is journal.Phase.OUTCOME]
        return {each.step: Done(**each.detail) for each in outcomes if each.step.partition("/")[0] in set(Subject)}

    def listed(self, subject: Subject, now: datetime) -> list[Chunk]:
        """Return the pieces of a table: those of the journal, or listed and written there."""
        step = f"{LIST} {subject}"
        if line := journal.last(self.writing.entries(), step):
            return [Chunk.from_json(subject, each) for each in line.detail["chunks"]]
        self.lease.guard()
        found = list(cleanup.chunks(subject, self._old(subject, now), self.wanted.limits.rows_per_object))
        self.writing.record(step, chunks=[dict(each.to_json()) for each in found])
        return found

    def _old(self, subject: Subject, now: datetime) -> Iterator[tuple[Any, int]]:
        limits = self.wanted.limits
        if subject is not Subject.VERSIONS:
            return rows.old(self.reader, subject, cleanup.cutoff(subject, now, limits))
        free = [number for number, kept_by in deletes.old_versions(self.deleter, limits.versions_kept) if not kept_by]
        return ((now.date(), number) for number in free)  # few of each day: all under the day of the clean-up

    # --- partitions -------------------------------------------------------------------------------------------------------

    def _partitions(self, subject: Subject, now: datetime) -> list[tuple[str, date, date]]:
        """Return those that are old as a whole, by name and days."""
        if subject is Subject.VERSIONS:
            return []
        before = cleanup.cutoff(subject, now, self.wanted.limits)
        found = deletes.old_partitions(self.deleter, subject, before)
        return [(name, first.date(), end.date()) for name, first, end in found]

    def _empty(self, subject: Subject, name: str, chunks: Sequence[Chunk]) -> None:
        """Archive all of a partition, and empty it at once; if that may not be, its rows go by batches like all others."""
        for chunk in chunks:
            if not deletes.receipts(self.deleter, self.wanted.op_id, chunk):
                self._archive(chunk, cleanup.ids_of(chunk.ids))
        if chunks:
            with self.pace.piece():
                emptied = deletes.empty_partition(self.deleter, self.wanted.op_id, subject, name)
            log.info("%s: partition %s %s", self.wanted.subject, name, "emptied" if emptied else "goes row by row")

    def _drop(self, subject: Subject, name: str) -> None:
        with self.pace.piece():
            dropped = deletes.drop_partition(self.deleter, subject, name)
        if dropped:
            self.writing.record(f"drop {name}")
            log.info("%s: partition %s was empty, detached and dropped", self.wanted.subject, name)

    # --- one piece --------------------------------------------------------------------------------------------------------

    def clean(self, chunk: Chunk) -> Done:
        """Archive and delete, until nothing is left of it or nothing more can be done."""
        ids = cleanup.ids_of(chunk.ids)
        earlier = deletes.receipts(
            self.deleter, self.wanted.op_id, chunk
        )  # of a process that was killed, or of a partition
        archived = {each for _, known, _ in earlier for each in known}
        self._delete([(receipt, known) for receipt, known, settled in earlier if not settled], chunk)
        there = rows.present(self.reader, chunk, ids)
        objects = len(earlier)
        for _ in range(self.wanted.limits.rounds):
            if there:
                now = self._archive(chunk, there)
                self._delete(now, chunk)
                archived, objects = archived.union(*(known for _, known in now)), objects + len(now)
                there = rows.present(self.reader, chunk, there)
        return Done(
            planned=len(ids),
            archived=len(archived),
            deleted=len(archived.difference(there)),
            vanished=len(set(ids).difference(archived, there)),
            left=len(there),
            objects=objects,
        )

    def _archive(self, chunk: Chunk, ids: Sequence[int]) -> list[Receipt]:
        """Archive rows, those that are there, and return the receipts: one, or more if they are large."""
        with self.pace.piece():
            taken = rows.take(self.reader, chunk, ids, TEXT_MAX)
        if taken is None:
            return [each for half in _halves(chunk, ids) for each in self._archive(chunk, half)]
        return [(self._archived(chunk, taken), taken.ids)] if taken.ids else []

    def _archived(self, chunk: Chunk, taken: Taken) -> int:
        """Store, read back, lock, and write the receipt."""
        archive = self.wanted.access.archive
        self.stored += 1
        name = f"{self.wanted.op_id[:8]}-{chunk.number:04d}-{self.lease.token}-{self.stored}.copy.zst.age"
        with self.pace.piece():
            kept = archive.keep(chunk, taken, self.wanted.op_id, name)
            if chunk.subject is Subject.AUDIT:
                archive.lock(kept, taken.at + timedelta(days=self.wanted.limits.audit_lock_days))
            receipt = deletes.record(self.deleter, self.wanted.op_id, chunk, taken, kept)
        log.info(
            "%s: %s, %d rows in the archive as %s", self.wanted.subject, chunk.name, len(taken.ids), kept.version.key
        )
        return receipt

    def _delete(self, receipts: Sequence[Receipt], chunk: Chunk) -> None:
        """Delete by receipts, batch after batch, and settle them."""
        for receipt, ids in receipts:
            there = rows.present(self.reader, chunk, ids)
            for first, last in deletes.batches(len(ids) if there else 0, self.wanted.limits.rows_per_batch):
                with self.pace.piece():
                    deletes.delete(self.deleter, receipt, first, last)
            deletes.settle(self.deleter, receipt)


def _halves(chunk: Chunk, ids: Sequence[int]) -> Sequence[Sequence[int]]:
    middle = len(ids) // 2
    if not middle:
        raise PermanentError(
            f"row {ids[0]} of {chunk.subject} is larger than {TEXT_MAX >> 20} MB, which no object of the archive holds; it stays,"
            " and the clean-up stands still: look at that row"
        )
    return ids[:middle], ids[middle:]


def summed(done: Mapping[str, Done]) -> Result:
    """Return what became of each table."""
    found: dict[Subject, Done] = {}
    for name, each in done.items():
        found.setdefault(Subject(name.partition("/")[0]), Done()).add(each)
    return found
