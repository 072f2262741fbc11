"""The maintenance as one operation: its plan and every step stand in the journal, so that whoever comes after a kill goes on.

No step is taken back: each leaves the database as good as before or better. One that cannot be done now is left to the next week, and
only what could not be ended at all (a lost lease, a stop order, a server that is gone) leaves the operation standing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.errors import TransientError
from include.maintenance import leftovers, need
from include.maintenance.giving_way import PostponedError
from include.maintenance.work import NotPossibleError, Worker
from include.ops.journal import Journal, Phase
from include.ops.saga import DONE
from include.plans.maintenance import Observed, Plan, Step, Verb, behind, hindrance, rest_s
from include.settings import MaintenanceLimits

if TYPE_CHECKING:
    from include.backups.login import Login
    from include.ops.database import OpsDatabase
    from include.ops.journal import Entry
    from include.ops.leases import Lease

log = logging.getLogger(__name__)

PLAN = "plan"
AT_WORK_S = 20
"""How long an earlier process of ours may still be at work at the server after it was killed."""

OURS_FOR_DAYS = 30
"""How long a rebuild that we began explains a leftover: it is swept every week, and a new one may be somebody else's."""


class Ended(StrEnum):
    """How a step ended."""

    DONE = "done"
    NOT_NEEDED = "not needed any more"
    POSTPONED = "postponed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a step.

    :param seconds: at work; a wait for a lock that never came is none.
    :param before: what there was to win, at its beginning; `after`: at its end.
    """

    key: str
    verb: str
    name: str
    ended: Ended
    why: str = ""
    seconds: float = 0.0
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of all steps, and of the leftovers."""

    outcomes: Sequence[Outcome]
    swept: leftovers.Swept


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """One operation at work.

    :param lease: asked before and during every step.
    :param free_bytes: tells what is free on the server's disk; None if nobody can see it.
    """

    login: Login
    limits: MaintenanceLimits
    ops: OpsDatabase
    journal: Journal
    lease: Lease
    free_bytes: Callable[[], int | None]

    @property
    def application(self) -> str:
        """Name of its sessions at the server."""
        return application(self.journal.op_id)

    def run(self, plan: Plan) -> Result:
        """Carry the plan out, or go on with the one that an earlier process of the operation began; look at the journal first."""
        lines = self.journal.entries()
        steps = _planned(lines)
        if steps is None:
            steps = list(plan.steps)
            self.journal.record(PLAN, steps=[asdict(step) for step in steps])
        self._wait_for_earlier()
        swept = [self._sweep()]
        known, until = _outcomes(lines), self._until(lines)
        outcomes = list(self._all([step for step in steps if step.verb is not Verb.SWEEP], known, until))
        swept.append(self._sweep())
        self.journal.record(DONE)
        return Result(outcomes=outcomes, swept=_together(swept))

    def _until(self, lines: Sequence[Entry]) -> float:
        """When the window ends that the operation began in, by `time.monotonic`."""
        past_s = (datetime.now(UTC) - lines[0].at).total_seconds() if lines else 0.0
        return time.monotonic() + self.limits.window_s - past_s

    def _all(self, steps: Sequence[Step], known: Mapping[str, Outcome], until: float) -> Iterator[Outcome]:
        due_s = 0.0
        for step in steps:
            if step.key in known:
                yield known[step.key]
                continue
            self._rest(due_s, until)
            outcome = self._step(step, until)
            due_s = rest_s(step.verb, outcome.seconds, self.limits)
            yield outcome

    def _rest(self, seconds: float, until: float) -> None:
        """Leave the server to the application; a lost lease, a stop order and the end of the window end it."""
        ends = min(time.monotonic() + seconds, until)
        while (left := ends - time.monotonic()) > 0:
            self.lease.guard()
            time.sleep(min(left, self.limits.progress_s))

    def _step(self, step: Step, until: float) -> Outcome:
        self.lease.guard()
        if time.monotonic() > until:
            return self._kept(step, Ended.POSTPONED, "the maintenance window is over")
        before = self._standing(step)
        if not before:
            return self._kept(step, Ended.NOT_NEEDED, "it is not there any more, or it was rebuilt")
        self.journal.intend(
            step.key, **({"index": step.full_name, "of": self.login.name} if step.verb is Verb.REINDEX else {})
        )
        began = time.monotonic()
        ended, why, waited_s = self._tried(step, until)
        ended, why = self._verified(step, ended, why)
        if ended is not Ended.DONE and step.verb is Verb.REINDEX:
            self._sweep()
        return self._kept(step, ended, why, seconds=time.monotonic() - began - waited_s, before=before)

    def _tried(self, step: Step, until: float) -> tuple[Ended, str, float]:
        """Return how it ended, why, and for how many seconds of it there was only a wait for a lock that never came."""
        if why := self._in_the_way(step):
            return Ended.POSTPONED, why, 0.0
        worker = Worker(
            login=self.login, limits=self.limits, application=self.application, guard=self.lease.guard, until=until
        )
        try:
            worker.do(step)
        except PostponedError as error:
            return Ended.POSTPONED, str(error), error.waited_s
        except NotPossibleError as error:
            return Ended.FAILED, str(error), 0.0
        return Ended.DONE, "", 0.0

    def _verified(self, step: Step, ended: Ended, why: str) -> tuple[Ended, str]:
        """Look again: an index that was rebuilt can be used."""
        if ended is Ended.DONE and step.verb is Verb.REINDEX and not self._after(step).get("valid"):
            return Ended.FAILED, f"{step.full_name} cannot be used after it; look at it before the application does"
        return ended, why

    def _in_the_way(self, step: Step) -> str:
        """What about the server speaks against the step now; "" if nothing does."""
        with self.login.session(self.application) as session:
            lag_s = need.replica_lag_s(session)
            cluster = need.one_with(session, "maintenance_cluster", {"application": self.application})
        if step.verb is not Verb.REINDEX:
            return behind(lag_s, self.limits)
        now = Observed(
            at=datetime.now(UTC),
            tables=(),
            indexes=(),
            free_bytes=self.free_bytes(),
            replica_lag_s=lag_s,
            longest_transaction_s=cluster["longest_transaction_s"],
        )
        return hindrance(now, self.limits, step.bytes)

    def _standing(self, step: Step) -> Mapping[str, int]:
        """What there is to win; nothing if the table or index is gone."""
        with self.login.session(self.application) as session:
            found = need.maybe(session, "maintenance_standing", {"oid": step.oid})
        if not found or (found["schema"], found["name"]) != (step.schema, step.name):
            return {}
        return {name: found[name] or 0 for name in ("bytes", "dead", "changed", "frozen_age")}

    def _after(self, step: Step) -> Mapping[str, int]:
        with self.login.session(self.application) as session:
            found = need.maybe(session, "maintenance_named", {"schema": step.schema, "name": step.name})
        return {name: int(value or 0) for name, value in (found or {}).items()}

    def _kept(self, step: Step, ended: Ended, why: str, **told: Any) -> Outcome:
        after = self._after(step) if told else {}
        outcome = Outcome(key=step.key, verb=step.verb, name=step.full_name, ended=ended, why=why, after=after, **told)
        log.log(logging.INFO if ended is Ended.DONE else logging.WARNING, "%s: %s %s", step.key, ended, why)
        self.journal.record(step.key, **asdict(outcome))
        return outcome

    def _sweep(self) -> leftovers.Swept:
        return leftovers.sweep(self.login, begun(self.ops, self.login), self.lease.guard, self.application)

    def _wait_for_earlier(self) -> None:
        """Wait until the server has noticed that an earlier process of ours is dead."""
        until = time.monotonic() + AT_WORK_S
        while self._at_work():
            if time.monotonic() > until:
                raise TransientError(
                    f"a session of an earlier try ({self.application}) is still at work at {self.login.name}; nothing was begun,"
                    " try again when it has ended (pg_stat_activity)"
                )
            time.sleep(0.5)

    def _at_work(self) -> bool:
        with self.login.session(self.application) as session:
            found = need.one_with(session, "maintenance_cluster", {"application": self.application})
        return bool(found["at_work"])


def application(op_id: str) -> str:
    """Return the name that the sessions of an operation have at the server."""
    return f"maintenance {op_id}"


def begun(ops: OpsDatabase, login: Login) -> frozenset[str]:
    """Return the full names of the indexes of a database that a run of ours began to rebuild lately, whichever run it was."""
    query = """
        select distinct detail->>'index' from ops.journal
        where phase = 'intent' and step like 'reindex %%' and detail->>'of' = %s and at > clock_timestamp() - %s * interval '1 day'
    """
    with ops.session() as session:
        return frozenset(name for (name,) in session.execute(query, [login.name, OURS_FOR_DAYS]))


def _planned(lines: Sequence[Entry]) -> list[Step] | None:
    plans = [each.detail for each in lines if (each.step, each.phase) == (PLAN, Phase.OUTCOME)]
    return [Step(**{**step, "verb": Verb(step["verb"])}) for step in plans[-1]["steps"]] if plans else None


def _outcomes(lines: Sequence[Entry]) -> dict[str, Outcome]:
    kept = [each for each in lines if each.phase is Phase.OUTCOME and "ended" in each.detail]
    return {each.step: Outcome(**{**each.detail, "ended": Ended(each.detail["ended"])}) for each in kept}


def _together(swept: Sequence[leftovers.Swept]) -> leftovers.Swept:
    dropped = dict.fromkeys(name for each in swept for name in each.dropped)
    return leftovers.Swept(dropped=tuple(dropped), stayed=swept[-1].stayed)
