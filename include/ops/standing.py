"""What operations left when they died: leases that ran out, and journals that end in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from include.ops.database import OpsDatabase
from include.ops.gate import USE
from include.ops.journal import CLOCK
from include.ops.saga import BACK, DONE, UNDONE


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An operation that neither ended nor is at work.

    :param step: the last step of its journal, and whether it ended.
    :param since: when that line was written.
    :param going_back: whether it had turned round.
    :param kind: of its plan, `database recovery`; "" if it has none.
    """

    op_id: str
    by: str
    step: str
    ended: bool
    since: datetime
    going_back: bool
    kind: str = ""

    def __str__(self) -> str:
        where = f"after {self.step!r}" if self.ended else f"in {self.step!r}"
        way = " on its way back" if self.going_back else ""
        return f"operation {self.op_id} of {self.by} stands still{way} {where} since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, kw_only=True)
class RanOut:
    """A lease that was removed because nobody renewed it."""

    resource: str
    mode: str
    op_id: str
    holder: str
    expired_at: datetime


def reap_leases(ops: OpsDatabase) -> Sequence[RanOut]:
    """Remove the leases that ran out; whoever held one finds out before its next effect."""
    with ops.session() as session:
        rows = session.execute(
            "select resource, mode, op_id::text, holder, expires_at from ops.reap_leases()"
        ).fetchall()
    return [RanOut(resource=r, mode=m, op_id=o, holder=h, expired_at=at) for r, m, o, h, at in rows]


def standing(ops: OpsDatabase) -> Sequence[Standing]:
    """Return every operation that touched something, whose journal has not ended and which holds no lease that lives, oldest first."""
    query = """
        select distinct on (op_id) op_id::text, by, step, phase = 'outcome', at at time zone 'UTC',
            exists (select from ops.journal as b where b.op_id = j.op_id and b.step = %(back)s),
            coalesce((select p.kind from ops.plan as p where p.op_id = j.op_id order by p.id desc limit 1), '')
        from ops.journal as j
        where not exists (select from ops.journal as e where e.op_id = j.op_id and e.step = any(%(ends)s) and e.phase = 'outcome')
          and exists (
              select from ops.journal as t
              where t.op_id = j.op_id and (t.step <> all(%(before)s) or (t.step = %(use)s and t.phase = 'outcome'))
          )
          and not exists (select from ops.lease as l where l.op_id = j.op_id and l.expires_at > clock_timestamp())
        order by op_id, id desc
    """
    with ops.session() as session:
        rows = session.execute(
            query, {"back": BACK, "ends": [DONE, UNDONE], "before": [USE, CLOCK], "use": USE}
        ).fetchall()
    found = [
        Standing(op_id=o, by=by, step=s, ended=e, since=at, going_back=b, kind=k) for o, by, s, e, at, b, k in rows
    ]
    return sorted(found, key=lambda each: each.since)
