"""The recovery as one operation of steps, each of which can be done again and undone.

    use the plan, check, record, [stop,] restore, [stop,] count, close the doors, swap, set aside, start, smoke

Until the swap the running database is not touched; after it the old one stays beside it. Where a step fails for good, all of it is
taken back in reverse; where the process is killed, the next one goes on (`act`), or a person does (`python -m include.recovery`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import RefusedError, VerificationError
from include.ops import gate, journal, leases
from include.ops.journal import Journal
from include.ops.leases import Lease
from include.ops.saga import Facts, Saga, Step
from include.recovery import databases, doors, gateway, leftovers, lost, smoke, swap, window, workloads
from include.recovery.request import Recovery, Request
from include.recovery.workloads import Recorded

if TYPE_CHECKING:
    from include.backups.login import Login
    from include.ops.database import OpsDatabase
    from include.recovery.beside import Opened

log = logging.getLogger(__name__)

USE = gate.USE


def act(recovery: Recovery, ops: OpsDatabase, *, holder: str, wait_s: float = 0.0) -> Facts:
    """Carry the approved plan out, or go on where an earlier process was killed; return what each step left.

    RefusedError before anything is touched if the plan must not be carried out; VerificationError when all of it was undone;
    TransientError when it stands still and may go on.
    """
    lease = leases.acquire(ops, recovery.wanted(holder), wait_s=wait_s)
    with leases.keep(lease):
        writing = Journal(ops, recovery.request.op_id, holder, lease.token)
        approved = gate.authorise(ops, writing, lambda stored: _asked(recovery, stored.plan.facts).plan())
        with window.opened(recovery.access.window, lease):
            return saga(_asked(recovery, approved), writing, lease).run()


def take_back(recovery: Recovery, ops: OpsDatabase, *, holder: str, why: str) -> None:
    """Undo an operation, whether it was cut off or done; returns when everything is as it was before."""
    lease = leases.acquire(ops, recovery.wanted(holder))
    with leases.keep(lease):
        writing = Journal(ops, recovery.request.op_id, holder, lease.token)
        asked = _asked(recovery, gate.approved(writing))
        with window.opened(recovery.access.window, lease):
            _refuse_without_way_back(asked, writing)
            saga(asked, writing, lease).undo(why)


def _refuse_without_way_back(recovery: Recovery, writing: Journal) -> None:
    """Raise RefusedError, before anything is stopped, if what was swapped away is gone or another recovery has swapped since."""
    lines = writing.entries()
    if not journal.last(lines, "swap") or journal.last(lines, "undo swap"):
        return
    seen = databases.observe(recovery.access.restorer.login, recovery.database, recovery.request.op_id)
    if not seen.is_swapped and not seen.is_returned:
        raise RefusedError(
            f"{recovery.subject} cannot be taken back: {seen.names.before} is gone, or another recovery has swapped since;"
            " nothing was changed, recover a backup instead"
        )


def _asked(recovery: Recovery, facts: Mapping[str, Any]) -> Recovery:
    return replace(recovery, request=Request.of(recovery.request.op_id, facts))


def saga(recovery: Recovery, writing: Journal, lease: Lease) -> Saga:
    """Return the operation, ready to begin or to go on."""
    facts: Facts = {}
    steps = Steps(recovery=recovery, writing=writing, lease=lease, facts=facts)
    return Saga(writing, lease, steps.all(), recovery.subject, facts)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps as one process does them: each effect asks the lease first.

    :param facts: what the steps before have left.
    """

    recovery: Recovery
    writing: Journal
    lease: Lease
    facts: Facts

    def all(self) -> Sequence[Step]:
        """Return them in order."""
        stop = Step(name="stop", do=self._stop, undo=self._start_again)
        restore = Step(name="restore", do=self._restore, undo=self._drop_restored)
        return [
            Step(name="check", do=self._check),
            Step(name="record", do=self._record),
            *([stop, restore] if self.recovery.request.stop_first else [restore, stop]),
            Step(name="count", do=self._count),
            Step(name="close the doors", do=self._close_doors, undo=self._open_doors),
            Step(name="swap", do=self._swap, undo=self._swap_back),
            Step(name="set aside", do=self._set_aside, undo=self._put_back),
            Step(name="start", do=self._start, undo=self._stop_again),
            Step(name="smoke", do=self._smoke),
        ]

    # --- look -----------------------------------------------------------------------------------------------------------

    def _check(self) -> Mapping[str, Any]:
        """Ask once more, now as the role that restores."""
        restorer, free = self.recovery.access.restorer, self.recovery.access.free_bytes()
        ahead = restorer.preflight(self._opened(), self._op_id, free)
        return {"accepted": list(ahead.by_hand), "space": ahead.space}

    def _record(self) -> Mapping[str, Any]:
        running = databases.changeable(databases.observe(self._login, self._database, self._op_id))
        return {"recorded": self.recovery.record().to_json(), "was_open": running.allow_connections}

    def _count(self) -> Mapping[str, Any]:
        opened, reader = self._opened(), self.recovery.access.restorer.reader
        loss = lost.lost(reader, opened.manifest.facts, opened.fingerprint.contents, self.recovery.chosen.restore)
        return {"said": str(loss), "rows": loss.rows, "seconds": round(loss.seconds, 2)}

    # --- the databases --------------------------------------------------------------------------------------------------

    def _restore(self) -> Mapping[str, Any]:
        accepted = self.facts[USE]["accepted"]
        mark = self.recovery.access.restorer.restore(self._opened(), self._op_id, accepted=accepted)
        return {"seconds": dict(mark.seconds), "lacking": list(mark.lacking), "behind": list(mark.behind)}

    def _drop_restored(self) -> None:
        """Drop it, unless the application wrote to it: then it stays for a week, as the reaper's."""
        seen = databases.observe(self._login, self._database, self._op_id)
        if not seen.is_returned:
            swap.drop_restore(self._login, self._database, self._op_id)

    def _close_doors(self) -> Mapping[str, Any]:
        seen = databases.observe(self._login, self._database, self._op_id)
        if seen.is_swapped:  # an earlier process came further than its journal
            return {}
        return asdict(doors.close_doors(self._login, self._database, self.recovery.chosen.restore))

    def _open_doors(self) -> None:
        doors.open_doors(self._login, self._database, was_open=self.facts["record"]["was_open"])

    def _swap(self) -> Mapping[str, Any]:
        seen = databases.observe(self._login, self._database, self._op_id)
        if not seen.is_swapped:
            doors.close_doors(self._login, self._database, self.recovery.chosen.restore)
        swap.swap(self._login, self._database, self._op_id, self.recovery.chosen.restore)
        return {"at": datetime.now(UTC).isoformat()}

    def _swap_back(self) -> None:
        seen = databases.observe(self._login, self._database, self._op_id)
        if seen.is_swapped:
            doors.close_doors(self._login, self._database, self.recovery.chosen.restore)
            swap.swap_back(self._login, self._database, self._op_id, self.recovery.chosen.restore)

    # --- the application ------------------------------------------------------------------------------------------------

    def _stop(self) -> Mapping[str, Any]:
        return asdict(self._moved(workloads.stop))

    def _start(self) -> Mapping[str, Any]:
        """Bring all of it back; what somebody changed meanwhile is his, and told: to stop the rest again would help nobody."""
        outcome = self._moved(workloads.start)
        for text in outcome.changed:
            log.warning("%s: %s", self.recovery.subject, text)
        return asdict(outcome)

    def _start_again(self) -> None:
        self._start()

    def _stop_again(self) -> None:
        self._stop()

    def _moved(self, deed: Any) -> workloads.Outcome:
        outcome: workloads.Outcome = deed(
            self.recovery.access.cluster,
            Recorded.from_json(self.facts["record"]["recorded"]),
            limits=self.recovery.chosen.recovery,
            op_id=self._op_id,
            fence=self.lease.token,
            before=self._before,
        )
        return outcome

    def _set_aside(self) -> Mapping[str, Any]:
        limits, reader = self.recovery.chosen.recovery, self.recovery.access.restorer.reader
        with reader.session("recovery queue") as session, self.recovery.access.redis() as client:
            known = lambda ids: leftovers.executions(session, ids)  # noqa: E731
            tidied = leftovers.tidy(client, limits, known, op_id=self._op_id, before=self._before)
        return asdict(tidied)

    def _put_back(self) -> None:
        with self.recovery.access.redis() as client:
            leftovers.put_back(client, self.recovery.chosen.recovery, op_id=self._op_id, before=self._before)

    def _smoke(self) -> Mapping[str, Any]:
        """Ask the database, then the application through its front door."""
        opened = self._opened()
        late_before = self.facts["restore"].get("behind", ())
        found = smoke.smoke(self.recovery.access.restorer.reader, opened.fingerprint.contents, late_before)
        for text in found.oddities:
            log.warning("%s: %s", self.recovery.subject, text)
        if found.problems:
            raise VerificationError(f"the restored database is not sound: {'; '.join(found.problems[:5])}")
        with self.recovery.access.gateway() as client:
            tried = gateway.smoke(
                client,
                limits=self.recovery.chosen.recovery,
                op_id=self._op_id,
                noted=lambda number: self.writing.intend("smoke", workflow=number),
                earlier=self._tried_before(),
            )
        return {**asdict(tried), "rows": dict(found.rows), "oddities": list(found.oddities)}

    def _tried_before(self) -> list[int]:
        lines = (each for each in self.writing.entries() if each.step == "smoke")
        return [int(each.detail["workflow"]) for each in lines if "workflow" in each.detail]

    # --- short ways -----------------------------------------------------------------------------------------------------

    @property
    def _login(self) -> Login:
        return self.recovery.access.restorer.login

    @property
    def _database(self) -> str:
        return self.recovery.database

    @property
    def _op_id(self) -> str:
        return self.recovery.request.op_id

    def _before(self, effect: str) -> None:
        log.info("%s: %s", self.recovery.subject, effect)
        self.lease.guard()

    def _opened(self) -> Opened:
        """Read the backup that was approved, and no other."""
        backup = self.recovery.choose()
        if backup.sha256 != self.facts[USE]["manifest"]:
            raise RefusedError(f"{backup.key} is not the backup that was approved: its manifest is another")
        return self.recovery.access.restorer.open(backup)
