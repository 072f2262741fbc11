"""What a check says: findings, and the report that counts what was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """Ordered, so that `max()` is the verdict. Not being able to see is worse than seeing a small fault."""

    OK = 0
    INFO = 1
    WARNING = 2
    UNKNOWN = 3
    CRITICAL = 4


@dataclass(frozen=True, kw_only=True)
class Blind:
    """Why a look failed, fit to be shown: the sentence holds no secret.

    :param error: name of the error class, `TransientError`.
    :param reason: one sentence: what failed, on what, what to do next.
    :param transient: the same look may succeed in a minute, so the scheduler should try again.
    """

    error: str
    reason: str
    transient: bool


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one subject.

    :param item: id of the runbook line that asked, `H-05`.
    :param check: what was judged, `workloads_ready`.
    :param subject: what it was judged on, `deployment/worker`.
    :param summary: one sentence, with the number and the limit.
    :param evidence: the numbers that a person will ask for; JSON values only. The keys of `EVIDENCE_COLUMNS` become columns
        of the evidence table, all others go into its `detail`.
    :param next_step: what to do about it; empty when nothing is to be done.
    :param blind: set when the subject could not be looked at; the task then fails, after everything was told.
    :param in_table: it stands in the table of its report, and messages do not tell it once more; it is evidence like any other.
    """

    item: str
    check: str
    subject: str
    severity: Severity
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    next_step: str = ""
    blind: Blind | None = None
    in_table: bool = False

    @classmethod
    def unseen(cls, *, item: str, check: str, subject: str, blind: Blind, next_step: str = "") -> Finding:
        """Return the UNKNOWN that a failed look leaves."""
        summary = f"could not look: {blind.reason}"
        return cls(
            item=item,
            check=check,
            subject=subject,
            severity=Severity.UNKNOWN,
            summary=summary,
            next_step=next_step,
            blind=blind,
        )


EVIDENCE_COLUMNS = ("source", "request", "window_start", "window_end", "n", "value", "unit", "threshold")
"""Keys of `Finding.evidence` with a column of their own: who was asked what, over which time, how many samples, what came back."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one source was asked and what it answered.

    :param source: `kubernetes`, `postgres`, …
    :param checked: how many things were looked at; nothing checked and nothing found is UNKNOWN, never OK.
    :param findings: in any order; healthy ones (OK, INFO) included, since they are evidence too.
    :param table: lines of equal columns that messages show as they are, above the findings.
    """

    source: str
    checked: int
    findings: tuple[Finding, ...]
    table: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """The verdict: the worst finding, and UNKNOWN when nothing was looked at."""
        blind = () if self.checked else (Severity.UNKNOWN,)
        return max((*blind, *(finding.severity for finding in self.findings)), default=Severity.OK)

    @property
    def told(self) -> tuple[Finding, ...]:
        """The findings that messages tell one by one."""
        return tuple(finding for finding in self.findings if not finding.in_table)

    @property
    def blind(self) -> tuple[Finding, ...]:
        """The findings whose subject could not be looked at."""
        return tuple(finding for finding in self.findings if finding.blind)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values for XCom, which loses the types of nested dataclasses."""
        return {**asdict(self), "findings": [{**asdict(f), "severity": f.severity.name} for f in self.findings]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """Read back what `to_json` wrote."""
        findings = tuple(_finding_from_json(finding) for finding in value["findings"])
        table = tuple(value.get("table", ()))
        return cls(source=value["source"], checked=value["checked"], findings=findings, table=table)


def _finding_from_json(value: Mapping[str, Any]) -> Finding:
    blind = value.get("blind")
    return Finding(**{**value, "severity": Severity[value["severity"]], "blind": Blind(**blind) if blind else None})


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, worst first, then by item, so that two runs read alike."""
    return sorted(findings, key=lambda finding: (-finding.severity, finding.item, finding.subject))
