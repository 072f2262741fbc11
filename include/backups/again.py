"""One older backup, by chance, restored and compared once more: that it was good when it was new says little about it today."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.backups import keys
from include.backups.catalogue import Backup, Verdict
from include.backups.prove import Proof, Prover
from include.backups.standing import Standing, older
from include.errors import ConfigurationError, RunbookError, VerificationError
from include.findings import Blind
from include.looking import blind

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    :param candidates: how many older ones could have been taken.
    :param sealed_otherwise: how many more there are that our key does not open, as after a change of keys.
    :param bad: what differed in those that are BAD since this run began, by their keys.
    :param unseen: why nobody could look; the verdict of that backup stays.
    """

    candidates: int
    sealed_otherwise: int = 0
    proof: Proof | None = None
    bad: Mapping[str, str] = field(default_factory=dict)
    unseen: Blind | None = None


def restore_one(prover: Prover, found: Sequence[Standing], *, run_id: str, began: datetime) -> Outcome:
    """Restore older ones by the lot of this run until one is equal; with `backup.older_attempts` that differ it ends.

    :param run_id: decides the lot, so that another try of the run takes the same backup.
    :param began: of the run; what an earlier try of it found BAD is told again, since its report is lost.
    """
    bad = found_bad(found, began)
    there = older(found)
    candidates = [each.backup for each in there if prover.opens(each.backup)]
    known: dict[str, Any] = {
        "candidates": len(candidates),
        "sealed_otherwise": len(there) - len(candidates),
        "bad": bad,
    }
    if there and not candidates:
        return Outcome(**known, unseen=blind(_sealed_to_others(there, prover)))
    for backup in drawn(candidates, run_id):
        if len(bad) >= prover.limits.older_attempts:
            break
        log.info("%s is restored, one of %d older good backups", backup.key, len(candidates))
        try:
            proof = _proof(prover, backup)
        except VerificationError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it, a traceback would not
            bad[backup.key] = str(error)
        except RunbookError as error:
            return Outcome(**known, unseen=blind(error))
        else:
            if proof:
                return Outcome(**known, proof=proof)
    return Outcome(**known)


def _proof(prover: Prover, backup: Backup) -> Proof | None:
    """Return the proof; None if somebody removed the backup meanwhile, as the retention may, which is no fault of it."""
    try:
        return prover.prove_again(backup.key, sha256=backup.sha256)
    except VerificationError as error:
        manifest = (backup.key + keys.MANIFEST, backup.version_id)
        if any((version.key, version.id) == manifest for version in prover.store.versions(backup.key)):
            raise
        log.warning("%s was removed while it was restored: %s", backup.key, error)
        return None


def drawn(candidates: Sequence[Backup], run_id: str) -> list[Backup]:
    """Return them in the order of this run's lot, which stays the same if one of them drops out."""
    return sorted(candidates, key=lambda backup: hashlib.sha256(f"{run_id}/{backup.key}".encode()).digest())


def found_bad(found: Sequence[Standing], began: datetime) -> dict[str, str]:
    """Return why those older than the newest good one are BAD that were marked so since a moment."""
    newest = max((each.backup.key for each in found if each.backup.is_good), default="")
    marked = [each.backup for each in found if each.backup.key < newest and each.backup.verdict is Verdict.BAD]
    second = began.replace(microsecond=0)  # a mark counts whole seconds
    return {backup.key: backup.mark.reason for backup in marked if backup.mark and backup.mark.at >= second}


def _sealed_to_others(there: Sequence[Standing], prover: Prover) -> ConfigurationError:
    return ConfigurationError(
        f"none of {len(there)} older good backups is sealed to the key in {prover.key_from}; to know whether they can be"
        " restored use the key that was in use when they were taken"
    )
