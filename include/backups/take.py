"""Take a backup: one snapshot, read side by side as a dump and as a fingerprint, sealed, streamed to a fresh key, the manifest last.

Nothing of it touches a disk. Until the manifest stands there is no backup, so a take that dies anywhere leaves nothing that could be
taken for one; the next one has another key.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from include.backups import fingerprint, keys, manifest, moving, sealing, source
from include.backups.fingerprint import Contents, Fingerprint, Inventory
from include.backups.lively import followed, lively
from include.backups.login import LOCK_TIMEOUT_S, Login, hang_up
from include.backups.manifest import AnyManifest, Facts, Manifest, Previous, Stored
from include.backups.moving import Flow, Job, Tap, size
from include.backups.programs import Programs, Running, running
from include.backups.source import Server, Snapshot
from include.backups.store import Store, Upload
from include.errors import RefusedError
from include.settings import BackupLimits

if TYPE_CHECKING:
    from pyrage.x25519 import Recipient

    from include.backups.login import Session

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

PART_BYTES_MIN = 16 << 20
PARTS_MAX = 9_000
"""The store takes 10,000; the dump is never larger than the database by more than the tenth that is left."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Whose backup it is.

    :param op_id: the same on every try of the run.
    :param attempt: the try.
    :param previous: the newest manifest in the bucket; None if there is none, or if it could not be seen.
    :param known_identifier: cluster of the newest good backup; "" if there is none.
    :param usual_bytes: size of the newest good dump, for the estimate in the log; 0 if there is none.
    """

    op_id: str
    attempt: int
    code_version: str
    previous: Previous | None = None
    known_identifier: str = ""
    usual_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A backup that stands in the bucket and is not proved yet.

    :param sha256: of its manifest; who proves it asks for exactly this one.
    """

    manifest: Manifest
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Taker:
    """Who takes: the database as a role that reads, the bucket as a user who writes, and no private key.

    :param login: of the source.
    """

    login: Login
    store: Store
    limits: BackupLimits

    def take(self, request: Request) -> Taken:
        """Take one; a RunbookError says what was in the way, and the bucket then holds nothing that looks like a backup."""
        to = sealing.recipients(self.limits.recipients)
        dump_version, dump_major = self._programs.version("pg_dump")
        self._programs.path("pg_dumpall")
        with self.login.session("backup preflight") as session:
            server = self._lively("the preflight", session, lambda: source.look(session))
            source.refuse(server, self.limits, dump_major=dump_major, known_identifier=request.known_identifier)
            before = self._lively("the inventory", session, lambda: _inventory(session))
        key = keys.fresh(self.limits.database, server.now, request.op_id, request.attempt)
        part_bytes = max(PART_BYTES_MIN, -(-server.database_bytes // PARTS_MAX))
        with (
            Upload(self.store, key + keys.DUMP, part_bytes) as upload,
            source.snapshot(self.login, self.limits) as moment,
        ):
            log.info("%s: %d tables at %s, snapshot %s", key, len(moment.tables), moment.taken_at, moment.name)
            dump, contents = self._read_side_by_side(moment, before, upload, to, request.usual_bytes)
            known = {"key": key, "dump_version": dump_version, "part_bytes": part_bytes, "rows": contents.rows}
            finished_at = self._lively("the clock", moment.session, lambda: source.look(moment.session)).now
            facts = self._facts(server, moment, request, finished_at=finished_at, **known)
            whole = self._lively(
                "the second look", moment.session, lambda: _fingerprint(facts, contents, moment.session)
            )
        globals_ = self._globals()
        whole = whole.model_copy(update={"roles": fingerprint.still(whole.roles, self._roles())})
        objects = {
            keys.DUMP: dump,
            keys.FINGERPRINT: self._put_sealed(key + keys.FINGERPRINT, fingerprint.render(whole), to),
            keys.GLOBALS: self._put_sealed(key + keys.GLOBALS, globals_, to),
        }
        return self._finish(Manifest(format=1, facts=facts, objects=objects))

    def _lively(self, what: str, session: Session, deed: Callable[[], Answer]) -> Answer:
        return lively(what, self.login, session, self.limits, deed)

    @property
    def _programs(self) -> Programs:
        return Programs(self.limits.programs)

    def _facts(self, server: Server, moment: Snapshot, request: Request, **known: Any) -> Facts:
        return Facts(
            op_id=request.op_id,
            database=server.database,
            system_identifier=server.system_identifier,
            server_version=server.server_version,
            in_recovery=server.in_recovery,
            snapshot=moment.name,
            lsn=moment.lsn,
            taken_at=moment.taken_at,
            last_commit_at=moment.last_commit_at,
            database_bytes=server.database_bytes,
            tables=len(moment.tables),
            code_version=request.code_version,
            recipients=self.limits.recipients,
            previous=request.previous,
            **known,
        )

    def _read_side_by_side(
        self, moment: Snapshot, before: Inventory, upload: Upload, to: Sequence[Recipient], usual_bytes: int
    ) -> tuple[Stored, Contents]:
        """Return the stored dump and the contents, both of the same moment.

        :param before: the inventory before that moment.
        """
        dumped = Flow(f"the dump of {self.login.name}", total=usual_bytes)
        printed = Flow(f"the fingerprint of {self.login.name}", total=sum(table.bytes for table in moment.tables))
        found: list[Contents] = []
        # Before pg_dump starts: what moves between its look at a sequence and ours would make a good backup differ.
        first = self._lively("the first look", moment.session, lambda: fingerprint.loose(moment.session, before))

        def print_contents() -> None:
            found.append(fingerprint.contents(moment.session, moment.tables, printed.moved, first))

        with running(self._dump_command(moment.name), self.login) as dump:
            tap = Tap(dump.output, dumped)
            jobs = [Job(dumped, lambda: _seal_dump(tap, dump, upload, to)), Job(printed, print_contents)]
            stall_s, progress_s = self.limits.stall_s, self.limits.progress_s
            with followed(self.login, moment.session, printed):
                moving.run(jobs, stall_s=stall_s, progress_s=progress_s, stop=lambda: _stop(dump, moment))
            return upload.complete(plain_bytes=tap.bytes, plain_sha256=tap.digest.hexdigest()), found[0]

    def _dump_command(self, snapshot: str) -> list[str]:
        return [
            self._programs.path("pg_dump"),
            "--format=custom",
            f"--compress={self.limits.compression}",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={LOCK_TIMEOUT_S}s",
            "--no-password",
            f"--dbname={self.login.conninfo}",
        ]

    def _globals(self) -> bytes:
        """Return what no dump holds, as SQL: roles without their passwords, and what is set for them."""
        command = [
            self._programs.path("pg_dumpall"),
            "--globals-only",
            "--no-role-passwords",
            "--no-password",
            "--encoding=UTF8",
        ]
        command += [f"--dbname={self.login.conninfo}", f"--database={self.limits.database}"]
        said: list[bytes] = []
        with running(command, self.login) as program:
            job = Job(Flow(f"the roles of {self.login.name}"), lambda: said.append(program.output.read()))
            stall_s, progress_s = self.limits.stall_s, self.limits.progress_s
            moving.run([job], stall_s=stall_s, progress_s=progress_s, stop=program.kill)
            program.check()
        return said[0]

    def _roles(self) -> Collection[str]:
        with self.login.session("backup roles") as session:
            return self._lively("the roles", session, lambda: fingerprint.roles(session))

    def _put_sealed(self, key: str, plain: bytes, to: Sequence[Recipient]) -> Stored:
        sealed = io.BytesIO()
        sealing.seal(io.BytesIO(plain), sealed, to)
        put = self.store.put(key, sealed.getvalue())
        return Stored(
            version_id=put.id,
            bytes=put.bytes,
            sha256=manifest.sha256(sealed.getvalue()),
            parts=1,
            plain_bytes=len(plain),
            plain_sha256=manifest.sha256(plain),
        )

    def _finish(self, done: Manifest) -> Taken:
        text = put_manifest(self.store, done)
        log.info("%s: %s stored in %.1f s, not proved yet", done.facts.key, size(done.stored_bytes), done.facts.took_s)
        return Taken(manifest=done, sha256=manifest.sha256(text))


def put_manifest(store: Store, done: AnyManifest) -> bytes:
    """Write the manifest, which makes a backup of what lies there, and return it."""
    text = manifest.render(done)
    try:
        store.put(done.facts.key + keys.MANIFEST, text, once=True)
    except RefusedError as error:
        # The key is ours alone: an answer was lost and the client sent it again. The prover asks for exactly these bytes.
        log.warning("a manifest stands there already, most likely this one: %s", error)
    return text


def _inventory(session: Session) -> Inventory:
    source.settle(session)
    return fingerprint.inventory(session)


def _fingerprint(facts: Facts, contents: Contents, session: Session) -> Fingerprint:
    return Fingerprint(
        facts=facts,
        contents=fingerprint.until_now(contents, session),
        extensions=fingerprint.extensions(session),
        database=source.one(session, "backup_database"),
        roles=fingerprint.roles(session),
    )


def _seal_dump(tap: Tap, dump: Running, upload: Upload, to: Sequence[Recipient]) -> None:
    sealing.seal(tap, upload, to)
    dump.check()  # an output that ends is no proof that the program was done


def _stop(dump: Running, moment: Snapshot) -> None:
    dump.kill()
    hang_up(moment.session)
