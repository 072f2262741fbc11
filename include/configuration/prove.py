"""Prove a backup of the configuration: fetch what was stored, open it, and let an API server take all of it as a dry run.

Only then it is GOOD, and locked. What the server would not take makes it BAD. What could not be tried (no scratch namespace, a right
that is missing, a server that does not answer) says nothing about the backup: it stays unproved, which is not GOOD either.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from include.backups import marking, sealing
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.manifest import ConfigurationManifest
from include.backups.store import Store
from include.configuration import applying, bundle, reading
from include.configuration.applying import RejectedError
from include.configuration.bundle import OpenedBundle
from include.configuration.listing import patiently
from include.configuration.normalise import Object, name
from include.configuration.take import summary
from include.errors import ConfigurationError, VerificationError
from include.probes.kubernetes import DeniedError, Json, Reader

if TYPE_CHECKING:
    from pyrage.x25519 import Identity

log = logging.getLogger(__name__)

UNGRANTABLE = "its rights are not the prover's to grant"
AT_ONCE = 8
"""Dry runs side by side: most of each is the server's time."""


class Dry(Reader, Protocol):
    """Whoever applies as a dry run."""

    def dry_apply(self, path: str, thing: Object) -> Json:
        """Return the object as it would be."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found out; times in seconds.

    :param applied: objects that the server would take.
    :param rights: rights that go beyond the prover's own: the server reads them, and lets nobody try to grant them.
    :param outside: objects of the cluster, which no namespace can take for a try.
    :param rto_s: until everything was fetched, opened and tried.
    """

    backup: Backup[ConfigurationManifest]
    applied: int
    rights: Sequence[str]
    outside: int
    rto_s: float
    locked_until: datetime


@dataclass(frozen=True, kw_only=True)
class Prover:
    """Who proves: the bucket as the verifier, an account that may try into the scratch namespace, and a private key.

    :param key: an age private key; `key_from` says in errors where it came from.
    :param expected: uid of the cluster's kube-system; "" expects that of the newest good backup.
    """

    store: Store
    cluster: Dry
    scratch: str
    recipients: Mapping[str, str]
    key: str = field(repr=False)
    key_from: str
    lock_days: int
    expected: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def prove(self, key: str, *, sha256: str = "", usual: Backup[ConfigurationManifest] | None = None) -> Proof:
        """Prove one backup and mark it; VerificationError if it is BAD.

        :param sha256: of the manifest that was taken; another one at this key is BAD. "" takes what is there.
        :param usual: the newest good one: another cluster than its is BAD.
        """
        identity = self._identity()
        backup = reading.find(self.store, key, sha256)
        self._refuse_no_scratch()
        with marking.condemned(self.store, backup):
            proof = self._prove(backup, identity, sha256, usual)
        marking.lock(self.store, backup, proof.locked_until)
        marking.mark(self.store, backup, self._good(proof))
        log.info("%s is GOOD: %d objects would be applied, after %.1f s", backup.key, proof.applied, proof.rto_s)
        return proof

    def _identity(self) -> Identity:
        identity = sealing.identity(self.key, self.key_from)
        if str(identity.to_public()) not in self.recipients.values():
            raise ConfigurationError(
                f"{self.key_from} holds a private key whose public half is not among configuration.recipients: no backup is"
                " sealed to it; put the right key there, or add its public half to OPS_CONFIGURATION__RECIPIENTS"
            )
        return identity

    def _refuse_no_scratch(self) -> None:
        try:
            self.cluster.get(f"/api/v1/namespaces/{self.scratch}", {})
        except DeniedError as error:
            raise ConfigurationError(
                f"the scratch namespace {self.scratch} cannot be seen ({error.status}): apply"
                " deploy/kubernetes/ops-config-prove.yaml, or correct configuration.scratch_namespace"
            ) from None

    def _prove(
        self,
        backup: Backup[ConfigurationManifest],
        identity: Identity,
        sha256: str,
        usual: Backup[ConfigurationManifest] | None,
    ) -> Proof:
        began = time.monotonic()
        if sha256 and backup.sha256 != sha256:
            raise VerificationError("its manifest is not the one that was written when it was taken")
        opened = bundle.unseal(reading.read_sealed(self.store, backup), identity)
        refuse(backup, opened, usual, self.expected)
        tried = [thing for thing in opened.objects if thing["metadata"].get("namespace") == opened.namespace]
        rights = self._try(opened, tried)
        return Proof(
            backup=backup,
            applied=len(tried) - len(rights),
            rights=rights,
            outside=len(opened.objects) - len(tried),
            rto_s=time.monotonic() - began,
            locked_until=self.clock() + timedelta(days=self.lock_days),
        )

    def _try(self, opened: OpenedBundle, things: Sequence[Object]) -> list[str]:
        """Dry-run all of them; return the rights that the prover may not grant."""
        plurals = {(kind.group, kind.kind): kind.plural for kind in opened.kinds}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda thing: self._tried(thing, plurals), things))
        if refused := [why for why in answers if why and why != UNGRANTABLE]:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise VerificationError(f"the API server would not take {refused[0]}{more}")
        return [name(thing) for thing, why in zip(things, answers, strict=True) if why == UNGRANTABLE]

    def _tried(self, thing: Object, plurals: Mapping[tuple[str, str], str]) -> str:
        """Return why the server would not take it, "" if it would."""
        group = thing["apiVersion"].rpartition("/")[0]
        path = applying.address(thing, plurals[group, thing["kind"]], self.scratch)
        moved = applying.into(thing, self.scratch)
        try:
            patiently(lambda: self.cluster.dry_apply(path, moved))
        except RejectedError as error:
            if applying.is_missing_right(error):
                raise ConfigurationError(
                    f"the prover may not try {thing['kind']} in {self.scratch}; add the kind to"
                    " deploy/kubernetes/ops-config-prove.yaml"
                ) from None
            return UNGRANTABLE if applying.is_ungrantable(thing, error) else f"{name(thing)} ({error})"
        return ""

    def _good(self, proof: Proof) -> Mark:
        return Mark(
            verdict=Verdict.GOOD,
            at=self.clock(),
            manifest=proof.backup.sha256,
            restore_s=proof.rto_s,
            rto_s=proof.rto_s,
            rpo_s=(self.clock() - proof.backup.at).total_seconds(),
        )


def refuse(
    backup: Backup[ConfigurationManifest],
    opened: OpenedBundle,
    usual: Backup[ConfigurationManifest] | None,
    expected: str = "",
) -> None:
    """Raise VerificationError if the backup contradicts itself, or is of another cluster than the good one before it."""
    assert backup.manifest  # it was read by it
    facts = backup.manifest.facts
    if any(getattr(facts, said) != value for said, value in summary(opened).items()):
        raise VerificationError("what its manifest says is not what the bundle holds")
    if not opened.objects:
        raise VerificationError("it holds no object")
    before = usual.manifest.facts if usual and usual.manifest and usual.key != backup.key else None
    cluster = expected or (before.cluster if before else facts.cluster)
    if facts.cluster != cluster:
        raise VerificationError(f"it is of cluster {facts.cluster}, not {cluster} (configuration.cluster)")
