"""What the bucket says about its backups, and what a proof says about the targets: judged, the clock included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.backups.catalogue import Backup, Catalogue
from include.backups.keys import DUMP
from include.backups.manifest import Manifest
from include.findings import Finding, Severity
from include.reporting import text
from include.settings import BackupLimits

if TYPE_CHECKING:
    from include.backups.prove import Proof

NIGHTS = 7
"""How far back a night without a good backup is named."""


@dataclass(frozen=True)
class Of:
    """What the backups are of, and whose line of the runbook asks."""

    item: str
    subject: str

    def found(self, check: str, severity: Severity, said: str, **evidence: object) -> Finding:
        """Return a finding about it."""
        return Finding(
            item=self.item,
            check=check,
            subject=self.subject,
            severity=severity,
            summary=said,
            evidence=evidence,
            next_step=_NEXT.get(check, "") if severity > Severity.INFO else "",
        )


def judge_catalogue(
    found: Catalogue[Any], limits: BackupLimits, now: datetime, of: Of | None = None
) -> Iterator[Finding]:
    """Before the next one is taken: the newest good one, the nights without one, and manifests that were changed.

    :param of: None means the database (B-01).
    """
    of = of or Of("B-01", f"database/{limits.database}")
    yield _newest_good(found, limits, now, of)
    yield _nights(found, now, of)
    yield _chain(found, of)


def _newest_good(found: Catalogue[Any], limits: BackupLimits, now: datetime, of: Of) -> Finding:
    good = found.newest_good
    if good is None:
        first = not found.backups
        said = "no backup yet: this is the first" if first else f"none of {len(found.backups)} backups is good"
        return of.found("newest_good", Severity.INFO if first else Severity.WARNING, said)
    age_s = (now - good.at).total_seconds()
    severity = Severity.WARNING if age_s > limits.rpo_target_s else Severity.OK
    said = f"the newest good backup is {text.span(age_s)} old (target {text.span(limits.rpo_target_s)})"
    evidence = {"value": round(age_s), "unit": "s", "threshold": limits.rpo_target_s, "n": len(found.backups)}
    return of.found("newest_good", severity, said, key=good.key, **_known_of(good), **evidence)


def _known_of(good: Backup[Any]) -> dict[str, object]:
    """Return what the next backup of a database asks of the newest good one."""
    if not isinstance(good.manifest, Manifest):
        return {}
    return {
        "system_identifier": good.manifest.facts.system_identifier,
        "dump_bytes": good.manifest.objects[DUMP].plain_bytes,
    }


def _nights(found: Catalogue[Any], now: datetime, of: Of) -> Finding:
    """Nights since the first backup, the coming one not counted, on which none was taken or none is good."""
    today = now.astimezone(UTC).date()
    begun = found.backups[0].at.astimezone(UTC).date() if found.backups else today
    first = max(begun, today - timedelta(days=NIGHTS))
    good = {backup.at.astimezone(UTC).date() for backup in found.backups if backup.is_good}
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    if missed := [f"{day}" for day in days if day not in good]:
        return of.found("nights", Severity.WARNING, f"no good backup of {', '.join(missed)}", missed=missed)
    said = f"a good backup of each of {len(days)} days" if days else "no night yet"
    return of.found("nights", Severity.OK, said, n=len(days))


def _chain(found: Catalogue[Any], of: Of) -> Finding:
    """Each manifest names the hash of the one before; one that reads otherwise today was changed."""
    known = {backup.key: backup.sha256 for backup in found.backups}
    facts = [backup.manifest.facts for backup in found.backups if backup.manifest]
    previous = [each.previous for each in facts if each.previous]
    if changed := [each.key for each in previous if known.get(each.key, each.sha256) != each.sha256]:
        said = f"the manifest of {changed[0]} is not the one that the next backup saw"
        return of.found("chain", Severity.CRITICAL, said, changed=changed)
    said = f"{len(previous)} manifests are as the next one saw them"
    last = {"key": found.newest.key, "sha256": found.newest.sha256} if found.newest else None
    return of.found("chain", Severity.OK, said, n=len(previous), last=last)


def judge_objectives(proof: Proof, subject: str, limits: BackupLimits) -> Iterator[Finding]:
    """How long a recovery from this backup takes and what it would lose, against the targets."""
    yield _objective("rto", "a recovery from it takes", proof.rto_s, limits.rto_target_s, subject)
    yield _objective("rpo", "a recovery from it loses the last", proof.rpo_s, limits.rpo_target_s, subject)


def _objective(check: str, what: str, value_s: float, target_s: float, subject: str) -> Finding:
    within = value_s <= target_s
    return Finding(
        item="B-16+",
        check=check,
        subject=subject,
        severity=Severity.OK if within else Severity.WARNING,
        summary=f"{what} {value_s:.0f} s (target {target_s:.0f} s)",
        evidence={"value": round(value_s, 1), "unit": "s", "threshold": target_s},
        next_step="" if within else "docs/runbooks/daily_database_backup.md, section RTO and RPO",
    )


_NEXT = {
    "newest_good": "the backup that is being taken now should mend it; if it is not good, somebody must look",
    "nights": "was Airflow down, or were those backups bad? `python -m include.backups list` says why",
    "chain": "find out who wrote to the bucket; that backup must not be used before its content is compared again",
}
