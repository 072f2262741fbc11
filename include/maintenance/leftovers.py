"""The invalid copy of an index that a rebuild leaves when it is cut off: swept before and after, if it is ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.maintenance.need import indexes
from include.plans.maintenance import Index

if TYPE_CHECKING:
    from include.backups.login import Login, Session

log = logging.getLogger(__name__)

TRIES = 25
BETWEEN_S = 0.4


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was dropped, and why the rest stays, by full name."""

    dropped: tuple[str, ...] = ()
    stayed: tuple[tuple[str, str], ...] = ()


def ours(found: Iterable[Index], begun: frozenset[str]) -> list[Index]:
    """Return the leftovers of rebuilds that we began.

    :param begun: full names of the indexes that a run of ours began to rebuild.
    """
    return [
        index
        for index in found
        if not index.valid and index.leftover_of and f"{index.schema}.{index.leftover_of}" in begun
    ]


def sweep(login: Login, begun: frozenset[str], guard: Callable[[], None], application: str) -> Swept:
    """Drop them; each waits for its lock for a moment only, and is tried again between others' work."""
    with login.session(application) as session:
        answers = [(index.full_name, _drop(session, index, guard)) for index in ours(indexes(session), begun)]
    return Swept(
        dropped=tuple(name for name, why in answers if not why),
        stayed=tuple((name, why) for name, why in answers if why),
    )


def _drop(session: Session, index: Index, guard: Callable[[], None]) -> str:
    """Return why it stays; "" if it is gone."""
    from psycopg import errors

    for _ in range(TRIES):
        guard()
        try:
            row = session.execute("select ops_maintenance.drop_leftover(%s::oid)", [index.oid]).fetchone()
        except errors.LockNotAvailable:
            time.sleep(BETWEEN_S)
        except (errors.InsufficientPrivilege, errors.WrongObjectType) as error:
            return str(error.diag.message_primary)
        else:
            log.info("%s: %s", index.full_name, (row and row[0]) or "swept")
            return str((row and row[0]) or "")
    return f"its table was in use at each of {TRIES} tries"
