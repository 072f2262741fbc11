"""`python -m include.backups list | show | sql | roles | hold | release`: read the bucket without Airflow and without a database.

Credentials are those of boto3 (AWS_PROFILE, AWS_ACCESS_KEY_ID, a file), the endpoint AWS_ENDPOINT_URL, the bucket that of the
settings. With `--configuration` before the verb it is about the backups of the namespace's configuration. `sql` and `roles` open a
backup with a private key from a file, compare it with its manifest, and only then write.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import IO, Any

from include import settings
from include.backups import catalogue, keys, retire, sealing, spool
from include.backups.catalogue import Backup, Catalogue
from include.backups.derive import plain_sql
from include.backups.manifest import CommonFacts, ConfigurationFacts, Facts, Manifest
from include.backups.moving import size
from include.backups.opening import Opener
from include.backups.programs import Programs
from include.backups.store import CONFIG, Store
from include.errors import ConfigurationError, RunbookError
from include.settings import BackupLimits


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of them; 1 with one sentence on standard error if it cannot be done."""
    options = vars(_parser().parse_args(arguments))
    verb, of_configuration = options.pop("verb"), options.pop("configuration")
    try:
        chosen = settings.load()
        store, limits = _store(chosen.backup), chosen.backup
        kind = keys.CONFIGURATION if of_configuration else keys.KIND
        name = chosen.namespace if of_configuration else limits.database
        reader = Reader(found=catalogue.look(store, name, kind=kind), store=store, limits=limits, name=name)
        getattr(reader, verb)(**options)
    except RunbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Somebody who may read the bucket; each public method is a verb of the command line."""

    found: Catalogue[Any]
    store: Store
    limits: BackupLimits
    name: str

    def list(self) -> None:
        """Print one line a backup, oldest first, and what was begun and never finished."""
        notes = retire.notes(self.store, self.found.backups)
        for backup, note in zip(self.found.backups, notes, strict=True):
            print(f"{line(backup)}{note and f'  {note}'}")
        for key in self.found.unfinished:
            print(f"{'-':<17} no manifest {key}  (never finished; the sweep removes it)")
        good = sum(backup.is_good for backup in self.found.backups)
        print(f"{len(self.found.backups)} backups of {self.name}, {good} good")

    def show(self, key: str) -> None:
        """Print the manifest as it is stored."""
        backup = self.found.find(key)
        print(self.store.get(backup.key + keys.MANIFEST, backup.version_id).decode(), end="")

    def sql(self, key: str, identity: str | None, output: str) -> None:
        """Write the whole database as SQL."""
        with self._opened(key, identity, keys.DUMP) as archive, _output(output) as to:
            written = plain_sql(archive, Programs(self.limits.programs), to)
        print(f"{size(written)} of SQL written", file=sys.stderr)

    def roles(self, key: str, identity: str | None, output: str) -> None:
        """Write the roles of the server as SQL; their passwords are in no backup."""
        with self._opened(key, identity, keys.GLOBALS) as opened, _output(output) as to:
            to.write(opened.read_bytes())

    def hold(self, key: str, reason: str) -> None:
        """Keep a backup whatever its age; needs the right to write tags, as the verifier has it."""
        backup = self.found.find(key)
        retire.hold(self.store, backup, reason)
        print(f"{backup.key} is held until it is released")

    def release(self, key: str) -> None:
        """Let the retention decide again."""
        backup = self.found.find(key)
        retire.release(self.store, backup)
        print(f"{backup.key} is held by nobody; the retention decides")

    @contextmanager
    def _opened(self, key: str, identity: str | None, name: str) -> Iterator[Path]:
        """Fetch one object of a good backup into the spool, opened and compared with its manifest."""
        manifest = _of_good(self.found.find(key))
        private = sealing.identity(_private_key(identity), f"the file {identity}")
        room = {
            "needed_bytes": manifest.objects[name].plain_bytes,
            "reserve_bytes": self.limits.spool_reserve_bytes,
        }
        with spool.folder(self.limits.spool, f"derive_{secrets.token_hex(4)}", **room) as folder:
            Opener(self.store, private, self.limits).fetch(manifest, name, folder / "opened")
            yield folder / "opened"


def line(backup: Backup[Any]) -> str:
    """Return when, verdict, size, rows or objects, how long it takes to restore, and the key; the reason if it is not good."""
    head = f"{backup.at.astimezone(UTC):%Y-%m-%d %H:%MZ} {backup.verdict.value:<9}"
    if not backup.manifest:
        return f"{head} {backup.key}  {backup.problem}"
    said = f"{size(backup.manifest.stored_bytes):>8} {_counted(backup.manifest.facts)}"
    mark = backup.mark if backup.mark and backup.mark.manifest == backup.sha256 else None
    proved = f"  restored and equal in {mark.rto_s:.0f} s" if mark and backup.is_good else ""
    return f"{head} {said} {backup.key}{proved}{f'  {mark.reason}' if mark and mark.reason else ''}"


def _counted(facts: CommonFacts) -> str:
    if isinstance(facts, ConfigurationFacts):
        return f"{facts.objects:>9} objects"
    return f"{facts.rows:>12} rows" if isinstance(facts, Facts) else ""


def _of_good(backup: Backup[Any]) -> Manifest:
    if not backup.manifest or not backup.is_good:
        raise ConfigurationError(
            f"{backup.key} is {backup.verdict.value}, and only a good backup is used; `python -m include.backups list`"
            " shows which are"
        )
    if not isinstance(backup.manifest, Manifest):
        raise ConfigurationError(f"{backup.key} is of a configuration, which holds no SQL and no roles")
    return backup.manifest


def _private_key(file: str | None) -> str:
    if not file:
        raise ConfigurationError("name the file with the private key: --identity FILE, as age-keygen wrote it")
    try:
        lines = Path(file).read_text(errors="replace").splitlines()
    except OSError as error:
        raise ConfigurationError(f"--identity {file} cannot be read: {error.strerror}") from None
    return next((text for text in lines if text and not text.startswith("#")), "")


@contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdout.buffer
        return
    path = Path(name)
    try:
        path.touch(
            mode=0o600, exist_ok=False
        )  # all of the customers' data: nobody else reads it, and nothing is overwritten
    except OSError as error:
        raise ConfigurationError(f"--output {name} cannot be written: {error.strerror}") from None
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


def _store(limits: BackupLimits) -> Store:
    import boto3
    from botocore.config import Config

    return Store(boto3.client("s3", config=Config(**CONFIG)), limits.bucket, who="the profile of boto3")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.backups", description=__doc__)
    parser.add_argument(
        "--configuration", action="store_true", help="of the namespace's configuration, not of the database"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="one line a backup: when, verdict, size, key")
    for name, what in (("show", "the manifest"), ("sql", "the database as plain SQL"), ("roles", "the roles as SQL")):
        verb = verbs.add_parser(name, help=f"{what} of a backup")
        verb.add_argument("key", nargs="?", default="", help="from `list`; the newest good one if left out")
        if name != "show":
            verb.add_argument("--identity", metavar="FILE", help="age private key")
            verb.add_argument(
                "--output", metavar="FILE", default="-", help="a file that does not exist; - is standard output"
            )
    held = verbs.add_parser("hold", help="let the retention keep a backup whatever its age")
    held.add_argument("key", type=_a_key, help="from `list`")
    held.add_argument("--reason", required=True, help="why, and who may release it")
    verbs.add_parser("release", help="let the retention decide again").add_argument(
        "key", type=_a_key, help="from `list`"
    )
    return parser


def _a_key(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("name the key of a backup")
    return text


if __name__ == "__main__":
    sys.exit(main())
