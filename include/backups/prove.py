"""Prove a backup: fetch what was stored, open it, restore it into the scratch server, compare. Only then it is GOOD, and locked.

Whatever differs makes it BAD, and BAD is written beside it. What could not be looked at (no scratch server, a full spool, a store that
does not answer) says nothing about the backup: it stays unproved, which is not GOOD either.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from include.backups import catalogue, compare, fingerprint, keys, marking, scratch, sealing, source, spool
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.derive import schema_bytes
from include.backups.fingerprint import Contents, Fingerprint
from include.backups.lively import lively
from include.backups.login import Login
from include.backups.manifest import Manifest
from include.backups.moving import size
from include.backups.opening import Opener
from include.backups.programs import Programs
from include.backups.store import Store
from include.errors import ConfigurationError, RefusedError, VerificationError
from include.settings import BackupLimits

if TYPE_CHECKING:
    from pyrage.x25519 import Identity

    from include.backups.login import Session

log = logging.getLogger(__name__)

_MADE = re.compile(r'^CREATE ROLE ("(?:[^"]|"")+"|[^";]+);$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found out; times in seconds.

    :param fetch_s: until the dump lay opened and checked in the spool.
    :param rto_s: until the database was restored and compared: what a recovery would have taken.
    :param rpo_s: age of the newest transaction in it when it was proved: what a recovery would have lost.
    :param in_flux: what changed its definition while the backup was taken, and was therefore not compared.
    :param schema_bytes: size of the schema as plain SQL, which shows that plain SQL can be made of it.
    :param locked_until: the end of the lock that a new proof sets.
    :param restored_into: the scratch database, made for this proof alone and dropped.
    """

    backup: Backup
    fetch_s: float
    restore_s: float
    rto_s: float
    rpo_s: float
    indexes: int
    schema_bytes: int
    in_flux: Sequence[str]
    locked_until: datetime
    restored_into: str = ""


@dataclass(frozen=True, kw_only=True)
class Prover:
    """Who proves: the bucket as the verifier, the scratch server, and a private key.

    :param key: an age private key; `key_from` says in errors where it came from.
    """

    store: Store
    server: Login
    key: str = field(repr=False)
    key_from: str
    limits: BackupLimits

    def prove(self, key: str, *, sha256: str = "", usual: Backup | None = None) -> Proof:
        """Prove one backup and mark it; VerificationError if it is BAD.

        :param sha256: of the manifest that was taken; another one at this key is BAD. "" takes what is there.
        :param usual: the newest good backup before it, against which a sudden shrinking shows.
        """
        identity = self._identity()
        backup = self._find(key, sha256)
        with marking.condemned(self.store, backup):
            proof = self._prove(backup, identity, sha256, partial(refuse, limits=self.limits, usual=usual))
        marking.lock(self.store, backup, proof.locked_until)
        marking.mark(self.store, backup, _good(proof))
        log.info("%s is GOOD: restored and compared in %.1f s", backup.key, proof.rto_s)
        return proof

    def prove_again(self, key: str, *, sha256: str) -> Proof:
        """Restore and compare one that is GOOD once more; VerificationError if it differs, and it is marked BAD.

        Its mark tells how it was when it was young, and so does its lock: neither is touched where it is still equal. It is not
        judged against younger ones, since a database may grow, and move to another cluster.

        :param sha256: of the manifest that was marked GOOD.
        """
        identity = self._identity()
        backup = self._find(key, sha256)
        with marking.condemned(self.store, backup):
            proof = self._prove(backup, identity, sha256, partial(contradict, limits=self.limits))
        log.info("%s is still GOOD: restored and compared in %.1f s", backup.key, proof.rto_s)
        return proof

    def opens(self, backup: Backup) -> bool:
        """Return whether a backup says that it is sealed to our key; after a change of keys the older ones are not."""
        return str(self._identity().to_public()) in _recipients(backup)

    def _refuse_another_major(self, backup: Backup, error: VerificationError) -> None:
        """Let no difference count that another PostgreSQL may have made: it writes some definitions otherwise."""
        with self.server.session("backup version") as session:
            here = session.info.server_version // 10_000
        of = backup.manifest.facts.server_version.partition(".")[0] if backup.manifest else ""
        if of and of != f"{here}":
            raise RefusedError(
                f"{backup.key} differs after its restore ({error}), but it is of PostgreSQL {of} and the scratch server of"
                f" {here}, which may be why; its verdict stays: restore it into PostgreSQL {of} to know"
            ) from None

    def _identity(self) -> Identity:
        """Return the private key; ConfigurationError if no backup is sealed to it."""
        identity = sealing.identity(self.key, self.key_from)
        if str(identity.to_public()) not in self.limits.recipients.values():
            raise ConfigurationError(
                f"{self.key_from} holds a private key whose public half is not among backup.recipients: no backup is sealed"
                " to it; put the right key there, or add its public half to OPS_BACKUP__RECIPIENTS"
            )
        return identity

    def _find(self, key: str, sha256: str) -> Backup:
        """Return the backup at a key; of several manifests there, the one that is meant."""
        there = [each for each in self.store.versions(key) if each.key == key + keys.MANIFEST]
        found = [catalogue.read(self.store, each) for each in there] if keys.parse(key) else []
        if not found:
            raise VerificationError(f"there is no backup at {key}: it has no manifest")
        return next((backup for backup in found if backup.sha256 == sha256), catalogue.one_each(found)[0])

    def _prove(
        self, backup: Backup, identity: Identity, sha256: str, doubted: Callable[[Manifest, Fingerprint], None]
    ) -> Proof:
        """Restore and compare it.

        :param doubted: raises VerificationError if it cannot be what it says, before anything is restored.
        """
        began = time.monotonic()
        manifest = _believed(backup, sha256)
        facts = manifest.facts
        opener = Opener(self.store, identity, self.limits)
        wanted = fingerprint.read(opener.read(manifest, keys.FINGERPRINT))
        doubted(manifest, wanted)
        _roles_in(opener.read(manifest, keys.GLOBALS), wanted)
        dump = manifest.objects[keys.DUMP]
        name = f"{scratch.PREFIX}{facts.op_id.replace('-', '')[:8]}_{secrets.token_hex(4)}"
        room = {"needed_bytes": dump.plain_bytes, "reserve_bytes": self.limits.spool_reserve_bytes}
        spool.sweep(self.limits.spool)  # what the sweep of another worker does not see
        with spool.folder(self.limits.spool, name, **room) as folder:
            archive = folder / "dump"
            opener.fetch(manifest, keys.DUMP, archive)
            fetched = time.monotonic()
            try:
                restored, indexes = self._restore(archive, name, wanted)
            except VerificationError as error:
                self._refuse_another_major(backup, error)
                raise
            compared = time.monotonic()
            as_sql = schema_bytes(archive, Programs(self.limits.programs))
        return Proof(
            backup=backup,
            fetch_s=fetched - began,
            restore_s=restored - fetched,
            rto_s=compared - began,
            rpo_s=(_now() - (facts.last_commit_at or facts.taken_at)).total_seconds(),
            indexes=indexes,
            schema_bytes=as_sql,
            in_flux=fingerprint.in_flux(wanted.contents),
            locked_until=_now() + timedelta(days=self.limits.lock_days),
            restored_into=name,
        )

    def _restore(self, archive: Path, name: str, wanted: Fingerprint) -> tuple[float, int]:
        """Return when the restore was done, and into how many indexes amcheck looked."""
        programs = Programs(self.limits.programs)
        scratch.make_roles(self.server, wanted.roles, self.limits)
        with scratch.database(self.server, name, wanted.database, self.limits) as target:
            scratch.check_extensions(target, wanted.extensions, self.limits)
            scratch.restore(archive, target, programs, self.limits)
            restored = time.monotonic()
            with target.session("backup compare") as session:
                found = lively("the comparison", target, session, self.limits, lambda: self._contents(session))
                if differences := compare.differences(wanted.contents, found, scratch.NOT_COMPARED):
                    raise VerificationError(f"what was restored differs: {compare.told(differences)}")
                indexes = self._check_indexes(target, session)
        return restored, indexes

    def _contents(self, session: Session) -> Contents:
        source.settle(session)
        # Nobody else works there: what has to be read once more is read by as many as restored it.
        session.execute(f"set max_parallel_workers_per_gather = {self.limits.restore_jobs - 1}".encode())
        session.execute("begin isolation level repeatable read read only")
        found = fingerprint.contents(session, source.tables(session))
        session.execute("commit")
        return found

    def _check_indexes(self, target: Login, session: Session) -> int:
        most = self.limits.index_checks
        return lively("amcheck", target, session, self.limits, lambda: scratch.check_indexes(session, most))


def _good(proof: Proof) -> Mark:
    return Mark(
        verdict=Verdict.GOOD,
        at=_now(),
        manifest=proof.backup.sha256,
        restore_s=proof.restore_s,
        rto_s=proof.rto_s,
        rpo_s=proof.rpo_s,
    )


def _believed(backup: Backup, sha256: str) -> Manifest:
    if backup.problem or not backup.manifest:
        raise VerificationError(backup.problem)
    if sha256 and backup.sha256 != sha256:
        raise VerificationError("its manifest is not the one that was written when it was taken")
    if missing := {keys.DUMP, keys.FINGERPRINT, keys.GLOBALS} - backup.manifest.objects.keys():
        raise VerificationError(f"its manifest names no {', '.join(sorted(missing))}")
    return backup.manifest


def _recipients(backup: Backup) -> frozenset[str]:
    return frozenset(backup.manifest.facts.recipients.values()) if backup.manifest else frozenset()


def contradict(manifest: Manifest, wanted: Fingerprint, limits: BackupLimits) -> None:
    """Raise VerificationError if the backup contradicts itself, is of another database, or is empty."""
    facts = manifest.facts
    if facts != wanted.facts or wanted.contents.rows != facts.rows:
        raise VerificationError("what its manifest says is not what was sealed with it")
    if facts.database != limits.database:
        raise VerificationError(f"it is of database {facts.database}, not {limits.database}")
    if not wanted.contents.tables:
        raise VerificationError("it holds no table")


def refuse(manifest: Manifest, wanted: Fingerprint, limits: BackupLimits, usual: Backup | None) -> None:
    """Raise VerificationError if the backup cannot be the one of this database, before anything is restored."""
    contradict(manifest, wanted, limits)
    facts, rows = manifest.facts, manifest.facts.rows
    before = usual.manifest.facts if usual and usual.manifest and usual.key != facts.key else None
    expected = limits.system_identifier or (before.system_identifier if before else facts.system_identifier)
    if facts.system_identifier != expected:
        raise VerificationError(
            f"it is of cluster {facts.system_identifier}, not {expected} (backup.system_identifier)"
        )
    if before and 100 * (before.rows - rows) > limits.shrink_critical_percent * before.rows:
        raise VerificationError(
            f"it holds {rows} rows, the newest good one {before.rows}: more than {limits.shrink_critical_percent:g} % are"
            " gone (backup.shrink_critical_percent)"
        )


def _roles_in(globals_: bytes, wanted: Fingerprint) -> None:
    """Every role of the fingerprint is made by the globals, but those that were dropped before the globals were read."""
    made = {_unquoted(name) for name in _MADE.findall(globals_.decode(errors="replace"))}
    demanded = {name for name, of in wanted.roles.items() if not of.get(fingerprint.DROPPED)}
    if missing := sorted(demanded - made):
        raise VerificationError(f"its globals lack the role {missing[0]}")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _now() -> datetime:
    return datetime.now(UTC)


def told(proof: Proof) -> str:
    """Return the proof in one sentence."""
    manifest = proof.backup.manifest
    assert manifest  # it was proved
    return (
        f"{manifest.facts.tables} tables, {manifest.facts.rows} rows, {size(manifest.stored_bytes)} stored: fetched in"
        f" {proof.fetch_s:.1f} s, restored in {proof.restore_s:.1f} s, equal after {proof.rto_s:.1f} s"
    )
