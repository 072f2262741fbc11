"""From looks to a report: every judge gets the answers that it needs, and a look that failed leaves its UNKNOWN."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.findings import Blind, Finding, Report
from include.looking import blind as blinded
from include.looking import look

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing to be known.

    :param item: id of the runbook line that asks.
    :param check: what is judged, `workloads_ready`.
    :param subject: what stands in the report when it could not be seen.
    :param needs: names of the looks whose answers the judge takes, in this order.
    :param judge: answers in, findings out.
    :param next_step: what to do when it could not be seen.
    """

    item: str
    check: str
    subject: str
    needs: tuple[str, ...]
    judge: Callable[..., Iterable[Finding]]
    next_step: str = ""

    def answer(self, answers: Mapping[str, Any]) -> Iterator[Finding]:
        """Judge, or say why that cannot be done; what was judged before a judge failed still counts."""
        given = [answers[name] for name in self.needs]
        blind = next((each for each in given if isinstance(each, Blind)), None)
        if blind:
            yield self._unseen(blind)
            return
        try:
            yield from self.judge(*given)
        except Exception as error:
            log.exception("the judge of %s failed", self.check)
            yield self._unseen(_unjudged(error))

    def _unseen(self, blind: Blind) -> Finding:
        return Finding.unseen(
            item=self.item, check=self.check, subject=self.subject, blind=blind, next_step=self.next_step
        )


def _unjudged(error: Exception) -> Blind:
    blind = blinded(error)
    return replace(blind, reason=f"what came back could not be judged ({blind.reason}); the task's log has the rest")


def inquire(
    source: str, looks: Mapping[str, Callable[[], Any]], questions: Sequence[Question], *, deadline_s: float
) -> Report:
    """Look at all of it side by side, then judge; nothing that fails keeps another question from its answer."""
    named = {f"{source} ({name})": probe for name, probe in looks.items()}  # the name stands in "did not answer within"
    answers = dict(zip(looks, look(named, deadline_s).values(), strict=True))
    findings = tuple(_sourced(source, finding) for question in questions for finding in question.answer(answers))
    told = tuple(one_for_each_dark_item(source, findings))
    return Report(source=source, checked=sum(not finding.blind for finding in told), findings=told)


def one_for_each_dark_item(source: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Leave one UNKNOWN of an item of which nothing could be seen: ten times the same sentence hides the others."""
    seen = {finding.item for finding in findings if not finding.blind}
    told: set[str] = set()
    for finding in findings:
        if finding.item in seen:
            yield finding
        elif finding.item not in told:
            told.add(finding.item)
            yield replace(finding, subject=source)


def _sourced(source: str, finding: Finding) -> Finding:
    return replace(finding, evidence={"source": source, **finding.evidence})
