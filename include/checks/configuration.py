"""A backup of the configuration, judged: what is in it, what could not be read, what drifted, which certificate ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.backups.moving import size
from include.configuration import files
from include.configuration.bundle import Bundle
from include.configuration.drift import Difference, Place, Writer
from include.findings import Blind, Finding, Severity
from include.settings import ConfigurationLimits

if TYPE_CHECKING:
    from include.backups.manifest import ConfigurationFacts
    from include.configuration.prove import Proof
    from include.configuration.take import Taken

PAGE = "docs/runbooks/daily_configuration_backup.md"
TOLD_MAX = 30
"""Objects that drifted and are told one by one; the others stand in the evidence."""
FIELDS_MAX = 4
"""Fields of one object that its sentence names."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Who judges: one namespace, its limits, the clock."""

    namespace: str
    limits: ConfigurationLimits
    now: datetime

    @property
    def subject(self) -> str:
        """`configuration/ai-orchestrator`."""
        return f"configuration/{self.namespace}"

    def taken(self, taken: Taken) -> Iterator[Finding]:
        """What is in it: keys, kinds, secrets, files, certificates (B-08, B-09, B-11 to B-14)."""
        facts = taken.manifest.facts
        yield self._found("B-08", "stored_under", f"a key of its own, which no other runbook cleans: {facts.key}")
        yield self._kinds(facts)
        yield from self._unread(taken.bundle)
        yield self._secrets(facts)
        yield from self._files(taken)
        yield from self._certificates(taken.bundle)
        yield self._uploaded(taken)

    def proved(self, proof: Proof) -> Iterator[Finding]:
        """That the API server would take all of it (B-14)."""
        lent = f"; {len(proof.rights)} rights were read and are not the prover's to grant" if proof.rights else ""
        said = (
            f"GOOD: fetched, opened, and {proof.applied} objects would be applied as they are, after {proof.rto_s:.1f} s;"
            f" {proof.outside} of the cluster were read back{lent}; locked until {proof.locked_until:%Y-%m-%d}"
        )
        evidence: dict[str, Any] = {
            "value": round(proof.rto_s, 2),
            "unit": "s",
            "n": proof.applied,
            "key": proof.backup.key,
        }
        yield self._found("B-14", "proved", said, **evidence, rights=list(proof.rights))

    def lost(self, before: ConfigurationFacts, now: ConfigurationFacts) -> Iterator[Finding]:
        """Kinds of which there was something, and is nothing now (B-09); one that could not be read is told as that."""
        if gone := [kind for kind in before.kinds if kind not in now.kinds and not now.unread]:
            said = f"no {', '.join(gone)} is left, and there was when the last good backup was taken"
            yield self._found("B-09", "kinds_lost", said, Severity.WARNING, f"{PAGE}, section Drift", kinds=gone)

    def drift(self, found: Sequence[Difference], writers: Mapping[Place, Writer | None]) -> Iterator[Finding]:
        """What became different, object by object (B-10); an unchanged cluster gives nothing but that."""
        by_object: dict[str, list[Difference]] = {}
        for each in found:
            by_object.setdefault(each.subject, []).append(each)
        told = [self._drifted(subject, each, writers) for subject, each in by_object.items()]
        unexpected = [finding for finding in told if finding.severity > Severity.INFO]
        late = {id(finding) for finding in unexpected[TOLD_MAX:]}
        yield from (_in_table(finding) if id(finding) in late else finding for finding in told)
        yield self._drift_as_a_whole(found, unexpected)

    def _drift_as_a_whole(self, found: Sequence[Difference], unexpected: Sequence[Finding]) -> Finding:
        said = f"{len(found)} fields differ from the last good backup, {len(unexpected)} objects unexpectedly"
        if len(unexpected) > TOLD_MAX:
            said += f"; {len(unexpected) - TOLD_MAX} more objects are in the evidence"
        severity = Severity.WARNING if unexpected else Severity.OK
        next_step = f"{PAGE}, section Drift" if unexpected else ""
        return self._found(
            "B-10", "drift", said, severity, next_step, n=len(found), value=len(unexpected), unit="objects"
        )

    def _drifted(self, subject: str, fields: Sequence[Difference], writers: Mapping[Place, Writer | None]) -> Finding:
        by = {f"{writer}" for each in fields if (writer := writers.get(each.place))}
        expected = _is_expected(fields, writers, self.limits.managers)
        more = f" and {len(fields) - FIELDS_MAX} more" if len(fields) > FIELDS_MAX else ""
        who = f" (last written by {', '.join(sorted(by))})" if by else " (who: the API server's audit log)"
        return Finding(
            item="B-10",
            check="drifted",
            subject=subject,
            severity=Severity.INFO if expected else Severity.WARNING,
            summary=f"{'; '.join(map(str, fields[:FIELDS_MAX]))}{more}{who}",
            evidence={"n": len(fields), "fields": [each.field for each in fields], "writers": sorted(by)},
            next_step=""
            if expected
            else "was it meant? then put it into Git; else configuration_recovery takes it back",
            in_table=expected,
        )

    def _kinds(self, facts: ConfigurationFacts) -> Finding:
        left = ", ".join(f"{n} {why}" for why, n in facts.left_out.items())
        said = f"{facts.objects} objects of {len(facts.kinds)} kinds at {facts.taken_at:%H:%M:%S} UTC; left out: {left or 'none'}"
        known: dict[str, Any] = {"kinds": dict(facts.kinds), "left_out": dict(facts.left_out), "cluster": facts.cluster}
        return self._found("B-09", "taken", said, n=facts.objects, value=round(facts.took_s, 2), unit="s", **known)

    def _unread(self, bundle: Bundle) -> Iterator[Finding]:
        for what, why in bundle.unread.items():
            item = "B-12" if what.startswith("folder ") else "B-09"
            blind = Blind(error="ConfigurationError", reason=why, transient=False)
            next_step = f"{PAGE}, section UNKNOWN"
            yield Finding.unseen(item=item, check="read", subject=what, blind=blind, next_step=next_step)

    def _secrets(self, facts: ConfigurationFacts) -> Finding:
        said = f"{facts.secrets} Secrets sealed in memory to {', '.join(sorted(facts.recipients))}; of values only keyed fingerprints"
        return self._found("B-11", "sealed", said, n=facts.secrets, recipients=dict(facts.recipients))

    def _files(self, taken: Taken) -> Iterator[Finding]:
        found = taken.bundle.files
        known: dict[str, Any] = {"files": [dict(each) for each in found], "n": len(found)}
        yield self._found(
            "B-12", "files", f"{len(found)} mounted files, each with a keyed fingerprint, sealed", **known
        )
        for name, differ in taken.not_as_in_git.items():
            if differ:
                said = f"{name}: {_listed(differ)}"
                yield self._found(
                    "B-12", f"git_{name}", said, Severity.WARNING, f"{PAGE}, section Files", differ=differ
                )
            else:
                yield self._found("B-12", f"git_{name}", f"{name} is mounted as Git has it")

    def _certificates(self, bundle: Bundle) -> Iterator[Finding]:
        known = [each for each in bundle.certificates if "not_after" in each]
        ends = [(datetime.fromisoformat(each["not_after"]), each) for each in known]
        shown = [{**each, "pem": None} for each in bundle.certificates]
        private = [each["path"] for each in bundle.files if each["private"]]
        said = f"{len(bundle.certificates)} certificates in clear, {len(private)} private keys sealed"
        yield self._found("B-13", "certificates", said, n=len(bundle.certificates), certificates=shown, private=private)
        for end, each in sorted(ends, key=lambda pair: pair[0]):
            yield from self._ending(each["place"], (end - self.now).days)
        if strange := files.strangers(bundle.certificates):
            yield self._found(
                "B-13", "strangers", _listed(strange), Severity.WARNING, f"{PAGE}, section Files", certificates=strange
            )

    def _ending(self, place: str, days: int) -> Iterator[Finding]:
        limit = self.limits.certificate_warning_days
        if days < limit:
            said = f"the certificate at {place} ends in {days} days (limit {limit})"
            yield self._found(
                "B-13", "ends", said, Severity.WARNING, f"{PAGE}, section Files", value=days, unit="d", threshold=limit
            )

    def _uploaded(self, taken: Taken) -> Finding:
        manifest = taken.manifest
        n = len(manifest.objects)
        said = f"{size(manifest.stored_bytes)} in {n} objects, each checked by the store; manifest {taken.sha256[:12]}"
        known = {name: stored.model_dump() for name, stored in manifest.objects.items()}
        stored: dict[str, Any] = {"key": manifest.facts.key, "manifest": taken.sha256, "objects": known}
        return self._found("B-14", "uploaded", said, value=manifest.stored_bytes, unit="bytes", **stored)

    def _found(
        self, item: str, check: str, said: str, severity: Severity = Severity.OK, next_step: str = "", **evidence: Any
    ) -> Finding:
        return Finding(
            item=item,
            check=check,
            subject=self.subject,
            severity=severity,
            summary=said,
            evidence=evidence,
            next_step=next_step,
        )


def _is_expected(
    fields: Sequence[Difference], writers: Mapping[Place, Writer | None], managers: Collection[str]
) -> bool:
    """Whether all of it was written by those whose changes are no drift; what nobody can know is not expected."""
    known = [writers.get(each.place) for each in fields]
    return all(writer is not None and writer.manager in managers for writer in known)


def _in_table(finding: Finding) -> Finding:
    return Finding(**{**vars(finding), "in_table": True})


def _listed(said: Sequence[str]) -> str:
    more = f" and {len(said) - FIELDS_MAX} more" if len(said) > FIELDS_MAX else ""
    return f"{'; '.join(said[:FIELDS_MAX])}{more}"
