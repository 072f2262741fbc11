"""How much the platform was used: today's 24 hours and the same 24 hours of the weeks before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.probes.postgres import Server
from include.sql import statement


@dataclass(frozen=True, kw_only=True)
class Weeks:
    """One number by weeks ago, and how fresh its source is.

    :param today: of the 24 hours until now.
    :param before: of the same 24 hours one week ago, two weeks ago, …; weeks that have no data at all are left out.
    :param newest: when the newest record was made; None when there is none.
    """

    today: float
    before: tuple[float, ...]
    newest: datetime | None


def weeks(server: Server, *, number: str, newest: str, until: datetime, weeks_back: int) -> Weeks:
    """Run `<number>_by_week.sql` and `newest_<newest>.sql`."""
    with server.session() as connection:
        rows = connection.execute(statement(f"{number}_by_week"), {"until": until, "weeks": weeks_back}).fetchall()
        found: dict[str, Any] | None = connection.execute(statement(f"newest_{newest}"), {"until": until}).fetchone()
    values = [row["value"] for row in rows]
    return Weeks(
        today=values[0], before=tuple(v for v in values[1:] if v > 0), newest=found["newest"] if found else None
    )
