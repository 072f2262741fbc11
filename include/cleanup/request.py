"""What a clean-up would do, by whom, and under which limits; nothing here changes production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include.backups.login import Login
from include.cleanup import deletes, rows
from include.cleanup.archive import Archive
from include.errors import RefusedError
from include.ops import journal
from include.ops.database import OpsDatabase
from include.ops.gate import Plan
from include.ops.journal import CLOCK, Journal
from include.ops.leases import Mode, Wanted
from include.plans import cleanup
from include.plans.cleanup import Counted, Decision, Subject
from include.settings import CleanupLimits

KIND = "clean-up"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Every door.

    :param reader: reads every row and changes none.
    :param deleter: may call the functions of `ops_cleanup`.
    :param watcher: sees replication.
    :param newest_good: returns when the newest GOOD backup was taken; None if there is none.
    """

    reader: Login
    deleter: Login
    watcher: Login
    archive: Archive
    newest_good: Callable[[], datetime | None]


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where the rows are.

    :param clock: what its clock said at that look: a plan may be days old when it is carried out, a backup must not be.
    """

    system_identifier: str
    clock: datetime


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look found; the rows are those of one moment of the run.

    :param now: by the database's clock, once per run; every limit of a row's age follows from it.
    """

    now: datetime
    server: Server
    decisions: Sequence[Decision]

    @property
    def over(self) -> str:
        """Why people are asked first; "" if they are not."""
        return cleanup.over(self.decisions)


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """One clean-up.

    :param backup_max_age_h: how old the newest GOOD backup may be.
    """

    op_id: str
    access: Access
    limits: CleanupLimits
    backup_max_age_h: int
    code_version: str = "unknown"

    @property
    def database(self) -> str:
        """Which is cleaned."""
        return self.access.archive.database

    @property
    def subject(self) -> str:
        """What it is called in sentences."""
        return f"clean-up {self.op_id[:8]} of {self.database}"

    def wanted(self, holder: str) -> Wanted:
        """Return the lease that it needs."""
        return Wanted(resource=f"database/{self.database}", mode=Mode.CLEANUP, op_id=self.op_id, holder=holder)

    def now(self, ops: OpsDatabase, by: str) -> datetime:
        """Return the run's moment: read from the database's clock once, and from then on from the journal."""
        writing = Journal(ops, self.op_id, by)
        if line := journal.last(writing.entries(), CLOCK):
            return datetime.fromisoformat(line.detail["now"])
        with self.access.reader.session("clean-up clock") as session:
            moment = rows.now(session)
        writing.record(CLOCK, now=moment.isoformat())
        return moment

    def server(self) -> Server:
        """Return where both logins lead, as of now; an error names what is in the way of a deletion there."""
        with (
            self.access.reader.session("clean-up server") as reader,
            self.access.deleter.session("clean-up server") as deleter,
        ):
            identifier = rows.refuse_wrong(reader, self.database, self.access.reader.setting)
            if rows.refuse_wrong(deleter, self.database, self.access.deleter.setting) != identifier:
                raise RefusedError(
                    f"{self.access.deleter.setting} leads to another server than {self.access.reader.setting}; nothing was changed"
                )
            for each in Subject:
                rows.refuse_linked(reader, each)
            return Server(system_identifier=identifier, clock=rows.now(reader))

    def look(self, now: datetime) -> Seen:
        """Count what may go, and decide; an error names what is in the way."""
        server = self.server()
        with (
            self.access.reader.session("clean-up plan") as reader,
            self.access.deleter.session("clean-up plan") as deleter,
        ):
            logs = (Subject.LOGS, Subject.AUDIT)
            found = [rows.count(reader, each, cleanup.cutoff(each, now, self.limits)) for each in logs]
            versions = self._versions(deleter, rows.total(reader, Subject.VERSIONS))
        return Seen(now=now, server=server, decisions=cleanup.decide([*found, versions], self.limits))

    def _versions(self, deleter: Any, total: int) -> Counted:
        found = deletes.old_versions(deleter, self.limits.versions_kept)
        kept = Counter(why for _, why in found if why)
        return Counted(subject=Subject.VERSIONS, rows=len(found) - kept.total(), total=total, kept=kept)

    def unsafe(self, clock: datetime) -> str:
        """Return why nothing may be deleted at this hour; "" if it may."""
        good = self.access.newest_good()
        if good is None or clock - good > timedelta(hours=self.backup_max_age_h):
            age = (
                "there is no GOOD backup" if good is None else f"the newest GOOD backup is of {good:%Y-%m-%d %H:%M} UTC"
            )
            return f"{age} (at most {self.backup_max_age_h} h old before anything is deleted); mend the backup first"
        return ""

    def plan(self, seen: Seen) -> Plan:
        """Return it as people approve it."""
        return Plan(
            op_id=self.op_id,
            kind=KIND,
            target=f"{self.database} on {seen.server.system_identifier}",
            steps=[*map(str, seen.decisions), "each day is archived, read back and compared before a row of it goes"],
            facts=self.facts(seen),
            seen=[f"Asked because {seen.over}"] if seen.over else [],
            code_version=self.code_version,
        )

    def facts(self, seen: Seen) -> Mapping[str, Any]:
        """Return what must still hold when it is carried out."""
        return {
            "now": seen.now.isoformat(),
            "system_identifier": seen.server.system_identifier,
            "rows": {str(each.subject): each.counted.rows for each in cleanup.going(seen.decisions)},
            **self._rules(),
        }

    def _rules(self) -> Mapping[str, Any]:
        return {
            "execution_logs_days": self.limits.execution_logs_days,
            "audit_logs_days": self.limits.audit_logs_days,
            "versions_kept": self.limits.versions_kept,
            "audit_policy": self.limits.audit_policy,
        }

    def changed(self, facts: Mapping[str, Any]) -> str:
        """Return which rule is another one than in these facts, or which of their tables is held by now; "" if all is as it was."""
        other = [f"cleanup.{name} was changed" for name, value in self._rules().items() if facts[name] != value]
        return "; ".join(other + [f"{table} is held" for table in facts["rows"] if table in self.limits.held])
