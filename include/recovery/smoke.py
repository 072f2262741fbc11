"""Read-only questions to the recovered database: is it whole enough for the application to begin (X-06)?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from include.backups.login import Login
from include.sql import statement

if TYPE_CHECKING:
    from include.backups.fingerprint import Contents
    from include.backups.login import Session


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """What was found.

    :param problems: one sentence each; none means that it may go on.
    :param oddities: what is often a fault, and was so before the application began, or may be its own work: told, and no more.
    :param newest: when the newest row of each table with a `created_at` came; None in an empty one.
    :param rows: of the same tables.
    """

    problems: Sequence[str]
    oddities: Sequence[str]
    newest: Mapping[str, datetime | None]
    rows: Mapping[str, int]


def smoke(login: Login, backup: Contents, late_before: Collection[str] = ()) -> Smoke:
    """Ask, once the application is at work again.

    :param login: at the running database, as a role that reads all rows.
    :param backup: what it was restored from.
    :param late_before: what `behind` said of the restored database when nobody was in it.
    """
    with login.session("recovery smoke", default_transaction_read_only="on", search_path="pg_catalog") as session:
        asked = [(name, session.execute(text.encode()).fetchall()[0]) for name, text in _asked(session, "newest")]
        rows, newest = {name: found[0] for name, found in asked}, {name: found[1] for name, found in asked}
        oddities = [f"{fault}: {name}" for fault, name in session.execute(statement("recovery_oddities")).fetchall()]
        late, (emptied, drained) = behind(session), _emptied(rows, backup)
        problems = [*(each for each in late if each not in late_before), *emptied]
        oddities += [*(each for each in late if each in late_before), *drained]
        return Smoke(problems=problems, oddities=oddities, newest=newest, rows=rows)


def behind(session: Session) -> list[str]:
    """Return a sentence for each sequence that is behind its rows: ids that were given by hand (a seed) leave it so, too."""
    asked = _asked(session, "sequences")
    late = [name for name, text in asked if session.execute(text.encode()).fetchone() == (True,)]
    return [f"sequence {name} is behind the rows that it numbers: the next insert fails" for name in late]


def _emptied(rows: Mapping[str, int], backup: Contents) -> tuple[list[str], list[str]]:
    """Return what cannot be the application's work, and what can: at work again it drains a queue, but not every table."""
    then = {name: backup.tables[name][0] for name in sorted(rows.keys() & backup.tables.keys())}
    full = [name for name in then if then[name]]
    said = [f"table {name} is empty, and had {then[name]} rows" for name in full if not rows[name]]
    return (said, []) if 1 < len(full) == len(said) else ([], said)


def _asked(session: Session, name: str) -> list[tuple[str, str]]:
    return [(each, text) for each, text in session.execute(statement(f"recovery_{name}")).fetchall()]
