"""The evidence of the runbooks: one row for every item of every try, appended by the database itself, each sealed with a hash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.findings import EVIDENCE_COLUMNS, Finding, Severity

if TYPE_CHECKING:
    from psycopg import Connection


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
        columns = {"source": source} | {key: finding.evidence.get(key) for key in EVIDENCE_COLUMNS if key in finding.evidence}
        columns["threshold"] = None if columns.get("threshold") is None else str(columns["threshold"])
        detail = {key: value for key, value in finding.evidence.items() if key not in EVIDENCE_COLUMNS}
        if finding.blind:
            detail["blind"] = asdict(finding.blind)
        return cls(
            item=finding.item,
            check=finding.check,
            subject=finding.subject,
            verdict=finding.severity.name,
            summary=finding.summary,
            observed_at=observed_at,
            detail=detail,
            **asdict(by),
            **columns,
        )
