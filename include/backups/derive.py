"""Plain SQL, made from the archive of a backup: the document's first file, without a second dump of another moment."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from include.backups.programs import Programs, running

CHUNK = 1 << 20


def plain_sql(archive: Path, programs: Programs, to: IO[bytes], *, schema_only: bool = False) -> int:
    """Write the archive as SQL, the database's own settings and grants included, and return how many bytes that were."""
    command = [programs.path("pg_restore"), "--file=-", "--create", str(archive)]
    written = 0
    with running([*command, "--schema-only"] if schema_only else command) as program:
        while data := program.output.read(CHUNK):
            written += to.write(data)
        program.check()
    return written


def schema_bytes(archive: Path, programs: Programs) -> int:
    """Return how many bytes of SQL make the schema."""
    with Path("/dev/null").open("wb") as nowhere:
        return plain_sql(archive, programs, nowhere, schema_only=True)
