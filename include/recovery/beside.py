"""Restore a good backup beside the running database, and compare it: until the swap nothing of the running one is touched.

Whatever is wrong with the backup shows here, while the application works. A restore that was killed is dropped and begun again: the
lock by which another process shows that it lives ends with that process.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import errors

from include.backups import compare, fingerprint, keys, restoring, sealing, source, spool
from include.backups.catalogue import Backup
from include.backups.fingerprint import Contents, Fingerprint
from include.backups.lively import lively
from include.backups.login import Login, hang_up
from include.backups.manifest import Manifest
from include.backups.opening import Opener
from include.backups.programs import Programs
from include.backups.store import Store
from include.errors import ConfigurationError, RefusedError, RunbookError, VerificationError
from include.recovery import contents, databases, properties, smoke
from include.recovery.databases import Database, Databases, Mark, let_in, look, set_mark
from include.recovery.preflight import Preflight, foresee
from include.settings import BackupLimits, RestoreLimits

if TYPE_CHECKING:
    from include.backups.login import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a backup says of itself, read with the private key and believed."""

    manifest: Manifest
    sha256: str
    fingerprint: Fingerprint

    @property
    def fingerprint_sha256(self) -> str:
        """Of what the restored database must be equal to."""
        return self.manifest.objects[keys.FINGERPRINT].plain_sha256


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """Who recovers: the bucket as somebody who reads it, a private key, and two logins at the server in production.

    :param login: as ops_restore, at the database `postgres`.
    :param reader: as ops_backup, at the running database: it compares, since ops_restore passes no policy.
    :param key: an age private key; `key_from` says in errors where it came from.
    """

    store: Store
    login: Login
    reader: Login
    key: str = field(repr=False)
    key_from: str
    backup: BackupLimits
    limits: RestoreLimits

    def open(self, backup: Backup) -> Opened:
        """Read what a good backup must restore to; an error if it is not good, or if this key does not open it."""
        if not backup.manifest or not backup.is_good:
            raise RefusedError(
                f"{backup.key} is {backup.verdict.value}: only a good backup is restored; choose another"
            )
        self._refuse_another_database(backup.manifest)
        opener = self._opener(backup.manifest)
        wanted = fingerprint.read(opener.read(backup.manifest, keys.FINGERPRINT))
        if backup.manifest.facts != wanted.facts or wanted.contents.rows != backup.manifest.facts.rows:
            raise VerificationError(
                f"what the manifest of {backup.key} says is not what was sealed with it; choose another"
            )
        return Opened(manifest=backup.manifest, sha256=backup.sha256, fingerprint=wanted)

    def foresee(self, opened: Opened, op_id: str, free_bytes: int | None) -> Preflight:
        """Ask for everything that could be in the way later, and change nothing; an error names the first of it.

        The reader alone asks, so that a plan can be made before anybody opens the window of the one that recovers.

        :param free_bytes: of the disk of the server; None if nobody can see it, and then the plan has to ask a person.
        """
        called, actor = databases.names(self.backup.database, op_id), str(self.login.parameters["user"])
        with self.reader.session("recovery plan") as session:
            _refuse_unknown(session, actor, self.login.name)
            seen = look(session, called, op_id, actor)
            facts, factor = opened.manifest.facts, self.limits.room_factor
            ahead = foresee(session, seen, facts, opened.fingerprint, room_factor=factor, actor=actor)
            running = contents.beyond(session)
        with self.reader.to(self.limits.template).session("recovery plan") as session:
            by_hand = contents.foreseen(running, contents.beyond(session))
        found = replace(ahead, by_hand=by_hand, free_bytes=free_bytes)
        major = Programs(self.backup.programs).version("pg_restore")[1]
        found.refuse(restore_major=major, system_identifier=self.backup.system_identifier)
        return found

    def preflight(self, opened: Opened, op_id: str, free_bytes: int | None) -> Preflight:
        """Ask once more when the window is open: the role that recovers can log in, and at the same server."""
        ahead = self.foresee(opened, op_id, free_bytes)
        seen = databases.observe(self.login, self.backup.database, op_id)
        if seen.system_identifier != ahead.seen.system_identifier:
            raise ConfigurationError(
                f"{self.login.name} is cluster {seen.system_identifier}, and {self.reader.name}, which compares, is"
                f" {ahead.seen.system_identifier}: nothing was made; correct one of the Connections"
            )
        return replace(ahead, seen=seen)

    def restore(self, opened: Opened, op_id: str, *, accepted: Collection[str] = ()) -> Mark:
        """Restore it as `<database>_restore_<op8>` and compare; return its mark. Does nothing if that was done.

        VerificationError if what was restored differs: it is dropped then, and the running database was never touched.

        :param accepted: of `Preflight.by_hand`: what a person has seen that no restore brings back.
        """
        called = databases.names(self.backup.database, op_id)
        with self.login.session("recovery restore") as session:
            seen = look(session, called, op_id)
            running = _refuse(seen)
            if done := _done(seen, opened):
                return done
            restoring.hold(session, called.restore)
            restoring.drop(session, called.restore)
            mark, clock = _first_mark(seen, running, opened), Clock()
            with self._archive(opened, op_id) as archive, self._made(session, seen, opened, mark):
                clock.lap("fetch")
                self._fill(called.restore, opened.fingerprint, archive, clock)
                properties.apply(session, called.restore, opened.fingerprint.database)
                with self._analyzed(self.login.to(called.restore)):
                    told = self._compare(self.reader.to(called.restore), opened.fingerprint, accepted)
                    clock.lap("compare")
                clock.lap("analyze")
                return _compared(session, seen, mark.model_copy(update=told), clock)

    # --- the archive ----------------------------------------------------------------------------------------------------

    def _opener(self, of: Manifest) -> Opener:
        identity = sealing.identity(self.key, self.key_from)
        if str(identity.to_public()) not in of.facts.recipients.values():
            raise ConfigurationError(
                f"{self.key_from} holds a private key to which {of.facts.key} is not sealed; its recipients are"
                f" {', '.join(sorted(of.facts.recipients))}"
            )
        return Opener(self.store, identity, self.backup)

    def _refuse_another_database(self, of: Manifest) -> None:
        if of.facts.database != self.backup.database:
            raise RefusedError(f"{of.facts.key} is of database {of.facts.database}, not {self.backup.database}")

    @contextmanager
    def _archive(self, opened: Opened, op_id: str) -> Iterator[Path]:
        """Fetch the dump into the spool; every byte of it is checked before a database is made."""
        name = f"recover_{op_id.replace('-', '')[:8]}_{secrets.token_hex(4)}"
        needed = opened.manifest.objects[keys.DUMP].plain_bytes
        room = {"needed_bytes": needed, "reserve_bytes": self.backup.spool_reserve_bytes}
        spool.sweep(self.backup.spool)
        with spool.folder(self.backup.spool, name, **room) as folder:
            self._opener(opened.manifest).fetch(opened.manifest, keys.DUMP, folder / "dump")
            contents.refuse(folder / "dump", Programs(self.backup.programs), self.login, opened.fingerprint)
            yield folder / "dump"

    # --- the database ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _made(self, session: Session, seen: Databases, opened: Opened, mark: Mark) -> Iterator[None]:
        """Make it and mark it as ours; drop it again if what follows fails."""
        name, like, born = seen.names.restore, opened.fingerprint.database, databases.birthmark(seen.op_id)
        try:
            self._lively("making a database", session, lambda: self._create(session, name, like, born))
            set_mark(session, name, mark)
            let_in(session, name, allowed=True)
            properties.rehearse(session, name, like)
            properties.apply(session, name, {**like, "settings": [], "role_settings": [], "connection_limit": -1})
            yield
        except BaseException:
            self._drop(name)
            raise

    def _create(self, session: Session, name: str, like: Mapping[str, Any], born: int) -> None:
        template = self.limits.template
        try:
            restoring.create(session, name, like, template=template, owner=like["owner"], closed=born)
        except (*restoring.WRONG_TEMPLATE, errors.InvalidCatalogName) as error:
            raise ConfigurationError(
                f"no database like the original can be made of {template} ({error.diag.message_primary}); make that one with"
                f" encoding {like['encoding']} and locale {like['collate']} (deploy/postgres/orchestrator_template.sql)"
            ) from None

    def _drop(self, name: str) -> None:
        """Drop it from a session of its own: the first may have ended with what went wrong."""
        try:
            with self.login.session("recovery drop") as session:
                restoring.drop(session, name)
        except RunbookError as error:  # the first error is the one to tell
            log.warning("%s is left, and the next try drops it: %s", name, error)

    def _fill(self, name: str, wanted: Fingerprint, archive: Path, clock: Clock) -> None:
        target = self.login.to(name)
        contents.restore(archive, target, Programs(self.backup.programs), self.backup)
        with target.session("recovery owners") as session:
            contents.give_away(session, wanted.database["owner"])
        clock.lap("restore")

    @contextmanager
    def _analyzed(self, target: Login) -> Iterator[None]:
        """Let the planner know every table (BUG-30), while something else is done that reads them."""
        with target.session("recovery analyze") as session, ThreadPoolExecutor(1) as pool:
            analyzing = pool.submit(copy_context().run, self._analyze, target, session)
            try:
                yield
                analyzing.result()
            except BaseException:
                hang_up(session)
                raise

    def _analyze(self, target: Login, session: Session) -> None:
        lively("the analyze", target, session, self.backup, lambda: contents.analyze(session))

    def _compare(self, reader: Login, wanted: Fingerprint, accepted: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return what of it the mark tells: what no restore brought back, and what is odd; VerificationError if it differs."""
        with self.reader.session("recovery compare") as session:
            before = contents.beyond(session)
        with reader.session("recovery compare") as session:
            found = lively("the comparison", reader, session, self.backup, lambda: self._contents(session))
            if differences := compare.differences(wanted.contents, found):
                raise VerificationError(f"what was restored differs: {compare.told(differences)}")
            properties.refuse_difference(wanted.database, source.one(session, "backup_database"))
            lacking, late = contents.lacking(before, contents.beyond(session)), smoke.behind(session)
        if unseen := sorted(set(lacking) - set(accepted)):
            raise VerificationError(
                f"a restore does not bring back: {compare.told(unseen)}; let a superuser make it in {self.limits.template}"
                " too, or accept it in the plan"
            )
        return {"lacking": tuple(lacking), "behind": tuple(late)}

    def _contents(self, session: Session) -> Contents:
        source.settle(session)
        session.execute(f"set max_parallel_workers_per_gather = {self.backup.restore_jobs - 1}".encode())
        session.execute("begin isolation level repeatable read read only")
        found = fingerprint.contents(session, source.tables(session))
        session.execute("commit")
        return found

    def _lively(self, what: str, session: Session, deed: Callable[[], None]) -> None:
        lively(what, self.login, session, self.backup, deed)


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._at = time.monotonic()

    def lap(self, name: str) -> None:
        """Write down what the step took that ends now."""
        now = time.monotonic()
        self.laps[name] = round(now - self._at, 3)
        self._at = now


def _refuse_unknown(session: Session, actor: str, where: str) -> None:
    if not session.execute("select from pg_roles where rolname = %s", [actor]).rowcount:
        raise ConfigurationError(
            f"the login that restores ({where}) is of role {actor}, which the server of the running database does not have: nothing"
            " was made; correct the Connection, or run deploy/postgres/orchestrator_roles.sql"
        )


def _refuse(seen: Databases) -> Database:
    databases.refuse_foreign(seen)
    if seen.is_swapped or seen.before:
        raise RefusedError(
            f"{seen.names.before} is there: this recovery was swapped already; nothing was restored again"
        )
    if seen.restore and seen.restore.state(seen.op_id) == "returned":
        raise RefusedError(f"this recovery was swapped back: {seen.names.restore} is kept; begin another one")
    return databases.changeable(seen)


def _done(seen: Databases, opened: Opened) -> Mark | None:
    """Return the mark of a restore that was compared, if it is of exactly this backup."""
    mark = seen.restore.mark if seen.restore else None
    same = mark and (mark.manifest, mark.fingerprint) == (opened.sha256, opened.fingerprint_sha256)
    return mark if mark and same and mark.state == "compared" else None


def _first_mark(seen: Databases, running: Database, opened: Opened) -> Mark:
    return Mark(
        op_id=seen.op_id,
        state="restoring",
        at=seen.now,
        key=opened.manifest.facts.key,
        manifest=opened.sha256,
        fingerprint=opened.fingerprint_sha256,
        comment=opened.fingerprint.database.get("comment", running.comment),
    )


def _compared(session: Session, seen: Databases, mark: Mark, clock: Clock) -> Mark:
    """Close its doors, so that what was compared stays as it was compared, and write that down."""
    let_in(session, seen.names.restore, allowed=False)
    found = {"state": "compared", "at": look(session, seen.names, seen.op_id).now}
    whole = mark.model_copy(update={**found, "seconds": clock.laps})
    set_mark(session, seen.names.restore, whole)
    log.info("%s is restored and equal: %s", seen.names.restore, clock.laps)
    return whole
