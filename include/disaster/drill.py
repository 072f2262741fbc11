"""The newest good backup into an empty server, by whoever holds nothing but the keys of disaster recovery.

Nothing is marked: that user of the bucket may not, and need not. What is found here, the operational side has to look at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from include.backups import fingerprint, keys, sealing, standing
from include.backups.catalogue import Backup
from include.backups.fingerprint import Fingerprint
from include.backups.opening import Opener
from include.backups.prove import Proof, Prover
from include.backups.standing import Standing
from include.disaster import target
from include.disaster.pieces import Missing, Needs, Piece, lacking
from include.errors import ConfigurationError, PermanentError, VerificationError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it; times in seconds.

    :param good: how many good backups the bucket shows.
    :param newest: key of the newest good one, which was to be restored.
    :param damaged: what is wrong with the good ones that could not be used, by key, newest first.
    :param missing: pieces that were not there; nothing was restored then.
    :param roles_there: of those that the backup names, how many the server had before; making those was not tried.
    :param before_s: from the decision until the fetching began: choosing, the look at the server, and what damaged ones took.
    :param rto_s: from the decision until it was restored and equal.
    """

    good: int = 0
    newest: str = ""
    proof: Proof | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[Missing] = ()
    roles: int = 0
    roles_there: int = 0
    before_s: float = 0.0
    rto_s: float = 0.0


def restore_newest(prover: Prover, *, decided: float) -> Outcome:
    """Restore and compare the newest good backup; one that is damaged is named, and the next older one is taken.

    :param decided: the moment of the decision, by `time.monotonic`.
    """
    found = standing.look(prover.store, prover.limits.database, datetime.now(UTC))
    good = [each for each in reversed(found) if each.backup.is_good]
    outcome = Outcome(good=len(good), newest=good[0].backup.key if good else "")
    for each in good[: prover.limits.older_attempts]:
        try:
            return _restored(prover, each, outcome, decided)
        except VerificationError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it, a traceback would not
            outcome = replace(outcome, damaged={**outcome.damaged, each.backup.key: str(error)})
    return outcome


def _restored(prover: Prover, each: Standing, outcome: Outcome, decided: float) -> Outcome:
    """Return what came of one backup; VerificationError if it is damaged."""
    if each.wrong:
        raise VerificationError(f"{each.backup.key} was good, and {each.wrong}")
    try:
        outcome = _foreseen(prover, each.backup, outcome)
        if outcome.missing:
            return outcome
        before_s = time.monotonic() - decided
        proof = prover.prove_again(each.backup.key, sha256=each.backup.sha256)
    except VerificationError:
        raise
    except PermanentError as error:  # nobody could have gone on here without doing something by hand
        return replace(outcome, missing=(Missing(piece=Piece.OTHER, said=str(error)),))
    return replace(outcome, proof=proof, before_s=before_s, rto_s=before_s + proof.rto_s)


def _foreseen(prover: Prover, backup: Backup, outcome: Outcome) -> Outcome:
    """Return the outcome with what is missing on the server."""
    if why := _sealed_otherwise(prover, backup):
        return replace(outcome, missing=(Missing(piece=Piece.KEY, said=why),))
    wanted = _wanted(prover, backup)
    there = target.look(prover.server, wanted.database, prover.limits)
    return replace(
        outcome,
        missing=tuple(lacking(there, needs(wanted, backup, prover.limits.spool_reserve_bytes))),
        roles=len(wanted.roles),
        roles_there=len(wanted.roles.keys() & there.roles),
    )


def _sealed_otherwise(prover: Prover, backup: Backup) -> str:
    """Why our key does not open it; "" if it does."""
    try:
        opens = prover.opens(backup)
    except ConfigurationError as error:
        return str(error)
    return (
        "" if opens else f"{backup.key} is not sealed to {prover.key_from}: use the private half of a recipient of it"
    )


def _wanted(prover: Prover, backup: Backup) -> Fingerprint:
    if not backup.manifest or keys.FINGERPRINT not in backup.manifest.objects:
        raise VerificationError(f"{backup.key}: its manifest names no {keys.FINGERPRINT}")
    identity = sealing.identity(prover.key, prover.key_from)
    return fingerprint.read(Opener(prover.store, identity, prover.limits).read(backup.manifest, keys.FINGERPRINT))


def needs(wanted: Fingerprint, backup: Backup, reserve_bytes: int) -> Needs:
    """Return what a backup asks of the server."""
    stored = backup.manifest.objects.get(keys.DUMP) if backup.manifest else None
    return Needs(
        major=int(wanted.facts.server_version.partition(".")[0]),
        roles=frozenset(wanted.roles),
        extensions=frozenset(wanted.extensions),
        spool_bytes=(stored.plain_bytes if stored else 0) + reserve_bytes,
    )


def steps(outcome: Outcome) -> Iterator[tuple[str, float]]:
    """Seconds of each step, which together are the RTO; fetching and opening are one stream."""
    if proof := outcome.proof:
        yield "choose and look", outcome.before_s
        yield "fetch and open", proof.fetch_s
        yield "restore", proof.restore_s
        yield "compare", proof.rto_s - proof.fetch_s - proof.restore_s
