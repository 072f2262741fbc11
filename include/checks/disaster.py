"""What the disaster-recovery test restored, what of it was damaged, and what was missing (item M-03): judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.disaster import pieces
from include.disaster.drill import Outcome, steps
from include.disaster.pieces import Missing
from include.findings import Finding, Severity
from include.settings import BackupLimits

if TYPE_CHECKING:
    from include.backups import again
    from include.backups.prove import Proof
    from include.disaster.configuration import Restored

PAGE = "docs/runbooks/monthly_disaster_recovery_test.md"


def judge_newest(outcome: Outcome, limits: BackupLimits) -> Iterator[Finding]:
    """Were all pieces there, is the newest good backup whole, and is what came of it equal?"""
    yield _pieces(outcome.missing, outcome, limits)
    if outcome.missing:
        return
    yield _newest_intact(outcome, limits)
    if proof := outcome.proof:
        yield of("M-03", "restored_newest", Severity.OK, _restored(proof, outcome.rto_s), limits, **_facts(outcome))


def lacking(missing: Sequence[Missing], limits: BackupLimits) -> Finding:
    """What is missing before anything could be looked at: a Connection, a key."""
    return _pieces(missing, Outcome(), limits)


def _pieces(missing: Sequence[Missing], outcome: Outcome, limits: BackupLimits) -> Finding:
    told = [f"{each.piece.value}: {each.said}" for each in missing]
    evidence: dict[str, Any] = {
        "missing": [{"piece": each.piece.value, "said": each.said} for each in missing],
        "manual_steps": told,
        "value": len(missing),
        "unit": "pieces",
        "threshold": 0,
        "n": len(pieces.ALL),
    }
    if missing:
        said = f"nothing could be restored, {len(missing)} of what it needs was missing: {'; '.join(told)}"
        return of(
            "M-03", "pieces", Severity.CRITICAL, said, limits, next_step=f"{PAGE}, section Missing pieces", **evidence
        )
    there = (
        f"{outcome.roles_there} of {outcome.roles} roles were there before" if outcome.roles_there else "no role yet"
    )
    said = f"nothing was missing of {', '.join(pieces.ALL)}; nothing was done by hand ({there})"
    evidence |= {"roles": outcome.roles, "roles_there": outcome.roles_there}
    return of("M-03", "pieces", Severity.OK, said, limits, **evidence)


def _newest_intact(outcome: Outcome, limits: BackupLimits) -> Finding:
    evidence: dict[str, Any] = {"key": outcome.newest or None, "damaged": dict(outcome.damaged), "n": outcome.good}
    if not outcome.good:
        said, step = (
            "the bucket shows no good backup: there is nothing to recover from",
            f"{PAGE}, section No good backup",
        )
    elif outcome.damaged and outcome.proof:
        said = (
            f"the newest good backup cannot be used, and {outcome.proof.backup.key} had to do: {_told(outcome.damaged)}"
        )
        step = f"{PAGE}, section A damaged backup"
    elif outcome.damaged:
        said = f"none of the {len(outcome.damaged)} newest good backups can be used: {_told(outcome.damaged)}"
        step = f"{PAGE}, section A damaged backup"
    else:
        said = f"the newest of {outcome.good} good backups was used: {outcome.newest}"
        return of("M-03", "newest_intact", Severity.OK, said, limits, **evidence)
    return of("M-03", "newest_intact", Severity.CRITICAL, said, limits, next_step=step, **evidence)


def _told(damaged: Mapping[str, str]) -> str:
    return "; ".join(damaged.values())


def judge_older(outcome: again.Outcome, limits: BackupLimits) -> Iterator[Finding]:
    """Is an older one, by lot, still equal, opened by the key of disaster recovery?"""
    bad: dict[str, Any] = {"damaged": dict(outcome.bad), "n": outcome.candidates}
    if outcome.bad:
        said = f"of the older good backups {len(outcome.bad)} cannot be used: {_told(outcome.bad)}"
        step = f"{PAGE}, section A damaged backup"
        yield of("M-03", "older_intact", Severity.CRITICAL, said, limits, next_step=step, **bad)
    if outcome.unseen:
        step = f"{PAGE}, section Missing pieces"
        said = f"no older backup could be restored: {outcome.unseen.reason}"
        severity = Severity.UNKNOWN if outcome.unseen.transient else Severity.CRITICAL
        yield replace(of("M-03", "restored_older", severity, said, limits, next_step=step), blind=outcome.unseen)
    elif proof := outcome.proof:
        said = f"drawn from {outcome.candidates} older good backups: {_restored(proof, proof.rto_s)}"
        evidence = {**_measured(proof), "rto_s": round(proof.rto_s, 2), "value": round(proof.rto_s, 2), "unit": "s"}
        yield of("M-03", "restored_older", Severity.OK, said, limits, **evidence)
    elif not outcome.bad:
        said = "no older good backup is there: only the newest was restored"
        step = f"none if backups began within these days, else {PAGE}, section No good backup"
        yield of("M-03", "restored_older", Severity.WARNING, said, limits, next_step=step, n=0)


def judge_configuration(restored: Restored, key: str, rto_s: float, limits: BackupLimits) -> Finding:
    """Is the newest good configuration bundle whole, and would an empty namespace take all of it?"""
    wrong = [*restored.refused, *restored.differing]
    told = (
        f"{restored.made} objects of {key} made in an empty namespace and compared, {restored.tried} tried; an administrator's:"
        f" {restored.rights} rights, {restored.outside} objects of the cluster"
    )
    said = f"{told}; not as they were: {'; '.join(wrong[:5])}" if wrong or not restored.is_whole else told
    severity = Severity.OK if restored.is_whole else Severity.CRITICAL
    step = "" if restored.is_whole else f"{PAGE}, section The configuration"
    numbers = {"value": round(rto_s, 2), "unit": "s", "n": restored.made, "key": key, "wrong": wrong}
    found = of("M-03", "restored_configuration", severity, said, limits, next_step=step, **numbers)
    return replace(found, subject=f"configuration/{restored.namespace}")


def not_tried(limits: BackupLimits) -> Finding:
    """An older backup was not restored, since what was missing for the newest is missing for it."""
    said = "not tried: what was missing for the newest backup is missing for an older one too"
    return of(
        "M-03", "restored_older", Severity.UNKNOWN, said, limits, next_step="mend that, then trigger the runbook again"
    )


def _restored(proof: Proof, rto_s: float) -> str:
    manifest = proof.backup.manifest
    assert manifest  # it was proved
    facts = manifest.facts
    return (
        f"{proof.backup.key} of {utc(proof.backup.at)}: {facts.tables} tables, {facts.rows} rows equal in an empty server"
        f" after {rto_s:.1f} s"
    )


def _facts(outcome: Outcome) -> dict[str, Any]:
    assert outcome.proof  # who asks has looked
    return {
        **_measured(outcome.proof),
        "value": round(outcome.rto_s, 2),
        "unit": "s",
        "rto_s": round(outcome.rto_s, 2),
        "rpo_s": round(outcome.proof.rpo_s, 2),
        "steps": {name: round(seconds, 2) for name, seconds in steps(outcome)},
        "roles_there": outcome.roles_there,
    }


def _measured(proof: Proof) -> dict[str, Any]:
    manifest = proof.backup.manifest
    assert manifest  # it was proved
    facts = manifest.facts
    newest = facts.last_commit_at or facts.taken_at
    return {
        "key": proof.backup.key,
        "taken_at": facts.taken_at.isoformat(timespec="seconds"),
        "newest_transaction_at": newest.isoformat(timespec="seconds"),
        "commit_times_known": facts.last_commit_at is not None,
        "tables": facts.tables,
        "rows": facts.rows,
        "n": facts.rows,
        "database_bytes": facts.database_bytes,
        "stored_bytes": manifest.stored_bytes,
        "server_version": facts.server_version,
        "steps": {
            "fetch and open": round(proof.fetch_s, 2),
            "restore": round(proof.restore_s, 2),
            "compare": round(proof.rto_s - proof.fetch_s - proof.restore_s, 2),
        },
        "indexes_checked": proof.indexes,
        "in_flux": len(proof.in_flux),
        "scratch_database": proof.restored_into,
    }


def utc(at: datetime) -> str:
    """Return `2026-11-25 02:00 UTC`: the clock that backups are named by."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def of(
    item: str, check: str, severity: Severity, said: str, limits: BackupLimits, *, next_step: str = "", **evidence: Any
) -> Finding:
    """Return a finding about the database."""
    return Finding(
        item=item,
        check=check,
        subject=f"database/{limits.database}",
        severity=severity,
        summary=said,
        evidence=evidence,
        next_step=next_step,
    )
