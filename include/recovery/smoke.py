"""Read-only questions to the recovered database: is it whole enough for the application to begin (X-06)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    :param oddities: what is often a fault, and was so at the backup already: the comparison found no difference.
    :param newest: when the newest row of each table with a `created_at` came; None in an empty one.
    :param rows: of the same tables.
    """

    problems: Sequence[str]
    oddities: Sequence[str]
    newest: Mapping[str, datetime | None]
    rows: Mapping[str, int]


def smoke(login: Login, backup: Contents) -> Smoke:
    """Ask, right after the swap.

    :param login: at the running database, as a role that reads all rows.
    :param backup: what it was restored from.
    """
    with login.session("recovery smoke", default_transaction_read_only="on", search_path="pg_catalog") as session:
        asked = [(name, session.execute(text.encode()).fetchall()[0]) for name, text in _asked(session, "newest")]
        rows, newest = {name: found[0] for name, found in asked}, {name: found[1] for name, found in asked}
        oddities = [f"{fault}: {name}" for fault, name in session.execute(statement("recovery_oddities")).fetchall()]
        problems = [*_behind(session), *_emptied(rows, backup)]
        return Smoke(problems=problems, oddities=oddities, newest=newest, rows=rows)


def _behind(session: Session) -> list[str]:
    asked = _asked(session, "sequences")
    late = [name for name, text in asked if session.execute(text.encode()).fetchone() == (True,)]
    return [f"sequence {name} is behind the rows that it numbers: the next insert fails" for name in late]


def _emptied(rows: Mapping[str, int], backup: Contents) -> list[str]:
    # The application is at work again and may delete; but not all of it.
    then = {name: backup.tables[name][0] for name in rows.keys() & backup.tables.keys()}
    return [
        f"table {name} is empty, and had {then[name]} rows" for name in sorted(then) if then[name] and not rows[name]
    ]


def _asked(session: Session, name: str) -> list[tuple[str, str]]:
    return [(each, text) for each, text in session.execute(statement(f"recovery_{name}")).fetchall()]
