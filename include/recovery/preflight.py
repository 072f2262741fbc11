"""What could be in the way of a restore hours later, asked before anything is changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from include.backups import compare, fingerprint
from include.backups.fingerprint import Fingerprint
from include.backups.manifest import Facts
from include.backups.moving import size
from include.errors import ConfigurationError, RefusedError, RunbookError
from include.recovery import databases
from include.recovery.databases import Databases

if TYPE_CHECKING:
    from include.backups.login import Session
    from include.probes.prometheus import Prometheus

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found; `refuse` judges it, and the rest is for the plan.

    :param needed_bytes: on the disk of the server, beside what is there: the restored database, its sorts, the log.
    :param free_bytes: None if nobody can see it: PostgreSQL cannot tell. Then a person has to look (`space`).
    :param missing_roles: of the backup, and not on the server: a recovery makes none.
    :param changed_roles: which are otherwise than at the backup; they are the whole server's and stay as they are now.
    :param not_ours: owners as which the role that recovers may not act.
    :param by_hand: what a restore will not bring back; to be made in the template, or accepted.
    """

    seen: Databases
    facts: Facts
    needed_bytes: int
    missing_roles: Sequence[str]
    changed_roles: Sequence[str]
    not_ours: Sequence[str]
    free_bytes: int | None = None
    by_hand: Sequence[str] = ()

    @property
    def space(self) -> str:
        """`enough`, `short`, or `unknown`, which is not enough either: the plan asks."""
        if self.free_bytes is None:
            return "unknown"
        return "enough" if self.free_bytes >= self.needed_bytes else "short"

    def refuse(self, *, restore_major: int, system_identifier: str = "") -> None:
        """Raise the first thing that is in the way; nothing was changed.

        :param restore_major: of pg_restore.
        :param system_identifier: of the cluster that is meant, if it is another than the backup's.
        """
        databases.refuse_foreign(self.seen)
        databases.changeable(self.seen)
        self._refuse_cluster(system_identifier)
        self._refuse_versions(restore_major)
        self._refuse_roles()
        if self.space == "short":
            raise RefusedError(
                f"the disk of the server has {size(self.free_bytes or 0)} free, and a restore beside {self.seen.names.database}"
                f" needs {size(self.needed_bytes)}: nothing was made; free some space, a full disk would end the running one too"
            )

    def _refuse_cluster(self, meant: str) -> None:
        if self.seen.system_identifier != (meant or self.facts.system_identifier):
            raise RefusedError(
                f"the server is cluster {self.seen.system_identifier}, and the backup is of {self.facts.system_identifier}: nothing"
                " was made; if the cluster was replaced on purpose, write the new one into backup.system_identifier"
            )

    def _refuse_versions(self, restore_major: int) -> None:
        dumped = int(self.facts.server_version.partition(".")[0])
        if not dumped <= self.seen.major <= restore_major:
            raise ConfigurationError(
                f"the backup is of PostgreSQL {dumped}, the server is {self.seen.major} and pg_restore {restore_major}: each must"
                " not be older than the one before; install a newer one (backup.programs)"
            )

    def _refuse_roles(self) -> None:
        if self.missing_roles:
            made = "; ".join(f'create role "{name}" nologin' for name in self.missing_roles)
            raise RefusedError(
                f"the server lacks roles that the backup knows, and a recovery makes none: {', '.join(self.missing_roles)};"
                f" nothing was made; look who they were (`python -m include.backups roles`), then: {made}"
            )
        if self.not_ours:
            raise ConfigurationError(
                f"the backup holds what belongs to {', '.join(self.not_ours)}, as which the role that recovers may not act: nothing"
                " was made; grant those roles to it, or let orchestrator_owner own that"
            )


def foresee(
    session: Session, seen: Databases, facts: Facts, wanted: Fingerprint, *, room_factor: float, actor: str
) -> Preflight:
    """Look at the server, in a session of anybody.

    :param actor: the role that would recover.
    """
    now = fingerprint.roles(session)
    there = wanted.roles.keys() & now.keys()
    return Preflight(
        seen=seen,
        facts=facts,
        needed_bytes=int(facts.database_bytes * room_factor) + seen.wal_bytes,
        missing_roles=sorted(wanted.roles.keys() - now.keys()),
        changed_roles=sorted(name for name in there if wanted.roles[name] != now[name]),
        not_ours=_not_ours(session, wanted, actor),
    )


def _not_ours(session: Session, wanted: Fingerprint, actor: str) -> list[str]:
    # Functions that PostgreSQL makes itself, those of ranges, belong to the superuser everywhere: the archive's list tells (contents).
    things = wanted.contents.inventory.get("owner", {})
    owners = {role for thing, role in things.items() if not thing.startswith("function ")} | {wanted.database["owner"]}
    query = "select rolname from pg_roles where rolname = any(%s) and not pg_has_role(%s::name, oid, 'set') order by 1"
    return [name for (name,) in session.execute(query, [list(owners), actor])]


def free_bytes(prometheus: Prometheus, query: str, now: datetime) -> int | None:
    """Return how much is free on the disk of the database's server, as Prometheus saw it last; None if nobody can see it."""
    if not query:
        return None
    try:
        answer = prometheus.instant(query, now)
    except RunbookError as error:
        log.warning("how much is free on the database's disk is unknown: %s", error)
        return None
    return int(min(each.value for each in answer.series)) if answer.series else None


def told(found: Preflight) -> list[str]:
    """Return what a person should read before saying yes, one sentence each."""
    free = {"unknown": "nobody can see how much is free: look", "enough": f"{size(found.free_bytes or 0)} are free"}
    said = [
        f"the restore needs {size(found.needed_bytes)} on the disk of the server; {free.get(found.space, 'too little')}"
    ]
    if found.by_hand:
        said.append(f"a restore will not bring back {compare.told(found.by_hand)}")
    if found.changed_roles:
        said.append(
            f"these roles are otherwise than at the backup and stay as they are: {', '.join(found.changed_roles)}"
        )
    return said
