"""The three databases of a recovery, told from what the server shows: the running one, the restored one beside it, the one before.

    orchestrator                    the one that the application uses, before and after
    orchestrator_restore_<op8>      made of the backup; becomes `orchestrator` when it was compared
    orchestrator_before_<op8>       what `orchestrator` was; stays a week

Ours carry a mark in their comment (JSON), so that one of the same name that is not ours is never touched, and so that whoever is
called again after a kill knows how far the one before him came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from psycopg import sql
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from include.backups.lively import bounded
from include.backups.login import Login
from include.errors import ConfigurationError, RefusedError
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.login import Session

NAME_BYTES = 63
"""PostgreSQL cuts longer names off without an error, and two would become one."""


@dataclass(frozen=True)
class Names:
    """What the databases of one operation are called.

    :param op: the first eight hex digits of its id.
    """

    database: str
    op: str

    @property
    def restore(self) -> str:
        """The one that is made of the backup."""
        return f"{self.database}_restore_{self.op}"

    @property
    def before(self) -> str:
        """What the running one is called after the swap."""
        return f"{self.database}_before_{self.op}"


def names(database: str, op_id: str) -> Names:
    """Return the names of an operation; ConfigurationError if they would be too long, or if this is no operation id."""
    op = op_id.replace("-", "")[:8]
    if not re.fullmatch(r"[0-9a-f]{8}", op):
        raise ConfigurationError(f"operation id {op_id[:50]!r} does not begin with eight hex digits; give a UUID")
    found = Names(database, op)
    if len(found.restore.encode()) > NAME_BYTES:
        raise ConfigurationError(
            f"the name of database {database} is too long to restore beside it: {found.restore} has more than {NAME_BYTES} bytes"
        )
    return found


def birthmark(op_id: str) -> int:
    """Return the connection limit with which ours are made: a comment comes a statement later, and a kill in between is possible."""
    return int(op_id.replace("-", "")[:7], 16) + 1


class Mark(BaseModel):
    """Our comment on a database of ours.

    :param op_id: of the operation that it belongs to.
    :param state: `restoring` until it was compared, `compared` until the swap, `before` for what was swapped away, `returned` for
        what was swapped back: it was written to, and is no longer what was compared.
    :param key: of the backup; `manifest` is the SHA-256 of its manifest, `fingerprint` that of its fingerprint's bytes.
    :param comment: the database's own comment, which it gets when it is `orchestrator`.
    :param seconds: what each step took.
    :param lacking: what no restore brings back, each with a name; the plan has shown it.
    :param behind: what `smoke.behind` said when nobody was in it yet.
    :param replaced_by: mark of the one that took its place, and `replaced_by_oid` its oid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    op_id: str
    state: Literal["restoring", "compared", "before", "returned"]
    at: AwareDatetime
    key: str = ""
    manifest: str = ""
    fingerprint: str = ""
    comment: str | None = None
    seconds: Mapping[str, float] = {}
    lacking: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    replaced_by: Mark | None = None
    replaced_by_oid: int | None = None

    @classmethod
    def read(cls, comment: str | None) -> Mark | None:
        """Return the mark in a comment; None if it is none of ours."""
        try:
            return cls.model_validate(json.loads(comment or "")["recovery"])
        except (ValueError, KeyError, TypeError, ValidationError):
            return None

    def text(self) -> str:
        """Return the comment to set."""
        return json.dumps({"recovery": self.model_dump(mode="json")}, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database as the server shows it.

    :param is_ours_to_change: whether the role that recovers is, or belongs to, its owner.
    :param bytes: None if this login may not know.
    :param settings: `name=value`, or `role: name=value`.
    :param grants: as PostgreSQL prints them.
    """

    name: str
    oid: int
    owner: str
    is_ours_to_change: bool
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str | None
    connection_limit: int
    allow_connections: bool
    settings: Sequence[str]
    grants: Sequence[str]
    comment: str | None
    bytes: int | None

    @property
    def mark(self) -> Mark | None:
        """Our mark, if it carries one."""
        return Mark.read(self.comment)

    def state(self, op_id: str) -> str:
        """Return the state by our mark, or by how it was born before it got one; `foreign` if it is not of this operation."""
        if self.mark and self.mark.op_id == op_id:
            return self.mark.state
        newborn = self.comment is None and not self.allow_connections and self.connection_limit == birthmark(op_id)
        return "restoring" if newborn else "foreign"


@dataclass(frozen=True, kw_only=True)
class Databases:
    """What there is on the server.

    :param system_identifier: of the cluster.
    :param now: the server's clock.
    :param wal_bytes: how far its log may grow.
    """

    names: Names
    op_id: str
    system_identifier: str
    in_recovery: bool
    now: datetime
    major: int
    wal_bytes: int
    running: Database | None
    restore: Database | None
    before: Database | None

    @property
    def is_swapped(self) -> bool:
        """Whether the restored one is the running one: seen by what was swapped away, which knows what took its place."""
        before, running = self.before, self.running
        if not running or not before or not before.mark or before.state(self.op_id) != "before" or self.restore:
            return False
        return before.mark.replaced_by_oid in (None, running.oid)

    @property
    def is_returned(self) -> bool:
        """Whether it was swapped and swapped back."""
        restore = self.restore
        return bool(self.running and restore and restore.state(self.op_id) == "returned" and not self.before)


def observe(login: Login, database: str, op_id: str) -> Databases:
    """Ask the server which of the three there are.

    :param login: at another database of the server, such as `postgres`.
    """
    with login.session("recovery look") as session, bounded(session):
        return look(session, names(database, op_id), op_id)


def look(session: Session, called: Names, op_id: str, actor: str = "") -> Databases:
    """Ask in a session that is open.

    :param actor: the role that would change them; "" for that of the session.
    """
    from psycopg.rows import dict_row

    cursor = session.cursor(row_factory=dict_row)
    [server] = cursor.execute(statement("recovery_server")).fetchall()
    asked = [called.database, called.restore, called.before]
    values = {"names": asked, "actor": actor or session.info.user}
    rows = cursor.execute(statement("recovery_databases"), values).fetchall()
    found = {row["name"]: Database(**row) for row in rows}
    running, restore, before = map(found.get, asked)
    return Databases(names=called, op_id=op_id, **server, running=running, restore=restore, before=before)


def changeable(seen: Databases) -> Database:
    """Return the running database; an error if there is none, or if this is not a login or a server that may change it."""
    place = seen.names.database
    if seen.in_recovery:
        raise ConfigurationError(f"the server with {place} is a standby; let the Connection lead to the primary")
    if not seen.running:
        raise ConfigurationError(
            f"there is no database {place} beside which another could be restored; make an empty one:"
            f" create database {place} owner orchestrator_owner"
        )
    if not seen.running.is_ours_to_change:
        raise ConfigurationError(
            f"database {place} belongs to {seen.running.owner}, which the role that recovers may not act as: nothing was changed;"
            f" alter database {place} owner to orchestrator_owner (deploy/postgres)"
        )
    return seen.running


def refuse_foreign(seen: Databases) -> None:
    """Raise RefusedError if a database has a name of ours and is not ours."""
    for found in (seen.restore, seen.before):
        if found and found.state(seen.op_id) == "foreign":
            raise RefusedError(
                f"there is a database {found.name} that this recovery did not make (owner {found.owner}): it was not touched;"
                " find out whose it is and rename it"
            )


def set_mark(session: Session, name: str, mark: Mark) -> None:
    """Write our mark into a database's comment."""
    comment(session, name, mark.text())


def comment(session: Session, name: str, text: str | None) -> None:
    """Set a database's comment; None takes it away."""
    session.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(name), sql.Literal(text)))


def let_in(session: Session, name: str, *, allowed: bool) -> None:
    """Allow or refuse new sessions in a database, of superusers too."""
    wanted = sql.Literal(allowed)
    session.execute(sql.SQL("alter database {} allow_connections {}").format(sql.Identifier(name), wanted))
