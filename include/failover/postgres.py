"""The PostgreSQL pair of the exercise, whose members Patroni switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.errors import OutcomeUnknownError, RefusedError
from include.failover.patroni import Patroni
from include.probes.postgres import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from include.failover.exercise import Standing


@dataclass(frozen=True, kw_only=True)
class PostgresPair:
    """A Patroni cluster and a login to whichever member leads.

    :param parameters: of `psycopg.connect`, with all hosts and `target_session_attrs=read-write`.
    :param scope: the cluster's name in Patroni that may be exercised.
    :param system_identifier: of the only cluster that may; empty is the one that the target itself has on record.
    :param environment: as which the target must have itself on record.
    :param before: asked before each switch; raises if it must not be.
    """

    patroni: Patroni
    parameters: Mapping[str, Any]
    scope: str
    switch_within_s: float
    system_identifier: str = ""
    environment: str = "staging"
    before: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"PostgreSQL {self.scope}"

    def identify(self) -> None:
        """Refuse any cluster but the recorded one: by its scope, its own record, and its system identifier."""
        if (scope := self.patroni.scope()) != self.scope:
            raise RefusedError(f"Patroni's cluster is {scope!r}, not {self.scope!r}; nothing was changed, {_WAY_OUT}")
        recorded, found = self._identifiers()
        if found not in recorded or (self.system_identifier and found != self.system_identifier):
            wanted = self.system_identifier or ", ".join(recorded) or "none"
            raise RefusedError(
                f"the server's system identifier is {found}, and the {self.environment} target on record is {wanted};"
                f" nothing was changed, {_WAY_OUT}"
            )

    def observe(self) -> Standing:
        """Ask Patroni who leads."""
        return self.patroni.standing()

    def switch(self, *, leader: str, to: str) -> None:
        """Order it, and if no answer came, believe what stands."""
        self.before()
        try:
            self.patroni.switch(leader=leader, to=to, within_s=self.switch_within_s)
        except OutcomeUnknownError:
            if self.observe().leader != to:
                raise

    def opened(self) -> str | None:
        """Return the home of the newest exercise that has no end."""
        rows = self._ask("select home from failover.exercise where ended_at is null order by began_at desc limit 1")
        return str(rows[0][0]) if rows else None

    def begin(self, home: str) -> None:
        """Insert a row, which goes with the data wherever the lead goes."""
        self._ask("insert into failover.exercise (id, home) values (%s, %s) returning id", str(uuid4()), home)

    def end(self) -> None:
        """Close every open row, and remove the numbers of a client that was killed."""
        self._ask("delete from failover.probe returning n")
        self._ask("update failover.exercise set ended_at = now() where ended_at is null returning id")

    def _identifiers(self) -> tuple[Sequence[str], str]:
        from psycopg.errors import InsufficientPrivilege, InvalidSchemaName, UndefinedTable

        with self._session() as session:
            ((found,),) = session.execute("select system_identifier::text from pg_control_system()").fetchall()
            try:
                rows = session.execute(_RECORDED, [self.environment]).fetchall()
            except (UndefinedTable, InvalidSchemaName, InsufficientPrivilege):
                rows = []
        return [str(identifier) for (identifier,) in rows], str(found)

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._session() as session:
            return session.execute(statement, values).fetchall()

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        import psycopg

        try:
            with psycopg.connect(**self.parameters, autocommit=True) as session:
                yield session
        except psycopg.Error as error:
            raise explained(error, f"the primary of {self.name}", "connections.failover_postgres") from None


_RECORDED = "select system_identifier from failover.target where environment = %s"
_WAY_OUT = "give the exercise the Connections of the pair that it is for"
