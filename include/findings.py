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
class Finding:
    """One sentence about one subject.

    :param item: id of the runbook line that asked, `H-05`.
    :param check: what was judged, `workloads_ready`.
    :param subject: what it was judged on, `deployment/worker`.
    :param summary: one sentence, with the number and the limit.
    :param evidence: the numbers that a person will ask for; JSON values only.
    :param next_step: what to do about it; empty when nothing is to be done.
    """

    item: str
    check: str
    subject: str
    severity: Severity
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one source was asked and what it answered.

    :param source: `kubernetes`, `postgres`, …
    :param checked: how many things were looked at; nothing checked and nothing found is UNKNOWN, never OK.
    :param findings: in any order; healthy ones (OK, INFO) included, since they are evidence too.
    """

    source: str
    checked: int
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """The verdict: the worst finding, and UNKNOWN when nothing was looked at."""
        blind = () if self.checked else (Severity.UNKNOWN,)
        return max((*blind, *(finding.severity for finding in self.findings)), default=Severity.OK)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values for XCom, which loses the types of nested dataclasses."""
        return {**asdict(self), "findings": [{**asdict(f), "severity": f.severity.name} for f in self.findings]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """Read back what `to_json` wrote."""
        findings = (Finding(**{**f, "severity": Severity[f["severity"]]}) for f in value["findings"])
        return cls(source=value["source"], checked=value["checked"], findings=tuple(findings))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, worst first, then by item, so that two runs read alike."""
    return sorted(findings, key=lambda finding: (-finding.severity, finding.item, finding.subject))
