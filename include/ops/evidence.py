"""The evidence of the runbooks: a row for every finding of every try, sealed by the database with the hash of the row before.

`OPS_DSN=… python -m include.ops.evidence --from 2030-01-01 --to 2030-01-31` exports it and verifies the chain.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from include.findings import EVIDENCE_COLUMNS, Finding, Severity

if TYPE_CHECKING:
    from psycopg import Connection

REMEMBERED = timedelta(days=14)
"""How far back a page may lie that a run still ends; an older one is ended by hand."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """Whose look it was: one try of one task in one run."""

    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    code_version: str = "unknown"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One row: what was asked of whom, what came back, what was made of it.

    The same item, check and subject in the same try is stored once, however often it is appended.

    :param request: the query or call, without secrets.
    :param n: how many samples the value rests on.
    :param detail: further numbers; JSON values only.
    :param observed_at: when it was looked at; the database adds when it was recorded.
    """

    item: str
    check: str
    subject: str
    verdict: str
    summary: str
    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    observed_at: datetime
    code_version: str = "unknown"
    source: str | None = None
    request: str | None = None
    window_start: datetime | str | None = None
    window_end: datetime | str | None = None
    n: int | None = None
    value: float | None = None
    unit: str | None = None
    threshold: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, finding: Finding, *, source: str, by: Try, observed_at: datetime) -> Evidence:
        """Return the row of a finding: the keys that have a column go there, all others into `detail`."""
        given = {key: value for key, value in finding.evidence.items() if value is not None}
        columns: dict[str, Any] = {"source": source} | {key: given.pop(key) for key in EVIDENCE_COLUMNS if key in given}
        if "threshold" in columns:
            columns["threshold"] = str(columns["threshold"])
        return cls(
            item=finding.item,
            check=finding.check,
            subject=finding.subject,
            verdict=finding.severity.name,
            summary=finding.summary,
            observed_at=observed_at,
            detail=given | ({"blind": asdict(finding.blind)} if finding.blind else {}),
            **asdict(by),
            **columns,
        )


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What an earlier try recorded of one subject.

    :param paged: it was critical, and no run since has ended its page.
    """

    item: str
    check: str
    subject: str
    severity: Severity
    value: Decimal | None
    observed_at: datetime
    run_id: str
    task_id: str
    paged: bool = False


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What earlier runs of a DAG recorded.

    :param previous: by the last run that came to a verdict.
    :param last: what was last seen of each subject, by whichever run saw it: being blind in between is not seeing.
    """

    previous: tuple[Recorded, ...] = ()
    last: tuple[Recorded, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number that an earlier run recorded, with what it said beside it."""

    run_id: str
    subject: str
    value: float
    observed_at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


def append(connection: Connection, rows: Iterable[Evidence]) -> int:
    """Append what is not there yet in one transaction and return how many rows that were."""
    text = _storable(json.dumps([asdict(row) for row in rows], default=_plain, allow_nan=False, ensure_ascii=False))
    with connection.transaction():
        added = connection.execute("select ops.append_evidence(%s::jsonb)", [text]).fetchone()
    return int(added[0]) if added else 0


def last_values(connection: Connection, *, item: str, before: datetime) -> dict[str, Recorded]:
    """Return, by subject, what was recorded of an item last before a moment."""
    rows = connection.execute(
        """
        select distinct on (subject) item, "check", subject, verdict, value, observed_at, run_id, task_id
        from ops.evidence where item = %s and observed_at < %s order by subject, observed_at desc, id desc
        """,
        [item, before],
    )
    return {row.subject: row for row in map(_recorded, rows)}


def measured(
    connection: Connection, *, item: str, check: str, subject: str, since: datetime, before: datetime
) -> list[Measured]:
    """Return the numbers of a check between two moments, oldest first: of each run its last try."""
    rows = connection.execute(
        """
        select distinct on (run_id, dag_id) run_id, subject, value::float8, observed_at, detail from ops.evidence
        where item = %s and "check" = %s and subject = %s and observed_at >= %s and observed_at < %s and value is not null
        order by run_id, dag_id, observed_at desc, id desc
        """,
        [item, check, subject, since, before],
    )
    found = [
        Measured(run_id=run_id, subject=of, value=value, observed_at=at, detail=detail or {})
        for run_id, of, value, at, detail in rows
    ]
    return sorted(found, key=lambda each: each.observed_at)


def verdicts_of_previous_run(connection: Connection, dag_id: str, before: datetime, run_id: str = "") -> list[Recorded]:
    """Return what the last run of the DAG that came to a verdict recorded, of each subject its last try; empty on the first run.

    :param run_id: the run that asks; its own earlier tries are not the previous run.
    """
    rows = connection.execute(
        """
        select distinct on (item, "check", subject) item, "check", subject, verdict, value, observed_at, run_id, task_id
        from ops.evidence
        where dag_id = %(dag_id)s and run_id = (
            select run_id from ops.evidence
            where dag_id = %(dag_id)s and run_id <> %(run_id)s and observed_at < %(before)s and "check" = 'verdict'
            order by observed_at desc, id desc limit 1
        )
        order by item, "check", subject, observed_at desc, id desc
        """,
        {"dag_id": dag_id, "run_id": run_id, "before": before},
    )
    return [_recorded(row) for row in rows]


def last_seen(
    connection: Connection, dag_id: str, before: datetime, run_id: str = "", *, within: timedelta = REMEMBERED
) -> list[Recorded]:
    """Return what was last seen of each subject by any run of the DAG, and whether a page of it may be open; UNKNOWN is not seen.

    :param run_id: the run that asks; what it saw itself is not earlier.
    """
    rows = connection.execute(
        """
        with earlier as (
            select * from ops.evidence
            where dag_id = %(dag_id)s and run_id <> %(run_id)s and observed_at >= %(since)s and observed_at < %(before)s
        ), ended as (
            select page->>0 as item, page->>1 as subject, max(observed_at) as ended_at
            from earlier, jsonb_array_elements(coalesce(detail->'ended', '[]')) as page
            where "check" = 'verdict' group by 1, 2
        )
        select distinct on (item, "check", subject) item, "check", subject, verdict, value, observed_at, run_id, task_id,
            coalesce(
                max(observed_at) filter (where verdict = 'CRITICAL') over each > coalesce(ended_at, '-infinity'), false
            )
        from earlier left join ended using (item, subject)
        where verdict <> 'UNKNOWN' and "check" not in ('verdict', 'slot')
        window each as (partition by item, "check", subject)
        order by item, "check", subject, observed_at desc, id desc
        """,
        {"dag_id": dag_id, "run_id": run_id, "before": before, "since": before - within},
    )
    return [_recorded(row) for row in rows]


def _recorded(row: tuple[Any, ...]) -> Recorded:
    item, check, subject, verdict, value, observed_at, run_id, task_id, *paged = row
    return Recorded(
        item=item,
        check=check,
        subject=subject,
        severity=Severity[verdict],
        value=value,
        observed_at=observed_at,
        run_id=run_id,
        task_id=task_id,
        paged=any(paged),
    )


def _storable(text: str) -> str:
    """Return the JSON without what PostgreSQL cannot hold and a log line may bring: NUL and half characters."""
    without_nul = re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1", text)
    return without_nul.encode(errors="replace").decode()


def _plain(value: object) -> str | list[object]:
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    from include.ops.export import main

    sys.exit(main())
