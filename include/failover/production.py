"""The failover exercise on production: with an approved plan, under the lease, and in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.failover.exercise import Exercised, candidate, come_home, exercise
from include.failover.probe import Measured
from include.ops import gate, leases
from include.ops.gate import Plan
from include.ops.journal import Journal
from include.ops.leases import Lease, Mode, Wanted
from include.ops.saga import Saga, Step

if TYPE_CHECKING:
    from include.failover.postgres import PostgresPair
    from include.failover.probe import Writer
    from include.ops.database import OpsDatabase
    from include.settings import FailoverLimits

KIND = "failover exercise"
STEP = "exercise"
REASON_LETTERS = 10


@dataclass(frozen=True, kw_only=True)
class ProductionExercise:
    """One exercise: what was asked, on which pair, under which limits.

    :param database: whose lease keeps backups, maintenance and recoveries away meanwhile.
    """

    op_id: str
    reason: str
    database: str
    pair: PostgresPair
    writer: Writer
    limits: FailoverLimits
    code_version: str

    def plan(self) -> Plan:
        """Look who leads and who would take over; an error names what is in the way, and changes nothing."""
        self._refuse()
        self.pair.identify()
        standing = self.pair.observe()
        to, gap_s = candidate(standing, self.limits), self.limits.postgres_gap_target_s
        return Plan(
            op_id=self.op_id,
            kind=KIND,
            target=f"{self.pair.name} on {self.pair.system_identifier}",
            steps=[
                f"a client writes every {self.limits.probe_every_s * 1000:.0f} ms into a table of the exercise's own",
                f"hand the lead from {standing.leader} to {to}, by Patroni, and wait until every follower streams",
                f"hand it back to {standing.leader}, and count the acknowledged writes that are not there",
            ],
            facts={"home": standing.leader, "away": to, "reason": self.reason},
            seen=[f"Why: {self.reason}", f"Expected: twice up to {gap_s:g} s in which the application cannot write"],
            code_version=self.code_version,
        )

    def act(self, ops: OpsDatabase, *, holder: str, wait_s: float = 0.0) -> Exercised:
        """Carry the approved plan out, or go on where a process before was killed: bring it home, and begin the exercise anew."""
        wanted = Wanted(
            resource=f"database/{self.database}", mode=Mode.PLANNED_MAINTENANCE, op_id=self.op_id, holder=holder
        )
        lease = leases.acquire(ops, wanted, wait_s=wait_s)
        with leases.keep(lease):
            writing = Journal(ops, self.op_id, holder, lease.token)
            gate.authorise(ops, writing, lambda stored: replace(self, reason=stored.plan.facts["reason"]).plan())
            facts = Saga(writing, lease, [self._step(lease)], f"{KIND} {self.op_id[:8]} of {self.pair.name}").run()
        return _exercised(facts[STEP])

    def _step(self, lease: Lease) -> Step:
        pair = replace(self.pair, before=lease.guard)
        return Step(
            name=STEP,
            do=lambda: asdict(exercise(pair, self.writer, self.limits)),
            undo=lambda: _home(pair, self.limits),
        )

    def _refuse(self) -> None:
        if not self.pair.system_identifier:
            raise ConfigurationError(
                "failover.production_system_identifier is empty, so production is not exercised; write the identifier of"
                " the cluster there that may be (`select system_identifier from pg_control_system()`)"
            )
        if len(self.reason.strip()) < REASON_LETTERS:
            raise ConfigurationError(
                f"reason: at least {REASON_LETTERS} characters say why production is switched over, not"
                f" {self.reason.strip()[:40]!r}; nothing was changed, trigger it again"
            )


def _home(pair: PostgresPair, limits: FailoverLimits) -> None:
    come_home(pair, limits)


def _exercised(kept: Mapping[str, Any]) -> Exercised:
    """Return what the journal kept: an exercise that a process before this one may have done."""
    return Exercised(**{**kept, "there": _measured(kept["there"]), "back": _measured(kept["back"])})


def _measured(kept: Mapping[str, Any]) -> Measured:
    return Measured(**{**kept, "lost": tuple(kept["lost"]), "duplicates": tuple(kept["duplicates"])})
